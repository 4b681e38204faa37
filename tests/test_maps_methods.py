"""Class-activation maps by every method, with many threads: against the grad-cam package hooked into a private copy,
against formulas written out here, and at limiting cases."""

from __future__ import annotations

import copy
import inspect
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from her2core import explain
from her2core.data.synthetic import CohortSpec, render_patch
from her2core.data.tensors import to_tensor
from her2core.errors import ConfigError, NetworkError
from her2core.maps.cam import HeadModel, class_map
from her2core.maps.methods import METHODS
from her2core.networks.registry import build_network

CONVOLUTIONAL = {  # name and options -> the layer whose output is the features
    "her2_resnet50": ("her2_resnet50", {}, lambda n: n.cascade[-1]),
    # Two poolings, one of them the maximum: the gradient differs from cell to cell, and with it the methods.
    "resnet18": ("timm:resnet18", {"global_pool": "catavgmax"}, lambda n: n.model.layer4[-1]),
}
PIXELS = 64


def _network(name: str = "timm:resnet18", seed: int = 0, **options):
    torch.manual_seed(seed)
    return build_network(name, 3, **options).eval()


@torch.no_grad()
def _lively(network, *biases: float):
    """Class weights lifted off zero, so that no map is empty by the chance of random weights, and biases as given."""
    last = network.model.get_classifier() if hasattr(network, "model") else network.classifier
    last.weight.add_(0.02)
    last.bias.copy_(torch.tensor(biases))
    return network


def _input(px: int = PIXELS, i: int = 1) -> torch.Tensor:
    return to_tensor(render_patch(CohortSpec(patients=6, patches_per_patient=1, px=px, seed=2), i).image)[None]


@torch.no_grad()
def _features(network, x):
    return network.features(x)


def _ours(network, x, index, method):
    return class_map(network, _features(network, x), index, name="c", method=method)


def _state(network):
    """Everything a careless method could leave behind on a network."""
    return (
        [p.requires_grad for p in network.parameters()],
        [m.training for m in network.modules()],
        [p.grad is None for p in network.parameters()],
        [(type(m), tuple(m._modules)) for m in network.modules()],
        [
            len(hooks)
            for m in network.modules()
            for hooks in (m._forward_hooks, m._forward_pre_hooks, m._backward_hooks, m._backward_pre_hooks)
        ],
    )


@pytest.fixture(scope="module", params=CONVOLUTIONAL)
def hooked(request):
    """A network, a private copy for the package, the layer to hook in it, and an image."""
    name, options, layer = CONVOLUTIONAL[request.param]
    # Scores above zero: where they are below, Ablation-CAM of the package turns the map round.
    network, x = _lively(_network(name, seed=3, **options), 1, 1, 1), _input()
    with torch.no_grad():
        assert network(x).min() > 0
    private = copy.deepcopy(network)
    return network, private, layer(private), x


@pytest.mark.parametrize("method", [m for m in METHODS if m != "eigengradcam"])
def test_equals_the_package_hooked_the_ordinary_way(hooked, method):
    import pytorch_grad_cam
    from pytorch_grad_cam.utils.image import scale_cam_image
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    network, private, layer, x = hooked
    index = 1
    extra = {"ablation_layer": pytorch_grad_cam.AblationLayer()} if method == "ablationcam" else {}
    with getattr(pytorch_grad_cam, METHODS[method].package_class or "GradCAM")(private, [layer], **extra) as oracle:
        expected = oracle(x, [ClassifierOutputTarget(index)])[0]
    found = _ours(network, x, index, method)
    assert found.method == method
    ours = scale_cam_image(scale_cam_image(found.grid[None], (PIXELS, PIXELS)))[0]  # the package scales twice
    np.testing.assert_allclose(ours, expected, atol=1e-4)
    assert expected.max() > 0.5


