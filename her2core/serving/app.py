"""Web application that answers with the predictions of one run.

One process loads one network. Requests are prepared in threads and pass through the network together
(``BatchedEngine``), so that the answers are those of ``Predictor.predict`` up to the rounding of
batches. Images stay in memory; nothing is stored and nothing is fetched.
"""

from __future__ import annotations

import base64
import hmac
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import safetensors.torch
from anyio.to_thread import current_default_thread_limiter
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from her2core.errors import Her2Error
from her2core.evidence.reservation import reservation
from her2core.inference.analysis import PatchAnalysis
from her2core.inference.batched_engine import BATCH, BatchedEngine
from her2core.inference.predictor import Predictor
from her2core.inference.remote_engine import ENGINE_HEADER, TENSORS, WEIGHTS_HEADER
from her2core.io.images import decode_image, encode_png
from her2core.io.text import clean_text
from her2core.maps.methods import find_method
from her2core.maps.overlay import overlay, with_caption
from her2core.notice import NOTICE, RESEARCH
from her2core.serving.body import MAX_BYTES, MAX_PIXELS, Body, OtherWeights, RefusedBody, read_batch, read_body
from her2core.serving.metrics import CONTENT_TYPE, ServerMetrics
from her2core.serving.openapi import description, page

#: Requests with an image that are in memory at the same time.
MAX_REQUESTS = 64
#: Seconds that the first patch of a batch waits for others.
WAIT = 0.01
#: Side of an overlay in pixels.
_OVERLAY = 448
_Answer = Callable[[Request], Awaitable[Response]]


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
        current_default_thread_limiter().total_tokens = MAX_REQUESTS  # a thread for each request, also while it waits
        yield

    routes = [
        Route("/predict", server.endpoint("/predict", server.predict), methods=["POST"]),
        Route("/explain", server.endpoint("/explain", server.explain), methods=["POST"]),
        Route("/forward", server.endpoint("/forward", server.forward), methods=["POST"]),
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
        self._metrics = ServerMetrics(lambda: self._active)
        self._predictor = predictor.with_engine(
            lambda engine: BatchedEngine(engine, batch=batch, wait=wait, on_batch=self._metrics.batch)
        )
        self._token, self._accuracy = token, reservation(predictor.run)
        self._active = 0
        self.document = description(predictor.model_id, predictor.classes, token=token is not None)

    def endpoint(self, path: str, answer: _Answer) -> Callable[[Request], Awaitable[Response]]:
        """A route that checks the token and puts whatever is refused into one sentence."""

        async def respond(request: Request) -> Response:
            began = time.perf_counter()
            if not self._allowed(request):
                found = _error(401, "her2core needs a valid token in the header Authorization: Bearer <token>.")
                found.headers["WWW-Authenticate"] = "Bearer"
            elif self._active >= MAX_REQUESTS:
                found = _error(503, f"{MAX_REQUESTS} requests are being answered; try again later.")
                found.headers["Retry-After"] = "1"
            else:
                self._active += 1
                try:
                    found = await answer(request)
                except RefusedBody as refused:
                    found = _error(refused.status, refused.sentence)
                except Her2Error as refused:
                    found = _error(422, refused.sentence)
                finally:
                    self._active -= 1
            self._metrics.request(path, found.status_code, time.perf_counter() - began)
            return found

        return respond

    async def predict(self, request: Request) -> Response:
        analysis = await run_in_threadpool(self._analyse, await read_body(request))
        return JSONResponse({**analysis.prediction.as_dict(), "notice": NOTICE})

    async def explain(self, request: Request) -> Response:
        body = await read_body(request)
        label = find_method(body.method).label
        return JSONResponse(await run_in_threadpool(lambda: _explanation(self._analyse(body), body, label)))

    async def forward(self, request: Request) -> Response:
        own, px = self._predictor.run.card["weights_sha256"], self._predictor.px
        if (asked := request.headers.get(WEIGHTS_HEADER, "")) != own:
            raise OtherWeights(f"the weights {own}", got=clean_text(asked) or "none", where=WEIGHTS_HEADER, fix="")
        batch = await read_batch(request, px)
        found = await run_in_threadpool(self._predictor._pipeline.forward, batch)
        content = safetensors.torch.save({k: v.contiguous().cpu() for k, v in found._asdict().items() if v is not None})
        return Response(content, headers={ENGINE_HEADER: self._predictor.engine}, media_type=TENSORS)

    async def health(self, _: Request) -> Response:
        served = {"model": self._predictor.model_id, "engine": self._predictor.engine, "accuracy": self._accuracy}
        return JSONResponse({"status": "ok", **served, "classes": list(self._predictor.classes), "notice": NOTICE})

    async def prometheus(self, request: Request) -> Response:
        if not self._allowed(request):
            found = _error(401, "her2core needs a valid token.")
            found.headers["WWW-Authenticate"] = "Bearer"
            return found
        return Response(self._metrics.text(), media_type=CONTENT_TYPE)

    def _analyse(self, body: Body) -> PatchAnalysis:
        image = decode_image(body.image, name=body.name, max_bytes=MAX_BYTES, max_pixels=MAX_PIXELS)
        analysis = self._predictor.analyse(image, names=body.name, mpp=body.mpp)
        if analysis._refused is not None:
            raise analysis._refused
        return analysis

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


def _error(status: int, sentence: str) -> Response:
    return JSONResponse({"error": sentence, "notice": NOTICE}, status)
