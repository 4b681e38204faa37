"""The slide viewer: its routes (tokens, sign-in, limits), what it draws, and the tile that it opens."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
from app_steps import ROOT, errors, visit
from PIL import Image
from slide_files import slide_pixels, write_pyramid
from starlette.applications import Starlette
from starlette.middleware import Middleware

from dashboard import access, cache, guard, slide_viewer
from her2core import ImageError
from her2core.serving import slide_tiles
from her2core.serving.slide_tiles import Offers
from her2core.slide.deep_zoom import deep_zoom_tile
from her2core.slide.handles import HANDLES

pytest.importorskip("openslide", reason="the extra slide is not installed")
SECRET = "TCGA-A8-0001_Jane"


@pytest.fixture
def slide(tmp_path, monkeypatch):
    """A slide in the server's folder; no handle is open before and after."""
    HANDLES.close()
    monkeypatch.setenv("HER2_FOLDERS", str(tmp_path))
    cache._slides.clear()
    yield write_pyramid(tmp_path / f"{SECRET}.svs", slide_pixels())
    HANDLES.close()


def ask(path: str, *, app: Starlette | None = None, gone: bool = False, method: str = "GET"):
    """Status, body and headers of the dashboard's own routes for the viewer, behind the guard."""
    app = app or Starlette(routes=slide_viewer.routes(), middleware=[Middleware(guard.Guard)])
    sent: list[dict] = []

    async def receive():
        if not gone:
            await asyncio.Event().wait()  # a visitor who waits for the answer
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", b"localhost:8501")],
        "http_version": "1.1",
        "scheme": "http",
    }
    with ThreadPoolExecutor(1) as pool:  # playwright's fixtures keep a loop running in this thread
        pool.submit(asyncio.run, app(scope, receive, send)).result()
    answered = {k.decode(): v.decode() for k, v in sent[0]["headers"]}
    return sent[0]["status"], b"".join(m.get("body", b"") for m in sent[1:]), answered


def test_a_tile_is_a_picture_of_its_place_and_stored_nowhere(slide):
    token, zoom = slide_viewer.OFFERS.add(slide)
    status, body, headers = ask(f"/deep-zoom/{token}/{zoom.last}/1_0.jpg")
    assert (status, headers["content-type"], headers["cache-control"]) == (200, "image/jpeg", "private, no-store")
    picture = np.asarray(Image.open(io.BytesIO(body)))
    with HANDLES.source(slide) as source:
        truth = deep_zoom_tile(source, zoom, zoom.last, 1, 0)
    assert picture.shape == truth.shape
    assert np.abs(picture.astype(int) - truth).mean() < 4
    assert body.count(b"Exif") == 0
    assert ask(f"/deep-zoom/{token}/{zoom.last}/1_0.jpg", method="POST")[0] == 405


HOSTILE = [
    "/deep-zoom/{name}/10/0_0.jpg",
    "/deep-zoom/{path}/10/0_0.jpg",
    "/deep-zoom/../{name}/10/0_0.jpg",
    "/deep-zoom/%2e%2e%2f{name}/10/0_0.jpg",
    "/deep-zoom/00000000000000000000000000000000/10/0_0.jpg",
    "/deep-zoom/{token}x/10/0_0.jpg",
    "/deep-zoom/{token}/11/0_0.jpg",
    "/deep-zoom/{token}/99999999999999999999/0_0.jpg",
    "/deep-zoom/{token}/10/3_0.jpg",
    "/deep-zoom/{token}/10/0_99999999999999999999.jpg",
    "/deep-zoom/{token}/-1/0_0.jpg",
    "/deep-zoom/{token}/10/0_0.png",
    "/deep-zoom/{token}/label.jpg",
    "/deep-zoom/{token}/10/../../../etc/passwd",
    "/deep-zoom/openseadragon-0.jpg",
]


