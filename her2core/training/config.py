"""Configuration of one training run: a strict, frozen model of every setting, read from YAML.

Every default that Joshi et al. 2025 (doi 10.48084/etasr.12140) does not state (all but the 60/20/20 fractions, Macenko
and ResNet50 + SE + DSC) is our choice.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, FiniteFloat, PositiveFloat, ValidationError, field_validator, model_validator

from her2core.runs.schema.card import LARGEST_PX, SMALLEST_PX
from her2core.stain.methods import STAIN_METHODS
from her2core.training.backbone_defaults import with_backbone_defaults
from her2core.training.config_errors import config_error
from her2core.training.config_files import apply_override, read_fields
from her2core.training.config_split import Section, SplitConfig

LOG = logging.getLogger(__name__)


class StainConfig(Section):
    """Stain normalisation of every patch."""

    method: str = Field("macenko", description=f"to a stored reference, or unchanged: {', '.join(STAIN_METHODS)}")
    white: float = Field(240.0, gt=200, le=255, description="grey level taken for no absorption")

    @field_validator("method")
    @classmethod
    def _known_method(cls, method: str) -> str:
        if method not in STAIN_METHODS:
            raise ValueError(f"`stain.method` to be one of {', '.join(map(repr, STAIN_METHODS))}")
        return method


class InputConfig(Section):
    """Size and scaling of the network's input."""

    px: int = Field(112, ge=SMALLEST_PX, le=LARGEST_PX, description="side of the network's input in pixels")
    mean: tuple[float, float, float] = Field((0.485, 0.456, 0.406), description="subtracted from RGB in 0..1")
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = Field(
        (0.229, 0.224, 0.225), description="divided by, after the mean"
    )


#: Names of ``network.init`` that need no value, and kinds that are followed by one.
INITS, INIT_KINDS = ("none", "random", "imagenet", "hub"), ("package", "file", "run")


class NetworkConfig(Section):
    """The network by name, its options and its first weights."""

    name: str = Field("her2_resnet50", description="a name of networks.registry, timm:<name> or hub:<owner>/<model>")
    options: dict[str, Any] = Field(default_factory=dict, description="passed to the network, e.g. dropout: 0.5")
    init: str = Field(
        "none",
        description="first weights: random (none), imagenet, hub, package:<name>, file:<safetensors>, run:<folder>",
    )

    @field_validator("options")
    @classmethod
    def _own(cls, options: dict[str, Any]) -> dict[str, Any]:
        if taken := {"classes", "name", "hub_id"} & set(options):
            allowed = "`network.options` without classes, name and hub_id, which data and name determine"
            raise ValueError(allowed, ", ".join(sorted(taken)))
        return options

    @field_validator("init")
    @classmethod
    def _known(cls, init: str) -> str:
        """``random`` is another word for ``none``; a configuration and its hash know one of them."""
        kind, _, value = init.partition(":")
        if init not in INITS and (kind not in INIT_KINDS or not value):
            forms = ", ".join((*INITS, *(f"{k}:<...>" for k in INIT_KINDS)))
            raise ValueError(f"`network.init` to be one of {forms}")
        return "none" if init == "random" else init


class AugmentConfig(Section):
    """Random changes of a training patch."""

    flips: bool = Field(True, description="the eight flips and quarter turns")
    min_crop: float = Field(
        0.75, gt=0.2, le=1, description="smallest crop side as a share of the patch; 1 switches off"
    )
    stain: float = Field(0.15, ge=0, le=1, description="relative standard deviation of each stain's concentration")


class OptimisationConfig(Section):
    """Optimisation of a network: AdamW, linear warm-up and cosine decay."""

    epochs: int = Field(20, ge=1, description="at most this many passes over the training patches")
    batch_size: int = Field(32, ge=2, description="patches a step on each device")
    lr: float = Field(1e-3, gt=0, description="peak learning rate of AdamW, after warm-up; cosine decay to 0")
    trunk_lr: float = Field(1.0, ge=0, le=1, description="the trunk's share of lr; below 1 for pretrained trunks")
    weight_decay: float = Field(0.05, ge=0, description="on weights, not on norms and biases")
    warmup_epochs: float = Field(1.0, ge=0, description="linear rise of the learning rate, epochs")
    patience: int = Field(8, ge=1, description="stop after this many epochs without an improvement")
    augment: AugmentConfig = Field(default_factory=AugmentConfig)


