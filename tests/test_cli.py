"""The ``her2`` command: answers, refusals and exit codes, in one process as a user would type it."""

from __future__ import annotations

import csv
import gzip
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

import her2core
from her2core.cli import cli, main
from her2core.data.manifest import read_manifest
from her2core.data.synthetic import CohortSpec, render_patch
from her2core.io.images import read_image
from her2core.runs.folder import open_run

SPEC = CohortSpec(patients=6, patches_per_patient=2, px=128, seed=11)


@pytest.fixture
def her2(monkeypatch, capsys, tmp_path):
    """Type a command in an empty folder; get (exit code, stdout, stderr)."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)

    def call(*words) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["her2", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main()
        said = capsys.readouterr()
        return left.value.code, said.out, said.err

    return call


def strict_json(text: str):
    """One JSON document and nothing else; NaN and Infinity are no JSON."""

    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


def copy_of(run, target: Path, **changes: str | bytes) -> Path:
    """A run that shares its files with the fixture's, but for those in ``changes`` (with __ for a dot)."""
    shutil.copytree(run.path, target, copy_function=os.link)
    for name, content in changes.items():
        file = target / name.replace("__", ".")
        file.unlink()
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return target


def relabelled(run, target: Path, change) -> Path:
    """A copy of a run in which ``change`` was applied to the table of predictions."""
    copy = copy_of(run, target)
    frame = change(run.predictions.copy())
    (copy / "predictions.parquet").unlink()
    frame.to_parquet(copy / "predictions.parquet", index=False)
    return copy


@pytest.fixture
def mixed(tmp_path) -> Path:
    """A folder with two good patches, a truncated one, a text named .png, and something that is no image at all."""
    folder = tmp_path / "mixed"
    (folder / "deeper").mkdir(parents=True)
    for i, name in enumerate(("a.png", "deeper/b.png")):
        Image.fromarray(render_patch(SPEC, i).image).save(folder / name)
    (folder / "cut.png").write_bytes((folder / "a.png").read_bytes()[:900])
    (folder / "notes.png").write_text("these are notes")
    (folder / "readme.txt").write_text("not looked at")
    return folder


@pytest.fixture
def config(tiny_manifest, tmp_path) -> Path:
    path = tmp_path / "tiny.yaml"
    content = {"name": "tiny", "manifest": str(tiny_manifest), "input": {"px": 32}, "hardware": {"accelerator": "cpu"}}
    path.write_text(yaml.safe_dump(content))
    return path


# Help, and what starts without torch


def test_help_and_version_leave_with_nothing_wrong(her2):
    code, out, _ = her2("--help")
    assert code == 0
    assert {"doctor", "data", "train", "evaluate", "compare", "predict", "explain", "runs", "app"} <= set(out.split())
    assert "Research use only" in " ".join(out.split())
    assert her2("--version")[:2] == (0, f"her2core, version {her2core.__version__}\n")


def every_command(group, above=()):
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from every_command(command, (*above, name))
        else:
            yield (*above, name), command


@pytest.mark.parametrize("words", [w for w, _ in every_command(cli)], ids=" ".join)
def test_every_command_has_help_and_json(her2, words):
    code, out, _ = her2(*words, "--help")
    assert code == 0
    command = dict(every_command(cli))[words]
    assert command.help
    assert "--json" in out


