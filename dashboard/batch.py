"""What does the run say about a whole folder or zip? Uploads in, one row each out, as steps of a job."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from itertools import islice

import pandas as pd

from dashboard.answers import DISTANCE, answer_table
from dashboard.uploads import Upload
from her2core.data.prepare import centre_square
from her2core.inference.predictor import Predictor
from her2core.io.images import encode_png, resize_rgb

#: Patches through the network in one step; cancel is looked at between steps.
STEP = 16
#: Side of a thumbnail in pixels.
THUMB = 56


def batch_steps(model: Predictor, uploads: Callable[..., Iterator[Upload]]):
    """Steps for dashboard.jobs.Job: rows (dict) with the answer, its thumbnail as a data URI, and why a file was
    refused. ``uploads(cancelled=..., on_progress=...)`` gives the patches one by one and says (done, of)."""

    def steps(cancelled: Callable[[], bool]):
        seen = [0, 0]
        incoming = uploads(cancelled=cancelled, on_progress=lambda *counts: seen.__setitem__(slice(None), counts))
        done = 0
        while few := list(islice(incoming, STEP)):
            done += len(few)
            yield _rows(model, few), max(done, seen[0]), seen[1] or None

    return steps


def _rows(model: Predictor, few: list[Upload]) -> list[dict]:
    good = [u for u in few if u.image is not None]
    answers = model.predict([u.image for u in good], names=[u.name for u in good]) if good else []
    told = iter(answer_table(answers).to_dict("records"))
    pictures = iter(u.image for u in good)
    rows = []
    for upload in few:
        if upload.image is None:
            rows.append({"patch": upload.name, "class": "not read", "notes": upload.error})
        else:
            rows.append({"thumbnail": _thumbnail(next(pictures)), **next(told)})
    return rows


def _thumbnail(image) -> str:
    png = encode_png(resize_rgb(centre_square(image), THUMB))
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def batch_table(rows: list[dict], classes: tuple[str, ...]) -> pd.DataFrame:
    """All rows so far, columns in a fixed order."""
    columns = ["thumbnail", "patch", "class", "prediction set", *classes, DISTANCE, "notes"]
    return pd.DataFrame(rows).reindex(columns=columns)


def filtered(table: pd.DataFrame, *, labels: list[str], noted: str, name: str) -> pd.DataFrame:
    """Rows of these classes (all when empty); ``noted`` all | with | without; whose name holds ``name``."""
    keep = pd.Series(True, index=table.index)
    if labels:
        keep &= table["class"].isin(labels)
    if noted != "all":
        has = table["notes"].fillna("") != ""
        keep &= has if noted == "with" else ~has
    if name:
        keep &= table["patch"].str.contains(name, case=False, regex=False, na=False)
    return table[keep]
