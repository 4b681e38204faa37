"""The server: the predictor's own answers, limits, token, metrics, description, and the command that starts it."""

from __future__ import annotations

import base64
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient

from her2core.data.synthetic import CohortSpec, render_patch
from her2core.io.images import encode_png, read_image
from her2core.notice import NOTICE
from her2core.serving import app as serving
from her2core.serving.app import make_app

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def patches() -> list[bytes]:
    spec = CohortSpec(patients=6, patches_per_patient=2, px=96, seed=5)
    return [encode_png(render_patch(spec, i).image) for i in range(6)]


@pytest.fixture(scope="module")
def client(tiny_predictor):
    with TestClient(make_app(tiny_predictor)) as client:
        yield client


def as_json(patch: bytes, **fields) -> dict:
    return {"image": base64.b64encode(patch).decode(), **fields}


def test_answers_are_the_predictor_s_whatever_the_form_and_however_many_ask(client, tiny_predictor, patches):
    mpp = 0.4
    right = [tiny_predictor.predict(patch, names=f"{i}.png", mpp=mpp).as_dict() for i, patch in enumerate(patches)]

    def ask(i: int) -> dict:
        if i % 2:
            answer = client.post("/predict", json=as_json(patches[i % 6], name=f"{i % 6}.png", mpp=mpp))
        else:
            files = {"image": (f"{i % 6}.png", patches[i % 6], "image/png")}
            answer = client.post("/predict", files=files, data={"mpp": str(mpp)})
        assert answer.status_code == 200, answer.text
        return answer.json()

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, range(24)))
    for i, answer in enumerate(found):
        expected = dict(right[i % 6])
        np.testing.assert_allclose(
            list(answer.pop("probabilities").values()), list(expected.pop("probabilities").values()), atol=1e-5
        )
        assert answer.pop("ood_score") == pytest.approx(expected.pop("ood_score"), rel=1e-4)
        assert answer.pop("notice") == NOTICE
        answer.pop("milliseconds")
        expected.pop("milliseconds")
        assert answer == expected


def test_a_map_is_the_predictor_s_with_its_picture_when_asked(client, tiny_predictor, patches):
    right = tiny_predictor.explain(patches[1], target="positive", method="layercam")
    body = as_json(patches[1], target="positive", method="layercam")
    found = client.post("/explain", json=body).json()
    assert (found["map"]["target"], found["map"]["method"], found["map"]["empty"]) == (
        "positive",
        "layercam",
        right.empty,
    )
    np.testing.assert_allclose(found["map"]["grid"], right.grid, atol=1e-4 * max(1, right.grid.max()))
    assert found["notice"] == found["prediction"]["notice"] == NOTICE
    assert "overlay" not in found
    picture = client.post("/explain", json={**body, "overlay": True}).json()["overlay"]
    assert read_image(base64.b64decode(picture)).shape[1] == 448


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("/predict", {"json": {"image": base64.b64encode(b"these are notes").decode()}}, 422, "PNG, JPEG, TIFF"),
        ("/predict", {"json": {"image": "not base64!"}}, 400, "base64"),
        ("/predict", {"json": {"image": 7}}, 400, "an image"),
        ("/predict", {"json": ["image"]}, 400, "JSON object"),
        ("/predict", {"json": {}}, 400, "an image"),
        ("/predict", {"content": b"x", "headers": {"Content-Type": "image/png"}}, 415, "multipart/form-data"),
        ("/predict", {"content": b"--", "headers": {"Content-Type": "multipart/form-data"}}, 400, "multipart"),
        ("/predict", {"files": {"picture": ("a.png", b"x")}}, 400, "fields out of"),
        ("/predict", {"files": {"image": ("a.png", b"x")}, "data": {"mpp": "-1"}}, 422, "microns per pixel"),
        ("/explain", {"files": {"image": ("a.png", b"x")}, "data": {"method": "crystal"}}, 422, "crystal"),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_sentence(client, path, body, status, said):
    answer = client.post(path, **body)
    assert answer.status_code == status
    assert said in answer.json()["error"]
    assert answer.json()["notice"] == NOTICE


def test_an_unknown_class_is_refused(client, patches):
    answer = client.post("/explain", json=as_json(patches[0], target="maybe"))
    assert answer.status_code == 422
    assert "'maybe'" in answer.json()["error"]


