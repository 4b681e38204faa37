"""Networks of timm (PyTorch Image Models) behind the patch-network protocol.

A configuration may change a model's architecture and nothing else: which names timm takes as options is decided by the
allow-list here, so that no file, address or pretrained configuration can be given through it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from her2core.errors import NetworkError
from her2core.networks.grid import require_grid, token_grid

#: Constructor arguments of timm's models that describe an architecture: input and tokens, widths and depths,
#: normalisation, activation and pooling, regularisation and initial values. Left out on purpose: ``in_chans`` (patches
#: are RGB), ``num_classes`` (the manifest decides), and all that names a file, an address or pretrained weights.
_ARCHITECTURE = """
    img_size dynamic_img_size dynamic_img_pad strict_img_size patch_size window_size class_token reg_tokens
    no_embed_class pos_embed output_stride stem_type stem_width
    embed_dim embed_dims depth depths dims num_heads mlp_ratio mlp_ratios expand_ratio base_width cardinality
    growth_rate head_hidden_size qkv_bias
    act_layer norm_layer mlp_layer qk_norm pre_norm final_norm fc_norm norm_eps global_pool
    drop_rate drop_path_rate drop_block_rate pos_drop_rate patch_drop_rate proj_drop_rate attn_drop_rate
    init_values ls_init_value layer_scale_init_value head_init_scale zero_init_last
"""
ARCHITECTURE_OPTIONS = frozenset(_ARCHITECTURE.split())
#: Largest values of an option: several times what published architectures have, so that a card cannot ask for more
#: memory or time than a machine has.
_LARGEST, _MOST_LAYERS, _MOST_VALUES = 16_384, 512, 64
_LAYERS = frozenset({"depth", "depths", "reg_tokens"})


class TimmNetwork(nn.Module):
    """A timm classifier as a patch network, with random weights.

    Parameters
    ----------
    name : str
        A name that ``timm.list_models()`` lists.
    classes : int
        Number of outputs.
    **options
        Names of `ARCHITECTURE_OPTIONS`, passed to ``timm.create_model``.

    Attributes
    ----------
    model : torch.nn.Module
        timm's model.

    References
    ----------
    Wightman 2019, PyTorch Image Models, doi 10.5281/zenodo.4414861.

    Examples
    --------
    >>> network = TimmNetwork("test_resnet", 3)
    >>> network.last_layer
    'model.fc'
    """

    model: Any  # timm is untyped, and its models share no typed base

    def __init__(self, name: str, classes: int, **options: Any) -> None:
        super().__init__()
        import timm

        self.model = timm.create_model(name, pretrained=False, num_classes=classes, **options)
        # Some families initialise theirs for a thousand classes: with three, training would begin at a loss of 9
        # instead of 1.1.
        if isinstance(last := self.model.get_classifier(), nn.Linear):
            last.reset_parameters()

    @property
    def last_layer(self) -> str:
        """Dotted name of the layer that gives the scores."""
        return f"model.{self.model.pretrained_cfg['classifier']}"

    def features(self, x: Tensor) -> Tensor:
        """Features of float32 (N, 3, H, W) normalised RGB: (N, C, h, w), (N, h, w, C) or (N, tokens, C)."""
        return self.model.forward_features(x)

    def embed(self, features: Tensor) -> Tensor:
        """Embedding of each patch, float (N, D): the input of the last layer."""
        return self.model.forward_head(features, pre_logits=True)

    def head(self, features: Tensor) -> Tensor:
        """Scores before softmax, float (N, classes)."""
        return self.model.forward_head(features)

    def forward(self, x: Tensor) -> Tensor:
        """Scores before softmax, float (N, classes), of float32 (N, 3, H, W) normalised RGB."""
        return self.head(self.features(x))

    def feature_map(self, features: Tensor) -> Tensor:
        """``features`` as (N, C, h, w), a view: tokens and channels-last layouts are rearranged."""
        if features.ndim == 3:
            return token_grid(features, getattr(self.model, "num_prefix_tokens", 0))
        grid = require_grid(features)
        return grid.permute(0, 3, 1, 2) if getattr(self.model, "output_fmt", "NCHW") == "NHWC" else grid

    def trunk_modules(self) -> list[nn.Module]:
        """All children of timm's model but the one that holds its classifier."""
        head = self.model.get_classifier()
        return [module for module in self.model.children() if head not in module.modules()]


def check_values(options: Mapping[str, Any], *, where: str) -> None:
    """Refuse option values that are no numbers, strings, booleans or lists of them.

    Parameters
    ----------
    options : mapping of str to object
        Names and values.
    where : str
        What to name in the message.

    Raises
    ------
    NetworkError
        For a mapping, a path or any other object, and for numbers or lists out of proportion.

    Examples
    --------
    >>> check_values({"img_size": 64, "depths": [2, 2]}, where="network.options")
    >>> check_values({"norm_layer": {"path": "x"}}, where="network.options")
    Traceback (most recent call last):
        ...
    her2core.errors.NetworkError: Expected option `norm_layer` to be a number, a word, true, false or a list of them, \
but got dict (network.options). Correct it.
    """
    plain = (str, int, float, bool, type(None))
    for name, value in options.items():
        items = value if isinstance(value, list | tuple) else [value]
        largest = _MOST_LAYERS if name in _LAYERS else _LARGEST
        numbers = [item for item in items if isinstance(item, int | float)]
        if len(items) > _MOST_VALUES or not all(-largest <= number <= largest for number in numbers):
            raise NetworkError(
                f"option `{name}` to be at most {largest:,}, and a list of at most {_MOST_VALUES} values",
                got=repr(value)[:60],
                where=where,
                fix="Correct it.",
            )
        foreign = next((item for item in items if not isinstance(item, plain)), None)
        if foreign is not None:
            raise NetworkError(
                f"option `{name}` to be a number, a word, true, false or a list of them",
                got=type(foreign).__name__,
                where=where,
                fix="Correct it.",
            )
