"""Engines that callers share: passes of several threads together, and a server's forward pass."""

from __future__ import annotations

import gc
import socket
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import safetensors.torch
import torch
import uvicorn
from starlette.testclient import TestClient

from her2core import load_predictor
from her2core.data.synthetic import CohortSpec, render_patch
from her2core.errors import ConfigError, NetworkError
from her2core.inference.batched_engine import BatchedEngine
from her2core.inference.engine_names import TOKEN
from her2core.inference.engines import Forward
from her2core.inference.remote_engine import MAX_PATCHES, TENSORS, WEIGHTS_HEADER, RemoteEngine
from her2core.serving.app import make_app


@pytest.fixture(scope="module")
def patches():
    spec = CohortSpec(patients=6, patches_per_patient=2, px=96, seed=5)
    return [render_patch(spec, i).image for i in range(6)]


class SlowEngine:
    """Doubles its input; passes only when it may, and counts patches a pass."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.go = threading.Event()

    def forward(self, batch):
        assert self.go.wait(20)
        self.sizes.append(len(batch))
        if (batch < 0).any():
            raise RuntimeError("broken")
        return Forward(batch, 2 * batch, None)

    def describe(self) -> str:
        return "slow"


def ask_in_turn(pool, engine, batches):
    """One caller a batch; each is in the queue before the next asks."""
    found = []
    for i, batch in enumerate(batches):
        found.append(pool.submit(engine.forward, batch))
        while sum(len(r.batch) for r in engine._waiting) < sum(map(len, batches[1 : i + 1])) or not engine._busy:
            time.sleep(0.001)
    return found


def test_what_waits_passes_together_and_each_caller_gets_its_own():
    slow = SlowEngine()
    engine = BatchedEngine(slow, batch=4)
    batches = [torch.full((n, 3), float(i)) for i, n in enumerate((1, 1, 1, 2, 1, 1, 6, 1))]
    with ThreadPoolExecutor(len(batches)) as pool:
        asked = ask_in_turn(pool, engine, batches)
        slow.go.set()
        found = [answer.result(20) for answer in asked]
    assert slow.sizes == [1, 4, 2, 6, 1]  # a request of more than a batch passes alone
    for batch, answer in zip(batches, found, strict=True):
        assert answer.responses is None
        assert torch.equal(answer.features, batch)
        assert torch.equal(answer.scores, 2 * batch)


def test_a_failed_pass_reaches_its_callers_and_ends_nothing():
    slow = SlowEngine()
    engine = BatchedEngine(slow, batch=2)
    batches = [torch.ones(1, 3), -torch.ones(1, 3), torch.ones(1, 3), torch.ones(1, 3)]
    with ThreadPoolExecutor(4) as pool:
        first, *pair, last = ask_in_turn(pool, engine, batches)
        slow.go.set()
        for failed in pair:
            with pytest.raises(RuntimeError, match="broken"):
                failed.result(20)
        assert torch.equal(first.result(20).features, last.result(20).features)


def test_a_batch_waits_for_others_as_long_as_it_may():
    slow = SlowEngine()
    slow.go.set()
    engine = BatchedEngine(slow, batch=3, wait=20)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(engine.forward, [torch.ones(1, 3)] * 3))
    assert slow.sizes == [3]


def test_sessions_get_the_answers_of_a_predictor_alone(tiny_predictor, patches):
    right = tiny_predictor.predict(patches)
    sizes: list[int] = []
    shared = tiny_predictor.with_engine(lambda engine: BatchedEngine(engine, wait=0.2, on_batch=sizes.append))
    assert shared.engine == tiny_predictor.engine
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(shared.predict, patches))
    assert sum(sizes) == 6
    assert max(sizes) > 1
    for a, b in zip(right, found, strict=True):
        np.testing.assert_allclose(a.probabilities, b.probabilities, atol=1e-5)
        assert a.ood_score == pytest.approx(b.ood_score, rel=1e-4)


def test_an_engine_that_nobody_uses_leaves_no_thread():
    slow = SlowEngine()
    slow.go.set()
    engine = BatchedEngine(slow)
    engine.forward(torch.ones(1, 3))
    kept, [thread] = weakref.ref(engine), engine._thread._threads
    del engine
    gc.collect()
    assert kept() is None
    thread.join(10)
    assert not thread.is_alive()


@pytest.fixture
def serve(monkeypatch):
    """Start a server of a predictor on this machine; returns its address."""
    servers = []

    def start(predictor, **options) -> str:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        config = uvicorn.Config(make_app(predictor, **options), host="127.0.0.1", port=port, log_level="error")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        servers.append((server, thread))
        return f"http://127.0.0.1:{port}"

    monkeypatch.delenv(TOKEN, raising=False)
    yield start
    for server, thread in servers:
        server.should_exit = True
        thread.join(20)


def test_a_server_gives_predictions_and_maps_of_the_run(serve, tiny_run, tiny_predictor, patches, monkeypatch):
    monkeypatch.setenv(TOKEN, "secret")
    url = serve(tiny_predictor, token="secret")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # must not be asked
    remote = load_predictor(tiny_run.path, engine=url + "/")
    assert remote.engine == f"{tiny_predictor.engine}, at {url}"
    monkeypatch.setattr(remote.network, "features", lambda *_: pytest.fail("the network ran here"))
    found = remote.predict(patches * 7, batch=MAX_PATCHES + 4)
    monkeypatch.undo()
    for a, b in zip(tiny_predictor.predict(patches * 7), found, strict=True):
        np.testing.assert_allclose(a.probabilities, b.probabilities, atol=1e-5)
        assert a.ood_score == pytest.approx(b.ood_score, rel=1e-4)
        assert a.prediction_set == b.prediction_set
    right = tiny_predictor.explain(patches[0], target="positive").grid
    np.testing.assert_allclose(remote.explain(patches[0], target="positive").grid, right, atol=1e-4 * right.max())


def test_a_server_that_cannot_be_used_is_refused_in_a_sentence(serve, tiny_run, tiny_predictor, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(NetworkError, match="refused"):
        load_predictor(tiny_run.path, engine=nobody)
    url = serve(tiny_predictor, token="secret")
    with pytest.raises(NetworkError, match=r"status 401.*token"):
        load_predictor(tiny_run.path, engine=url)
    with pytest.raises(ConfigError, match="HER2_SERVE_TOKEN"):
        load_predictor(tiny_run.path, engine=url.replace("//", "//user:word@"))
    other = RemoteEngine(url, "0" * 64, responses=True, token="secret")
    with pytest.raises(NetworkError, match=r"status 409.*the weights"):
        other.forward(torch.zeros(1, 3, tiny_predictor.px, tiny_predictor.px))


def test_a_server_that_goes_or_changes_is_named(serve, tiny_run, tiny_predictor, patches, monkeypatch):
    url = serve(tiny_predictor)
    remote = load_predictor(tiny_run.path, engine=url)
    monkeypatch.setattr(remote._pipeline._engine, "_engine", "torch of last week")
    with pytest.raises(NetworkError, match="started anew"):
        remote.predict(patches[0])


@pytest.mark.parametrize(
    ("content", "kind", "status", "said"),
    [
        (b"x", "image/png", 415, TENSORS),
        (b"not tensors", TENSORS, 400, "float32"),
        (safetensors.torch.save({"other": torch.zeros(1)}), TENSORS, 400, "batch"),
        (safetensors.torch.save({"batch": torch.zeros(1, 3, 32, 32)}), TENSORS, 400, "(1, 3, 32, 32)"),
        (safetensors.torch.save({"batch": torch.zeros(1, 3, 64, 64, dtype=torch.float64)}), TENSORS, 400, "float64"),
        (safetensors.torch.save({"batch": torch.zeros(0, 3, 64, 64)}), TENSORS, 400, "N from 1"),
        (bytes(20_000_000), TENSORS, 413, "larger"),
    ],
)
def test_a_body_without_prepared_patches_is_refused(tiny_predictor, content, kind, status, said):
    assert tiny_predictor.px == 64
    headers = {"Content-Type": kind, WEIGHTS_HEADER: tiny_predictor.run.card["weights_sha256"]}
    with TestClient(make_app(tiny_predictor)) as client:
        answer = client.post("/forward", content=content, headers=headers)
    assert (answer.status_code, said in answer.json()["error"]) == (status, True)
