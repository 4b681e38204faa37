"""Folders and zips as given to ``her2 data import`` and ``predict``: missing files, links, permissions and names."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from cli_steps import SPEC, strict_json
from permissions import permissions_bind
from PIL import Image

from her2core.cli.predicting import Sources
from her2core.data.importers import import_dataset
from her2core.data.manifest import read_manifest
from her2core.data.synthetic import render_patch
from her2core.errors import ConfigError, ManifestError
from her2core.io.listing import images_below

NOT_UTF8 = os.fsdecode(b"caf\xe9.png")


@pytest.fixture(scope="module")
def patch_bytes(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("patch") / "a.png"
    Image.fromarray(render_patch(SPEC, 0).image).save(path)
    return path.read_bytes()


@pytest.fixture
def classes(tmp_path, patch_bytes) -> Path:
    """Two class folders with one image each."""
    return tree(tmp_path / "tiles", patch_bytes, "low/1.png", "high/2.png")


def tree(root: Path, data: bytes, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def named(answers: list[dict], root: Path) -> dict[str, str | None]:
    """Answer of each name below ``root`` -> its error."""
    return {a["name"].removeprefix(f"{root}/"): a["error"] for a in answers}


@pytest.fixture
def closed_folder(classes, patch_bytes):
    """The class folders with a subfolder that permissions let nobody enter."""
    closed = tree(classes, patch_bytes, "high/closed/3.png") / "high" / "closed"
    closed.chmod(0)
    yield classes
    closed.chmod(0o700)


# Missing files of an import


def test_an_import_counts_missing_files_and_refuses_them_by_name(her2, tmp_path, patch_bytes):
    tree(tmp_path, patch_bytes, "1.png")
    table = tmp_path / "t.csv"
    table.write_text("path,label\n" + "".join(f"{n}.png,{'ab'[n % 2]}\n" for n in range(1, 9)))
    words = ("data", "import", "table", table, "--json")
    for allowed in ((), ("--allow-missing", "6")):
        code, out, _ = her2(*words, "--out", "m.csv", *allowed)
        assert code == 1
        said = strict_json(out)["error"]
        assert "7 missing: 2.png, 3.png, 4.png, 5.png, 6.png, ... (" in said
        assert "--allow-missing 7" in said
        assert list(Path.cwd().iterdir()) == []
    code, out, _ = her2(*words, "--out", "m.csv", "--allow-missing", "7")
    assert code == 0
    assert strict_json(out)["facts"]["missing_at_import"] == 7
    assert len(read_manifest("m.csv")) == 8
    _, out, _ = her2(*words[:-1], "--out", "m.csv", "--allow-missing", "7")
    assert "  note: 7 files were missing at import" in out.splitlines()


def test_an_import_with_every_file_says_nothing_of_missing_ones(classes):
    assert "missing_at_import" not in import_dataset("folder", classes).facts


@pytest.mark.parametrize("wrong", [-1, 1.5, True, "2"])
def test_the_number_of_missing_files_allowed_is_checked(classes, wrong):
    with pytest.raises(ConfigError, match="allow_missing"):
        import_dataset("folder", classes, allow_missing=wrong)


def test_links_that_lead_nowhere_are_missing_files(classes):
    (classes / "low" / "gone.png").symlink_to("nowhere.png")
    (classes / "self").symlink_to("self")
    with pytest.raises(ManifestError, match=r"but got 2 missing: .*gone\.png: .* leads nowhere"):
        import_dataset("folder", classes)
    made = import_dataset("folder", classes, allow_missing=2)
    assert list(made.frame["path"]) == ["high/2.png", "low/1.png"]
    assert {said.partition(":")[0] for said in made.facts["unreadable"]} == {"low/gone.png", "self"}


def test_a_subfolder_without_permission_is_a_missing_one_and_named(closed_folder):
    with permissions_bind():
        with pytest.raises(ManifestError, match=r"1 missing: high/closed: .*cannot be read \(Permission denied\)"):
            import_dataset("folder", closed_folder)
        made = import_dataset("folder", closed_folder, allow_missing=1)
    assert list(made.frame["path"]) == ["high/2.png", "low/1.png"]


def test_images_below_a_folder_without_permission_are_missing(closed_folder, tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("path,label\nlow/1.png,a\nhigh/closed/3.png,b\n")
    made = import_dataset("table", table, images=closed_folder)
    with permissions_bind():
        assert made.missing_files() == ["high/closed/3.png"]


# Links


def linked_tree(root: Path, outside: Path) -> Path:
    """Beside low/1.png and high/2.png: links inside, loops, and links out of ``root`` to a folder and to an image."""
    (root / "high" / "alias.png").symlink_to(root / "low" / "1.png")
    (root / "high" / "loop").symlink_to(root)
    (root / "low" / "up").symlink_to("..")
    (root / "mid").symlink_to(outside)
    (root / "low" / "out.png").symlink_to(outside / "8.png")
    return root


FOUND = ["high/2.png", "high/alias.png", "low/1.png", "low/out.png", "mid/8.png", "mid/deep/9.png"]


def test_import_and_predict_follow_links_once_and_say_which_lead_out(her2, tiny_run, classes, patch_bytes, tmp_path):
    outside = tree(tmp_path / "outside", patch_bytes, "8.png", "deep/9.png")
    (outside / "deep" / "again").symlink_to(outside)
    root = linked_tree(classes, outside)
    listing = images_below(root)
    assert sorted(path.relative_to(root).as_posix() for path in listing.files) == FOUND
    assert {said.partition(":")[0] for said in listing.left_out} == {"high/loop", "low/up", "mid/deep/again"}
    assert listing.unreadable == ()
    said = "2 links lead out of the folder and were followed: low/out.png, mid."
    made = import_dataset("folder", root)
    assert sorted(made.frame["path"]) == FOUND
    assert made.facts["links"] == said
    code, out, err = her2("predict", tiny_run.path, root, "--json")
    assert code == 0
    assert sorted(named(strict_json(out), root)) == FOUND
    assert f"note: {root}: {said}" in err.splitlines()
    assert err.count("read already") == 3


def test_a_folder_without_links_says_nothing_of_them(classes):
    assert images_below(classes).links_sentence == ""
    assert "links" not in import_dataset("folder", classes).facts


def test_within_allowed_folders_no_link_out_of_them_is_followed(classes, patch_bytes, tmp_path):
    outside = tree(tmp_path / "outside", patch_bytes, "8.png", "deep/9.png")
    listing = images_below(linked_tree(classes, outside), roots=[classes.resolve()])
    assert all(not path.is_relative_to(classes / "mid") for path in listing.files)
    assert any(said.startswith("mid: left out, as it is a link that leads out") for said in listing.left_out)


# What predict cannot read


def test_predict_names_what_it_cannot_reach_in_answers_and_exit_code(her2, tiny_run, classes):
    (classes / "gone.png").symlink_to("nowhere.png")
    code, out, _ = her2("predict", tiny_run.path, classes, "--out", "answers.csv", "--json")
    assert code == 1
    errors = named(strict_json(out), classes)
    assert errors["low/1.png"] is None
    assert "leads nowhere" in errors["gone.png"]
    table = pd.read_csv("answers.csv").set_index("name")
    assert "leads nowhere" in table.loc[f"{classes}/gone.png", "error"]
    for path in classes.glob("*/*.png"):
        path.unlink()
    code, out, _ = her2("predict", tiny_run.path, classes, "--json")
    assert code == 1
    assert "at least one image, but got none" in strict_json(out)["error"]
    assert "gone.png: left out, as it is a link that leads nowhere" in strict_json(out)["error"]


def test_predict_has_an_answer_with_the_reason_for_a_folder_without_permission(closed_folder):
    with permissions_bind():
        patches = {p.name.removeprefix(f"{closed_folder}/"): p for p in Sources([closed_folder])}
    assert list(patches) == ["high/2.png", "low/1.png", "high/closed"]
    assert patches["high/closed"].source is None
    assert "high/closed: left out, as the folder cannot be read (Permission denied)." in patches["high/closed"].error
    assert patches["low/1.png"].error == ""


# Names


def test_names_that_are_not_utf8_lose_no_answer_and_stay_two(her2, tiny_run, tmp_path, patch_bytes):
    try:
        root = tree(tmp_path / "names", patch_bytes, NOT_UTF8, os.fsdecode(b"caf\xe8.png"), "z.png")
    except (OSError, UnicodeError):
        pytest.skip("this file system takes only names in UTF-8")
    code, out, _ = her2("predict", tiny_run.path, root, "--out", "answers.csv", "--json")
    assert code == 0
    assert sorted(named(strict_json(out), root)) == ["caf\\xe8.png", "caf\\xe9.png", "z.png"]
    assert sorted(pd.read_csv("answers.csv")["name"]) == sorted(f"{root}/{n}" for n in named(strict_json(out), root))
    code, out, _ = her2("predict", tiny_run.path, root / NOT_UTF8)
    assert code == 0
    assert "caf\\xe9.png: " in out
    (root / NOT_UTF8).unlink()
    (root / NOT_UTF8).write_bytes(b"no image")
    code, out, _ = her2("predict", tiny_run.path, root, "--json")
    assert code == 1
    assert [name for name, error in named(strict_json(out), root).items() if error] == ["caf\\xe9.png"]


def test_names_that_are_not_utf8_are_left_out_of_an_import_by_name(classes, patch_bytes):
    try:
        tree(classes, patch_bytes, f"low/{NOT_UTF8}")
    except (OSError, UnicodeError):
        pytest.skip("this file system takes only names in UTF-8")
    made = import_dataset("folder", classes)
    assert sorted(made.frame["path"]) == ["high/2.png", "low/1.png"]
    assert made.facts["left_out"] == ["low/caf\\xe9.png: left out, as its name is not UTF-8 text. Rename it."]


SYSTEM = ("__MACOSX/._a.png", "._a.png", ".ipynb_checkpoints/a-checkpoint.png", ".DS_Store", "Thumbs.db", ".hidden.png")


def test_folder_and_zip_skip_the_same_names_in_predict(her2, tiny_run, tmp_path, patch_bytes):
    images = ("a.png", "P 1/b.png")
    root = tree(tmp_path / "folder", patch_bytes, *images, *SYSTEM, "P 1/Desktop.ini", "P 1/.ipynb_checkpoints/b.png")
    packed = tmp_path / "mac.ZIP"
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted(root.rglob("*")):
            archive.write(path, path.relative_to(root))
    for source in (root, packed):
        code, out, err = her2("predict", tiny_run.path, source, "--json")
        assert code == 0, err
        assert named(strict_json(out), source) == dict.fromkeys(images), source.name
    alike = [a["probabilities"] for a in strict_json(out)]
    assert alike[0] == alike[1]


def test_a_zip_of_windows_in_predict_has_its_folders_and_a_bad_entry_its_sentence(
    her2, tiny_run, tmp_path, patch_bytes
):
    packed = tmp_path / "windows.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for name in ("P1/b.png", "P1/c.png", "notes.txt", "P1/cut.png"):
            archive.writestr(name, patch_bytes[:500] if "cut" in name else patch_bytes)
    # zipfile writes "/" only: as some Windows programs do, against APPNOTE 4.4.17
    packed.write_bytes(packed.read_bytes().replace(b"P1/", b"P1\\"))
    code, out, err = her2("predict", tiny_run.path, packed, "--json")
    assert code == 1
    errors = named(strict_json(out), packed)
    assert [name for name, error in errors.items() if error is None] == ["P1/b.png", "P1/c.png"]
    assert "P1/cut.png" in errors
    assert "skipped 1 not images (1 txt)" in err
