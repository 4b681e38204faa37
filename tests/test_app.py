"""Do both pages of the dashboard show what the run says, and one sentence where something is wrong?"""

from __future__ import annotations

import json
import os
import shutil
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from dashboard import loaders
from dashboard.parts import NOTICE, download_table, interval, value_and_bounds
from dashboard.uploads import MAX_FILES, MAX_PIXELS, accept, safe_name
from her2core.cli import cli
from her2core.data.images import encode_png
from her2core.data.splits import PATCH_RANDOM_WARNING
from her2core.data.synthetic import CohortSpec, render_patch

ROOT = Path(__file__).resolve().parents[1]
PAGES = {"patch": "pages/analyse/patch.py", "performance": "pages/evidence/performance.py"}
SPEC = CohortSpec(patients=6, patches_per_patient=2, px=128, seed=11)


@pytest.fixture(scope="module")
def patches() -> list[np.ndarray]:
    return [render_patch(SPEC, i).image for i in range(4)]


@pytest.fixture
def models(tmp_path, monkeypatch) -> Path:
    """The only folder in which the dashboard looks for runs; empty, and nothing remembered of another test."""
    folder = tmp_path / "models"
    folder.mkdir()
    monkeypatch.setattr(loaders, "ROOTS", (folder, tmp_path / "runs"))
    st.cache_data.clear()
    st.cache_resource.clear()
    yield folder
    st.cache_data.clear()
    st.cache_resource.clear()


@pytest.fixture
def demo(models, tiny_run) -> Path:
    """The tiny run as ``demo``. Its files are the fixture's own: replace them, never write into them."""
    return shutil.copytree(tiny_run.path, models / "demo", copy_function=os.link)


def rewrite(file: Path, content: str | bytes) -> None:
    file.unlink()
    file.write_bytes(content.encode() if isinstance(content, str) else content)


def edit_json(file: Path, **changes) -> None:
    rewrite(file, json.dumps({**json.loads(file.read_text()), **changes}))


def evaluate_again(run: Path, predictions: pd.DataFrame) -> None:
    """Give a run other predictions, and the evaluation that follows from them."""
    (run / "predictions.parquet").unlink()
    predictions.to_parquet(run / "predictions.parquet", index=False)
    shutil.rmtree(run / "evaluation")
    cli.main(["evaluate", str(run), "--save"], standalone_mode=False)


def visit(page: str = "patch", **query: str) -> AppTest:
    """A new session that opens a page's address."""
    at = AppTest.from_file(ROOT / "app.py", default_timeout=60)
    at.query_params.update(query)
    return at.switch_page(PAGES[page]).run()


def errors(at: AppTest) -> list[str]:
    assert not at.exception, [e.message for e in at.exception]
    return [e.value for e in at.error]


def said(elements) -> str:
    return "\n".join(e.value for e in elements)


def figure(at: AppTest, number: int = 0) -> dict:
    return json.loads(at.get("plotly_chart")[number].proto.spec)


def numbers(values) -> np.ndarray:
    """Plotly's JSON holds arrays as lists or, packed, as base64."""
    if isinstance(values, dict):
        import base64

        flat = np.frombuffer(base64.b64decode(values["bdata"]), values["dtype"])
        return flat.reshape([int(n) for n in values["shape"].split(",")]) if "shape" in values else flat
    return np.array(values, dtype=float)


def map_class(at):
    """The choice of the map's class; its key names the patch, so that each patch keeps its own."""
    return next(box for box in at.selectbox if box.label == "Map for class")


def upload(at: AppTest, *files: tuple[str, bytes]) -> AppTest:
    return at.file_uploader(key="uploads").set_value([(name, data, "image/png") for name, data in files]).run()


# What both pages carry


@pytest.mark.parametrize("page", PAGES)
def test_every_page_says_research_use_only_and_synthetic(demo, page):
    at = visit(page)
    assert errors(at) == []
    assert at.title[0].value == page.capitalize()
    assert NOTICE in said(at.main.caption)
    assert NOTICE in said(at.sidebar.caption)
    assert "learned its classes from synthetic patches" in at.info[0].value


