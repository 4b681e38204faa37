"""Run report of a table of predictions, its small parts, and the command that writes it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cohorts import CLASSES, HARD, hard, read, table
from documents import Page, pages

from her2core.errors import ConfigError, Her2Error
from her2core.evidence.evaluation import evaluate
from her2core.evidence.predictions import read_predictions
from her2core.notice import NOTICE
from her2core.report.canvas import draw
from her2core.report.document import CELL, Grid, Row, Words
from her2core.report.run_document import report_document
from her2core.report.run_download import render_report
from her2core.report.run_report import RunReport, predictions_report, run_report
from her2core.report.run_tables import NONE, Notes, figure

ROOT = Path(__file__).resolve().parents[1]


# predictions that came without a run


def test_a_table_is_reported_with_its_own_figures():
    predictions = read()
    report = predictions_report(predictions, name="theirs.csv", resamples=200)
    expected = evaluate(predictions)
    pd.testing.assert_frame_equal(report.evaluation.metrics, expected.metrics)
    document = report_document(report)
    assert any("not known beyond this table" in w for w in document.warnings)
    text = Page(render_report(report).html().decode()).text
    assert "a table of predictions does not describe its model" in text
    row = expected.metrics.query("metric == 'accuracy' and unit == 'patient'").iloc[0]
    assert figure(row["value"], row["lower_95"], row["upper_95"]) in text


@pytest.mark.parametrize("kind", HARD)
def test_hard_tables_give_a_report_that_says_what_it_cannot(kind):
    report = predictions_report(hard(kind), name=kind, resamples=50)
    rendered = render_report(report)
    document = rendered.document
    for section in document.sections:
        assert section.blocks
        for block in section.blocks:
            if isinstance(block, Grid) and section.key not in ("maps", "failures", "partition", "missing", "summary"):
                dashes = sum(bool(re.fullmatch(rf"{NONE}( \([a-z]+\))?", c)) for row in block.rows for c in row[1:])
                assert not dashes or block.notes, f"{kind}: {block.caption} has dashes and no reason"
    empty = [b for s in document.sections for b in s.blocks if isinstance(b, Row) and not b.items]
    assert not empty, "a row of figures without one"
    text = Page(rendered.html().decode()).text
    assert " nan" not in text.lower().replace("nano", "")
    assert pages(rendered.pdf(), first=1)[0].startswith(NOTICE)
    if kind in ("a patient with two labels", "a single patient", "unknown patients"):
        assert report.units in (("patch",), ("patch", "slide"))
        assert "Not by patient: " in text


def report_of_table(data: bytes, name: str, **options) -> RunReport:
    return predictions_report(read_predictions(data, name=name, **options), name=name)


def test_bytes_of_a_table_become_a_report_and_anything_else_a_sentence():
    data = table().to_csv(index=False).encode()
    report = report_of_table(data, name="a.csv", classes=CLASSES)
    assert report.classes == CLASSES
    assert report.units == ("patch", "slide", "patient")
    renamed = table().rename(columns={"label": "what_it_is", "patient_id": "who"})
    report = report_of_table(
        renamed.to_csv(index=False).encode(), name="a.csv", columns={"label": "what_it_is", "patient_id": "who"}
    )
    assert "patient" in report.units
    for broken in (b"", b"PK\x03\x04", b"a,b\n1,2\n", table(label="other").to_csv(index=False).encode()):
        with pytest.raises(Her2Error):
            report_of_table(broken, name="b.csv")
    with pytest.raises(ConfigError, match="role out of label"):
        report_of_table(data, name="a.csv", columns={"colour": "label"})
    nan = table()
    nan.loc[4, "logit_positive"] = np.nan
    with pytest.raises(Her2Error, match="row 5"):
        report_of_table(nan.to_csv(index=False).encode(), name="a.csv")


# small parts


def test_a_note_of_all_rows_stands_once_and_others_get_letters():
    notes = Notes(["a; b", "a", "a; c", "a; b"])
    assert [notes.mark(n) for n in ("a; b", "a", "a; c", "a; b")] == [" (a)", "", " (b)", " (a)"]
    assert notes.lines == ("All rows: a.", "(a) b.", "(b) c.")
    assert Notes([]).lines == ()


def test_figures_say_what_they_can():
    assert figure(0.5, 0.25, 0.75) == "0.500 [0.250, 0.750]"
    assert figure(0.5) == "0.500"
    assert figure(float("nan"), 0, 1) == NONE


def test_a_curve_breaks_where_nothing_is_known():
    rows = pd.DataFrame({"coverage": [0.0, 0.25, 0.5, 0.75, 1.0], "value": [0.1, 0.2, np.nan, 0.3, 0.4]})
    table = rows.assign(metric="risk", lower_95=np.nan, upper_95=np.nan, n=4, unit="patch")
    svg = draw(lambda axes: axes.plot(table["coverage"], table["value"], color="#123456")).decode()
    (line,) = re.findall(r'<path d="([^"]*)"[^>]*stroke: #123456', svg)
    assert line.count("M") == 2, "two strokes, no line across the gap"


def test_text_of_blocks_is_cleaned_where_it_is_render_report():
    assert Words("a\u202eb\n c").text == "ab c"
    assert Grid("c", ("h",), (("x" * 1000,),)).rows[0][0].startswith("x")
    assert len(Grid("c", ("h",), (("x" * 1000,),)).rows[0][0]) == CELL


# the command


def test_the_command_writes_both_files_whole(her2, tiny_run):
    code, out, err = her2("report", tiny_run.path, "--out", "r.html", "--pdf", "r.pdf", "--summary", "s.pdf", "--json")
    assert code == 0, err
    told = json.loads(out)
    assert told["written"] == ["r.html", "r.pdf", "s.pdf"]
    assert told["units"] == ["patch", "slide", "patient"]
    assert sum(told["checklists"]["CLAIM 2024 update"].values()) == 44
    assert Path("r.html").read_bytes() == render_report(run_report(tiny_run)).html()
    assert Path("r.pdf").read_bytes().startswith(b"%PDF")
    assert len(pages(Path("s.pdf").read_bytes())) == 1
    assert {p.name for p in Path().iterdir()} == {"r.html", "r.pdf", "s.pdf"}, "nothing is left half written"
    code, out, _ = her2("report", tiny_run.path, "--out", "r.html")
    assert code == 0
    assert "r.html is there." in out


def test_the_command_takes_a_table(her2):
    table().to_csv("theirs.csv", index=False)
    code, out, err = her2("report", "theirs.csv", "--out", "r.html", "--classes", "negative,equivocal,positive")
    assert code == 0, err
    assert "not known beyond this table" in out
    assert "theirs.csv" in Page(Path("r.html").read_text(encoding="utf-8")).all("h1")[0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nowhere", "--out", "r.html"), "no such folder"),
        (("theirs.csv", "--out", "r.txt"), r"ending in \.html"),
        (("theirs.csv", "--out", "r.html", "--pdf", "r.html"), r"ending in \.pdf"),
        (("theirs.csv", "--out", "r.html", "--pictures"), "a run folder with --pictures"),
        (("theirs.csv", "--out", "r.html", "--column", "label"), "NAME=VALUE"),
        ((str(ROOT / "models" / "demo"), "--out", "r.html", "--classes", "a,b"), "got a folder"),
    ],
)
def test_the_command_refuses_in_a_sentence(her2, words, said):
    table().to_csv("theirs.csv", index=False)
    code, _, err = her2("report", *words)
    assert code == 1
    assert re.search(said, err)
    assert "Traceback" not in err
    assert not Path("r.html").exists()