def test_help_and_listing_do_not_load_torch(tmp_path):
    """In an interpreter of their own: --help of every command, and the commands that only read tables."""
    code = """
import sys
from her2core.cli import cli
def walk(group, above=()):
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            walk(command, (*above, name))
        else:
            cli.main([*above, name, "--help"], standalone_mode=False)
cli.main(["--help"], standalone_mode=False)
walk(cli)
assert not {"pandas", "torch"} & set(sys.modules), "help is slow"
cli.main(["runs", "list"], standalone_mode=False)
assert "torch" not in sys.modules, "listing loads torch"
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_module_and_installed_command_are_the_same(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "her2core", "runs", "show", "nowhere", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert strict_json(done.stdout)["where"] == "nowhere"
    assert "Traceback" not in done.stderr


# Exit codes


@pytest.mark.parametrize("flag", [(), ("--json",)])
def test_a_fault_of_ours_exits_2_with_its_traceback_on_stderr(her2, monkeypatch, flag):
    def broken(*roots):
        raise RuntimeError("the wheel came off")

    monkeypatch.setattr("her2core.runs.listing.list_runs", broken)
    code, out, err = her2("runs", "list", *flag)
    assert code == 2
    assert "Traceback" in err
    assert "Traceback" not in out
    said = strict_json(out)["error"] if flag else err
    assert "A fault of her2core, not of your input: RuntimeError: the wheel came off" in said


def test_a_user_error_exits_1_in_one_sentence_on_stderr(her2):
    code, out, err = her2("runs", "show", "nowhere")
    assert code == 1
    assert out == ""
    assert err.startswith("Error: Expected a run folder, but got no such folder (nowhere). ")
    assert err.count("\n") == 1


def test_stopping_exits_130(her2, monkeypatch):
    def stopped(*roots):
        raise KeyboardInterrupt

    monkeypatch.setattr("her2core.runs.listing.list_runs", stopped)
    code, _, err = her2("runs", "list")
    assert (code, err.strip()) == (130, "Error: Stopped.")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("bogus",), "No such command 'bogus'"),
        (("runs", "show"), "Missing argument 'RUN'"),
        (("evaluate", "x", "--part", "train"), "'train' is not one of"),
        (("evaluate", "x", "--resamples", "0"), "range x>=100"),
        (("data", "demo", "--out", "x", "--patients", "many"), "not a valid integer"),
        (("data", "demo", "--out", "x", "--patients", "2"), "patients"),
        (("data", "import", "foldr", ".", "--out", "m.parquet"), "Did you mean folder?"),
        (("data", "import", "folder", ".", "--out", "m.parquet", "--set", "mpp"), "Put an equals sign between."),
        (("data", "import", "folder", ".", "--out", "m.parquet", "--set", "mpp=["), "close its brackets"),
        (("data", "import", "folder", ".", "--out", "m.parquet", "--set", "colour=pink"), "got 'colour'"),
        (("data", "check", "none.parquet"), "no such file"),
        (("data", "split", "none.parquet", "--out", "s.parquet"), "no such file"),
        (("data", "split", "none.parquet", "--out", "s.csv"), "ending in .parquet"),
        (("evaluate", "none.csv"), "no such file"),
        (("evaluate", "none.csv", "--save"), "Expected a run folder"),
        (("compare", "none", "none"), "Expected a run folder or a table of predictions, but got no such"),
        (("predict", "none", __file__), "Expected a run folder"),
        (("predict", "none", "."), "Expected at least one image"),
        (("explain", "none", "a.png", "--out", "map.png"), "Expected a run folder"),
        (("explain", "none", "a.png", "--out", "map.jpg"), "ending in .png"),
        (("runs", "export", "none", "--to", "copy"), "Expected a run folder"),
        (("train", "none.yaml"), "no such file"),
    ],
    ids=lambda v: " ".join(v).replace(__file__, "FILE") if isinstance(v, tuple) else "",
)
def test_what_a_user_gets_wrong_exits_1_and_writes_nothing(her2, words, said):
    code, out, err = her2(*words, "--json")
    assert code == 1, err
    assert said in strict_json(out)["error"]
    assert "Traceback" not in err
    assert list(Path.cwd().rglob("*")) == []


def test_a_place_that_cannot_be_written_is_the_users_to_mend(her2, tiny_run, mixed):
    (Path.cwd() / "taken").mkdir()
    code, out, err = her2("predict", tiny_run.path, mixed / "a.png", "--out", "taken", "--json")
    assert code == 1
    assert "Choose another name" in strict_json(out)["error"]
    assert "Traceback" not in err
    assert [p.name for p in Path.cwd().rglob("*")] == ["taken"]


# Data


def test_import_folder(her2, tmp_path):
    for name in ("tumour/1.png", "tumour/2.png", "stroma/3.png"):
        file = tmp_path / "tiles" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16), (200, 100, 150)).save(file)
    code, out, _ = her2("data", "import", "folder", tmp_path / "tiles", "--out", "m.csv", "--set", "mpp=0.5", "--json")
    found = strict_json(out)
    assert code == 0
    assert found["patches"] == 3
    assert found["patients"] is None
    assert found["classes"] == {"stroma": 1, "tumour": 2}
    manifest = read_manifest("m.csv")
    assert set(manifest.frame["mpp"]) == {0.5}
    assert manifest.missing_files() == []
    assert found["hash"] == manifest.content_hash()
    _, out, _ = her2("data", "import", "folder", tmp_path / "tiles", "--out", "m.parquet")
    assert "3 patches, patients unknown: no patient-level claim possible; 1 stroma, 2 tumour" in out


def test_import_table_with_a_mapping(her2, tmp_path):
    with (tmp_path / "mine.csv").open("w", newline="") as handle:
        rows = [["file", "case", "HER2 score"], ["a.png", "007", "0"], ["b.png", "007", "1+"], ["c.png", "8", "3+"]]
        csv.writer(handle).writerows(rows)
    words = ["--map", "path=file", "--map", "patient_id=case", "--map", "label=HER2 score", "--set", "scheme=ihc4"]
    code, out, err = her2("data", "import", "table", tmp_path / "mine.csv", "--out", "m.parquet", "--json", *words)
    assert code == 0, err
    assert strict_json(out)["classes"] == {"0": 1, "1+": 1, "2+": 0, "3+": 1}
    assert list(read_manifest("m.parquet").frame["patient_id"]) == ["007", "007", "8"]
    code, out, _ = her2(
        "data", "import", "table", tmp_path / "mine.csv", "--out", "n.csv", "--map", "label=HER", "--json"
    )
    assert code == 1
    assert (
        "Expected a column 'HER' to use as label, but got columns file, case, HER2 score" in strict_json(out)["error"]
    )
    assert not Path("n.csv").exists()


def her2st_tree(root: Path, sections=("C2", "C5")) -> Path:
    """The data set's own layout, with 6 spots a section on an image of 400 x 300 px."""
    rng = np.random.default_rng(0)
    for number, name in enumerate(sections):
        for folder in (f"ST-imgs/C/{name}", "ST-cnts", "ST-spotfiles"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(90, 250, (300, 400, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / f"ST-imgs/C/{name}/5714_HE.jpg")
        spots = [(x, y, x, y, 100 * x, 90 * y, 1) for x in (1, 2, 3) for y in (1, 2)]
        with (root / f"ST-spotfiles/{name}_selection.tsv").open("w") as handle:
            handle.write("x\ty\tnew_x\tnew_y\tpixel_x\tpixel_y\tselected\n")
            handle.writelines("\t".join(map(str, s)) + "\n" for s in spots)
        with gzip.open(root / f"ST-cnts/{name}.tsv.gz", "wt") as handle:
            handle.write("\tACTB\tERBB2\n")
            handle.writelines(f"{s[0]}x{s[1]}\t{90 - 10 * i}\t{10 * (i + 1) + number}\n" for i, s in enumerate(spots))
    return root


def test_import_her2st(her2, tmp_path):
    words = ("--set", "window_px=64", "--set", "test_sections=[C5]")
    code, out, err = her2(
        "data", "import", "her2st", her2st_tree(tmp_path / "st"), "--out", "m.parquet", "--json", *words
    )
    assert code == 0, err
    found = strict_json(out)
    assert found["facts"]["test_sections"] == ["C5"]
    assert "not a HER2 class" in found["facts"]["claim"]
    assert list(found["classes"]) == ["low", "middle", "high"]
    frame = read_manifest("m.parquet").frame
    assert len(frame) == found["patches"] == 12
    assert set(frame.loc[frame["slide_id"] == "C5", "split"]) == {"test"}
    (tmp_path / "st" / "ST-spotfiles" / "C5_selection.tsv").unlink()
    code, out, _ = her2("data", "import", "her2st", tmp_path / "st", "--out", "n.parquet", "--json", *words)
    assert code == 1
    assert "Expected one image and one spot file" in strict_json(out)["error"]
    assert not Path("n.parquet").exists()


def test_demo_check_and_split_go_together(her2):
    words = ("--patients", 9, "--patches", 2, "--px", 64, "--workers", 1)
    code, out, err = her2("data", "demo", "--out", "cohort", "--json", *words)
    assert code == 0, err
    found = strict_json(out)
    assert found["patches"] == 18
    assert found["patients"] == 9
    assert found["facts"]["synthetic"] is True
    assert "synthetic patches" in err
    manifest = read_manifest(found["path"])
    assert manifest.missing_files() == []

    code, out, _ = her2("data", "check", found["path"], "--json")
    assert code == 0
    outcomes = {o["code"]: o for o in strict_json(out)}
    assert [c for c, o in outcomes.items() if o["status"] == "found"] == ["few-patients"]
    assert outcomes["few-patients"]["finding"]["severity"] == "warning"
    assert outcomes["patient-leak"]["status"] == "not applicable"
    assert outcomes["near-duplicates"]["status"] == "could not be run"
    assert outcomes["near-duplicates"]["reason"]

    code, out, _ = her2("data", "split", found["path"], "--out", "patient.parquet", "--json")
    assert code == 0
    assert strict_json(out) == {"path": "patient.parquet", "patches": {"train": 6, "val": 6, "test": 6}, "warnings": []}
    code, out, _ = her2("data", "check", found["path"], "--split", "patient.parquet", "--contents", "--json")
    assert code == 0
    statuses = {o["code"]: o["status"] for o in strict_json(out)}
    assert statuses["patient-leak"] == statuses["near-duplicates"] == "not found"

    code, out, _ = her2("data", "split", found["path"], "--unit", "patch_random", "--out", "random.parquet", "--json")
    assert code == 0
    assert any("Random patch split" in w for w in strict_json(out)["warnings"])
    code, out, _ = her2("data", "check", found["path"], "--split", "random.parquet", "--json")
    assert code == 0
    leak = next(o["finding"] for o in strict_json(out) if o["code"] == "patient-leak")
    assert leak["rows"]
    assert leak["count"] >= len(leak["rows"])
    _, out, _ = her2("data", "check", found["path"], "--split", "random.parquet")
    assert "Expected each patient in one part of the split" in out
    assert "Could not be run, because the images were not read" in out
    assert f"  rows:  {leak['count']}: {leak['rows'][0]}, " in out

    code, out, err = her2("data", "check", found["path"], "--contents", "--half-width", 0.1)
    assert code == 0
    assert "few-patients-for-interval (warning)" in out
    assert out.endswith("A half-width of 0.1 needs 93 tested patients of each class (Wilson, 95 %).\n")
    assert "patches read" in err
    code, out, _ = her2("data", "check", found["path"], "--half-width", 3, "--json")
    assert code == 1
    assert "`half_width` to be from 0.005 to 0.5" in strict_json(out)["error"]

    code, out, _ = her2("data", "split", found["path"], "--unit", "patients", "--out", "x.parquet", "--json")
    assert code == 1
    assert "'patients' is not one of 'patient', 'slide', 'site'" in strict_json(out)["error"]
    assert not Path("x.parquet").exists()
    code, out, _ = her2("data", "check", found["path"], "--split", found["path"], "--json")
    assert code == 1
    assert "Expected columns patch_id and split" in strict_json(out)["error"]


def without_a_file(manifest_path: Path, target: Path) -> Path:
    """A manifest like that one, with one row whose image is not there."""
    manifest = read_manifest(manifest_path)
    frame = manifest.frame.copy()
    frame.loc[3, ["path", "patch_id"]] = "gone/away.png"
    return type(manifest)(frame, manifest.scheme, manifest.root, manifest.facts).write(target)


def test_a_missing_file_is_an_error_of_check_and_refused_by_train(her2, tiny_manifest, config, tmp_path):
    broken = without_a_file(tiny_manifest, tmp_path / "broken.parquet")
    code, out, _ = her2("data", "check", broken, "--json")
    assert code == 1
    first = strict_json(out)[0]["finding"]
    assert (first["code"], first["severity"], first["rows"]) == ("missing-files", "error", ["gone/away.png"])
    code, out, err = her2("train", config, "--set", f"manifest={broken}", "--runs", "runs", "--quiet", "--json")
    assert code == 1, err
    assert "gone/away.png" in strict_json(out)["error"]
    assert list(Path.cwd().rglob("*")) == []


# Training


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("network.nam=resnet50", "network.nam"),
        ("train.epocs=3", "an unknown `train.epocs`"),
        ("train.epochs=0", "`train.epochs` to be a whole number of at least 1, but got 0"),
        ("train.epochs=[", "close its brackets"),
        ("train", "Put an equals sign between."),
        ("name=Not A Name", "`name` to be"),
        ("name.x=1", "Expected a section `name`, but got a value"),
        ("split.unit=hospital", "split.unit"),
        ("split.fractions=[0.5,0.5,0.5]", "three positive fractions that sum to 1"),
        ("manifest=none.parquet", "Expected a CSV, Parquet or Excel file, but got no such file"),
    ],
)
def test_a_wrong_configuration_is_refused_by_its_field_before_anything_is_written(her2, config, override, said):
    code, out, err = her2("train", config, "--set", override, "--runs", "runs", "--quiet", "--json")
    assert code == 1, err
    assert said in strict_json(out)["error"]
    assert list(Path.cwd().rglob("*")) == []


