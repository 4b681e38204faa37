"""Reading of a study's YAML file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from her2core.errors import ConfigError
from her2core.io.documents import parse_yaml
from her2core.training.config_errors import config_error

Study = TypeVar("Study", bound=BaseModel)


def read_study(path: str | os.PathLike[str], kind: type[Study], *, example: str) -> Study:
    """Read and validate a study's configuration.

    Parameters
    ----------
    path : str or path
        A YAML file.
    kind : type of BaseModel
        ``LeakageConfig`` or ``BackboneConfig``.
    example : str
        A file that shows the format, for messages.

    Returns
    -------
    BaseModel
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
