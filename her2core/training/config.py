"""What exactly is to be trained? YAML and ``--set a.b=c`` in, one strict and frozen RunConfig out.

Every default that Joshi et al. 2025 does not state (all but the 60/20/20 fractions, Macenko and ResNet50 + SE + DSC)
is our choice.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    PositiveFloat,
    ValidationError,
    field_validator,
    model_validator,
)

from her2core.data.splits import Unit
from her2core.errors import ConfigError


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SplitConfig(_Section):
    unit: Unit = Field(
        "patient", description="what stays on one side: patient, slide, site; or patch_random, predefined"
    )
    fractions: tuple[float, float, float] = Field((0.6, 0.2, 0.2), description="train, val, test (the paper's)")
    seed: int = Field(0, ge=0, description="which of the possible splits")


class StainConfig(_Section):
    method: Literal["macenko", "none"] = Field("macenko", description="Macenko to a stored reference, or as it is")
    white: float = Field(240.0, gt=200, le=255, description="grey level taken for no absorption")


class InputConfig(_Section):
    px: int = Field(112, ge=32, le=1024, description="side of the network's input in pixels")
    mean: tuple[float, float, float] = Field((0.485, 0.456, 0.406), description="subtracted from RGB in 0..1")
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = Field(
        (0.229, 0.224, 0.225), description="divided by, after the mean"
    )


class NetworkConfig(_Section):
    name: str = Field("her2_resnet50", description="a name of networks.registry, or timm:<name>")
    options: dict[str, Any] = Field(default_factory=dict, description="passed to the network, e.g. dropout: 0.5")

    @field_validator("options")
    @classmethod
    def _own(cls, options: dict[str, Any]) -> dict[str, Any]:
        if taken := {"classes", "name", "hub_id"} & set(options):
            raise ValueError(f"network.options must not hold {', '.join(sorted(taken))}: the data or the name says it")
        return options

    init: str = Field("none", description="none, imagenet, hub, package:<name>, file:<path.safetensors>, run:<folder>")


class AugmentConfig(_Section):
    flips: bool = Field(True, description="the eight flips and quarter turns")
    min_crop: float = Field(
        0.75, gt=0.2, le=1, description="smallest crop side as a share of the patch; 1 switches off"
    )
    stain: float = Field(0.15, ge=0, le=1, description="relative standard deviation of each stain's concentration")


class TrainConfig(_Section):
    epochs: int = Field(20, ge=1, description="at most this many passes over the training patches")
    batch_size: int = Field(32, ge=2, description="patches a step on each device")
    lr: float = Field(1e-3, gt=0, description="peak learning rate of AdamW, after warm-up; cosine down to 0")
    trunk_lr: float = Field(1.0, ge=0, le=1, description="the trunk's share of lr; under 1 for pretrained trunks")
    weight_decay: float = Field(0.05, ge=0, description="on weights, not on norms and biases")
    warmup_epochs: float = Field(1.0, ge=0, description="linear rise of the learning rate, epochs")
    freeze_epochs: int = Field(0, ge=0, description="epochs with the trunk frozen, before all is trained")
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="share of the target spread over all classes")
    class_weights: Literal["balanced", "none"] = Field("balanced", description="weight of a class by inverse frequency")
    monitor: Literal["val_balanced_accuracy", "val_accuracy", "val_loss"] = Field(
        "val_balanced_accuracy", description="what picks the best epoch and stops early"
    )
    patience: int = Field(8, ge=1, description="stop after this many epochs without a better one")
    augment: AugmentConfig = Field(default_factory=AugmentConfig)


#: What is tried on frozen features where the configuration names nothing: inverse penalties, numbers of neighbours.
TRIED = {"linear": (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0), "knn": (1.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0)}


class FrozenConfig(_Section):
    """The network stays as ``network.init`` left it; only its last layer is found. Of ``train``, class_weights and
    monitor count."""

    head: Literal["linear", "knn"] = Field("linear", description="logistic regression, or the nearest neighbours' vote")
    tried: tuple[FiniteFloat, ...] = Field(
        (), description="inverse penalties, or numbers of neighbours; TRIED where empty"
    )

    @model_validator(mode="before")
    @classmethod
    def _named(cls, given: Any) -> Any:
        """What is tried by default stands in the configuration, and so in its hash."""
        if isinstance(given, dict) and given.get("tried") in (None, (), []):
            head = given.get("head", "linear")
            return {**given, "tried": TRIED[head] if isinstance(head, str) and head in TRIED else ()}
        return given

    @model_validator(mode="after")
    def _positive(self) -> FrozenConfig:
        least = 1 if self.head == "knn" else 0
        if any(value < least or value == 0 or (self.head == "knn" and value % 1) for value in self.tried):
            raise ValueError("frozen.tried must hold positive numbers, whole ones for knn")
        return self


class HardwareConfig(_Section):
    accelerator: Literal["auto", "cpu", "gpu"] = Field("auto", description="what Lightning runs on")
    devices: int | Literal["auto"] = Field("auto", description="processes on this machine (on CPU: auto is 1)")
    nodes: int = Field(1, ge=1, description="machines")
    strategy: str = Field("auto", description="auto, or ddp for several devices or machines")
    precision: Literal["auto", "32-true", "16-mixed", "bf16-mixed"] = Field(
        "auto", description="auto: bf16 or fp16 mixed on a GPU, 32-bit on a CPU"
    )
    workers: int = Field(0, ge=0, description="processes that prepare batches; 0 prepares them in the training process")
    cache_gb: float = Field(4.0, ge=0, description="prepared patches are kept in memory up to this size")
    features: Path = Field(Path("data/.features"), description="where vectors of frozen networks are kept")


class RunConfig(_Section):
    """One training run, whole. Unknown fields and values out of range are refused by name."""

    name: str = Field(
        ..., pattern=r"^[a-z0-9][a-z0-9-]{0,39}$", description="short name of the data, for the run folder"
    )
    manifest: Path = Field(..., description="the manifest to train on, relative to the working folder")
    seed: int = Field(0, ge=0, description="of weights, order and augmentation")
    title: str = Field("", description="one line for people: what this run is")
    limits: tuple[str, ...] = Field((), description="what this run cannot claim; goes into the card")
    serving: bool = Field(True, description="also fit what serving needs alone; a study's runs go without")
    split: SplitConfig = Field(default_factory=SplitConfig)
    stain: StainConfig = Field(default_factory=StainConfig)
    input: InputConfig = Field(default_factory=InputConfig)
    network: NetworkConfig = Field(default_factory=NetworkConfig)
    train: TrainConfig = Field(default_factory=TrainConfig)
    frozen: FrozenConfig | None = Field(None, description="find only the last layer, on frozen features")
    hardware: HardwareConfig = Field(default_factory=HardwareConfig)

    @model_validator(mode="after")
    def _freeze_within_epochs(self) -> RunConfig:
        if self.train.freeze_epochs >= self.train.epochs:
            raise ValueError("train.freeze_epochs must be smaller than train.epochs")
        return self

    def content_hash(self) -> str:
        """SHA-256 (hex) of all that decides the result; hardware and words do not count."""
        content = self.model_dump(mode="json", exclude={"hardware", "title", "limits", "serving"})
        if self.frozen is None:  # as in runs from before there was this section
            del content["frozen"]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def to_yaml(self) -> str:
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def load_config(path: str | Path, overrides: list[str] | tuple[str, ...] = ()) -> RunConfig:
    """Read a YAML file and apply ``a.b=c`` overrides (values are read as YAML).

    Raises ConfigError that names the field, what it takes and what it got.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError("a YAML file", got="no such file", where=str(path), fix="See configs/ for examples.")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as broken:
        raise ConfigError(
            "valid YAML", got=str(broken).replace("\n", " ")[:150], where=str(path), fix="Correct that line."
        ) from None
    if not isinstance(content, dict):
        raise ConfigError("fields and values", got=type(content).__name__, where=str(path), fix="See configs/.")
    for override in overrides:
        _apply(content, override)
    return make_config(content, where=str(path))