@pytest.mark.parametrize("form", ["multipart", "json", "no length"])
def test_a_large_body_ends_early_and_stays_off_the_disk(client, monkeypatch, form):
    monkeypatch.setattr("her2core.serving.body.MAX_BYTES", 2**20)
    monkeypatch.setattr("her2core.serving.body._MAX_BODY", 2**21)
    monkeypatch.setattr("tempfile.SpooledTemporaryFile.rollover", lambda *_: pytest.fail("written to a disk"))
    read = []

    def pieces():
        for _ in range(100):
            read.append(2**18)
            yield b"x" * 2**18

    if form == "multipart":
        answer = client.post("/predict", files={"image": ("a.png", bytes(3 * 2**20))})
    elif form == "json":
        answer = client.post("/predict", json=as_json(bytes(3 * 2**20)))
    else:
        answer = client.post("/predict", content=pieces(), headers={"Content-Type": "application/json"})
    assert answer.status_code == 413
    assert "MiB" in answer.json()["error"]


def test_an_image_of_too_many_pixels_is_refused_before_it_is_decoded(client):
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    header = (20_000).to_bytes(4, "big") * 2 + bytes((8, 2, 0, 0, 0))
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    answer = client.post("/predict", files={"image": ("a.png", bomb)})
    assert answer.status_code == 422
    assert "at most 16,000,000 px" in answer.json()["error"]


def test_a_token_opens_everything_but_health_and_description(tiny_predictor, patches):
    with TestClient(make_app(tiny_predictor, token="secret")) as client:
        body = as_json(patches[0])
        for headers in ({}, {"Authorization": "Bearer other"}, {"Authorization": "Basic secret"}):
            answer = client.post("/predict", json=body, headers=headers)
            assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
            assert "probabilities" not in answer.json()
            assert client.get("/metrics", headers=headers).status_code == 401
        right = {"Authorization": "Bearer secret"}
        assert client.post("/predict", json=body, headers=right).status_code == 200
        assert 'her2_requests_total{code="401",path="/predict"} 3.0' in client.get("/metrics", headers=right).text
        assert client.get("/health").json()["model"] == tiny_predictor.model_id
        assert client.get("/openapi.json").json()["paths"]["/predict"]["post"]["security"] == [{"token": []}]


def test_other_host_names_are_refused(tiny_predictor):
    with TestClient(make_app(tiny_predictor, hosts=["127.0.0.1"])) as client:
        assert client.get("/health", headers={"Host": "evil.example"}).status_code == 400
        assert client.get("/health", headers={"Host": "127.0.0.1:8080"}).status_code == 200


def test_the_description_names_every_route_and_loads_nothing(client):
    document = client.get("/openapi.json").json()
    assert set(document["paths"]) == {"/predict", "/explain", "/forward", "/health", "/metrics"}
    for path in ("/predict", "/explain"):
        content = document["paths"][path]["post"]["requestBody"]["content"]
        assert set(content) == {"multipart/form-data", "application/json"}
    page = client.get("/docs").text
    assert NOTICE in page
    assert not re.search(r"(src|href)=.?https?:", page)


def test_requests_beyond_the_limit_are_told_to_come_back(client, monkeypatch, patches):
    monkeypatch.setattr(serving, "MAX_REQUESTS", 0)
    answer = client.post("/predict", json=as_json(patches[0]))
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")


def test_the_command_serves_a_run_on_this_machine(tiny_run, patches):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "her2core", "serve", str(tiny_run.path), "--port", str(port), "--json"]
    environment = {k: v for k, v in os.environ.items() if k != "HER2_SERVE_TOKEN"}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as server:
        try:
            facts = json.loads(server.stdout.readline())
            body = json.dumps(as_json(patches[0])).encode()
            request = urllib.request.Request(f"{facts['url']}/predict", body, {"Content-Type": "application/json"})
            for _ in range(100):
                try:
                    with urllib.request.urlopen(request, timeout=10) as answer:
                        found = json.load(answer)
                    break
                except ConnectionError:
                    time.sleep(0.05)
                except urllib.error.URLError:
                    time.sleep(0.05)
            assert found["model"] == facts["model"]
            assert found["notice"] == NOTICE
        finally:
            server.terminate()
            server.wait(20)


def test_an_address_that_others_reach_needs_a_token(her2, tiny_run, monkeypatch):
    monkeypatch.delenv("HER2_SERVE_TOKEN", raising=False)
    code, _, error = her2("serve", tiny_run.path, "--address", "0.0.0.0")
    assert code == 1
    assert "HER2_SERVE_TOKEN" in error