def unknown_network(her2, config):
    words = ("--set", "network.name=her2_resnt50", "--runs", "runs", "--quiet", "--json")
    return her2("train", config, *words)


def test_an_unknown_network_offers_near_matches(her2, config):
    code, out, err = unknown_network(her2, config)
    assert code == 1, err
    said = strict_json(out)
    assert said["where"] == "network.name"
    assert "Did you mean her2_resnet50" in said["fix"]
    assert not list(Path.cwd().glob("runs/*"))[1:]
    assert [p for p in Path.cwd().glob("runs/*") if not p.name.startswith(".")] == []


def test_an_unknown_network_leaves_nothing_behind(her2, config):
    unknown_network(her2, config)
    assert list(Path.cwd().rglob("*")) == []


def test_train_by_command_gives_a_finished_run(her2, config, brief_cost):
    words = ("--set", "train.epochs=1", "--set", "train.warmup_epochs=0", "--set", "split.unit=patch_random")
    code, out, err = her2(
        "train", config, *words, "--set", "network.name=timm:resnet10t", "--runs", "runs", "--quiet", "--json"
    )
    assert code == 0, err
    answer = strict_json(out)
    assert any("Random patch split" in w for w in answer["warnings"])
    run = open_run(answer["run"])
    assert {r["metric"] for r in answer["figures"]} == {"accuracy", "balanced_accuracy", "macro_f1", "macro_auroc"}
    assert answer["figures"][0]["value"] == pytest.approx(run.table("metrics")["value"][0])
    assert run.card["network"]["name"] == "timm:resnet10t"
    assert run.card["limits"] == answer["warnings"]
    code, out, _ = her2("runs", "show", run.path)
    assert code == 0
    assert "limit: Random patch split" in out
    code, out, _ = her2("runs", "list", "--json")
    assert [r["path"] for r in strict_json(out)["runs"]] == [answer["run"]]