@pytest.mark.parametrize("path", HOSTILE)
def test_nothing_but_a_tile_of_an_offered_slide_is_answered(slide, path):
    token, _ = slide_viewer.OFFERS.add(slide)
    status, body, _ = ask(path.format(token=token, name=slide.name, path=str(slide).strip("/")))
    assert status == 404
    assert SECRET.encode() not in body
    assert not body.startswith(b"\xff\xd8")


def test_tokens_name_no_file_and_belong_to_one_state_of_it(slide):
    offers = Offers()
    token, _ = offers.add(slide)
    assert offers.add(slide)[0] == token
    assert SECRET not in token
    assert Offers().add(slide)[0] != token, "another server's tokens are others"
    other = write_pyramid(slide.with_name("other.svs"), slide_pixels()[:512])
    assert offers.add(other)[0] != token
    few = Offers(capacity=1)
    first, _ = few.add(slide)
    few.add(other)
    assert few.get(first) is None


def test_with_sign_in_on_no_tile_and_no_script_is_answered(slide, monkeypatch):
    token, zoom = slide_viewer.OFFERS.add(slide)
    addresses = [f"/deep-zoom/{token}/{zoom.last}/0_0.jpg", f"/deep-zoom/{slide_viewer.SCRIPT}"]
    assert [ask(path)[0] for path in addresses] == [200, 200]
    monkeypatch.setattr(access, "_secrets", lambda: {"auth": {"cookie_secret": "x"}})
    for path in addresses:
        status, body, _ = ask(path)
        assert status == 401
        assert b"Please sign in" in body


def test_a_slide_that_changed_vanished_or_is_damaged_is_one_sentence(slide, monkeypatch):
    token, zoom = slide_viewer.OFFERS.add(slide)
    address = f"/deep-zoom/{token}/{zoom.last}/0_0.jpg"

    def damaged(*_):
        raise ImageError("a complete slide", got="one that is damaged", where=SECRET, fix="Copy it.")

    with monkeypatch.context() as broken:
        broken.setattr(slide_tiles, "deep_zoom_tile", damaged)
        assert ask(address)[:2] == (422, slide_tiles.DAMAGED.encode())
    slide.unlink()
    assert ask(address)[:2] == (410, slide_tiles.GONE.encode())
    write_pyramid(slide, slide_pixels()[:512])
    assert ask(address)[:2] == (410, slide_tiles.GONE.encode())


