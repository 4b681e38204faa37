"""What the configurations of all studies have in common, and the reading of their YAML files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from her2core.errors import ConfigError
from her2core.io.documents import parse_yaml
from her2core.study.figures import Primary
from her2core.training.config_errors import config_error


class StudyConfig(BaseModel):
    """What every study states.

    Attributes
    ----------
    title : str
        One line about the study.
    run : dict
        Fields of RunConfig that all trainings share, without those of ``SETS``.
    seeds : tuple of int
        They differ.
    primary : Primary
        The one metric and unit about which statements are made.

    Examples
    --------
    >>> StudyConfig(title="t", run={"name": "own", "manifest": "m.csv"}).seeds
    (0, 1, 2)
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: Fields of RunConfig that the study sets itself.
    SETS: ClassVar[tuple[str, ...]] = ()

    title: str = Field(..., min_length=1, description="one line about the study")
    run: dict[str, Any] = Field(..., description="fields of RunConfig without those that the study sets")
    seeds: tuple[int, ...] = Field((0, 1, 2), min_length=1, description="of weights, order and augmentation")
    primary: Primary = Field(default_factory=Primary, description="metric and unit about which statements are made")

    @model_validator(mode="after")
    def _shared(self) -> StudyConfig:
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("seeds that differ", list(self.seeds))
        if taken := sorted(set(self.SETS) & set(self.run)):
            raise ValueError(f"`run` without {', '.join(self.SETS)}: the study sets them", ", ".join(taken))
        for section in ("input", "train"):
            if not isinstance(self.run.get(section, {}), dict):
                raise ValueError(f"`run.{section}` to hold fields and values", self.run[section])
        return self


Study = TypeVar("Study", bound=StudyConfig)


def read_study(path: str | os.PathLike[str], kind: type[Study], *, example: str) -> Study:
    """Read and validate a study's configuration.

    Parameters
    ----------
    path : str or path
        A YAML file.
    kind : type of StudyConfig
        ``LeakageConfig``, for example.
    example : str
        A file that shows the format, for messages.

    Returns
    -------
    StudyConfig
        Of the given kind.

    Raises
    ------
    ConfigError
        That names the field.

    Examples
    --------
    >>> from her2core.study.leakage import LeakageConfig
    >>> read_study("configs/study/leakage.yaml", LeakageConfig, example="").seeds
    (0, 1, 2)
    """
    path = Path(path)
    try:
        return kind.model_validate(parse_yaml(path.read_bytes()))
    except ValidationError as refused:
        raise config_error(refused, kind, where=str(path), fix=f"{example} is an example.") from None
    except (OSError, ValueError) as unread:
        raise ConfigError(
            "a YAML file", got=str(unread).splitlines()[0][:150], where=path, fix=f"{example} is an example."
        ) from None