# Evidence


def test_evaluate_a_run_folder_gives_its_own_numbers(her2, tiny_run):
    code, out, err = her2("evaluate", tiny_run.path, "--json")
    assert code == 0, err
    found = strict_json(out)
    assert found["part"] == "test"
    assert found["notice"] == "Research use only."
    assert found["warnings"] == list(tiny_run.warnings)
    stored = tiny_run.table("metrics")
    assert len(stored) == len(found["metrics"])
    shown = pd.DataFrame(found["metrics"])
    for column in ("value", "lower_95", "upper_95"):
        np.testing.assert_allclose(shown[column].astype(float), stored[column], atol=1e-6)
    counts = sum(row["count"] for row in found["confusion"] if row["unit"] == "patch")
    assert counts == (tiny_run.predictions["split"] == "test").sum()
    assert all(isinstance(row["count"], int) for row in found["confusion"])
    code, out, _ = her2("evaluate", tiny_run.path, "--part", "val", "--resamples", 100)
    assert code == 0
    assert "recall of equivocal" in out
    assert out.endswith("Research use only.\n")


def foreign(path: Path, **changes) -> Path:
    """Another tool's CSV: probabilities, labels, patients; nothing that this project writes itself."""
    rng = np.random.default_rng(4)
    probs = rng.dirichlet([1, 1], 40)
    frame = pd.DataFrame(
        {
            "case": range(40),
            "patient_id": [f"p{i // 4}" for i in range(40)],
            "probability_0": probs[:, 0],
            "probability_1": probs[:, 1],
            "label": [str(i // 4 % 2) for i in range(40)],
        }
    ).assign(**changes)
    frame.to_csv(path, index=False)
    return path


def test_evaluate_any_tools_table(her2, tmp_path):
    table = foreign(tmp_path / "theirs.csv")
    code, out, err = her2("evaluate", table, "--resamples", 100, "--json")
    assert code == 0, err
    found = strict_json(out)
    frame = pd.read_csv(table, dtype={"label": str})
    expected = (np.where(frame["probability_1"] > frame["probability_0"], "1", "0") == frame["label"]).mean()
    accuracy = next(r for r in found["metrics"] if r["metric"] == "accuracy" and r["unit"] == "patch")
    assert accuracy["value"] == pytest.approx(expected)
    assert accuracy["resampling_unit"] == "patient"
    assert accuracy["n_clusters"] == 10
    units = {u["unit"]: u for u in found["units"]}
    assert units["patient"]["assessed"] is True
    assert units["slide"]["assessed"] is False
    assert "slide id" in units["slide"]["reason"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"label": "maybe"}, "Expected labels out of 0, 1"),
        ({"probability_1": 0.9}, "sum to one"),
        ({"probability_1": "high"}, "a probability column for each"),
        ({"split": "train"}, "predictions of the test part, but got only 'train'"),
        ({"patch_id": "same"}, "each patch once"),
    ],
)
def test_evaluate_refuses_a_table_that_cannot_be_right(her2, tmp_path, changes, said):
    code, out, err = her2("evaluate", foreign(tmp_path / "theirs.csv", **changes), "--json")
    assert code == 1, err
    assert said in strict_json(out)["error"]


