"""Kinds of damage to the files of a run folder, each a named function that changes a copy of a run.

Files may be hard links of a shared run: every change writes a new file in the old one's place.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from benchmarks.run_damage_fields import CARD, CONFIG, COST, GONE, INFO, STUDY
from her2core.runs.schema.study import STUDY_TABLES
from her2core.runs.schema.tables import EVALUATION_TABLES, RUN_TABLES

Damage = Callable[[Path], None]
DEEP = b'{"a":' * 20_000 + b"1" + b"}" * 20_000
HUGE = b'{"schema_version": 1, "seed": ' + b"9" * 10_000 + b"}"
JSON_FILES = ("run.json", "model.card.json", "checks.json", "evaluation/cost.json")
BINARY: dict[str, bytes] = {
    "empty": b"",
    "zero bytes": b"\0" * 200,
    "not UTF-8": b"\xff\xfe\xfa\xf5{}",
    "cut": b'{"schema_version": 1, ',
    "deeply nested": DEEP,
    "a huge integer": HUGE,
    "a list": b"[1, 2]",
    "a string": b'"run"',
    "an empty object": b"{}",
    "NaN": b"NaN",
}
#: Files of a run that only the steps and pages that open them can notice.
FILES = frozenset(
    [*JSON_FILES, "config.yaml", "events.jsonl", "model.safetensors", "ood.safetensors", *RUN_TABLES]
    + [f"evaluation/{name}.csv" for name in EVALUATION_TABLES]
)
TABLES = [name for name in EVALUATION_TABLES if name != "maps"]


def replace(file: Path, content: bytes) -> None:
    """Write a new file in the place of another, which may be a link.

    Parameters
    ----------
    file : Path
    content : bytes
    """
    file.unlink(missing_ok=True)
    file.write_bytes(content)


def set_field(name: str, field: str, value: Any) -> Damage:
    """The damage that gives a field of a JSON file another value, or takes it away (``GONE``).

    Parameters
    ----------
    name, field : str
        File of the run, and the field with dots between levels.
    value : object

    Returns
    -------
    callable
    """

    def change(run: Path) -> None:
        written = (run / name).read_text(encoding="utf-8")
        content = json.loads(written) if name.endswith(".json") else yaml.safe_load(written)
        place, path = content, field.split(".")
        for key in path[:-1]:
            if not isinstance(place.get(key), dict):
                place[key] = {}
            place = place[key]
        place.pop(path[-1], None)
        if value is not GONE:
            place[path[-1]] = value
        said = json.dumps(content) if name.endswith(".json") else yaml.safe_dump(content)
        replace(run / name, said.encode())

    return change


def with_bytes(name: str, content: bytes) -> Damage:
    """The damage that gives a file this content.

    Parameters
    ----------
    name : str
    content : bytes

    Returns
    -------
    callable
    """
    return lambda run: replace(run / name, content)


def as_folder(name: str) -> Damage:
    """The damage that puts a folder where a file stands.

    Parameters
    ----------
    name : str

    Returns
    -------
    callable
    """

    def change(run: Path) -> None:
        (run / name).unlink(missing_ok=True)
        (run / name).mkdir()

    return change


def as_link(name: str, target: str) -> Damage:
    """The damage that puts a link where a file stands.

    Parameters
    ----------
    name, target : str

    Returns
    -------
    callable
    """

    def change(run: Path) -> None:
        (run / name).unlink(missing_ok=True)
        os.symlink(target, run / name)

    return change


def edited(name: str, edit: Callable[[pd.DataFrame], pd.DataFrame]) -> Damage:
    """The damage that edits a table; none where the run does not have it.

    Parameters
    ----------
    name : str
        A CSV or Parquet file of the run.
    edit : callable
        From the old table to the new one.

    Returns
    -------
    callable
    """

    def change(run: Path) -> None:
        file = run / name
        if not file.exists():
            return
        csv = file.suffix == ".csv"
        frame = edit(pd.read_csv(file) if csv else pd.read_parquet(file))
        file.unlink()
        if csv:
            frame.to_csv(file, index=False)
        else:
            frame.to_parquet(file, index=False)

    return change


def _without(*columns: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda frame: frame.drop(columns=[c for c in columns if c in frame])


def _filled(column: str, value: Any) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda frame: frame.assign(**{column: [value] * len(frame)})


def _relabelled(name: str) -> Damage:
    def change(run: Path) -> None:
        if not (run / name).exists():
            return
        content = (run / name).read_bytes()
        for old, new in ((b"negative", b"left"), (b"positive", b"right")):
            content = re.sub(old, new, content)
        replace(run / name, content)

    return change


def _shown(value: Any) -> str:
    return "gone" if value is GONE else (text if len(text := json.dumps(value)) < 40 else f"{text[:37]}...")


def _csv_damages(file: str) -> dict[str, Damage]:
    """Kinds of damage to one table of an evaluation or a study."""
    edits: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
        "no rows": lambda f: f.head(0),
        "one row": lambda f: f.head(1),
        "the last row lacks": lambda f: f.iloc[:-1],
        "every row twice": lambda f: pd.concat([f, f]),
        "no column unit": _without("unit"),
        "another unit": _filled("unit", "cell"),
        "another class": _filled("class", "absent"),
        "text for numbers": lambda f: f.assign(**{c: "many" for c in f.select_dtypes("number")}),
        "infinite numbers": lambda f: f.assign(**{c: np.inf for c in f.select_dtypes("number")}),
        "no numbers": lambda f: f.assign(**{c: np.nan for c in f.select_dtypes("number")}),
        "numbers for text": lambda f: f.assign(**{c: 1.5 for c in f.select_dtypes(exclude="number")}),
    }
    inside = file.split("/", 2)[2] if file.startswith("study/") else file
    return {f"{file}: {what}": edited(inside, edit) for what, edit in edits.items()}


def study_damages() -> dict[str, Damage]:
    """Kinds of damage to the files of a study's folder, by a name that begins with ``study/<kind>/<file>``.

    Returns
    -------
    dict of str to callable
    """
    found: dict[str, Damage] = {}
    for kind, tables in STUDY_TABLES.items():
        for field, values in STUDY.items():
            for value in values:
                found[f"study/{kind}/study.json: {field} {_shown(value)}"] = set_field("study.json", field, value)
        for what in ("empty", "deeply nested", "a huge integer", "a list", "NaN"):
            found[f"study/{kind}/study.json: {what}"] = with_bytes("study.json", BINARY[what])
        found[f"study/{kind}/study.json: a link out"] = as_link("study.json", "/etc/hostname")
        for name in tables:
            found |= _csv_damages(f"study/{kind}/{name}.csv")
            found[f"study/{kind}/{name}.csv: zero bytes"] = with_bytes(f"{name}.csv", b"\0" * 300)
            found[f"study/{kind}/{name}.csv: a folder"] = as_folder(f"{name}.csv")
            found[f"study/{kind}/{name}.csv: a link out"] = as_link(f"{name}.csv", "/etc/passwd")
    return found


def _table_damages() -> dict[str, Damage]:
    found: dict[str, Damage] = {}
    for name in TABLES:
        file = f"evaluation/{name}.csv"
        found |= _csv_damages(file)
        found[f"{file}: zero bytes"] = with_bytes(file, b"\0" * 300)
        found[f"{file}: a folder"] = as_folder(file)
        found[f"{file}: gone"] = lambda run, file=file: (run / file).unlink(missing_ok=True)
        found[f"{file}: other class names"] = _relabelled(file)
    for name, needed in {
        "history.csv": "epoch",
        "predictions.parquet": "label",
        "splits.parquet": "split",
        "dataset.parquet": "patch_id",
    }.items():
        found |= {
            f"{name}: no rows": edited(name, lambda f: f.head(0)),
            f"{name}: no column {needed}": edited(name, _without(needed)),
            f"{name}: {needed} is a number": edited(name, _filled(needed, 1.5)),
            f"{name}: {needed} is infinite": edited(name, _filled(needed, np.inf)),
            f"{name}: {needed} is text": edited(name, _filled(needed, "x")),
            f"{name}: {needed} is missing": edited(name, _filled(needed, None)),
            f"{name}: zero bytes": with_bytes(name, b"\0" * 300),
            f"{name}: empty": with_bytes(name, b""),
            f"{name}: not UTF-8": with_bytes(name, b"\xff\xfe\xfa,\xf5\n1,2\n"),
            f"{name}: a folder": as_folder(name),
            f"{name}: only one other column": edited(name, lambda f: pd.DataFrame({"other": [1] * len(f)})),
            f"{name}: a link out": as_link(name, "/etc/passwd"),
        }
    logits = lambda f: [c for c in f if c.startswith("logit_")]  # noqa: E731
    found["predictions.parquet: scores NaN"] = edited(
        "predictions.parquet", lambda f: f.assign(**{c: np.nan for c in logits(f)})
    )
    found["predictions.parquet: scores as text"] = edited(
        "predictions.parquet", lambda f: f.assign(**{c: "x" for c in logits(f)})
    )
    found["predictions.parquet: no scores"] = edited("predictions.parquet", lambda f: f.drop(columns=logits(f)))
    found["predictions.parquet: no test part"] = edited("predictions.parquet", _filled("split", "val"))
    found["predictions.parquet: no patch ids"] = edited("predictions.parquet", _without("patch_id"))
    found["predictions.parquet: ids repeat"] = edited("predictions.parquet", _filled("patch_id", "p"))
    found["history.csv: losses as text"] = edited("history.csv", lambda f: f.astype(str) + "x")
    found["history.csv: only epochs"] = edited("history.csv", lambda f: f[["epoch"]])
    found["history.csv: losses infinite"] = edited(
        "history.csv", lambda f: f.assign(**{c: np.inf for c in f if c != "epoch"})
    )
    for column in ("patient_id", "slide_id", "site", "split", "label"):
        found[f"dataset.parquet: no column {column}"] = edited("dataset.parquet", _without(column))
        found[f"dataset.parquet: {column} is a number"] = edited("dataset.parquet", _filled(column, 2.5))
        found[f"dataset.parquet: {column} is missing"] = edited("dataset.parquet", _filled(column, None))
    return found


def all_damages() -> dict[str, Damage]:
    """Every kind of damage to a run by a name that says what was done.

    Returns
    -------
    dict of str to callable

    Examples
    --------
    >>> len(all_damages()) > 400
    True
    """
    found: dict[str, Damage] = {}
    files = {"model.card.json": CARD, "run.json": INFO, "config.yaml": CONFIG, "evaluation/cost.json": COST}
    for name, fields in files.items():
        for field, values in fields.items():
            for value in values:
                found[f"{name}: {field} {_shown(value)}"] = set_field(name, field, value)
    for name in JSON_FILES:
        for what, content in BINARY.items():
            found[f"{name}: {what}"] = with_bytes(name, content)
        found[f"{name}: a folder"] = as_folder(name)
        found[f"{name}: a link out"] = as_link(name, "/etc/hostname")
        found[f"{name}: a link to itself"] = as_link(name, Path(name).name)
    for name in ("config.yaml", "events.jsonl", "model.safetensors", "ood.safetensors"):
        for what in ("empty", "zero bytes", "not UTF-8", "cut", "deeply nested", "a list"):
            found[f"{name}: {what}"] = with_bytes(name, BINARY[what])
        found[f"{name}: a folder"] = as_folder(name)
        found[f"{name}: a link out"] = as_link(name, "/etc/hostname")
    found["model.safetensors: a pickle"] = with_bytes("model.safetensors", b"\x80\x04N.")
    found["evaluation: gone"] = lambda run: shutil.rmtree(run / "evaluation")
    found |= _table_damages()
    return found