@pytest.mark.parametrize("page", PAGES)
def test_classes_that_are_no_her2_status_are_called_so(demo, page):
    card = json.loads((demo / "model.card.json").read_text())
    edit_json(demo / "model.card.json", scheme={**card["scheme"], "is_her2": False, "meaning": "tertiles of ERBB2"})
    at = visit(page)
    assert errors(at) == []
    assert "The classes of this run are not a HER2 status: tertiles of ERBB2." in said(at.info)


@pytest.mark.parametrize("page", PAGES)
def test_without_a_run_the_page_says_what_to_do(models, page):
    at = visit(page)
    assert errors(at) == []
    assert "her2 train configs/demo.yaml" in at.main.info[0].value
    assert "her2 train configs/demo.yaml" in at.sidebar.info[0].value
    assert NOTICE in said(at.sidebar.caption)
    assert not at.main.selectbox
    assert not at.metric


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize(
    ("file", "content", "sentence"),
    [
        ("model.card.json", "{", "expected valid JSON"),
        ("model.card.json", "[]", "expected a JSON object"),
        ("model.card.json", "{}", "no field 'title'"),
        ("run.json", '{"schema_version": 99}', "Update her2core to read it."),
        ("run.json", '{"version": "3"}', "expected a her2core run"),
    ],
)
def test_a_broken_run_is_named_in_a_sentence_and_nothing_falls(demo, page, file, content, sentence):
    rewrite(demo / file, content)
    at = visit(page)
    assert errors(at) == []
    (problem,) = [c.value for c in at.sidebar.caption if c.value.startswith("Not a run: ")]
    assert sentence in problem
    assert str(demo) in problem
    assert "her2 train" in at.main.info[0].value


@pytest.mark.parametrize(
    "path", [("title",), ("limits",), ("scheme",), ("scheme", "is_her2"), ("data", "patches"), ("stain", "reference")]
)
def test_a_card_that_lacks_what_a_page_shows_is_no_run(demo, path):
    card = json.loads((demo / "model.card.json").read_text())
    inner = card
    for name in path[:-1]:
        inner = inner[name]
    del inner[path[-1]]
    rewrite(demo / "model.card.json", json.dumps(card))
    for page in PAGES:
        assert errors(visit(page)) == []
    assert f"no field '{'.'.join(path)}'" in said(visit().sidebar.caption)


def test_a_broken_run_beside_a_good_one_does_no_harm(demo, models, tiny_run):
    shutil.copytree(tiny_run.path, models / "broken", copy_function=os.link)
    rewrite(models / "broken" / "model.card.json", "{")
    at = visit()
    assert errors(at) == []
    assert at.sidebar.selectbox[0].options == ["demo"]
    assert "Not a run: " in said(at.sidebar.caption)


def test_a_run_that_went_away_since_it_was_listed(demo):
    at = visit()
    shutil.rmtree(demo)
    at.run()
    (sentence,) = errors(at)
    assert sentence.endswith("expected a run folder, got no such folder. her2 runs list shows them.")
    assert "There is no run yet." in at.main.info[0].value


def test_the_link_opens_its_run_and_an_unknown_one_is_said(demo, models, tiny_run):
    shutil.copytree(tiny_run.path, models / "other", copy_function=os.link)
    at = visit(run="other")
    assert at.sidebar.selectbox[0].value == "other"
    assert at.query_params["run"] == "other"
    at.switch_page(PAGES["performance"]).run()
    assert at.sidebar.selectbox[0].value == "other"
    at = visit(run="gone")
    assert errors(at) == []
    assert at.sidebar.selectbox[0].value == "demo"
    assert said(at.sidebar.warning) == "The run asked for is not here; showing demo."
    at.sidebar.selectbox[0].set_value("other").run()
    assert at.query_params["run"] == "other"


def test_two_runs_of_one_name_are_both_there_and_the_released_one_first(demo, tmp_path, tiny_run):
    shutil.copytree(tiny_run.path, tmp_path / "runs" / "demo", copy_function=os.link)
    at = visit()
    assert at.sidebar.selectbox[0].options == ["demo", "demo (runs)"]
    names, _ = loaders.run_names()
    assert names == {"demo": str(demo), "demo (runs)": str(tmp_path / "runs" / "demo")}