def test_evaluate_can_write_the_tables_that_the_dashboard_reads(her2, tiny_run, tmp_path):
    copy = copy_of(tiny_run, tmp_path / "copy")
    shutil.rmtree(copy / "evaluation")
    assert her2("evaluate", copy, "--json")[0] == 0
    assert not (copy / "evaluation").exists()
    code, out, err = her2("evaluate", copy, "--save", "--json")
    assert code == 0, err
    assert strict_json(out)["metrics"]
    for name in ("metrics", "confusion", "units"):
        assert (copy / "evaluation" / f"{name}.csv").read_text() == (
            tiny_run.path / "evaluation" / f"{name}.csv"
        ).read_text()


def test_a_run_against_itself_shows_no_difference(her2, tiny_run):
    code, out, err = her2("compare", tiny_run.path, tiny_run.path, "--json")
    assert code == 0, err
    table = strict_json(out)["table"]
    assert {r["metric"] for r in table} >= {"accuracy", "balanced_accuracy", "macro_f1", "macro_auroc", "recall"}
    for row in table:
        if row["lower_95"] is None:
            continue
        assert (row["difference"], row["lower_95"], row["upper_95"]) == (0, 0, 0)
    assert {row["statement"] for row in table} == {"cannot be compared: only 3 patients (at least 6 are needed)"}
    code, out, _ = her2("compare", tiny_run.path, tiny_run.path)
    assert out.count("cannot be compared: only 3 patients") >= 3


