"""How is a study's YAML read? A path and the kind of study in; the study, or one sentence that names the field, out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from her2core.errors import ConfigError

Study = TypeVar("Study", bound=BaseModel)


def read_study(path: str | os.PathLike, kind: type[Study], *, example: str) -> Study:
    """The study in ``path``. Raises ConfigError; ``example`` is a file that shows how it is written."""
    path = Path(path)
    try:
        return kind.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as unread:
        raise ConfigError(
            "a YAML file", got=str(unread).splitlines()[0][:150], where=str(path), fix=f"See {example}."
        ) from None
    except ValidationError as refused:
        first = refused.errors()[0]
        raise ConfigError(
            first["msg"].lower(),
            got=repr(first.get("input"))[:80],
            where=f"{path}, {'.'.join(map(str, first['loc'])) or 'the whole'}",
            fix=f"See {example}.",
        ) from None
