"""Deep Zoom tiles of slides over HTTP: a Starlette route that a server puts behind its own access control.

A page offers a slide (``Offers.add``) and gets a token that nobody can make up and that names no file; the route
answers to tokens alone. Tiles are made when they are asked for, a few at a time for all visitors together, and stored
nowhere; label and macro images cannot be asked for.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import io
import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from her2core.errors import ConfigError, Her2Error
from her2core.slide.deep_zoom import DeepZoom, deep_zoom, deep_zoom_tile
from her2core.slide.handles import HANDLES

#: Tiles made at the same time, for all visitors together, and slides whose tokens are known (our choice).
READERS, OFFERED = 4, 1000
#: Of the JPEG, without subsampling of colours (our choice).
QUALITY = 88
#: Path of a tile below its server.
TILE_PATH = "/{token}/{level:int}/{column:int}_{row:int}.jpg"

GONE = "This slide has changed or vanished since the page was opened. Choose it again."
DAMAGED = "This slide is truncated or damaged here. Copy it again from its source."
UNKNOWN = "No such slide or tile. Reload the page."


@dataclass(frozen=True)
class Offered:
    """A slide that a page offers: its file and that file's state, and the geometry of its tiles."""

    path: Path
    state: tuple[int, int]
    zoom: DeepZoom


class Offers:
    """Slides by the token of their address, those offered last at most.

    Parameters
    ----------
    capacity : int
    """

    def __init__(self, capacity: int = OFFERED) -> None:
        self._capacity, self._lock = capacity, threading.Lock()
        self._secret = secrets.token_bytes(32)
        self._offered: OrderedDict[str, Offered] = OrderedDict()

    def add(self, path: Path) -> tuple[str, DeepZoom]:
        """Offer a slide out of the server's own list; the token of its address, and the geometry of its tiles.

        Raises ImageError where it cannot be opened, ConfigError where OpenSlide is not installed.
        """
        state = _state(path)
        named = hmac.new(self._secret, repr((str(path), state)).encode(), hashlib.sha256)
        token = named.hexdigest()[:32]
        found = self.get(token)
        if found is None:
            with HANDLES.source(path) as source:
                found = Offered(path, state, deep_zoom(source))
        with self._lock:
            self._offered[token] = found
            self._offered.move_to_end(token)
            while len(self._offered) > self._capacity:
                self._offered.popitem(last=False)
        return token, found.zoom

    def get(self, token: str) -> Offered | None:
        """The slide of a token; None for any other text."""
        with self._lock:
            return self._offered.get(token)


class Tiles:
    """The route of the tiles, with the limit that all its visitors share."""

    def __init__(self, offers: Offers) -> None:
        self._offers, self._readers = offers, asyncio.Semaphore(READERS)

    async def tile(self, request: Request) -> Response:
        """One tile of an offered slide as JPEG, or one sentence."""
        place = request.path_params
        offered = self._offers.get(place["token"])
        if offered is None:
            return _refused(UNKNOWN, 404)
        async with self._readers:
            if await request.is_disconnected():  # the viewer has moved on
                return Response(status_code=499)
            try:
                content = await run_in_threadpool(_jpeg, offered, place["level"], place["column"], place["row"])
            except ConfigError:
                return _refused(UNKNOWN, 404)
            except Her2Error:
                gone = _state(offered.path) != offered.state
                return _refused(GONE, 410) if gone else _refused(DAMAGED, 422)
        if content is None:
            return _refused(GONE, 410)
        return Response(content, media_type="image/jpeg", headers={"cache-control": "private, no-store"})


def _jpeg(offered: Offered, level: int, column: int, row: int) -> bytes | None:
    """The bytes of a tile; None where the file is not the one that was offered."""
    if _state(offered.path) != offered.state:
        return None
    with HANDLES.source(offered.path) as source:
        pixels = deep_zoom_tile(source, offered.zoom, level, column, row)
    written = io.BytesIO()
    Image.fromarray(pixels).save(written, "JPEG", quality=QUALITY, subsampling=0)
    return written.getvalue()


def _state(path: Path) -> tuple[int, int]:
    try:
        about = path.stat()
    except OSError:
        return -1, -1
    return about.st_size, about.st_mtime_ns


def _refused(sentence: str, status: int) -> Response:
    return PlainTextResponse(sentence, status, headers={"cache-control": "no-store"})