def test_runs_on_other_data_are_not_compared(her2, tiny_run, tmp_path):
    patches = relabelled(tiny_run, tmp_path / "patches", lambda f: f.assign(patch_id="other-" + f["patch_id"]))
    labels = relabelled(tiny_run, tmp_path / "labels", lambda f: f.assign(label="negative"))
    for other, said in ((patches, "0 are shared"), (labels, "patches with different true classes")):
        code, out, _ = her2("compare", tiny_run.path, other, "--json")
        assert code == 1
        assert "two runs tested on the same patches" in strict_json(out)["error"]
        assert said in strict_json(out)["error"]


# Predictions


def test_predict_names_what_it_cannot_read_and_goes_on(her2, tiny_run, tiny_predictor, mixed, tmp_path):
    code, out, err = her2("predict", tiny_run.path, mixed, tmp_path / "absent.png", "--out", "answers.csv", "--json")
    assert code == 1
    assert "Traceback" not in err
    answers = strict_json(out)
    assert [Path(a["name"]).name for a in answers] == ["a.png", "cut.png", "b.png", "notes.png", "absent.png"]
    assert [a["error"] is None for a in answers] == [True, False, True, False, False]
    for answer in answers:
        assert answer["research_use_only"] is True
        if answer["error"]:
            assert Path(answer["name"]).name in answer["error"]
            assert answer["label"] is None
        else:
            assert sum(answer["probabilities"].values()) == pytest.approx(1)
    expected = tiny_predictor.predict([mixed / "a.png", mixed / "deeper" / "b.png"])
    np.testing.assert_allclose(
        [list(a["probabilities"].values()) for a in (answers[0], answers[2])],
        [e.probabilities for e in expected],
        atol=1e-5,
    )
    table = pd.read_csv("answers.csv")
    assert list(table["name"]) == [a["name"] for a in answers]
    assert set(table["notice"]) == {"Research use only."}
    assert table["error"].notna().tolist() == [False, True, False, True, True]
    np.testing.assert_allclose(table.loc[0, [f"probability_{c}" for c in tiny_run.classes]].astype(float).sum(), 1)
    assert table.loc[[1, 3, 4], [f"probability_{c}" for c in tiny_run.classes]].isna().all(axis=None)