class TrainConfig(OptimisationConfig):
    """Optimisation of a classifier."""

    freeze_epochs: int = Field(0, ge=0, description="epochs with the trunk frozen, before all is trained")
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="share of the target spread over all classes")
    class_weights: Literal["balanced", "none"] = Field("balanced", description="loss weights by inverse frequency")
    monitor: Literal["val_balanced_accuracy", "val_accuracy", "val_loss"] = Field(
        "val_balanced_accuracy", description="selects the best epoch and stops early"
    )


#: Default candidates on frozen features: inverse regularisation strengths C, numbers of neighbours k.
TRIED = {"linear": (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0), "knn": (1.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0)}


class FrozenConfig(Section):
    """Only the last layer is fitted, on the features that ``network.init`` gives.

    Of ``train``, only ``class_weights`` and ``monitor`` apply.
    """

    head: Literal["linear", "knn"] = Field("linear", description="logistic regression, or k nearest neighbours")
    tried: tuple[FiniteFloat, ...] = Field(
        (), description="candidates: inverse regularisation strengths, or numbers of neighbours; TRIED where empty"
    )

    @model_validator(mode="before")
    @classmethod
    def _named(cls, given: Any) -> Any:
        """Default candidates are written into the configuration, and so into its hash."""
        if isinstance(given, dict) and given.get("tried") in (None, (), []):
            head = given.get("head", "linear")
            return {**given, "tried": TRIED[head] if isinstance(head, str) and head in TRIED else ()}
        return given

    @model_validator(mode="after")
    def _positive(self) -> FrozenConfig:
        least = 1 if self.head == "knn" else 0
        if any(value < least or value == 0 or (self.head == "knn" and value % 1) for value in self.tried):
            raise ValueError("`frozen.tried` to hold positive numbers, whole ones for knn", list(self.tried))
        return self


class HardwareConfig(Section):
    """Where and how fast. What changes the weights belongs to the run's content hash; ``UNHASHED`` does not."""

    accelerator: Literal["auto", "cpu", "gpu"] = Field("auto", description="what Lightning runs on")
    devices: int | Literal["auto"] = Field("auto", description="processes on this machine (on CPU: auto is 1)")
    nodes: int = Field(1, ge=1, description="machines")
    strategy: str = Field("auto", description="auto, or ddp for several devices or machines")
    precision: Literal["auto", "32-true", "16-mixed", "bf16-mixed"] = Field(
        "auto", description="auto: bf16 or fp16 mixed on a GPU, 32-bit on a CPU"
    )
    workers: int = Field(0, ge=0, description="processes that prepare batches; 0 prepares them in the training process")
    cache_gb: float = Field(4.0, ge=0, description="prepared patches are kept in memory up to this size")
    features: Path = Field(Path("data/.features"), description="cache of frozen networks' features")


#: Settings of the hardware that change no weight: how batches are prepared, and where.
UNHASHED = {"workers", "cache_gb", "features"}


