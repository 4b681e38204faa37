"""Full disks, read-only folders, permissions and vanishing files: one sentence, exit code 1, nothing half-written.

The full disk is a small tmpfs where the tests may mount one, and a limit on the size of files elsewhere.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from cli_steps import SPEC, strict_json
from permissions import permissions_bind
from PIL import Image

from her2core.cli import predicting
from her2core.data.synthetic import render_patch
from her2core.io.files import write_csv_tables
from her2core.notice import RESEARCH
from her2core.runs.export import export_run
from her2core.runs.listing import list_runs


@pytest.fixture
def disk(tmp_path):
    """A small disk of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    if not sys.platform.startswith("linux") or os.geteuid():
        pytest.skip("mounting a small disk needs Linux and the superuser")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", place], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("this machine lets nobody mount a disk")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def fill(disk: Path, *, but: int = 0) -> None:
    """Leave ``but`` bytes free, in whole pages."""
    (disk / "filler").write_bytes(bytes(os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize - but))


def read_only(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)


@pytest.fixture
def patches(tmp_path) -> Path:
    folder = tmp_path / ("patches with a long name" + "." * 160)  # so that a few answers fill a page of the disk
    folder.mkdir()
    for i in range(8):
        Image.fromarray(render_patch(SPEC, i).image).save(folder / f"{i}.png")
    return folder


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(result: tuple[int, str, str], *, says: str) -> str:
    code, out, err = result
    assert code == 1, err
    error = strict_json(out)["error"]
    assert says in error
    assert "Traceback" not in err
    assert "fault of her2core" not in error
    assert error.count("\n") == 0
    assert "Errno" not in error
    assert "[(" not in error
    return error


#: Each with a state of the disk; every command meets a full one.
TAKES_NOTHING = [(name, "full") for name in ("evaluate", "export", "import", "report", "train")]
TAKES_NOTHING += [("import", "read-only"), ("train", "read-only")]


@pytest.fixture
def command(tiny_run, tiny_manifest, patches, tmp_path):
    """Words of a command that writes below a folder; its input is elsewhere."""

    def words(name: str, place: Path) -> tuple:
        if name == "evaluate":
            return "evaluate", export_run(tiny_run.path, place / "run", weights=False).path, "--save"
        if name == "import":
            for label in ("low", "high"):
                shutil.copytree(patches, tmp_path / "tiles" / label)
            return "data", "import", "folder", tmp_path / "tiles", "--out", place / "m.csv"
        if name == "train":
            content = {"name": "full", "manifest": str(tiny_manifest), "input": {"px": 32}, "train": {"epochs": 1}}
            content |= {"network": {"name": "timm:test_resnet", "init": "random"}, "hardware": {"accelerator": "cpu"}}
            (tmp_path / "c.yaml").write_text(yaml.safe_dump(content))
            return "train", tmp_path / "c.yaml", "--runs", place / "runs", "--quiet"
        return {
            "export": ("runs", "export", tiny_run.path, "--to", place / "copy"),
            "report": ("report", tiny_run.path, "--out", place / "r.html"),
        }[name]

    return words


@pytest.mark.parametrize(("name", "state"), TAKES_NOTHING)
def test_a_disk_that_takes_nothing_is_one_sentence_and_keeps_what_it_has(her2, command, name, state, disk):
    words = command(name, disk)
    fill(disk)
    before = contents(disk)
    if state == "read-only":
        read_only(disk)
    refused(her2(*words, "--json"), says="a full disk" if state == "full" else "a read-only disk")
    after = contents(disk)
    assert {name: data for name, data in after.items() if not name.startswith("runs")} == before
    assert not [name for name in after if name.endswith(".part")]


@pytest.mark.parametrize("name", ["export", "import", "train"])
def test_a_folder_without_permission_is_one_sentence(her2, command, name, tmp_path):
    place = tmp_path / "closed"
    place.mkdir()
    words = command(name, place)
    before = contents(place)
    for folder in (place, *(p for p in place.rglob("*") if p.is_dir())):
        folder.chmod(0o555)
    with permissions_bind():
        refused(her2(*words, "--json"), says="no permission")
    assert contents(place) == before


# A disk that fills up


def test_tables_written_together_are_all_replaced_or_none(disk):
    tables = {name: pd.DataFrame({"n": range(1000)}) for name in "abcd"}
    for name in tables:
        (disk / f"{name}.csv").write_text("old\n")
    fill(disk, but=8 * 1024)
    with pytest.raises(OSError, match="No space left"):
        write_csv_tables(disk, tables)
    assert {n: d for n, d in contents(disk).items() if n != "filler"} == {f"{n}.csv": b"old\n" for n in tables}
    (disk / "filler").unlink()
    write_csv_tables(disk, tables)
    assert all(len(data) > 3000 for data in contents(disk).values())


