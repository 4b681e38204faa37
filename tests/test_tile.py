"""``her2 tile``: tiles, manifest, drop audit, restart, and slides that fail."""

from __future__ import annotations

import errno
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageDraw
from slide_files import glass, slide_pixels, write_pyramid

from her2core import read_manifest
from her2core.data.patches import PatchReader
from her2core.errors import ImageError
from her2core.io.images import image_size, read_image
from her2core.runs.lock import LOCK, Claim
from her2core.slide import tiling
from her2core.slide.reader import open_slide

pytest.importorskip("openslide", reason="the extra slide is not installed")


@pytest.fixture
def slides(tmp_path) -> Path:
    """Two slides of two patients, and their table."""
    folder = tmp_path / "slides"
    folder.mkdir()
    write_pyramid(folder / "S1.tif", slide_pixels())
    write_pyramid(folder / "S2.tif", slide_pixels()[::-1].copy(), mpp=None)
    rows = "slide,patient_id,label,mpp\nS1,P1,negative,\nS2,P2,positive,0.5\n"
    (tmp_path / "slides.csv").write_text(rows)
    return folder


WORDS = ("--px", "128", "--tile-mpp", "0.5", "--keep-all")


def test_tiles_become_a_manifest_that_reads_back_as_the_slides_pixels(her2, slides):
    code, out, err = her2("tile", slides, "--out", "tiles", "--table", slides.parent / "slides.csv", *WORDS)
    assert code == 0, err
    assert "32 tiles of 2 slides" in out
    assert "Research use only" in out
    manifest = read_manifest("tiles/manifest.parquet")
    assert len(manifest) == 32
    assert manifest.frame.groupby("slide_id")["label"].first().to_dict() == {"S1": "negative", "S2": "positive"}
    assert manifest.patients_known
    reader, pixels = PatchReader(manifest), slide_pixels()
    for row in manifest.frame[manifest.frame["slide_id"] == "S1"].itertuples():
        x, y = int(row.level0_x), int(row.level0_y)
        assert np.array_equal(reader(row.patch_id), pixels[y : y + 128, x : x + 128])
        assert (row.x, row.y, row.width, row.mpp) == (x, y, 128, 0.5)
    about = json.loads(Path("tiles/slides/S1/slide.json").read_text())
    remaining = [row["remaining"] for row in about["audit"]]
    assert (remaining[0], remaining[-1], about["tiles"]) == (48, 16, 16)
    assert Path("tiles/slides/S1/contact.png").is_file()


def test_a_shard_holds_the_same_tiles_in_one_file(her2, slides):
    table = slides.parent / "slides.csv"
    assert her2("tile", slides, "--out", "files", "--table", table, *WORDS)[0] == 0
    assert her2("tile", slides, "--out", "shards", "--table", table, "--shard", *WORDS)[0] == 0
    assert {p.name for p in Path("shards/slides/S1").iterdir()} == {
        "tiles.tar",
        "tiles.parquet",
        "contact.png",
        "slide.json",
    }
    files, shards = read_manifest("files/manifest.parquet"), read_manifest("shards/manifest.parquet")
    assert list(shards.frame["patch_id"]) == list(files.frame["patch_id"])
    assert shards.missing_files() == []
    one, many = PatchReader(shards), PatchReader(files)
    assert all(np.array_equal(one(name), many(name)) for name in files.frame["patch_id"])
    code, out, err = her2("data", "check", "shards/manifest.parquet")
    assert code == 0, out + err
    made = Path("shards/slides/S1/tiles.tar").read_bytes()
    shutil.rmtree("shards/slides/S1")
    assert her2("tile", slides, "--out", "shards", "--table", table, "--shard", *WORDS)[0] == 0
    assert Path("shards/slides/S1/tiles.tar").read_bytes() == made


