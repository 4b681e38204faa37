"""Settings that a known backbone brings with it, where a configuration leaves them out.

First weights are those of an installable package that fits the backbone, and pixel scaling is that with which they were
trained. Both are written into the configuration, and so into its hash. ``network.init: random`` asks for no weights.
"""

from __future__ import annotations

from typing import Any

from her2core.errors import NetworkError


def with_backbone_defaults(content: dict[str, Any]) -> dict[str, Any]:
    """Complete a configuration's plain values by those of its backbone.

    Parameters
    ----------
    content : dict
        Fields and values, as YAML gives them; it is not changed. Values that are no configuration are left as they
        are, for its own check.

    Returns
    -------
    dict
        With ``network.init`` of packaged weights and, unless it is none or random, ``input.mean`` and ``input.std`` of
        a ``timm:`` network, where they were absent.

    Examples
    --------
    >>> completed = with_backbone_defaults({"network": {"name": "timm:tf_efficientnet_lite0"}})
    >>> completed["network"]["init"], completed["input"]["mean"]
    ('package:efficientnet-lite0', (0.5, 0.5, 0.5))
    >>> with_backbone_defaults({"network": {"name": "resnet50"}})
    {'network': {'name': 'resnet50'}}
    """
    network, image = content.get("network"), content.get("input", {})
    if not isinstance(network, dict) or not isinstance(image, dict):
        return content
    name = network.get("name")
    if not isinstance(name, str) or not name.startswith("timm:"):
        return content

    from her2core.networks.packaged import PACKAGED
    from her2core.networks.registry import find_network

    fitting = [f"package:{weights}" for weights, known in PACKAGED.items() if known.network == name]
    network = {"init": fitting[0] if fitting else "none", **network}
    if network["init"] in ("none", "random"):
        return {**content, "network": network}
    try:
        scaling = find_network(name).defaults
    except NetworkError:  # refused, with near matches, where the network is built
        return content
    return {**content, "network": network, "input": {"mean": scaling.mean, "std": scaling.std, **image}}