def test_sessions_keep_their_own_run_and_page(demo, models, tiny_run):
    shutil.copytree(tiny_run.path, models / "other", copy_function=os.link)
    first, second = visit(), visit("performance")
    second.sidebar.selectbox[0].set_value("other").run()
    first.run()
    assert first.sidebar.selectbox[0].value == "demo"
    assert first.title[0].value == "Patch"
    assert second.sidebar.selectbox[0].value == "other"
    assert second.title[0].value == "Performance"


# The patch page


def test_samples_are_answered_before_anything_is_uploaded(demo, tiny_run, tiny_predictor):
    at = visit()
    assert errors(at) == []
    assert "showing synthetic samples, drawn by a program" in said(at.main.caption)
    samples = loaders.samples(str(demo))
    assert at.selectbox(key="patch").options == [name for name, _, _ in samples]
    assert [label for _, _, label in samples] == list(tiny_run.classes)
    held_out = set(tiny_run.predictions.query("split == 'test'")["patient_id"])
    assert {name.split()[-1] for name, _, _ in samples} <= held_out
    answers = tiny_predictor.predict([image for _, image, _ in samples])
    assert at.main.subheader[0].value == answers[0].label
    (bars,) = figure(at)["data"]
    assert bars["y"] == list(tiny_run.classes)
    np.testing.assert_allclose(numbers(bars["x"]), answers[0].probabilities, atol=1e-5)
    table = at.dataframe[0].value
    assert list(table["patch"]) == [name for name, _, _ in samples]
    np.testing.assert_allclose(table[list(tiny_run.classes)], [a.probabilities for a in answers], atol=1e-5)
    assert tiny_run.card["weights_sha256"][:12] in said(at.main.caption)


def test_another_patch_class_and_opacity(demo, tiny_predictor):
    at = visit()
    samples = loaders.samples(str(demo))
    at.selectbox(key="patch").set_value(2).run()
    assert errors(at) == []
    expected = tiny_predictor.predict([samples[2][1]])[0]
    np.testing.assert_allclose(numbers(figure(at)["data"][0]["x"]), expected.probabilities, atol=1e-5)

    pictures = {}
    for target in tiny_predictor.classes:
        map_class(at).set_value(target).run()
        assert errors(at) == []
        assert at.image[2].captions == [f"Grad-CAM for {target}, 7 x 7 cells"]
        pictures[target] = at.image[2].value
        empty = tiny_predictor.explain(samples[2][1], target=target).empty
        assert (f"Nothing in this patch speaks for {target}." in said(at.main.caption)) is empty
    alive = [t for t in pictures if not tiny_predictor.explain(samples[2][1], target=t).empty]
    assert alive, "no class to look at: choose another seed"
    map_class(at).set_value(alive[0]).run()
    patch, strong = at.image[0].value, at.image[2].value
    at.slider(key="opacity").set_value(0.0).run()
    assert errors(at) == []
    assert at.image[0].value == patch
    assert at.image[2].value != strong
    assert at.image[2].value == patch, "without opacity the overlay is the patch itself"
    assert map_class(at).value == alive[0]


def test_an_upload_gets_the_predictors_answer(demo, patches, tiny_predictor):
    at = upload(visit(), ("mine.png", encode_png(patches[0])))
    assert errors(at) == []
    assert at.selectbox(key="patch").options == ["mine.png"]
    assert "No patch uploaded" not in said(at.main.caption)
    expected = tiny_predictor.predict([patches[0]])[0]
    np.testing.assert_allclose(numbers(figure(at)["data"][0]["x"]), expected.probabilities, atol=1e-5)
    assert not at.dataframe
    assert [b.label for b in at.get("download_button")] == ["Overlay (PNG)"]


def test_fewer_uploads_than_before_leave_no_choice_in_the_air(demo, patches):
    at = upload(visit(), *[(f"{i}.png", encode_png(p)) for i, p in enumerate(patches)])
    at.selectbox(key="patch").set_value(3).run()
    assert errors(at) == []
    upload(at, ("only.png", encode_png(patches[1])))
    assert errors(at) == []
    assert at.selectbox(key="patch").options == ["only.png"]
    at.file_uploader(key="uploads").clear().run()
    assert errors(at) == []
    assert "No patch uploaded" in said(at.main.caption)