def test_eigengradcam_equals_the_packages_direction_with_the_sign_settled(hooked):
    from pytorch_grad_cam import EigenGradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    network, private, layer, x = hooked
    for index in range(3):
        with EigenGradCAM(private, [layer]) as oracle:
            oracle(x, [ClassifierOutputTarget(index)])
            taken = oracle.activations_and_grads
            values, slopes = taken.activations[0].numpy(), taken.gradients[0].numpy()
            raw = oracle.get_cam_image(x, layer, [], values, slopes, False)[0]
        sign = 1 if (raw * (values * slopes).sum(1)[0]).sum() > 0 else -1
        ours = _ours(network, x, index, "eigengradcam").grid
        np.testing.assert_allclose(ours, np.maximum(sign * raw, 0), atol=1e-4 * np.abs(raw).max())
        assert ours.max() > 0


def test_eigengradcam_points_to_where_the_class_is_raised():
    """Whichever way the decomposition happens to point."""
    from pytorch_grad_cam.utils.svd_on_activations import get_2d_projection

    network, signs = _network("her2_resnet50"), []
    for seed in range(12):
        features = torch.rand(1, 512, 5, 5, generator=torch.Generator().manual_seed(seed))
        product = (network.classifier.weight[0].detach()[:, None, None] / 25 * features).numpy()
        raw = get_2d_projection(product)[0]
        signs.append(np.sign((raw * product[0].sum(0)).sum()))
        ours = class_map(network, features, 0, name="c", method="eigengradcam").grid
        np.testing.assert_allclose(ours, np.maximum(signs[-1] * raw, 0), atol=1e-3 * np.abs(raw).max())
    assert {-1, 1} == set(signs), "both directions must come up, or this shows nothing"


def test_methods_differ_where_the_gradient_does():
    """Else the comparison above could pass with one formula under seven names."""
    network, x = _lively(_network(seed=3, global_pool="catavgmax"), 1, 1, 1), _input(px=112)
    grids = {m: _ours(network, x, 0, m).scaled(4) for m in METHODS}
    for first in METHODS:
        for second in METHODS:
            assert first == second or np.abs(grids[first] - grids[second]).max() > 1e-3, (first, second)


def test_three_methods_are_one_behind_pooling_and_a_linear_layer():
    network, x = _network("her2_resnet50"), _input()
    features = _features(network, x)
    for index in range(3):
        cells = features[0, 0].numel()
        expected = torch.relu((network.classifier.weight[index][:, None, None] * features[0]).sum(0)) / cells
        for method in ("gradcam", "hirescam", "xgradcam"):
            grid = class_map(network, features, index, name="c", method=method).grid
            np.testing.assert_allclose(grid, expected.detach().numpy(), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "px", "options"),
    [
        ("timm:resnet18", 64, {}),
        ("timm:convnext_atto", 64, {}),  # features below zero
        ("timm:vit_tiny_patch16_224", 64, {"img_size": 64, "global_pool": "avg"}),
        ("timm:swin_tiny_patch4_window7_224", 64, {"img_size": 64}),  # channels last
    ],
)
def test_ablation_is_the_drop_of_the_score_without_the_channel(name, px, options):
    """Written out channel by channel, for classes with scores above and below zero, in every layout of features."""
    network, x = _lively(_network(name, seed=1, **options), 2, -3, 0), _input(px)
    features = _features(network, x)
    last = features.ndim == 3 or "swin" in name
    with torch.no_grad():
        scores = network.head(features)[0]
        assert scores[0] > 0 > scores[1]
        drops = []
        for k in range(features.shape[-1 if last else 1]):
            without = features.clone()
            (without[..., k] if last else without[:, k]).zero_()
            drops.append(scores - network.head(without)[0])
        values = network.feature_map(features)[0]
        signed = torch.einsum("kn,khw->nhw", torch.stack(drops), values).numpy()
    for index in range(3):
        found = class_map(network, features, index, name="c", method="ablationcam").grid
        np.testing.assert_allclose(found, np.maximum(signed[index], 0), atol=1e-3 * np.abs(signed[index]).max())
    assert (signed > 0).any()


