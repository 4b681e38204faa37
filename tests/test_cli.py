"""The ``her2`` command: help, exit codes, data and training, in one process as a user would type it."""

from __future__ import annotations

import csv
import gzip
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from cli_steps import strict_json
from PIL import Image

import her2core
from her2core.cli import cli
from her2core.data.manifest import read_manifest
from her2core.runs.folder import open_run


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
    words += ["--allow-missing", "3", "--json"]
    code, out, err = her2("data", "import", "table", tmp_path / "mine.csv", "--out", "m.parquet", *words)
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
    assert "'patients' is not one of 'patient', 'slide', 'field', 'site'" in strict_json(out)["error"]
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