def test_two_files_of_one_name_are_two_patches(demo, patches, tiny_predictor):
    at = upload(visit(), ("a.png", encode_png(patches[0])), ("a.png", encode_png(patches[3])))
    assert at.selectbox(key="patch").options == ["a.png", "a.png (2)"]
    for i, patch in ((1, patches[3]), (0, patches[0])):
        at.selectbox(key="patch").set_value(i).run()
        expected = tiny_predictor.predict([patch])[0].probabilities
        np.testing.assert_allclose(numbers(figure(at)["data"][0]["x"]), expected, atol=1e-5)


def test_nothing_to_judge_is_said_and_no_class_is_given(demo, patches):
    at = upload(
        visit(), ("blank.png", encode_png(np.full((96, 96, 3), 255, np.uint8))), ("a.png", encode_png(patches[0]))
    )
    assert errors(at) == ["This patch holds nothing to judge, so no class is given."]
    assert len(at.warning) == 1
    assert not at.main.subheader
    assert not at.get("plotly_chart")
    at.selectbox(key="patch").set_value(1).run()
    assert errors(at) == []
    table = at.dataframe[0].value
    assert table["class"].iloc[0] == "not judged"
    assert table["class"].iloc[1] == at.main.subheader[0].value


def test_a_patch_that_is_not_square_is_flagged(demo, patches):
    at = upload(visit(), ("wide.png", encode_png(np.hstack([patches[0], patches[1]]))))
    assert errors(at) == []
    assert said(at.main.warning) == "The patch is not square: only its centre square was used."


def test_another_run_in_the_same_session(demo, models, tiny_run):
    """Choices made under one run (patch, class, unit) must not break the page under another."""
    other = shutil.copytree(tiny_run.path, models / "other", copy_function=os.link)
    names = {"negative": "low", "equivocal": "middle", "positive": "high"}
    edit_json(other / "model.card.json", classes=list(names.values()))
    frame = tiny_run.predictions.rename(columns={f"logit_{a}": f"logit_{b}" for a, b in names.items()})
    evaluate_again(other, frame.assign(label=frame["label"].map(names), patient_id="unknown"))
    at = visit()
    map_class(at).set_value("positive").run()
    at.selectbox(key="patch").set_value(2).run()
    at.sidebar.selectbox[0].set_value("other").run()
    assert errors(at) == []
    assert map_class(at).value in names.values()
    at.sidebar.selectbox[0].set_value("demo").run()
    at.switch_page(PAGES["performance"]).run()
    assert errors(at) == []
    at.get("button_group")[0].set_value("patient").run()
    at.sidebar.selectbox[0].set_value("other").run()
    assert errors(at) == []
    assert at.get("button_group")[0].value in ("patch", "slide")