def test_a_damaged_shard_is_named_and_its_slide_cut_again(her2, slides):
    words = ("tile", slides / "S1.tif", "--out", "t", "--shard", *WORDS)
    assert her2(*words)[0] == 0
    shard = Path("t/slides/S1/tiles.tar")
    whole, path = shard.read_bytes(), Path("t") / pd.read_parquet("t/tiles.parquet")["path"].iloc[-1]
    pixels = read_image(path)
    with pytest.raises(ImageError, match="none of this name"):
        read_image(shard / "9_9.png")
    shard.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ImageError, match="tiles.tar"):
        read_image(path)
    assert her2(*words)[0] == 0
    assert np.array_equal(read_image(path), pixels)
    shard.write_bytes(b"no tar file" * 200)
    with pytest.raises(ImageError, match="uncompressed tar"):
        read_image(path)


def test_another_scale_is_exact(her2, slides):
    code, _, err = her2("tile", slides / "S1.tif", "--out", "t", "--px", "64", "--tile-mpp", "1.3", "--keep-all")
    assert code == 0, err
    frame = pd.read_parquet("t/tiles.parquet")
    assert np.allclose(frame["level0_side"], 64 * 1.3 / 0.5)
    row = frame.iloc[3]
    with open_slide(slides / "S1.tif") as slide:
        (tile,), _ = slide.read_tiles([(row["level0_x"], row["level0_y"], row["level0_side"])], 64)
    assert np.array_equal(read_image(Path("t") / row["path"]), tile)


def test_tiles_are_never_enlarged(her2, slides):
    code, _, err = her2("tile", slides / "S1.tif", "--out", "t", "--px", "128", "--tile-mpp", "0.25")
    assert code == 1
    assert "never enlarged" in err


def test_the_same_command_does_nothing_twice_and_other_settings_do(her2, slides, monkeypatch):
    words = ("tile", slides / "S1.tif", "--out", "t", *WORDS)
    assert her2(*words)[0] == 0
    made = Path("t/slides/S1/tiles.parquet").stat().st_mtime_ns
    code, _, err = her2(*words)
    assert code == 0
    assert "done before" in err
    assert Path("t/slides/S1/tiles.parquet").stat().st_mtime_ns == made
    assert her2(*words, "--overlap", "0.5")[0] == 0
    assert len(pd.read_parquet("t/tiles.parquet")) > 16
    assert {p.name for p in Path("t/slides").iterdir()} == {"S1"}


def test_a_slide_that_fails_does_not_stop_the_rest(her2, slides, real_data):
    shutil.copy(real_data / "slides" / "broken.svs", slides / "B.svs")
    write_pyramid(slides / "G.tif", glass(512, 512))
    code, out, _ = her2("tile", slides, "--out", "t", *WORDS)
    assert code == 1
    failed = pd.read_csv("t/failed.csv").set_index("slide_id")["reason"]
    assert set(failed.index) == {"B", "S2"}
    assert "--mpp" in failed["S2"]
    assert "16 tiles of 2 slides" in out, "a slide without tissue has no tile and is no failure"
    assert her2("tile", slides, "--out", "t", "--mpp", "0.5", *WORDS)[0] == 1
    assert set(pd.read_csv("t/failed.csv")["slide_id"]) == {"B"}


def test_a_slide_without_tissue_alone_is_said(her2, tmp_path):
    path = write_pyramid(tmp_path / "G.tif", glass(512, 512))
    code, _, err = her2("tile", path, "--out", "t", *WORDS)
    assert code == 1
    assert "none on any slide" in err


def test_a_full_disk_leaves_nothing_that_looks_finished(her2, slides, monkeypatch):
    real, count = tiling.encode_png, iter(range(100))

    def full(image):
        if next(count) == 5:
            raise OSError(errno.ENOSPC, "No space left on device", "t")
        return real(image)

    monkeypatch.setattr(tiling, "encode_png", full)
    words = ("tile", slides / "S1.tif", "--out", "t", *WORDS)
    code, _, err = her2(*words)
    assert code == 1
    assert "full disk" in err
    assert not Path("t/slides/S1").exists()
    monkeypatch.setattr(tiling, "encode_png", real)
    assert her2(*words)[0] == 0
    assert len(pd.read_parquet("t/tiles.parquet")) == 16
    assert not Path("t/.work").exists()