def make_config(content: dict[str, Any], *, where: str = "configuration") -> RunConfig:
    """A RunConfig from plain values; ConfigError for anything it does not take."""
    try:
        return RunConfig.model_validate(content)
    except ValidationError as refused:
        first = refused.errors()[0]
        field = ".".join(map(str, first["loc"])) or "the whole"
        more = f" (and {len(refused.errors()) - 1} more)" if len(refused.errors()) > 1 else ""
        unknown = first["type"] == "extra_forbidden"
        raise ConfigError(
            f"fields as RunConfig has them at {field!r}" if unknown else f"{field}: {first['msg'].lower()}",
            got=(f"an unknown field {field!r}" if unknown else repr(first.get("input"))[:80]) + more,
            where=where,
            fix="her2core/training/config.py lists every field with what it takes.",
        ) from None


def _apply(content: dict, override: str) -> None:
    name, equals, value = override.partition("=")
    if not equals or not name:
        raise ConfigError("--set a.b=c", got=repr(override), where="--set", fix="Put an equals sign between.")
    *parents, last = name.split(".")
    for parent in parents:
        content = content.setdefault(parent, {})
        if not isinstance(content, dict):
            raise ConfigError(f"a section {parent!r}", got="a value", where=f"--set {name}", fix="Check the name.")
    try:
        content[last] = yaml.safe_load(value)
    except yaml.YAMLError:
        raise ConfigError(
            "a YAML value", got=repr(value), where=f"--set {name}", fix="Quote it, or close its brackets."
        ) from None
