"""Engines of a predictor: agreement with torch, fallback, cache, threads."""

from __future__ import annotations

import logging
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from her2core import load_predictor
from her2core.data.synthetic import CohortSpec, render_patch
from her2core.errors import ConfigError, NetworkError
from her2core.inference import engines
from her2core.inference.engine_names import ENGINES, VARIABLE
from her2core.inference.engines import TOLERANCE, Forward, TorchEngine, check_inputs, largest_difference, load_engine
from her2core.inference.openvino_engine import load_openvino, split_outputs

ROOT = Path(__file__).resolve().parents[1]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def own_cache(cache, monkeypatch):
    monkeypatch.setenv("HER2_CACHE", str(cache))


@pytest.fixture(scope="module")
def patches():
    spec = CohortSpec(patients=6, patches_per_patient=2, px=112, seed=11)
    return [render_patch(spec, i).image for i in range(5)]


@pytest.fixture(scope="module")
def released(cache):
    """The demo run by torch and by OpenVINO."""
    patch = pytest.MonkeyPatch()
    patch.setenv("HER2_CACHE", str(cache))
    yield {name: load_predictor(ROOT / "models" / "demo", engine=name) for name in ("torch", "openvino")}
    patch.undo()


def test_openvino_gives_the_predictions_of_torch(released, patches):
    right, found = released["torch"].predict(patches), released["openvino"].predict(patches, batch=3)
    for a, b in zip(right, found, strict=True):
        np.testing.assert_allclose(a.probabilities, b.probabilities, atol=1e-5)
        assert a.ood_score == pytest.approx(b.ood_score, rel=1e-3)
        assert (a.flags, a.prediction_set, a.answer) == (b.flags, b.prediction_set, b.answer)
    assert {p.engine.split()[0] for p in right} == {"torch"}
    assert {p.engine.split()[0] for p in found} == {"openvino"}
    assert found[0].as_dict()["engine"] == released["openvino"].engine


@pytest.mark.parametrize("method", ["gradcam", "layercam"])
def test_maps_are_those_of_torch(released, patches, method):
    right, found = (released[n].analyse(patches[0]).class_maps(method=method) for n in ("torch", "openvino"))
    for name in right:
        assert right[name].grid.max() > 0 or found[name].grid.max() == 0
        np.testing.assert_allclose(found[name].grid, right[name].grid, atol=1e-4 * max(1, right[name].grid.max()))


def test_prepared_patches_and_explanations_use_the_engine_too(released, patches, monkeypatch):
    prepared = np.stack([released["torch"].prepare(p).image for p in patches])
    right = released["torch"].predict_proba(prepared)
    served = released["openvino"]
    monkeypatch.setattr(served.network, "features", lambda _: pytest.fail("a pass by torch"))
    np.testing.assert_allclose(served.predict_proba(prepared), right, atol=1e-5)
    assert served.explain(patches[0]).grid.shape == (7, 7)


def test_threads_share_an_engine(released, patches):
    alone = {i: released["openvino"].predict(patches[i]).probabilities for i in range(len(patches))}
    order = [i % len(patches) for i in range(20)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda i: released["openvino"].predict(patches[i]).probabilities, order))
    for i, probabilities in zip(order, found, strict=True):
        np.testing.assert_allclose(probabilities, alone[i], atol=1e-5)


def test_a_network_is_converted_once(tiny_predictor, tmp_path, monkeypatch):
    monkeypatch.setenv("HER2_CACHE", str(tmp_path))
    network, card = tiny_predictor.network, tiny_predictor.run.card
    first = load_openvino(network, card, CPU, responses=True)
    (stored,) = (tmp_path / "engines").iterdir()
    assert {p.name for p in stored.iterdir()} == {"model.xml", "model.bin"}
    monkeypatch.setattr("her2core.inference.openvino_engine.convert", lambda *_: pytest.fail("converted again"))
    inputs = check_inputs(64, CPU)
    again = load_openvino(network, card, CPU, responses=True).forward(inputs)
    assert largest_difference(again, first.forward(inputs)) < 1e-6