@pytest.mark.parametrize("method", METHODS)
def test_a_score_below_zero_does_not_turn_the_map_round(method):
    """The bias says nothing of places, so it must not move the map. The package's Ablation-CAM fails this."""
    network = _network(seed=3)
    above = _ours(_lively(network, 3, 3, 3), _input(), 1, method)
    with torch.no_grad():
        network.model.get_classifier().bias.fill_(-3)
        assert network(_input())[0, 1] < 0
    assert not above.empty
    np.testing.assert_allclose(_ours(network, _input(), 1, method).scaled(8), above.scaled(8), atol=1e-3)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("name", "options", "cells"),
    [
        ("timm:vit_tiny_patch16_224", {"img_size": 64, "global_pool": "avg"}, (4, 4)),
        ("timm:swin_tiny_patch4_window7_224", {"img_size": 64}, (2, 2)),
    ],
)
def test_tokens_and_channels_last_work(method, name, options, cells):
    network = _network(name, **options)
    for index in range(3):
        found = _ours(network, _input(), index, method)
        assert found.grid.shape == cells
        assert found.grid.dtype == np.float32
        assert np.isfinite(found.grid).all()
        assert found.grid.min() >= 0


@pytest.mark.parametrize("method", METHODS)
def test_a_head_that_reads_the_class_token_alone_is_refused(method):
    network = _network("timm:vit_tiny_patch16_224", img_size=64)
    torch.nn.init.normal_(network.model.head.weight)  # timm starts it at next to nothing
    with pytest.raises(NetworkError, match="class token alone.*global_pool"):
        _ours(network, _input(), 0, method)


@pytest.mark.parametrize("method", METHODS)
def test_nothing_is_left_on_a_network_in_training_shape(method):
    """Parameters that ask for gradients, as a network has before a Predictor takes it."""
    network = _network("her2_resnet50")
    before = _state(network)
    assert all(before[0])
    features = _features(network, _input())
    kept = features.clone()
    class_map(network, features, 1, name="c", method=method)
    assert _state(network) == before
    assert torch.equal(features, kept)


def test_the_head_model_shares_nothing_with_the_network():
    network = _network()
    seam = HeadModel(network, torch.device("cpu"))
    assert [n for n, _ in seam.named_modules()] == ["", "target_layer"]
    assert not {id(m) for m in seam.modules()} & {id(m) for m in network.modules()}
    assert not {id(p) for p in seam.parameters()} & {id(p) for p in network.parameters()}


def test_the_packages_shared_ablation_layer_is_never_used(capfd):
    """It is one object, a default argument, for all threads of a process; and the package's bar would fill the log."""
    from pytorch_grad_cam import AblationCAM

    shared = inspect.signature(AblationCAM.__init__).parameters["ablation_layer"].default
    before = dict(vars(shared))
    _ours(_network(), _input(), 0, "ablationcam")
    assert vars(shared) == before
    assert capfd.readouterr() == ("", "")


def test_eight_threads_two_hundred_mixed_calls_equal_serial():
    network = _network(global_pool="catavgmax")  # no two methods give the same map, so that a mix-up shows
    before = _state(network)
    inputs = [_input(i=i) for i in range(3)]
    jobs = [(m, i, c) for m in METHODS for i in range(3) for c in range(3)]
    serial = {job: _ours(network, inputs[job[1]], job[2], job[0]).grid for job in jobs}
    with torch.no_grad():
        scores = [network(x) for x in inputs]

    def work(seed: int) -> int:
        chance = random.Random(seed)
        for _ in range(25):
            method, i, c = job = chance.choice(jobs)
            found = _ours(network, inputs[i], c, method).grid
            np.testing.assert_allclose(found, serial[job], atol=1e-5 * max(serial[job].max(), 1e-12), err_msg=str(job))
            i = chance.randrange(3)
            with torch.no_grad():
                torch.testing.assert_close(network(inputs[i]), scores[i], atol=1e-5, rtol=1e-5)
        return 25

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(work, range(8))) == 200
    assert _state(network) == before