def test_predict_says_it_in_words_and_exits_0_when_all_is_well(her2, tiny_run, mixed, tmp_path):
    Image.new("RGB", (64, 64), "white").save(tmp_path / "blank.png")
    code, out, _ = her2("predict", tiny_run.path, mixed / "a.png", tmp_path / "blank.png")
    assert code == 0
    good, blank, notice = (line for line in out.splitlines() if ": note: " not in line)
    assert good.startswith(f"{mixed / 'a.png'}: ")
    assert all(f"{c} 0." in good for c in tiny_run.classes)
    assert "blank.png: No reliable answer: almost no tissue" in blank
    assert not any(c in blank.split("blank.png")[1] for c in tiny_run.classes)
    assert notice == "Research use only."


def test_predict_with_a_field_of_view_out_of_distribution_is_flagged(her2, tiny_run, mixed):
    for mpp, flagged in ((64 * 0.7 / 128, False), (0.05, True)):
        _, out, _ = her2("predict", tiny_run.path, mixed / "a.png", "--mpp", mpp, "--json")
        assert ("field_of_view" in strict_json(out)[0]["flags"]) is flagged


def test_an_empty_folder_is_said_and_not_answered_with_nothing(her2, tiny_run, tmp_path):
    (tmp_path / "empty").mkdir()
    code, out, _ = her2("predict", tiny_run.path, tmp_path / "empty", "--out", "answers.csv", "--json")
    assert code == 1
    assert "Expected at least one image, but got none" in strict_json(out)["error"]
    assert not Path("answers.csv").exists()


def test_explain_writes_a_picture(her2, tiny_run, tiny_predictor, mixed):
    code, out, err = her2(
        "explain", tiny_run.path, mixed / "a.png", "--target", "positive", "--out", "maps/map.png", "--json"
    )
    assert code == 0, err
    found = strict_json(out)
    assert (found["target"], found["notice"]) == ("positive", "Research use only.")
    np.testing.assert_allclose(
        found["grid"], tiny_predictor.explain(mixed / "a.png", target="positive").grid, atol=1e-5
    )
    assert read_image("maps/map.png").shape == (470, 448, 3)
    with Image.open("maps/map.png") as picture:
        assert picture.info == {}
    code, out, _ = her2("explain", tiny_run.path, mixed / "a.png", "--out", "map.png")
    assert (
        f"Grad-CAM for {tiny_predictor.predict([mixed / 'a.png'])[0].most_probable}, 4 x 4 cells. Research use only."
        in out
    )


@pytest.mark.parametrize(
    ("image", "target", "said"),
    [
        ("notes.png", "positive", "notes.png"),
        ("a.png", "maybe", "`target` to be one of 'negative', 'equivocal', 'positive'"),
    ],
)
def test_explain_refuses_and_writes_nothing(her2, tiny_run, mixed, image, target, said):
    code, out, _ = her2("explain", tiny_run.path, mixed / image, "--target", target, "--out", "map.png", "--json")
    assert code == 1
    assert said in strict_json(out)["error"]
    assert list(Path.cwd().rglob("*")) == []


# Runs


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
    assert found["runs"] == [{"path": str(roots / "good"), "title": tiny_run.card["title"]}]
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


# Doctor and app