def test_one_stain_estimate_normalises_all_tiles_of_a_slide(her2, slides):
    assert her2("tile", slides / "S1.tif", "--out", "own", *WORDS)[0] == 0
    assert her2("tile", slides / "S1.tif", "--out", "one", "--stain", "slide", *WORDS)[0] == 0
    stain = json.loads(Path("one/slides/S1/slide.json").read_text())["stain"]
    assert np.shape(stain["vectors"]) == (2, 3)
    own, one = (
        np.stack([read_image(p) for p in sorted(Path(f"{name}/slides/S1/tiles").iterdir())]).astype(float)
        for name in ("own", "one")
    )
    assert own.shape == one.shape
    assert np.abs(own - one).mean() > 2
    order = np.corrcoef(own.mean(axis=(1, 2, 3)), one.mean(axis=(1, 2, 3)))[0, 1]
    assert order > 0.9, "darker tiles stay darker"


def test_nothing_of_a_slides_label_or_properties_is_written(her2, real_data):
    """The slide carries a label, a macro image, a user's id and a scanner's: none of them is in any file."""
    path = real_data / "slides" / "cmu-1-small-region.svs"
    assert her2("tile", path, "--out", "t", "--tile-mpp", "1.0")[0] == 0
    files = [p for p in Path("t").rglob("*") if p.is_file()]
    content = b"".join(p.read_bytes() for p in files if p.suffix != ".png")
    for secret in (b"b414003d-95c6", b"CPAPERIOCS", b"12/29/09", b"1004486"):
        assert secret not in content
    assert {image_size(p) for p in files if p.parent.name == "tiles"} == {(224, 224)}


def test_one_folder_is_written_by_one_process_at_a_time(her2, slides):
    claim = Claim(Path("t/.work") / LOCK, guard=Path("t/.work/guard"))
    words = ("tile", slides / "S1.tif", "--out", "t", *WORDS)
    code, _, err = her2(*words)
    assert code == 1
    assert "no other process" in err
    claim.release()
    assert her2(*words)[0] == 0


@pytest.mark.parametrize("factors", [(1,), (1, 16), (1, 2, 4, 8)])
def test_a_missing_level_changes_no_tile(her2, tmp_path, factors):
    path = write_pyramid(tmp_path / "S.tif", slide_pixels(), factors=factors)
    assert her2("tile", path, "--out", "t", "--px", "64", "--tile-mpp", "0.9", "--keep-all")[0] == 0
    frame = pd.read_parquet("t/tiles.parquet")
    for row in frame.iloc[::5].itertuples():
        box = (row.level0_x, row.level0_y, row.level0_x + row.level0_side, row.level0_y + row.level0_side)
        whole = Image.fromarray(slide_pixels()).resize((64, 64), Image.Resampling.LANCZOS, box=box)
        assert np.abs(read_image(Path("t") / row.path).astype(int) - np.asarray(whole)).max() <= 1


def test_a_slide_without_its_annotations_is_named(her2, slides, tmp_path):
    (tmp_path / "regions").mkdir()
    code, _, err = her2("tile", slides / "S1.tif", "--out", "t", "--regions", tmp_path / "regions", *WORDS)
    assert code == 1
    assert "S1.geojson" in err
    assert pd.read_csv("t/failed.csv")["slide_id"].tolist() == ["S1"]


def test_tiles_that_are_inked_or_nearly_empty_at_full_size_are_counted_and_left_out(her2, tmp_path):
    picture = Image.fromarray(slide_pixels())
    ImageDraw.Draw(picture).line(
        (256 + 64, 140, 256 + 64, 240), fill=(20, 60, 160), width=20
    )  # thin: not seen at low power
    path = write_pyramid(tmp_path / "S.tif", np.asarray(picture))
    assert her2("tile", path, "--out", "t", "--px", "128", "--tile-mpp", "0.5")[0] == 0
    counts = {row["stage"]: row["left_out"] for row in json.loads(Path("t/slides/S/slide.json").read_text())["audit"]}
    assert counts["ink"] == 0
    assert counts["tile_ink"] >= 1
    kept = pd.read_parquet("t/tiles.parquet")
    assert not ((kept["level0_x"] == 256) & (kept["level0_y"] == 128)).any()