def test_an_export_that_does_not_fit_leaves_nothing(her2, command, disk, tiny_run):
    words = command("export", disk)
    fill(disk, but=200 * 1024)
    refused(her2(*words, "--json"), says="a full disk")
    assert names(disk) == ["filler"]
    (disk / "filler").unlink()
    assert her2(*words)[0] == 0
    assert contents(disk / "copy") == contents(tiny_run.path)


def test_a_training_that_does_not_fit_goes_on_once_there_is_room(her2, command, disk, brief_cost):
    words = command("train", disk)
    fill(disk, but=600 * 1024)
    refused(her2(*words, "--json"), says="a full disk")
    assert list_runs(disk / "runs") == ([], [])
    assert not [name for name in names(disk) if name.endswith((".part", "lock.json"))]
    (disk / "filler").unlink()
    code, out, err = her2(*words, "--json")
    assert code == 0, err
    assert strict_json(out)["run"] == str(disk / "runs" / "full")
    assert names(disk / "runs" / ".work") == []


# Answers of predict


@pytest.fixture
def one_by_one(monkeypatch):
    monkeypatch.setattr(predicting, "STEP", 1)


def kept_answers(folder: Path, expected: list[str]) -> int:
    """Number of answers in the partial file, whose rows are whole and in order."""
    assert not (folder / "answers.csv").exists()
    table = pd.read_csv(folder / "answers.partial.csv")
    assert [Path(name).name for name in table["name"]] == expected[: len(table)]
    assert set(table["notice"]) == {RESEARCH}
    assert (folder / "answers.partial.csv").read_text().endswith("\n")
    return len(table)


@pytest.mark.usefixtures("one_by_one")
def test_answers_so_far_are_kept_whole_on_a_disk_that_fills_up(her2, tiny_run, patches, disk):
    fill(disk, but=4096)
    said = refused(her2("predict", tiny_run.path, patches, "--out", disk / "answers.csv", "--json"), says="a full disk")
    kept = kept_answers(disk, [f"{i}.png" for i in range(8)])
    assert 1 <= kept < 8
    assert f"{kept} answers until then are in {disk}/answers.partial.csv." in said
    assert names(disk) == ["answers.partial.csv", "filler"]


@pytest.mark.usefixtures("one_by_one")
def test_answers_so_far_are_kept_whole_where_files_may_not_grow(her2, tiny_run, patches, tmp_path):
    resource = pytest.importorskip("resource", reason="limits of files are POSIX's")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    out = tmp_path / "out" / "answers.csv"
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, hard))
    try:
        result = her2("predict", tiny_run.path, patches, "--out", out, "--json")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    refused(result, says="a file larger than allowed here")
    assert 1 <= kept_answers(out.parent, [f"{i}.png" for i in range(8)]) < 8
    assert names(out.parent) == ["answers.partial.csv"]


def test_a_place_without_permission_takes_no_answers(her2, tiny_run, patches, tmp_path):
    place = tmp_path / "closed"
    place.mkdir(mode=0o555)
    with permissions_bind():
        refused(her2("predict", tiny_run.path, patches, "--out", place / "a.csv", "--json"), says="no permission")
    assert names(place) == []


def test_a_device_is_not_replaced(her2, tiny_run, patches):
    if not Path("/dev/full").exists():
        pytest.skip("/dev/full is Linux's")
    refused(her2("predict", tiny_run.path, patches, "--out", "/dev/full", "--json"), says="a file that exists already")
    assert Path("/dev/full").is_char_device()


# Files that cannot be read, or vanish


def test_patches_that_vanish_or_may_not_be_read_have_their_sentence_and_the_rest_an_answer(
    her2, tiny_run, patches, monkeypatch
):
    listed = predicting.Sources

    def vanishing(paths):
        found = listed(paths)
        (patches / "2.png").unlink()
        return found

    monkeypatch.setattr(predicting, "Sources", vanishing)
    (patches / "5.png").chmod(0)
    with permissions_bind():
        code, out, err = her2("predict", tiny_run.path, patches, "--json")
    assert code == 1, err
    errors = {Path(a["name"]).name: a["error"] for a in strict_json(out)}
    assert [name for name, error in errors.items() if error] == ["2.png", "5.png"]
    assert "No such file" in errors["2.png"]
    assert "Permission denied" in errors["5.png"]


@pytest.mark.parametrize("file", ["predictions.parquet", "run.json"])
def test_a_run_whose_file_may_not_be_read_is_one_sentence(her2, tiny_run, tmp_path, file):
    run = export_run(tiny_run.path, tmp_path / "run", weights=False).path
    (run / file).chmod(0)
    with permissions_bind():
        error = refused(her2("evaluate", run, "--json"), says="Permission denied")
    assert file in error


def test_a_table_that_may_not_be_read_is_one_sentence(her2, tmp_path):
    (tmp_path / "t.csv").write_text("path,label\n1.png,a\n2.png,b\n")
    (tmp_path / "t.csv").chmod(0)
    with permissions_bind():
        refused(
            her2("data", "import", "table", tmp_path / "t.csv", "--out", "m.csv", "--json"), says="Permission denied"
        )
    assert names(Path.cwd()) == []