@pytest.mark.parametrize("method", METHODS)
def test_a_class_without_support_has_an_empty_map(method):
    network = _network("her2_resnet50")
    with torch.no_grad():
        network.classifier.weight[2] = 0
    found = _ours(network, _input(), 2, method)
    assert found.empty
    assert not found.scaled(PIXELS).any()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_give_an_empty_map(method, value):
    network = _network("her2_resnet50")
    features = _features(network, _input())
    features[0, 5, 1, 2] = value
    found = class_map(network, features, 0, name="c", method=method)
    assert found.grid.shape == tuple(features.shape[2:])
    assert not found.grid.any()
    assert found.empty


@pytest.mark.parametrize("method", METHODS)
def test_constant_features_give_a_constant_map(method):
    network = _network("her2_resnet50")
    with torch.no_grad():
        network.classifier.weight[0] = network.classifier.weight[0].abs()
    features = torch.rand(1, 512, 1, 1, generator=torch.Generator().manual_seed(0)).expand(1, 512, 4, 4)
    found = class_map(network, features, 0, name="c", method=method)
    if method == "eigengradcam":  # no variation, so no pattern
        assert found.empty
    else:
        np.testing.assert_allclose(found.scaled(8), 1, rtol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_a_single_cell_works_or_is_refused(method):
    network = _network("timm:resnet18")
    features = _features(network, _input()[..., :32, :32])
    assert features.shape[2:] == (1, 1)
    if method == "eigengradcam":
        with pytest.raises(NetworkError, match="at least two cells"):
            class_map(network, features, 0, name="c", method=method)
    else:
        grids = [class_map(network, features, i, name="c", method=method) for i in range(3)]
        assert {g.grid.shape for g in grids} == {(1, 1)}
        assert any(not g.empty for g in grids)


def test_refusals_are_sentences():
    network = _network()
    features = _features(network, _input())
    with pytest.raises(
        ConfigError, match="argument `method` to be one of 'gradcam', .*'ablationcam', but got 'scorecam'"
    ):
        class_map(network, features, 0, name="c", method="scorecam")
    network.train()
    with pytest.raises(NetworkError, match="evaluation mode"):
        class_map(network, features, 0, name="c")
    assert network.training


def test_the_method_reaches_the_public_calls(tiny_predictor, tiny_run):
    image = render_patch(CohortSpec(patients=6), 0).image
    answer, maps = tiny_predictor.predict_and_explain(image, method="layercam")
    found = explain(tiny_run.path, image, target="equivocal", method="layercam")
    assert {m.method for m in maps.values()} == {found.method} == {"layercam"}
    np.testing.assert_allclose(maps["equivocal"].grid, found.grid, atol=1e-6)
    assert tiny_predictor.explain(image).method == "gradcam"
    assert answer.most_probable in maps
    with pytest.raises(ConfigError, match="argument `method` to be one of 'gradcam', 'gradcam_plusplus'"):
        tiny_predictor.explain(image, method="magic")


def test_the_catalogue_is_complete_and_light():
    import pytorch_grad_cam

    for name, method in METHODS.items():
        assert name == method.name
        assert name.isidentifier(), "it goes into addresses and file names"
        assert method.needs_gradients == (name != "ablationcam")
        assert method.label
        assert method.description.endswith(".")
        assert len(method.description) < 130
        assert "doi " in method.reference or "arXiv " in method.reference
        assert (method.package_class is None) == (name == "gradcam")
        assert method.package_class is None or hasattr(pytorch_grad_cam, method.package_class)
    code = "import sys, her2core.maps.methods; sys.exit('torch' in sys.modules or 'pytorch_grad_cam' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