def test_a_truncated_slide_is_one_sentence(slide):
    whole = slide.read_bytes()
    slide.unlink()
    slide.write_bytes(whole[: len(whole) // 2])
    try:
        token, zoom = slide_viewer.OFFERS.add(slide)
    except ImageError as refused:
        assert "\n" not in refused.sentence
        return
    said = {ask(f"/deep-zoom/{token}/{zoom.last}/{c}_{r}.jpg")[:2] for c in range(3) for r in range(2)}
    assert (422, slide_tiles.DAMAGED.encode()) in said
    assert {status for status, _ in said} <= {200, 422}


def test_a_visitor_who_moved_on_costs_no_reading(slide, monkeypatch):
    token, zoom = slide_viewer.OFFERS.add(slide)
    monkeypatch.setattr(slide_tiles, "_jpeg", lambda *_: pytest.fail("read for nobody"))
    assert ask(f"/deep-zoom/{token}/{zoom.last}/0_0.jpg", gone=True)[0] == 499


def test_no_more_tiles_are_made_at_once_than_the_limit(slide, monkeypatch):
    token, zoom = slide_viewer.OFFERS.add(slide)
    app = Starlette(routes=slide_viewer.routes())
    at_once, most = [0], [0]
    make = slide_tiles._jpeg

    def counted(*given):
        at_once[0] += 1
        most[0] = max(most[0], at_once[0])
        try:
            return make(*given)
        finally:
            at_once[0] -= 1

    monkeypatch.setattr(slide_tiles, "_jpeg", counted)
    statuses = []

    async def one():
        async def receive():
            await asyncio.sleep(30)

        async def send(message):
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        path = f"/deep-zoom/{token}/{zoom.last}/0_0.jpg"
        scope = {"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b"", "root_path": ""}
        await app(scope, receive, send)

    async def many():
        await asyncio.gather(*(one() for _ in range(24)))

    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, many()).result()
    assert statuses == [200] * 24
    assert 1 <= most[0] <= slide_tiles.READERS


def test_the_script_is_openseadragon_as_released(slide):
    status, body, headers = ask(f"/deep-zoom/{slide_viewer.SCRIPT}")
    assert (status, headers["content-type"].split(";")[0]) == (200, "text/javascript")
    assert body.startswith(b"//! openseadragon 5.0.1")
    assert hashlib.sha256(body).hexdigest() == "cd6e48562264cc518224380d745a620bcf7828235c232d94964e3c9d9e7bdb63"
    assert "OpenSeadragon contributors" in (slide_viewer.ASSETS / "LICENSE.txt").read_text()
    assert "OpenSeadragon 5.0.1" in (ROOT / "NOTICE").read_text()


def test_the_viewer_needs_no_other_server():
    own = "".join((slide_viewer.ASSETS / f"viewer.{kind}").read_text() for kind in ("html", "css", "js"))
    assert "://" not in own


def data_of(at) -> dict:
    """What the page gave to the viewer."""
    (component,) = at.get("bidi_component")
    proto = component.proto
    return json.loads(proto.json if proto.json else proto.mixed.json)


def test_the_page_shows_the_viewer_with_tissue_and_tiles_and_no_name(slide):
    at = visit("slide", run="demo")
    assert errors(at) == []
    data = data_of(at)
    assert SECRET not in json.dumps(data)
    shown = data["slide"]
    assert (shown["name"], shown["width"], shown["height"], shown["mpp"]) == ("Slide 1", 1024, 768, 0.5)
    assert ask(f"{shown['tiles']}/{shown['last']}/0_0.jpg")[0] == 200
    assert ask(data["script"])[0] == 200
    assert data["heatmap"] is None
    assert data["tiles"]["count"] > 0
    assert "that will be predicted" in data["words"]
    assert "Drop audit" in str(at.main)


def test_a_slide_without_scale_is_shown_without_scale_bar(slide):
    write_pyramid(slide.with_name("A_no_scale.svs"), slide_pixels(), mpp=None)
    at = visit("slide", run="demo")
    (refused,) = errors(at)
    assert "State its microns per pixel above" in refused
    assert data_of(at)["slide"]["mpp"] is None


def test_a_tile_opens_on_the_patch_page(slide, monkeypatch):
    at = visit("slide", run="demo")
    preview = at.session_state["latest"]["slide-preview"][1]
    kept = preview.grid[preview.grid["stage"] == ""].iloc[3]
    place = {"column": int(kept["column"]), "row": int(kept["row"])}
    shown = slide_viewer._VIEWER

    def clicked(value):
        monkeypatch.setattr(
            slide_viewer, "_VIEWER", lambda **given: SimpleNamespace(open=value) if shown(**given) else None
        )

    for nothing in (
        {"column": 10**6, "row": 0},
        {"column": "../..", "row": 0},
        {"column": True, "row": 1},
        "x",
        [1, 2],
    ):
        clicked(nothing)
        assert "uploads" not in at.run().session_state
        assert errors(at) == []
    clicked(place)
    at = at.run()
    assert errors(at) == []
    (tile,) = at.session_state["uploads"]
    assert tile.name == f"Slide 1, column {place['column']}, row {place['row']}"
    with HANDLES.slide(slide) as opened:
        side = float(kept["side"])
        px = tile.image.shape[0]
        truth = opened.read_tiles([(float(kept["x"]), float(kept["y"]), side)], px)[0][0]
    np.testing.assert_array_equal(tile.image, truth)
    assert tile.mpp == pytest.approx(side * 0.5 / px, rel=1e-5)
    assert at.title[0].value == "Patch"