def test_without_the_extra_the_command_says_how_to_install_it(her2, slides, monkeypatch):
    monkeypatch.setitem(sys.modules, "openslide", None)
    slides.joinpath("S1.tif").rename(slides / "S1.svs")
    code, _, err = her2("tile", slides / "S1.svs", "--out", "t", *WORDS)
    assert code == 1
    assert "pip install 'her2core[slide]'" in err


def test_an_imported_data_set_is_tiled_and_keeps_what_its_tables_state(her2, tmp_path):
    """Three commands: import, tile, check. Annotated regions and patients come from the data set."""
    root = tmp_path / "yale"
    for name in ("Her2Neg_Case_01", "Her2Pos_Case_01"):
        folder = root / "Yale_HER2_cohort"
        (folder / "SVS").mkdir(parents=True, exist_ok=True)
        (folder / "Annotations").mkdir(exist_ok=True)
        write_pyramid(folder / "SVS" / f"{name}.svs", slide_pixels())
        corners = "".join(f'<Vertex X="{x}" Y="{y}"/>' for x, y in ((256, 128), (512, 128), (512, 384), (256, 384)))
        region = f"<Annotations><Annotation><Regions><Region><Vertices>{corners}</Vertices></Region></Regions>"
        (folder / "Annotations" / f"{name}.xml").write_text(f"{region}</Annotation></Annotations>")
    assert her2("data", "import", "yale", root, "--out", "yale.parquet")[0] == 0
    code, _, err = her2("tile", "yale.parquet", "--out", "tiles", *WORDS)
    assert code == 0, err
    manifest = read_manifest("tiles/manifest.parquet")
    assert manifest.frame.groupby("patient_id")["label"].agg(["first", "size"]).to_dict("index") == {
        "Her2Neg_Case_01": {"first": "negative", "size": 4},
        "Her2Pos_Case_01": {"first": "positive", "size": 4},
    }
    assert set(manifest.frame["site"]) == {"Yale"}
    imported = read_manifest("yale.parquet")
    assert manifest.scheme == imported.scheme  # never guessed again from the labels that a partial copy holds
    assert [manifest.facts[name] for name in ("licence", "terms", "citation")] == [
        imported.facts[name] for name in ("licence", "terms", "citation")
    ]
    assert set(manifest.frame["her2_final"]) == {"negative", "positive"}  # further columns of the tables too
    code, _, err = her2("tile", "tiles/manifest.parquet", "--out", "again", *WORDS)
    assert code == 1
    assert "a manifest with a row a slide" in err


def test_a_table_of_tiles_of_an_earlier_run_is_never_left_beside_the_new_one(her2, slides):
    words = ("tile", slides, "--out", "tiles", "--mpp", "0.5", *WORDS)
    table = slides.parent / "slides.csv"
    assert her2(*words, "--table", table)[0] == 0
    code = her2(*words)[0]
    assert (code, Path("tiles/manifest.parquet").exists()) == (0, False)
    table.write_text("slide,label\nS1,negative\nS2,\n")
    assert "slides without label: S2" in her2(*words, "--table", table)[1]
    table.write_text("slide,label\nS1,negative\nS2,negative\n")
    code, _, err = her2(*words, "--table", table)  # no manifest, but all tiles
    assert (code, "two classes" in err, len(pd.read_parquet("tiles/tiles.parquet"))) == (1, True, 32)
    assert her2(*words, "--table", table, "--scheme", "paper3")[0] == 0
    assert not Path("tiles/tiles.parquet").exists()


def test_a_slide_without_colours_says_so(her2, tmp_path):
    Image.fromarray(slide_pixels()).convert("L").save(tmp_path / "grey.png")
    assert "no colours" in her2("tile", tmp_path / "grey.png", "--out", "tiles", "--mpp", "0.5", *WORDS)[2]


def test_tables_of_one_s_own_are_never_replaced_by_results(her2, slides):
    table = slides.parent / "slides.csv"
    own = table.read_text()
    for out, more in ((slides.parent, ("--table", table)), (slides.parent, ("--mpp", "0.5"))):
        code, _, err = her2("tile", slides, "--out", out, *more, *WORDS)
        assert (code, "nothing was written" in err) == (1, True)
    assert table.read_text() == own
    assert {path.name for path in slides.parent.iterdir()} <= {"slides", "slides.csv", "work"}  # work: of the tests