def test_doctor_says_what_there_is_and_what_to_do(her2, tiny_run):
    code, out, _ = her2("doctor", "--json")
    checks = {c["name"]: c for c in strict_json(out)}
    assert code == 0
    assert {c["status"] for c in checks.values()} <= {"PASS", "WARN"}
    assert checks["packages"]["status"] == "PASS"
    assert checks["released runs"] == {
        "name": "released runs",
        "status": "WARN",
        "found": "none in models",
        "fix": "Copy the folder models from the repository, or train with her2 train.",
    }
    copy_of(tiny_run, Path("models/demo"))
    _, out, _ = her2("doctor")
    assert "PASS  released runs: demo; weights match their cards" in out


def test_doctor_fails_on_weights_that_are_not_the_cards(her2, tiny_run):
    copy_of(tiny_run, Path("models/demo"), model__safetensors=b"other bytes")
    code, out, _ = her2("doctor", "--json")
    assert code == 1
    (failed,) = [c for c in strict_json(out) if c["status"] == "FAIL"]
    assert failed["found"] == "demo: the weights do not have the card's hash"
    assert failed["fix"]


def test_doctor_warns_of_malicious_lightning(her2, monkeypatch):
    import her2core.doctor as doctor

    real = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda name: "2.6.3" if name == "pytorch-lightning" else real(name))
    code, out, _ = her2("doctor")
    assert code == 1
    assert "FAIL  pytorch-lightning: 2.6.3, a malicious release  ->  Uninstall it" in out


def test_doctor_names_every_declared_package_that_is_missing_or_out_of_bounds(her2, monkeypatch):
    import her2core.doctor as doctor

    real = doctor._version
    lost = {"openpyxl": None, "tifffile": None, "streamlit": None, "pandas": "0.25.0"}
    monkeypatch.setattr(doctor, "_version", lambda name: lost[name] if name in lost else real(name))
    code, out, _ = her2("doctor")
    assert code == 1
    assert "FAIL  packages: missing: openpyxl, tifffile" in out.replace("tifffile, openpyxl", "openpyxl, tifffile")
    assert "pandas 0.25.0 (needs " in out
    assert "WARN  extras: missing: streamlit" in out


@pytest.fixture
def started(monkeypatch) -> list[tuple[list[str], dict[str, str]]]:
    """Commands that were started instead of running, with their environment."""
    calls = []
    monkeypatch.setattr(os, "execve", lambda program, command, env: calls.append((command, env)))
    monkeypatch.setattr(subprocess, "call", lambda command, env: calls.append((command, env)) or 0)
    return calls


def test_app_starts_streamlit_on_this_machine_only(her2, started, monkeypatch):
    monkeypatch.delenv("HER2_RUNS", raising=False)
    assert her2("app", "--port", 8600)[0] == 0
    ((command, environment),) = started
    root = Path(__file__).resolve().parents[1]
    assert command[1:5] == ["-m", "streamlit", "run", str(root / "app.py")]
    assert command[command.index("--server.address") + 1] == "127.0.0.1"
    assert command[command.index("--server.port") + 1] == "8600"
    assert environment["HER2_RUNS"].split(os.pathsep)[0] == str(root / "models")


def test_app_shows_the_runs_of_the_folders_that_are_named(her2, started, monkeypatch):
    Path("mine").mkdir()
    code, out, err = her2("app", "--runs", "mine", "--json")
    assert code == 0, err
    assert strict_json(out)["runs"] == [str(Path("mine").absolute())]
    monkeypatch.setenv("HER2_RUNS", os.pathsep.join(["a", "b"]))
    assert her2("app", "--json")[0] == 0
    assert [e["HER2_RUNS"] for _, e in started] == [
        str(Path("mine").absolute()),
        os.pathsep.join(str(Path(n).absolute()) for n in "ab"),
    ]
    code, out, _ = her2("app", "--runs", "nowhere", "--json")
    assert code == 1
    assert "Expected a folder of runs, but got no such folder" in strict_json(out)["error"]
    assert len(started) == 2


def test_runs_are_listed_from_the_named_folders(her2, tiny_run, monkeypatch):
    copy_of(tiny_run, Path("mine/run"))
    monkeypatch.setenv("HER2_RUNS", "mine")
    code, out, _ = her2("runs", "list", "--json")
    assert code == 0
    assert [r["path"] for r in strict_json(out)["runs"]] == [str(Path("mine/run").absolute())]
