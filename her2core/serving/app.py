"""Web application that answers with the predictions of one run.

One process loads one network. Requests are prepared in threads and pass through the network together
(``her2core.inference.micro_batches``), so that the answers are those of ``Predictor.predict`` up to the rounding of
batches. Images stay in memory; nothing is stored and nothing is fetched.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from her2core.errors import Her2Error
from her2core.inference.analysis import PatchAnalysis
from her2core.inference.micro_batches import BATCH, WAIT, MicroBatcher, ServerBusy
from her2core.inference.predictor import Predictor
from her2core.io.images import decode_image, encode_png
from her2core.maps.methods import find_method
from her2core.maps.overlay import overlay, with_caption
from her2core.notice import NOTICE, RESEARCH
from her2core.serving.body import MAX_BYTES, MAX_PIXELS, Body, RefusedBody, read_body
from her2core.serving.metrics import CONTENT_TYPE, ServerMetrics
from her2core.serving.openapi import description, page

#: Requests with an image that are in memory at the same time.
MAX_REQUESTS = 64
#: Side of an overlay in pixels.
_OVERLAY = 448
_Answer = Callable[[Body], Awaitable[dict[str, Any]]]


def make_app(
    predictor: Predictor,
    *,
    token: str | None = None,
    hosts: Sequence[str] = ("*",),
    batch: int = BATCH,
    wait: float = WAIT,
) -> Starlette:
    """The application.

    Parameters
    ----------
    predictor : Predictor
    token : str, optional
        What requests must send as ``Authorization: Bearer <token>``; all but /health, /docs and /openapi.json.
    hosts : sequence of str, optional
        Names by which the server may be addressed; any by default.
    batch : int, default 16
        Patches a pass through the network, at most.
    wait : float, default 0.01
        Seconds that the first patch of a batch waits for others.

    Returns
    -------
    starlette.applications.Starlette

    Examples
    --------
    >>> from starlette.testclient import TestClient
    >>> from her2core.inference.example import example_predictor
    >>> from her2core.io.images import encode_png
    >>> patch = encode_png(np.full((64, 64, 3), 255, np.uint8))
    >>> with TestClient(make_app(example_predictor())) as client:
    ...     client.post("/predict", files={"image": ("a.png", patch)}).json()["flags"]
    ['blank']
    """
    server = _Server(predictor, token, batch, wait)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        with server.batcher:
            yield

    routes = [
        Route("/predict", server.endpoint("/predict", server.predict), methods=["POST"]),
        Route("/explain", server.endpoint("/explain", server.explain), methods=["POST"]),
        Route("/health", server.health),
        Route("/metrics", server.prometheus),
        Route("/openapi.json", lambda _: JSONResponse(server.document)),
        Route("/docs", lambda _: HTMLResponse(page(server.document))),
    ]
    return Starlette(
        routes=routes, lifespan=lifespan, middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))]
    )


class _Server:
    def __init__(self, predictor: Predictor, token: str | None, batch: int, wait: float) -> None:
        self._predictor, self._token = predictor, token
        self._pipeline = predictor._pipeline
        self.batcher = MicroBatcher(
            self._pipeline, batch=batch, wait=wait, waiting=MAX_REQUESTS, on_batch=lambda n: self._metrics.batch(n)
        )
        self._metrics = ServerMetrics(lambda: self.batcher.waiting)
        self._active = 0
        self.document = description(predictor.model_id, predictor.classes, token=token is not None)

    def endpoint(self, path: str, answer: _Answer) -> Callable[[Request], Awaitable[Response]]:
        """A route that checks the token, reads the body, and puts whatever is refused into one sentence."""

        async def respond(request: Request) -> Response:
            began, headers = time.perf_counter(), {}
            if not self._allowed(request):
                code, content = 401, _error("her2core needs a valid token in the header Authorization: Bearer <token>.")
                headers = {"WWW-Authenticate": "Bearer"}
            elif self._active >= MAX_REQUESTS:
                code, content = 503, _error(f"{MAX_REQUESTS} requests are being answered; try again later.")
                headers = {"Retry-After": "1"}
            else:
                self._active += 1
                try:
                    code, content = 200, await answer(await read_body(request))
                except RefusedBody as refused:
                    code, content = refused.status, _error(refused.sentence)
                except ServerBusy as busy:
                    code, content, headers = 503, _error(busy.sentence), {"Retry-After": "1"}
                except Her2Error as refused:
                    code, content = 422, _error(refused.sentence)
                finally:
                    self._active -= 1
            self._metrics.request(path, code, time.perf_counter() - began)
            return JSONResponse(content, code, headers)

        return respond

    async def predict(self, body: Body) -> dict[str, Any]:
        analysis = await self._analyse(body)
        return {**analysis.prediction.as_dict(), "notice": NOTICE}

    async def explain(self, body: Body) -> dict[str, Any]:
        method = find_method(body.method)
        analysis = await self._analyse(body)
        return await run_in_threadpool(_explanation, analysis, body, method.label)

    async def health(self, _: Request) -> Response:
        served = {"model": self._predictor.model_id, "engine": self._predictor.engine}
        return JSONResponse({"status": "ok", **served, "classes": list(self._predictor.classes), "notice": NOTICE})

    async def prometheus(self, request: Request) -> Response:
        if not self._allowed(request):
            return JSONResponse(_error("her2core needs a valid token."), 401, {"WWW-Authenticate": "Bearer"})
        return Response(self._metrics.text(), media_type=CONTENT_TYPE)

    async def _analyse(self, body: Body) -> PatchAnalysis:
        ready = await run_in_threadpool(self._ready, body)
        analysis = await asyncio.wrap_future(self.batcher.submit(ready))
        if analysis._refused is not None:
            raise analysis._refused
        return analysis

    def _ready(self, body: Body) -> Any:
        image = decode_image(body.image, name=body.name, max_bytes=MAX_BYTES, max_pixels=MAX_PIXELS)
        return self._pipeline.ready(image, body.name, mpp=body.mpp)

    def _allowed(self, request: Request) -> bool:
        if self._token is None:
            return True
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        right = hmac.compare_digest(given.strip().encode(), self._token.encode())
        return scheme.lower() == "bearer" and right


def _explanation(analysis: PatchAnalysis, body: Body, label: str) -> dict[str, Any]:
    found = analysis.class_map(body.target, method=body.method)
    answer: dict[str, Any] = {
        "prediction": {**analysis.prediction.as_dict(), "notice": NOTICE},
        "map": {"target": found.target, "method": found.method, "grid": found.grid.tolist(), "empty": found.empty},
    }
    if body.overlay:
        picture = overlay(np.asarray(found.image), found, size=_OVERLAY)
        picture = with_caption(picture, f"{label} for {found.target}. {RESEARCH}")
        answer["overlay"] = base64.b64encode(encode_png(picture)).decode()
    return {**answer, "notice": NOTICE}


def _error(sentence: str) -> dict[str, str]:
    return {"error": sentence, "notice": NOTICE}
