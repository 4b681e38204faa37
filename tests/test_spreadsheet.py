"""CSV files: no cell acts as a formula in a spreadsheet, and each is read back as it was."""

from __future__ import annotations

import ast
import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cli_steps import relabelled
from hypothesis import given
from hypothesis import strategies as st

from her2core.data.manifest import build_manifest, read_manifest
from her2core.io.files import write_csv
from her2core.io.spreadsheet import spreadsheet_safe, to_csv
from her2core.io.tables import read_table
from her2core.runs.folder import open_run

ROOT = Path(__file__).resolve().parents[1]


def test_text_that_a_spreadsheet_would_run_gets_an_apostrophe_and_numbers_stay():
    frame = pd.DataFrame(
        {
            "=name": ["=1+1", "+x", "-x", "@x", "\tx", " =x", "plain", None],
            "number": [-0.5, 1, 2, 3, 4, 5, 6, 7],
            "mixed": pd.Series([-1, "=2", 3.5, None, "x", "-", "1+", "＝1"], dtype="object"),
            "kind": pd.Categorical(["=a", "b"] * 4),
        }
    )
    before = frame.copy(deep=True)
    safe = spreadsheet_safe(frame)
    assert list(safe.columns) == ["'=name", "number", "mixed", "kind"]
    assert list(safe["'=name"][:7]) == ["'=1+1", "'+x", "'-x", "'@x", "'\tx", "' =x", "plain"]
    assert safe["'=name"].isna().sum() == 1
    pd.testing.assert_series_equal(safe["number"], frame["number"])
    assert list(safe["mixed"]) == [-1, "'=2", 3.5, None, "x", "'-", "1+", "'＝1"]
    assert list(safe["kind"]) == ["'=a", "b"] * 4
    pd.testing.assert_frame_equal(frame, before)


def test_signed_numbers_of_our_own_tables_stay_as_they_are():
    shown = ["+3.1 [-0.4, +6.5]", "-0.5", "+12.0%", "-2", "+1+1", "-1-cmd", "+A1", "-0.4 [x, 1]"]
    safe = spreadsheet_safe(pd.DataFrame({"x": shown}))["x"]
    assert list(safe) == [*shown[:4], "'+1+1", "'-1-cmd", "'+A1", "'-0.4 [x, 1]"]


def test_a_column_of_text_without_a_cell_stays_as_it_is():
    empty = pd.DataFrame({"note": pd.Series([None, None], dtype="str"), "kept": ["=1", None]})
    safe = spreadsheet_safe(empty)
    assert safe["note"].isna().all()
    assert safe["kept"].tolist()[0] == "'=1"


# The one writer of CSV files, and the reader


FORMULAS = ["=1+1", "+cmd|'/C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", " =1", "'=1", "''=1", "＝1"]
PLAIN = ["plain", "'quoted'", "'", "-0.5", "+3.1 [-0.4, +6.5]", 'say "a, b"', "a\rb", "a\nb", "=", "é"]


def cells_run_as_formulas(text: str) -> list[str]:
    """Cells that begin as OWASP says, other than signed numbers; read by Python's own reader."""
    cells = [cell for row in csv.reader(io.StringIO(text, newline="")) for cell in row]
    return [c for c in cells if re.match(r" *[=+\-@\t\r\n＝＋－＠]", c) and not re.match(r"[+-][\d.]+( \[.*\])?$", c)]


def test_the_reader_of_formulas_in_this_file_sees_them():
    assert cells_run_as_formulas("a,=1\n-0.5,-1+cmd\n") == ["=1", "-1+cmd"]


@pytest.mark.parametrize("own", [True, False])
def test_what_is_written_holds_no_formula_and_is_read_back_exactly(tmp_path, own):
    frame = pd.DataFrame({"patch_id": [*FORMULAS, *PLAIN], "=label": "x", "value": np.linspace(-1, 1, 20) / 3})
    frame["source"] = frame["patch_id"].astype("category")
    path = write_csv(tmp_path / "a.csv", frame)
    text = path.read_bytes().decode()
    assert cells_run_as_formulas(text) == []
    assert "\r\n'=1+1," in text
    back = read_table(path, own=own).frame
    assert list(back.columns) == list(frame.columns)
    for name in ("patch_id", "source", "=label"):
        assert list(back[name]) == list(frame[name])
    np.testing.assert_allclose(back["value"], frame["value"], rtol=1e-15)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1), min_size=1))
def test_any_text_is_read_back_exactly(cells):
    text = to_csv(pd.DataFrame({"patch_id": cells, "n": range(len(cells))}))
    assert cells_run_as_formulas(text) == []
    assert list(read_table(text.encode(), name="a.csv", own=True).frame["patch_id"]) == cells


def test_a_csv_manifest_holds_no_formula_and_comes_back_with_its_hash(tmp_path):
    frame = pd.DataFrame(
        {
            "path": ["=1.png", "+2.png"],
            "label": ["@low", "-high"],
            "patient_id": ["-P1", "=P2"],
            "=block": ["=B", "007"],
        }
    )
    made = build_manifest(frame, root=tmp_path)
    path = made.write(tmp_path / "m.csv")
    assert cells_run_as_formulas(path.read_text()) == []
    back = read_manifest(path)
    assert back.content_hash() == made.content_hash()
    assert list(back.frame["=block"]) == ["=B", "007"]
    assert back.classes == ("-high", "@low")


def test_the_tables_of_an_evaluation_hold_no_formula_and_are_read_back(her2, tiny_run, tmp_path):
    site = "=cmd|'/C calc'!A0"
    first = tiny_run.predictions["site"].min()
    copy = relabelled(tiny_run, tmp_path / "sites", lambda frame: frame.replace({"site": {first: site}}))
    data = copy / "dataset.parquet"
    changed = pd.read_parquet(data).replace({"site": {first: site}})
    data.unlink()
    changed.to_parquet(data, index=False)
    for path in (copy / "evaluation").iterdir():  # the fixture's own
        path.unlink()
    code, _, err = her2("evaluate", copy, "--save")
    assert code == 0, err
    for path in (copy / "evaluation").glob("*.csv"):
        assert cells_run_as_formulas(path.read_text()) == [], path.name
    assert f"'{site}" in (copy / "evaluation" / "subgroups.csv").read_text()
    assert site in set(open_run(copy).table("subgroups")["group"])


def test_answers_hold_no_formula(her2, tiny_run, mixed):
    names = ["=1+1.png", "@a.png"]
    for name in names:
        Path(name).write_bytes((mixed / "a.png").read_bytes())
    code, out, _ = her2("predict", tiny_run.path, *names, "--out", "answers.csv", "--json")
    assert code == 0
    assert [a["name"] for a in json.loads(out)] == names
    assert cells_run_as_formulas(Path("answers.csv").read_text()) == []
    assert list(read_table("answers.csv").frame["name"]) == names


def test_every_csv_file_of_the_product_goes_through_the_guard():
    """Other calls of ``to_csv`` make text to be hashed."""
    found = {}
    for path in (path for folder in ("her2core", "dashboard", "pages") for path in (ROOT / folder).rglob("*.py")):
        calls = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Attribute)]
        names = [call.attr for call in calls if call.attr in ("to_csv", "DictWriter", "write_csv")]
        names += [call.attr for call in calls if ast.unparse(call) == "csv.writer"]
        if names:
            found[path.relative_to(ROOT).as_posix()] = names
    hashed = {"her2core/data/manifest.py": ["to_csv"], "her2core/data/splits.py": ["to_csv"]}
    assert found == {"her2core/io/spreadsheet.py": ["to_csv"], **hashed}
