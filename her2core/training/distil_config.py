"""Configuration of a distillation: teacher, student, unlabelled patches, loss; read from YAML.

Every default is our choice.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from her2core.runs.schema.card import LARGEST_PX
from her2core.training.backbone_defaults import with_backbone_defaults
from her2core.training.config import (
    UNHASHED,
    HardwareConfig,
    InputConfig,
    NetworkConfig,
    OptimisationConfig,
    StainConfig,
)
from her2core.training.config_errors import config_error
from her2core.training.config_files import apply_override, read_fields
from her2core.training.config_split import Section

EXAMPLE = "configs/distil-resnet50.yaml"


class ManifestPatches(Section):
    """Patches of a manifest; their labels are not used."""

    manifest: Path = Field(..., description="a manifest, relative to the working folder")
    leave_out: tuple[Path, ...] = Field(
        (), description="run folders: patches of their parts `leave_out_parts` are not used"
    )
    leave_out_parts: tuple[Literal["train", "val", "test"], ...] = Field(
        ("val", "test"), description="parts of these runs that are not used"
    )


class FolderPatches(Section):
    """Square windows of unlabelled images below a folder."""

    folder: Path = Field(..., description="a folder of images, relative to the working folder")
    source: str = Field(..., min_length=1, description="name of the data set")
    window: int = Field(..., ge=16, le=LARGEST_PX, description="side of a window in pixels of the image")
    overlap: float = Field(0.0, ge=0, lt=1, description="smallest share of the side that neighbours overlap")


class TeacherConfig(Section):
    """A pretrained network whose embedding is taught; it is never changed."""

    network: NetworkConfig
    input: InputConfig = Field(default_factory=InputConfig)


class DistilConfig(Section):
    """One distillation, whole. Unknown fields and values out of range are refused by name.

    Attributes
    ----------
    name : str
        Name of the folder of weights.
    patches, folders : tuple
        What the student is taught on.
    teacher : TeacherConfig
        Network, first weights and input of the teacher.
    student : NetworkConfig
    input : InputConfig
        Size and scaling of the student's input.
    views : int
        Augmented views of each patch that the teacher embeds; epoch e uses view e modulo this number.
    loss : {"squared", "cosine"}
        Between the student's prediction and the teacher's standardised embedding.
    held_out : float
        Share of the patches that selects the epoch.
    seed, title, limits, stain, train, hardware
        As in RunConfig.

    Examples
    --------
    >>> config = load_distillation("configs/distil-resnet50.yaml")
    >>> config.student.name, config.loss
    ('resnet50', 'squared')
    """

    name: str = Field(
        ...,
        pattern=r"^[a-z0-9][a-z0-9-]{0,39}$",
        description="name of the weights: up to 40 lower-case letters, digits and hyphens",
    )
    title: str = Field("", description="one line; made from student and teacher where empty")
    limits: tuple[str, ...] = Field((), description="claims that these weights cannot make; copied into the card")
    seed: int = Field(0, ge=0, description="of weights, order and augmentation")
    patches: tuple[ManifestPatches, ...] = Field((), description="manifests, whose labels are not used")
    folders: tuple[FolderPatches, ...] = Field((), description="folders of unlabelled images")
    teacher: TeacherConfig
    student: NetworkConfig
    input: InputConfig = Field(default_factory=InputConfig)
    stain: StainConfig = Field(default_factory=StainConfig)
    views: int = Field(4, ge=1, le=64, description="augmented views of each patch that the teacher embeds")
    loss: Literal["squared", "cosine"] = Field(
        "squared", description="squared error or cosine distance to the standardised embedding"
    )
    held_out: float = Field(0.05, gt=0, lt=0.5, description="share of the patches that selects the epoch")
    train: OptimisationConfig = Field(default_factory=OptimisationConfig)
    hardware: HardwareConfig = Field(default_factory=HardwareConfig)

    @model_validator(mode="after")
    def _has_patches(self) -> DistilConfig:
        if not self.patches and not self.folders:
            raise ValueError("`patches` or `folders` to name at least one source of patches", "neither")
        return self

    @model_validator(mode="after")
    def _has_taught_teacher(self) -> DistilConfig:
        if self.teacher.network.init == "none":
            raise ValueError("`teacher.network.init` to name pretrained weights", "none")
        return self

    def content_hash(self) -> str:
        """Hash all settings that determine the weights, as ``RunConfig.content_hash`` does.

        Returns
        -------
        str
            SHA-256, hexadecimal.

        Examples
        --------
        >>> config = load_distillation("configs/distil-resnet50.yaml")
        >>> config.content_hash() == config.model_copy(update={"title": "other"}).content_hash()
        True
        """
        content = self.model_dump(mode="json", exclude={"hardware": UNHASHED, "title": True, "limits": True})
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def to_yaml(self) -> str:
        """Write the configuration as YAML, defaults included.

        Returns
        -------
        str

        Examples
        --------
        >>> load_distillation("configs/distil-resnet50.yaml").to_yaml().splitlines()[0]
        'name: resnet50-taught'
        """
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def load_distillation(path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> DistilConfig:
    """Read a distillation's configuration from YAML and apply overrides.

    Parameters
    ----------
    path : str or path
        A YAML file.
    overrides : sequence of str, optional
        ``a.b=c`` each; the value is read as YAML.

    Returns
    -------
    DistilConfig

    Raises
    ------
    ConfigError
        For a file that is missing or no YAML, and for a field or value that is not accepted.

    Examples
    --------
    >>> load_distillation("configs/distil-resnet50.yaml", ["train.epochs=2"]).train.epochs
    2
    """
    content = read_fields(Path(path), example=EXAMPLE)
    for override in overrides:
        apply_override(content, override)
    return make_distillation(content, where=str(path))


def make_distillation(content: dict[str, Any], *, where: str = "configuration") -> DistilConfig:
    """Validate plain values as a distillation's configuration.

    Parameters
    ----------
    content : dict
        Fields and values, as YAML gives them; scaling and first weights of a known teacher may be left out
        (``backbone_defaults``).
    where : str, optional
        The source, for messages.

    Returns
    -------
    DistilConfig

    Raises
    ------
    ConfigError
        For a field or value that is not accepted.

    Examples
    --------
    >>> from her2core.errors import ConfigError
    >>> nothing = {"name": "x", "student": {"name": "resnet50"}, "teacher": {"network": {"name": "resnet50"}}}
    >>> try:
    ...     make_distillation(nothing)
    ... except ConfigError as error:
    ...     print(error.got)
    neither
    """
    if isinstance(teacher := content.get("teacher"), dict):
        content = {**content, "teacher": with_backbone_defaults(teacher)}
    try:
        return DistilConfig.model_validate(content)
    except ValidationError as refused:
        raise config_error(refused, DistilConfig, where=where) from None