def test_a_cache_that_cannot_be_written_is_used(tiny_predictor, tmp_path, monkeypatch):
    """As in a container whose file system is read-only."""
    monkeypatch.setenv("HER2_CACHE", str(tmp_path))
    network, card = tiny_predictor.network, tiny_predictor.run.card
    load_openvino(network, card, CPU, responses=False)

    def refuse(*_):
        raise PermissionError("read-only")

    monkeypatch.setattr("her2core.inference.openvino_engine.os.utime", refuse)
    monkeypatch.setattr("her2core.inference.openvino_engine.convert", lambda *_: pytest.fail("converted again"))
    assert load_openvino(network, card, CPU, responses=False).forward(check_inputs(64, CPU)).scores.shape == (2, 3)


def test_only_some_converted_networks_are_kept(tiny_predictor, tmp_path, monkeypatch):
    monkeypatch.setenv("HER2_CACHE", str(tmp_path))
    monkeypatch.setattr("her2core.inference.openvino_engine._KEPT", 2)
    for number in range(3):
        card = {**tiny_predictor.run.card, "weights_sha256": f"{number}"}
        load_openvino(tiny_predictor.network, card, CPU, responses=False)
    assert len(list((tmp_path / "engines").iterdir())) == 2


def test_a_cached_network_with_other_weights_is_refused(tiny_predictor, tmp_path, monkeypatch, caplog):
    """What lies in the cache is compared with torch each time: a changed file cannot change a prediction."""
    monkeypatch.setenv("HER2_CACHE", str(tmp_path))
    network, card = tiny_predictor.network, tiny_predictor.run.card
    load_openvino(network, card, CPU, responses=False)
    (weights,) = tmp_path.glob("engines/*/model.bin")
    values = np.fromfile(weights, np.float32)
    weight = (np.abs(values) > 1e-6) & (np.abs(values) < 10)  # not the whole numbers between the weights
    np.where(weight, values * np.float32(1.01), values).tofile(weights)
    with pytest.raises(NetworkError, match="within 0.0001 of torch"):
        load_engine("openvino", network, card, CPU, responses=False)
    monkeypatch.setattr(engines, "native_bfloat16", lambda: False)
    with caplog.at_level(logging.WARNING, logger="her2core"):
        engine = load_engine("auto", network, card, CPU, responses=False)
    assert "openvino is not used" in caplog.text
    assert engine.describe().startswith("torch")
    assert "instead of openvino" in engine.describe()


def test_a_damaged_cache_is_made_again(tiny_predictor, tmp_path, monkeypatch):
    monkeypatch.setenv("HER2_CACHE", str(tmp_path))
    network, card = tiny_predictor.network, tiny_predictor.run.card
    load_openvino(network, card, CPU, responses=False)
    (model,) = tmp_path.glob("engines/*/model.xml")
    whole = model.read_bytes()
    model.write_bytes(whole[:500])
    assert load_engine("openvino", network, card, CPU, responses=False).describe().startswith("openvino")
    # Names of layers are numbered through the process, so that the files differ; a whole one ends as a whole one.
    assert model.read_bytes()[-20:] == whole[-20:]


@pytest.mark.parametrize(("native", "installed", "best"), [(False, True, "openvino"), (False, False, "torch")])
def test_auto_takes_the_best_that_is_there(tiny_predictor, monkeypatch, native, installed, best):
    monkeypatch.setattr(engines, "native_bfloat16", lambda: native)
    monkeypatch.setattr(engines, "has_modules", lambda *_: installed)
    engine = load_engine("auto", tiny_predictor.network, tiny_predictor.run.card, CPU, responses=True)
    assert engine.describe().split()[0] == best
    assert "float32" in engine.describe()


