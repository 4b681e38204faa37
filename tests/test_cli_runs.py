"""``her2 runs``: list, show, export, completion of a run, and release of one without its weights."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from cli_steps import copy_of, strict_json

from her2core import load_predictor, open_run
from her2core.errors import RunError
from her2core.runs.folder import SERVING, WEIGHTS


@pytest.fixture
def light(her2, tiny_run) -> Path:
    """The tiny run, released without weights."""
    code, out, err = her2("runs", "export", tiny_run.path, "--to", "models/study/light", "--without-weights", "--json")
    assert code == 0, err
    return Path(json.loads(out)["path"])


def test_a_run_without_weights_holds_all_the_rest_and_says_so(tiny_run, light):
    files = {p.relative_to(tiny_run.path) for p in tiny_run.path.rglob("*") if p.is_file()}
    assert {p.relative_to(light) for p in light.rglob("*") if p.is_file()} == files - set(map(Path, SERVING))
    for file in files - {*map(Path, SERVING), Path("run.json")}:
        assert (light / file).read_bytes() == (tiny_run.path / file).read_bytes()
    run = open_run(light)
    assert run.info == {**tiny_run.info, "weights_released": False}
    assert run.card == tiny_run.card
    assert (run.has_weights, tiny_run.has_weights) == (False, True)
    assert run.cost == tiny_run.cost
    assert len(run.predictions) == len(tiny_run.predictions)
    assert len(run.dataset) == 36


def test_a_run_without_weights_is_reviewed_but_answers_nothing(her2, light):
    assert her2("evaluate", light, "--json")[0] == 0
    assert her2("runs", "show", light, "--json")[0] == 0
    with pytest.raises(RunError, match=r"Expected a run with its weights, but got one released for review only"):
        load_predictor(light)
    code, out, err = her2("predict", light, __file__, "--json")
    assert code == 1
    assert "Expected a run with its weights" in json.loads(out)["error"]
    assert "Traceback" not in err
    assert her2("runs", "complete", light, "--json")[0] == 0  # what needs no weights


def test_a_run_without_weights_can_be_exported_again(her2, light):
    code, out, err = her2("runs", "export", light, "--to", "copy", "--json")
    assert code == 0, err
    assert not open_run(json.loads(out)["path"]).has_weights


def test_weights_that_are_merely_lost_are_still_missed(tiny_run, tmp_path):
    copy = shutil.copytree(tiny_run.path, tmp_path / "run", copy_function=os.link)
    (copy / WEIGHTS).unlink()
    with pytest.raises(RunError, match=f"got no {WEIGHTS}"):
        open_run(copy)


def test_weights_are_verified_before_they_are_left_out(her2, tiny_run, tmp_path):
    copy = shutil.copytree(tiny_run.path, tmp_path / "run", copy_function=os.link)
    (copy / WEIGHTS).unlink()
    (copy / WEIGHTS).write_bytes(b"other")
    code, out, _ = her2("runs", "export", copy, "--to", "models/x", "--without-weights", "--json")
    assert code == 1
    assert "weights with the card's hash" in json.loads(out)["error"]
    assert not Path("models").exists()


def test_a_shelf_of_runs_is_no_broken_run(her2, light):
    code, out, _ = her2("runs", "list", "--json")
    assert (code, json.loads(out)) == (0, {"runs": [], "problems": [], "broken_annotations": []})
    code, out, _ = her2("runs", "list", "--in", "models/study", "--json")
    found = json.loads(out)
    assert [r["path"] for r in found["runs"]] == [str(light)]
    assert found["problems"] == []


def test_complete(her2, tiny_run, tiny_manifest, tmp_path):
    copy = Path(shutil.copytree(tiny_run.path, tmp_path / "run", copy_function=os.link))
    (copy / "dataset.parquet").unlink()
    assert her2("runs", "show", copy)[0] == 0
    code, out, err = her2("runs", "complete", copy, "--manifest", tiny_manifest, "--json")
    assert code == 0, err
    assert json.loads(out) == {"path": str(copy)}
    assert len(open_run(copy).dataset) == 36
    code, out, err = her2("runs", "complete", copy)
    assert (code, out) == (0, f"{copy} is complete.\n"), err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("complete", "none"), "Expected a run folder"),
        (("complete",), "Missing argument 'RUN'"),
        (("export", "none", "--to", "x", "--without-weights"), "Expected a run folder"),
    ],
)
def test_what_a_user_gets_wrong_exits_1(her2, words, said):
    code, out, err = her2("runs", *words, "--json")
    assert code == 1
    assert said in json.loads(out)["error"]
    assert "Traceback" not in err
    assert list(Path.cwd().rglob("*")) == []


def test_complete_with_another_data_set_is_refused(her2, tiny_run, tmp_path):
    code, _, err = her2(
        "data", "demo", "--out", "other", "--patients", 9, "--patches", 2, "--px", 64, "--workers", 1, "--json"
    )
    assert code == 0, err
    code, out, _ = her2("runs", "complete", tiny_run.path, "--manifest", "other/manifest.parquet", "--json")
    assert code == 1
    assert "the manifest that this run was trained on" in json.loads(out)["error"]


# List, show and export


def test_list_names_the_runs_and_what_is_none(her2, tiny_run, tmp_path):
    roots = tmp_path / "roots"
    copy_of(tiny_run, roots / "good")
    copy_of(tiny_run, roots / "newer", run__json=json.dumps({**tiny_run.info, "schema_version": 99}))
    copy_of(tiny_run, roots / "unfinished", run__json=json.dumps({**tiny_run.info, "status": "training"}))
    copy_of(tiny_run, roots / "card", model__card__json="{")
    (roots / "foreign").mkdir()
    (roots / ".draft").mkdir()
    (roots / "file.txt").write_text("x")
    code, out, _ = her2("runs", "list", "--in", roots, "--json")
    assert code == 0
    found = strict_json(out)
    annotation = {"status": "", "tags": [], "note": ""}
    assert found["runs"] == [{"path": str(roots / "good"), "title": tiny_run.card["title"], **annotation}]
    problems = "\n".join(found["problems"])
    assert len(found["problems"]) == 4
    for said in ("schema 99", "status 'training'", "valid JSON", "a run folder with run.json"):
        assert said in problems
    _, out, _ = her2("runs", "list", "--in", roots)
    assert out.count("no run: ") == 4
    assert her2("runs", "list")[1] == "No finished run. her2 train makes one.\n"


def test_show(her2, tiny_run):
    code, out, _ = her2("runs", "show", tiny_run.path, "--json")
    assert code == 0
    assert strict_json(out) == {"run": tiny_run.info, "card": tiny_run.card}
    _, out, _ = her2("runs", "show", tiny_run.path)
    assert "classes: negative, equivocal, positive" in out
    assert "Research use only" in out


def test_export_copies_whole_and_never_overwrites(her2, tiny_run):
    code, out, err = her2("runs", "export", tiny_run.path, "--to", "models/demo", "--json")
    assert code == 0, err
    copy = open_run(strict_json(out)["path"])
    files = {p.relative_to(tiny_run.path) for p in tiny_run.path.rglob("*") if p.is_file()}
    assert {p.relative_to(copy.path) for p in copy.path.rglob("*") if p.is_file()} == files
    for file in files:
        assert (copy.path / file).read_bytes() == (tiny_run.path / file).read_bytes()
    before = sorted(Path("models").rglob("*"))
    code, out, _ = her2("runs", "export", tiny_run.path, "--to", "models/demo", "--json")
    assert code == 1
    assert "Expected a folder that does not exist yet" in strict_json(out)["error"]
    assert sorted(Path("models").rglob("*")) == before


def test_export_refuses_tampered_weights_and_leaves_nothing(her2, tiny_run, tmp_path):
    weights = bytearray((tiny_run.path / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    bad = copy_of(tiny_run, tmp_path / "bad", model__safetensors=bytes(weights))
    for words in (("runs", "export", bad, "--to", "models/demo"), ("predict", bad, __file__)):
        code, out, _ = her2(*words, "--json")
        assert code == 1
        assert "model.safetensors" in strict_json(out)["error"]
    assert list(Path.cwd().rglob("*")) == []


def test_export_into_the_run_itself_is_refused(her2, tiny_run, tmp_path):
    copy = copy_of(tiny_run, tmp_path / "copy")
    before = sorted(copy.rglob("*"))
    code, out, _ = her2("runs", "export", copy, "--to", copy / "deep" / "er", "--json")
    assert code == 1
    assert "Expected a folder outside the run" in strict_json(out)["error"]
    assert sorted(copy.rglob("*")) == before


@pytest.mark.parametrize(
    "section", ["title", "limits", "network", "input.px", "stain.reference", "scheme.is_her2", "data.sources"]
)
def test_a_card_that_lacks_something_is_refused_by_its_name(her2, tiny_run, tmp_path, section):
    card = json.loads(json.dumps(tiny_run.card))
    *above, last = section.split(".")
    del (card[above[0]] if above else card)[last]
    broken = copy_of(tiny_run, tmp_path / "broken", model__card__json=json.dumps(card))
    code, out, _ = her2("runs", "show", broken, "--json")
    assert code == 1
    assert f"no field '{section}'" in strict_json(out)["error"]
    assert "model.card.json" in strict_json(out)["where"]