class RunConfig(Section):
    """One training run, whole. Unknown fields and values out of range are refused by name.

    Attributes
    ----------
    name : str
        Name of the run and of its folder.
    manifest : Path
        The manifest to train on, relative to the working folder.
    seed : int
        Of weights, order and augmentation.
    title : str
        One line about this run; made from network and name where empty.
    limits : tuple of str
        Claims that this run cannot make; copied into the model card.
    serving : bool
        Whether to fit what only serving needs (out-of-distribution detection).
    split, stain, input, network, train, frozen, hardware
        Sections of their own; ``frozen`` is None where the whole network is trained.

    Examples
    --------
    >>> config = RunConfig(name="own", manifest="data/own.parquet", train={"epochs": 5})
    >>> config.train.epochs, config.network.name, config.split.unit
    (5, 'her2_resnet50', 'patient')
    """

    name: str = Field(
        ...,
        pattern=r"^[a-z0-9][a-z0-9-]{0,23}$",
        description="name of the run: up to 24 lower-case letters, digits and hyphens",
    )
    manifest: Path = Field(..., description="the manifest to train on, relative to the working folder")
    seed: int = Field(0, ge=0, description="of weights, order and augmentation")
    title: str = Field("", description="one line about this run; made from network and name where empty")
    limits: tuple[str, ...] = Field((), description="claims that this run cannot make; copied into the model card")
    serving: bool = Field(True, description="also fit what only serving needs; a study's runs do without")
    split: SplitConfig = Field(default_factory=SplitConfig)
    stain: StainConfig = Field(default_factory=StainConfig)
    input: InputConfig = Field(default_factory=InputConfig)
    network: NetworkConfig = Field(default_factory=NetworkConfig)
    train: TrainConfig = Field(default_factory=TrainConfig)
    frozen: FrozenConfig | None = Field(None, description="fit only the last layer, on frozen features")
    hardware: HardwareConfig = Field(default_factory=HardwareConfig)

    @model_validator(mode="after")
    def _freeze_within_epochs(self) -> RunConfig:
        if self.train.freeze_epochs >= self.train.epochs:
            got = f"{self.train.freeze_epochs} and {self.train.epochs}"
            raise ValueError("`train.freeze_epochs` to be smaller than `train.epochs`", got)
        return self

    def content_hash(self) -> str:
        """Hash all settings that determine the weights.

        ``title``, ``limits``, ``serving`` and, of ``hardware``, ``UNHASHED`` do not. Precision, accelerator, strategy
        and number of devices (each has a batch of its own) do.

        Returns
        -------
        str
            SHA-256, hexadecimal.

        Examples
        --------
        >>> a = RunConfig(name="own", manifest="m.csv", title="one")
        >>> a.content_hash() == a.model_copy(update={"title": "other"}).content_hash()
        True
        """
        content = self.model_dump(
            mode="json", exclude={"hardware": UNHASHED, "title": True, "limits": True, "serving": True}
        )
        if self.frozen is None:  # as in runs from before this section existed
            del content["frozen"]
        if self.split.fold is None:
            del content["split"]["fold"]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def to_yaml(self) -> str:
        """Write the configuration as YAML, defaults included.

        Returns
        -------
        str

        Examples
        --------
        >>> RunConfig(name="own", manifest="m.csv").to_yaml().splitlines()[0]
        'name: own'
        """
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


#: Fields that a title describes.
TITLED = {"name", "manifest", "network", "split", "stain", "frozen"}


def load_config(path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> RunConfig:
    """Read a configuration from YAML and apply overrides.

    Parameters
    ----------
    path : str or path
        A YAML file.
    overrides : sequence of str, optional
        ``a.b=c`` each; the value is read as YAML. Where a field of ``TITLED`` is overridden, the file's ``title`` no
        longer describes the run and is dropped unless it is overridden too; where ``manifest`` is, so are the file's
        ``limits``. A file may state under ``describes`` which manifest its title and limits are about; where its
        manifest is another, they are dropped with a warning.

    Returns
    -------
    RunConfig

    Raises
    ------
    ConfigError
        For a file that is missing or no YAML, and for a field or value that is not accepted; the message names the
        field, what it accepts, what was given, and near matches.

    Examples
    --------
    >>> load_config("configs/own.yaml", ["name=mine", "manifest=data/mine.parquet"]).title
    ''
    """
    path = Path(path)
    content = read_fields(path, example="configs/own.yaml")
    described = content.pop("describes", None)
    stated = content.get("manifest")
    if described is not None and stated != described and {"title", "limits"} & set(content):
        LOG.warning("%s: title and limits are about %s, not %s, and were dropped.", path.name, described, stated)
        content = {name: value for name, value in content.items() if name not in ("title", "limits")}
    overridden = {apply_override(content, override) for override in overrides}
    if overridden & TITLED and "title" not in overridden:
        content.pop("title", None)
    if "manifest" in overridden and "limits" not in overridden:
        content.pop("limits", None)
    return make_config(content, where=str(path))


def make_config(content: dict[str, Any], *, where: str = "configuration") -> RunConfig:
    """Validate plain values as a configuration.

    Parameters
    ----------
    content : dict
        Fields and values, as YAML gives them; of a known backbone, scaling and first weights may be left out
        (``backbone_defaults``).
    where : str, optional
        The source, for messages.

    Returns
    -------
    RunConfig

    Raises
    ------
    ConfigError
        For a field or value that is not accepted.

    Examples
    --------
    >>> make_config({"name": "own", "manifest": "m.csv", "seed": 3}).seed
    3
    >>> from her2core.errors import ConfigError
    >>> try:
    ...     make_config({"name": "own", "manifest": "m.csv", "train": {"lr": -1}})
    ... except ConfigError as error:
    ...     print(error.expected)
    `train.lr` to be a number greater than 0
    """
    try:
        return RunConfig.model_validate(with_backbone_defaults(content))
    except ValidationError as refused:
        raise config_error(refused, RunConfig, where=where) from None