def test_the_variable_names_the_engine_and_the_argument_overrides_it(tiny_run, monkeypatch):
    monkeypatch.setenv(VARIABLE, "openvino")
    assert load_predictor(tiny_run).engine.startswith("openvino")
    assert load_predictor(tiny_run, engine="torch").engine.startswith("torch")
    monkeypatch.setenv(VARIABLE, "abacus")
    with pytest.raises(ConfigError, match="abacus.*HER2_ENGINE"):
        load_predictor(tiny_run)


def test_an_engine_that_the_machine_lacks_is_refused(tiny_run, monkeypatch):
    monkeypatch.setattr("her2core.inference.openvino_engine.native_bfloat16", lambda: False)
    with pytest.raises(ConfigError, match="processor with bfloat16"):
        load_predictor(tiny_run, engine="openvino-bf16")
    monkeypatch.setattr("her2core.extras.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"her2core\[openvino\]"):
        load_predictor(tiny_run, engine="openvino")


def test_autocast_agrees_within_its_own_tolerance_only(tiny_predictor):
    right = TorchEngine(tiny_predictor.network, CPU, responses=True)
    low = TorchEngine(tiny_predictor.network, CPU, responses=True, bfloat16=True)
    inputs = check_inputs(64, CPU)
    difference = largest_difference(low.forward(inputs), right.forward(inputs))
    assert TOLERANCE["float32"] < difference < TOLERANCE["bfloat16"]
    assert torch.equal(low.forward(inputs).responses, right.forward(inputs).responses)
    assert low.forward(inputs).features.dtype == torch.float32


def test_outputs_compiled_apart_give_the_same(tiny_predictor):
    """As where features are in bfloat16 and the detector's responses are not."""
    import openvino as ov

    from her2core.inference.openvino_engine import OpenVinoEngine, convert

    model = convert(ov, tiny_predictor.network, 64, True)
    main, apart = (
        ov.Core().compile_model(m, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}) for m in split_outputs(ov, model)
    )
    inputs = check_inputs(64, CPU)
    right = TorchEngine(tiny_predictor.network, CPU, responses=True).forward(inputs)
    assert largest_difference(OpenVinoEngine(main, apart, "").forward(inputs), right) < 1e-4


def test_a_network_that_cannot_be_traced_is_served_by_torch(tiny_predictor, monkeypatch, tmp_path, caplog):
    monkeypatch.setenv("HER2_CACHE", str(tmp_path))
    monkeypatch.setattr(engines, "native_bfloat16", lambda: False)

    def refuse(*_):
        raise RuntimeError("no such operation")

    monkeypatch.setattr("her2core.inference.openvino_engine.convert", refuse)
    card = tiny_predictor.run.card
    with pytest.raises(NetworkError, match="no such operation"):
        load_engine("openvino", tiny_predictor.network, card, CPU, responses=True)
    with caplog.at_level(logging.WARNING, logger="her2core"):
        engine = load_engine("auto", tiny_predictor.network, card, CPU, responses=True)
    assert "no such operation" in caplog.text
    assert engine.forward(check_inputs(64, CPU)).scores.shape == (2, 3)


def test_a_difference_that_is_not_finite_is_no_agreement():
    one = Forward(torch.ones(1, 2), torch.ones(1, 2), None)
    assert largest_difference(one._replace(scores=torch.tensor([[1.0, float("nan")]])), one) == float("inf")
    assert largest_difference(one._replace(scores=torch.ones(1, 3)), one) == float("inf")
    assert largest_difference(one, one) == 0


def test_openvino_is_used_without_its_telemetry():
    """Its own package reports each import to its maker; here it must neither be loaded nor open a connection."""
    code = (
        "import socket, sys\n"
        "def refuse(*_, **__): raise AssertionError('a connection')\n"
        "socket.socket.connect = refuse\n"
        "from her2core.inference.openvino_engine import import_openvino\n"
        "import_openvino()\n"
        "print([m for m in sys.modules if m.startswith('openvino_telemetry')])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


def test_every_engine_is_described():
    assert all(ENGINES.values())