def test_tampered_weights_are_refused_in_a_sentence(demo):
    weights = bytearray((demo / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    rewrite(demo / "model.safetensors", bytes(weights))
    at = visit()
    (sentence,) = errors(at)
    assert "model.safetensors" in sentence
    assert not at.file_uploader
    assert not at.image
    at.switch_page(PAGES["performance"]).run()
    assert errors(at) == []
    assert at.metric


def test_samples_that_cannot_be_drawn_are_said(demo):
    rewrite(demo / "splits.parquet", "not a table")
    at = visit()
    (sentence,) = errors(at)
    assert sentence.startswith("No samples for this run: ")
    assert "splits.parquet" in sentence
    assert at.file_uploader


# Uploads


def huge_png(side: int = 50_000) -> bytes:
    """A few bytes that claim 2,500 million pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 64)) + chunk(b"IEND", b"")
    )


BAD = {
    "empty.png": (b"", "an empty file"),
    "text.png": (b"these are notes", "got text"),
    "vector.png": (b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", "an SVG drawing"),
    "page.png": (b"<!doctype html><html><script>alert(1)</script></html>", "a web page"),
    "pickle.png": (b"\x80\x04\x95\x00", "a Python pickle"),
    "archive.png": (b"PK\x03\x04" + b"\0" * 40, "a ZIP archive"),
    "huge.png": (huge_png(), f"at most {MAX_PIXELS:,} px"),
    "noise.png": (bytes(range(128, 256)), "an unknown kind of file"),
}


@dataclass
class Sent:
    name: str
    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    def getvalue(self) -> bytes:
        return self.data


def test_bad_uploads_get_a_sentence_each_and_the_rest_go_on(demo, patches):
    good = encode_png(patches[0])
    bad = {**{name: data for name, (data, _) in BAD.items()}, "cut.png": good[:600]}
    at = upload(visit(), ("first.png", good), *bad.items(), ("last.png", encode_png(patches[1])))
    found = errors(at)
    assert len(found) == len(bad)
    for sentence, name in zip(found, bad, strict=True):
        assert sentence.startswith(f"{name}: expected ")
        assert BAD.get(name, (b"", "got"))[1] in sentence
        assert "Traceback" not in sentence
        assert "<" not in sentence
    assert at.selectbox(key="patch").options == ["first.png", "last.png"]
    assert list(at.dataframe[0].value["patch"]) == ["first.png", "last.png"]


def test_only_bad_uploads_leave_the_page_standing(demo):
    at = upload(visit(), ("text.png", BAD["text.png"][0]))
    assert len(errors(at)) == 1
    assert not at.image
    assert at.file_uploader


def test_nothing_uploaded_is_written_anywhere(demo, patches, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    secret = b"patient-name-in-a-text-chunk"
    from PIL import Image, PngImagePlugin

    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", secret.decode())
    Image.fromarray(patches[0]).save(tmp_path / "x.png", pnginfo=text)
    data = (tmp_path / "x.png").read_bytes()
    (tmp_path / "x.png").unlink()
    assert secret in data
    upload(visit(), ("x.png", data))
    assert sorted(tmp_path.rglob("*")) == before
    (taken,) = accept([Sent("x.png", data)])
    assert secret not in encode_png(taken.image)


def test_more_files_than_are_looked_at(patches):
    good = encode_png(patches[0])
    files = [Sent(f"{i}.png", good if i % 2 else b"") for i in range(MAX_FILES + 7)]
    taken = accept(files)
    assert len(taken) == MAX_FILES + 1
    assert [t.image is not None for t in taken[:-1]] == [bool(i % 2) for i in range(MAX_FILES)]
    assert taken[-1].error == f"7 files left out: {MAX_FILES} are looked at together. Upload the rest next."
    assert len(accept(files[:MAX_FILES])) == MAX_FILES


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("case_01-A (2).png", "case_01-A (2).png"),
        ("Gewebe Ä 5µm.png", "Gewebe Ä 5µm.png"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\a.png", "a.png"),
        ("a\x00b\x1b[31m\n.png", "ab31m.png"),
        ("gnp.\u202eexe", "gnp.exe"),
        ("\u200b\ufeff", "unnamed"),
        ("", "unnamed"),
        ("<img src=x onerror=alert(1)>.png", "img src=x onerror=alert(1).png"),
        ("[click](http:x)**now**`code`$x$|.png", "click(http:x)nowcodex.png"),
        ("![p](x)#h~~s~~.png", "!p(x)hs.png"),
    ],
)
def test_names_from_outside_are_made_harmless_and_stay_recognisable(given, shown):
    assert safe_name(given) == shown
    (refused,) = accept([Sent(given, b"")])
    assert refused.name == shown
    assert refused.error.startswith(f"{shown}: expected ")


def test_long_names_are_shortened_in_the_middle():
    short = safe_name("a" * 300 + "z.png")
    assert len(short) == 60
    assert short.startswith("aaa")
    assert short.endswith("az.png")
    assert "..." in short


# The performance page


def test_figures_are_those_of_the_runs_tables(demo, tiny_run):
    at = visit("performance")
    assert errors(at) == []
    assert [m.label for m in at.metric] == ["Accuracy", "Balanced accuracy", "Macro F1", "AUROC, mean"]
    metrics = tiny_run.table("metrics").query("unit == 'patient'").set_index(["metric", "class"])
    captions = [c.value for c in at.main.caption]
    for shown, name in zip(at.metric, ("accuracy", "balanced_accuracy", "macro_f1", "macro_auroc"), strict=True):
        row = metrics.loc[name].iloc[0]
        assert shown.value == f"{row['value']:.1%}"
        bounds = "(no interval)" if np.isnan(row["low"]) else f"[{row['low']:.1%}, {row['high']:.1%}]"
        assert bounds in captions
    assert f"Test part: {int(metrics['n'].iloc[0])} patients." in said(at.main.caption)
    assert said(at.main.warning).startswith("Intervals: ")


def test_both_readings_of_class_specific_accuracy_stand_by_name(demo, tiny_run):
    at = visit("performance")
    table = at.dataframe[0].value
    assert list(table["class"]) == list(tiny_run.classes)
    assert {"Recall (sensitivity)", "One-vs-rest accuracy"} <= set(table.columns)
    rows = tiny_run.table("metrics").query("unit == 'patient'").set_index(["metric", "class"])
    for column, metric in (("Recall (sensitivity)", "recall"), ("One-vs-rest accuracy", "one_vs_rest_accuracy")):
        assert list(table[column]) == [interval(rows.loc[metric, c]) for c in tiny_run.classes]
    assert "two readings in the literature" in said(at.main.caption)
    for metric in ("one_vs_rest_accuracy", "auroc"):
        at.selectbox(key="per_class_metric").set_value(metric).run()
        assert errors(at) == []
        points = figure(at, 2)["data"]
        assert [p["y"][0] for p in points] == list(tiny_run.classes)
        expected = [rows.loc[metric, c]["value"] for c in tiny_run.classes]
        np.testing.assert_allclose([numbers(p["x"])[0] for p in points], expected)


def test_confusion_stands_twice_as_counts_and_as_percent(demo, tiny_run):
    at = visit("performance")
    assert [m.value for m in at.main.markdown][:2] == ["**Counts**", "**Percent of the true class**"]
    stored = tiny_run.table("confusion").query("unit == 'patient'")
    counts = stored["count"].to_numpy().reshape(3, 3)
    (cells,) = figure(at, 0)["data"]
    assert [[int(t) for t in row] for row in cells["text"]] == counts.tolist()
    (cells,) = figure(at, 1)["data"]
    shares = counts / counts.sum(axis=1, keepdims=True)
    assert cells["text"] == [[f"{v:.0%}" for v in row] for row in shares]
    assert [b.label for b in at.get("download_button")] == ["Confusion table (CSV)", "All metrics (CSV)"]


@pytest.mark.parametrize("unit", ["patch", "slide", "patient"])
def test_the_unit_switch_changes_every_number(demo, tiny_run, unit):
    at = visit("performance")
    switch = at.get("button_group")[0]
    assert switch.options == ["patch", "slide", "patient"]
    assert switch.value == "patient"
    switch.set_value(unit).run()
    assert errors(at) == []
    metrics = tiny_run.table("metrics").query("unit == @unit")
    n = int(metrics["n"].iloc[0])
    assert f"Test part: {n} {'patches' if unit == 'patch' else unit + 's'}." in said(at.main.caption)
    accuracy = metrics.loc[metrics["metric"] == "accuracy", "value"].iloc[0]
    assert at.metric[0].value == f"{accuracy:.1%}"
    (cells,) = figure(at, 0)["data"]
    assert sum(int(t) for row in cells["text"] for t in row) == n


def test_pressing_the_chosen_unit_again_does_not_leave_the_page_without_one(demo):
    at = visit("performance")
    at.get("button_group")[0].set_value(None).run()
    assert errors(at) == []
    assert at.metric


def test_warnings_of_the_run_travel_with_its_figures(demo):
    edit_json(demo / "run.json", warnings=[PATCH_RANDOM_WARNING])
    at = visit("performance")
    assert errors(at) == []
    assert PATCH_RANDOM_WARNING in [w.value for w in at.main.warning]


def test_a_unit_that_cannot_be_assessed_says_why(demo, tiny_run):
    evaluate_again(demo, tiny_run.predictions.assign(patient_id="unknown"))
    at = visit("performance")
    assert errors(at) == []
    assert at.get("button_group")[0].options == ["patch", "slide"]
    assert "No figures by patient. patient level: expected a patient id in every row" in said(at.main.caption)
    assert "patients unknown; resamples slides, which are not independent" in said(at.main.warning)


def test_what_cannot_be_computed_is_not_a_number(demo, tiny_run):
    """No equivocal patch in the test part: its recall and the mean AUROC do not exist."""
    frame = tiny_run.predictions
    evaluate_again(demo, frame[(frame["split"] != "test") | (frame["label"] != "equivocal")])
    at = visit("performance")
    assert errors(at) == []
    shown = {m.label: m.value for m in at.metric}
    assert shown["AUROC, mean"] == "-"
    assert "not computable" in said(at.main.caption)
    table = at.dataframe[0].value.set_index("class")
    assert table.loc["equivocal", "Recall (sensitivity)"] == "not computable"
    (cells,) = figure(at, 1)["data"]
    assert cells["text"][1] == ["", "", ""]


def test_classes_named_by_numbers(demo, tiny_run):
    """IHC 0 and the like: read back as text, not as 0.0."""
    names = dict(zip(tiny_run.classes, ("0", "1", "2"), strict=True))
    edit_json(demo / "model.card.json", classes=list(names.values()))
    frame = tiny_run.predictions.rename(columns={f"logit_{a}": f"logit_{b}" for a, b in names.items()})
    evaluate_again(demo, frame.assign(label=frame["label"].map(names)))
    for page in PAGES:
        at = visit(page)
        assert errors(at) == []
    assert list(at.dataframe[0].value["class"]) == ["0", "1", "2"]
    assert figure(at, 0)["layout"]["xaxis"]["type"] == "category"


def test_a_run_without_evaluation_says_the_command_that_makes_it(demo):
    shutil.rmtree(demo / "evaluation")
    at = visit("performance")
    (sentence,) = errors(at)
    assert sentence.endswith(f"Run: her2 evaluate --save {demo}")
    assert not at.metric
    cli.main(["evaluate", str(demo), "--save"], standalone_mode=False)
    at.run()
    assert errors(at) == []
    assert at.metric


@pytest.mark.parametrize("table", ["metrics", "confusion", "units"])
@pytest.mark.parametrize(
    "content", ["", "a,b\n1,2\n", b"\xff\xfe\x00", "unit,metric\n"], ids=["empty", "foreign", "bytes", "head"]
)
def test_a_broken_evaluation_is_one_sentence(demo, table, content):
    rewrite(demo / "evaluation" / f"{table}.csv", content)
    at = visit("performance")
    (sentence,) = errors(at)
    assert f"{table}.csv" in sentence
    assert not at.metric


def test_data_partition_and_limits_are_told(demo, tiny_run):
    edit_json(demo / "model.card.json", limits=["It knows nothing of tissue."])
    at = visit("performance")
    assert errors(at) == []
    inside = at.expander[0]
    assert "Split by **patient**." in said(inside.markdown)
    assert "- It knows nothing of tissue." in said(inside.markdown)
    table = inside.dataframe[0].value.set_index("part")
    parts = tiny_run.card["data"]["patches"]
    assert {part: table.loc[part].to_dict() for part in parts} == parts


# Parts


def test_intervals_as_text():
    row = pd.Series({"value": 0.5, "low": 0.25, "high": 0.75})
    assert interval(row) == "50.0% [25.0%, 75.0%]"
    assert interval(pd.Series({"value": 0.5, "low": np.nan, "high": np.nan})) == "50.0% (no interval)"
    nothing = pd.Series({"value": np.nan, "low": np.nan, "high": np.nan})
    assert interval(nothing) == "not computable"
    assert value_and_bounds(nothing) == ("-", "not computable")


def test_a_downloaded_table_carries_the_notice_in_every_row(monkeypatch):
    given = {}
    monkeypatch.setattr(st, "download_button", lambda label, data, **more: given.update(label=label, data=data, **more))
    table = pd.DataFrame({"class": ["a", "b"], "n": [1, 2]})
    download_table("Table (CSV)", table, "demo-patch-confusion")
    assert given["file_name"] == "demo-patch-confusion.csv"
    lines = given["data"].splitlines()
    assert lines[0] == "class,n,notice"
    assert len(lines) == 3
    assert all(NOTICE in line for line in lines[1:])
    assert list(table.columns) == ["class", "n"]
