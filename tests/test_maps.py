"""Grad-CAM against the grad-cam package and its closed form, and pictures of maps."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from her2core.data.synthetic import CohortSpec, render_patch
from her2core.data.tensors import to_tensor
from her2core.errors import NetworkError
from her2core.maps.cam import class_map
from her2core.maps.class_map import ClassMap
from her2core.maps.overlay import overlay, with_caption
from her2core.networks.registry import build_network, output_grid


def _input(px: int = 112) -> torch.Tensor:
    image = render_patch(CohortSpec(patients=6, patches_per_patient=1, px=px, seed=2), 1).image
    return to_tensor(image)[None]


def _ours(network, x, index):
    with torch.no_grad():
        features = network.features(x)
    return class_map(network, features, index, name="c").grid


@pytest.mark.parametrize("name", ["her2_resnet50", "timm:resnet18", "timm:mobilenetv3_small_050"])
def test_equals_grad_cam_package(name):
    """The oracle hooks its own network; only the feature layer and the class are given to it."""
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.image import scale_cam_image
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    torch.manual_seed(0)
    network = build_network(name, 3).eval()
    x = _input()
    layer = {
        "her2_resnet50": lambda n: n.cascade[-1],
        "timm:resnet18": lambda n: n.model.layer4[-1],
        "timm:mobilenetv3_small_050": lambda n: n.model.blocks[-1],
    }[name](network)
    for index in range(3):
        ours = _ours(network, x, index)
        with GradCAM(model=network, target_layers=[layer]) as oracle:
            activations = oracle.activations_and_grads(x)
            network.zero_grad()
            ClassifierOutputTarget(index)(activations[0]).backward()
            raw = oracle.compute_cam_per_layer(x, [ClassifierOutputTarget(index)], False)[0][0, 0]
        # The package scales to 0..1 and to the input's size; its own scaling on our grid leaves the map alone.
        scaled = scale_cam_image(ours[None], raw.shape[::-1])[0]
        np.testing.assert_allclose(scaled, raw, atol=1e-4)
        assert raw.max() > 0.5


def test_equals_class_weights_times_features():
    """Global pooling and one linear layer: the gradient of the head is the class's weights over the cell count."""
    torch.manual_seed(1)
    network = build_network("her2_resnet50", 4).eval()
    with torch.no_grad():
        features = network.features(_input())
        cells = features.shape[2] * features.shape[3]
        expected = torch.relu((network.classifier.weight[2][:, None, None] * features[0]).sum(0)) / cells
    np.testing.assert_allclose(class_map(network, features, 2, name="c").grid, expected.numpy(), atol=1e-6)


def test_transformer_tokens_are_laid_out_in_place():
    """A feature put into one token must light up that cell and no other."""
    network = build_network("timm:vit_tiny_patch16_224", 3, img_size=112).eval()
    features = network.features(_input())
    assert network.feature_map(features).shape[2:] == (7, 7)
    tokens = torch.zeros_like(features)
    tokens[0, 1 + 2 * 7 + 5, :] = 1.0
    grid = network.feature_map(tokens)[0].sum(0)
    assert torch.nonzero(grid).tolist() == [[2, 5]]


def test_channels_last_networks_are_turned():
    network = build_network("timm:swin_tiny_patch4_window7_224", 3).eval()
    assert output_grid(network, 224) == (7, 7)


@pytest.mark.parametrize(("px", "cells"), [(112, 7), (128, 8), (224, 14)])
def test_map_has_at_least_seven_by_seven_cells(px, cells):
    assert output_grid(build_network("her2_resnet50", 3), px) == (cells, cells)


def test_the_card_states_the_grid_of_the_maps(tiny_predictor):
    grid = tiny_predictor.explain(np.array(render_patch(CohortSpec(patients=6), 0).image)).grid
    assert grid.shape == tuple(tiny_predictor.run.card["map_grid"]) == (4, 4)


def test_parameters_keep_no_gradient(tiny_predictor):
    tiny_predictor.explain(render_patch(CohortSpec(patients=6), 3).image)
    network = tiny_predictor.network
    assert all(p.grad is None and not p.requires_grad for p in network.parameters())
    assert not any(m._forward_hooks or m._backward_hooks or m._forward_pre_hooks for m in network.modules())


def test_features_without_a_grid_are_refused():
    network = build_network("her2_resnet50", 3)
    with pytest.raises(NetworkError, match="spatial grid"):
        network.feature_map(torch.zeros(1, 512))


def test_an_empty_map_leaves_the_patch_unchanged():
    empty = ClassMap(np.zeros((7, 7), np.float32), "positive")
    image = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    assert empty.empty
    assert not empty.scaled(64).any()
    np.testing.assert_array_equal(overlay(image, empty), image)


def test_overlay_changes_only_where_the_map_is():
    grid = np.zeros((8, 8), np.float32)
    grid[0, 0] = 2.0
    image = np.full((64, 64, 3), 200, np.uint8)
    picture = overlay(image, ClassMap(grid, "positive"), opacity=1.0)
    assert picture.shape == (64, 64, 3)
    assert picture.dtype == np.uint8
    np.testing.assert_array_equal(picture[32:, 32:], image[32:, 32:])
    assert (picture[:4, :4] != 200).any()
    assert ClassMap(grid, "positive").scaled(64)[0, 0] == pytest.approx(1.0)


def test_a_caption_is_below_the_picture_and_leaves_it_unchanged():
    picture = np.random.default_rng(0).integers(0, 255, (64, 200, 3), np.uint8)
    shown = with_caption(picture, "Research use only.")
    assert shown.shape == (86, 200, 3)
    np.testing.assert_array_equal(shown[:64], picture)
    assert (shown[64:] < 100).any(), "the text is visible"
    assert (with_caption(picture, "")[64:] == 255).all()
    text = "Synthetic patch. Grad-CAM for negative, 7 x 7 cells. Research use only. " + "W" * 60
    long = with_caption(picture, text)
    assert long.shape[1] == 200
    assert (long.shape[0] - 64 - 6) // 16 >= 4, "no word is cut: each line fits the picture's width"
    assert (long[:, -5:][64:] == 255).all(), "nothing reaches the edge"
