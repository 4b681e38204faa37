"""Predictions for a zip or folder of patches, as steps of a background job."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, Literal, Protocol

import numpy as np
import pandas as pd

from her2core.data.prepare import centre_square
from her2core.inference.answers import OOD_COLUMN, prediction_table
from her2core.inference.background import Step
from her2core.inference.field import is_field
from her2core.inference.prediction import NO_ANSWER, NOT_READ, REFER
from her2core.inference.predictor import Predictor
from her2core.io.images import encode_png, resize_rgb
from her2core.io.uploads import Upload

#: Patches through the network in one step; cancellation is checked between steps.
STEP = 16
#: What is said of an image that is larger than a patch.
FIELD = "this is a field of several patches: the page Patch and the command her2 predict cut it into tiles"
#: Side of a thumbnail in pixels.
THUMBNAIL = 56
Row = dict[str, Any]
Noted = Literal["all", "with", "without"]
#: Choices of ``filter_batch`` by notes.
NOTED: tuple[Noted, ...] = ("all", "with", "without")


class UploadReader(Protocol):
    """``read_uploaded_archive`` or ``read_folder`` with its source filled in."""

    def __call__(self, *, cancelled: Callable[[], bool], on_progress: Callable[[int, int], None]) -> Iterator[Upload]:
        """Yield the patches one by one and report (done, total)."""
        ...


def batch_steps(model: Predictor, uploads: UploadReader) -> Callable[[Callable[[], bool]], Iterator[Step[Row]]]:
    """Make the steps of a batch prediction for ``her2core.inference.background.Job``.

    Parameters
    ----------
    model : Predictor
        The model to predict with.
    uploads : UploadReader
        Yields the patches.

    Returns
    -------
    callable
        Its results are rows as ``batch_table`` shows them: the prediction with a thumbnail as a data URI, or the
        reason why a file was refused.
    """

    def steps(cancelled: Callable[[], bool]) -> Iterator[Step[Row]]:
        progress = [0, 0]

        def on_progress(done: int, total: int) -> None:
            progress[:] = done, total

        incoming = uploads(cancelled=cancelled, on_progress=on_progress)
        done = 0
        while chunk := list(islice(incoming, STEP)):
            done += len(chunk)
            yield _rows(model, chunk), max(done, progress[0]), progress[1] or None

    return steps


def batch_table(rows: Sequence[Row], classes: Sequence[str]) -> pd.DataFrame:
    """Return the rows so far as a table with its columns in a fixed order.

    Parameters
    ----------
    rows : sequence of dict
        Results of ``batch_steps``; each also has ``file``, the name as it was stated (``answers.with_files``).
    classes : sequence of str
        The model's classes.

    Returns
    -------
    pandas.DataFrame
        ``thumbnail``, ``patch``, ``answer``, ``prediction set``, one column a class, OOD_COLUMN, ``notes``.

    Examples
    --------
    >>> batch_table([{"patch": "a.png", "answer": "Not read", "notes": "a.png: empty"}], ("negative",)).shape
    (1, 7)
    """
    columns = ["thumbnail", "patch", "answer", "prediction set", *classes, OOD_COLUMN, "notes"]
    return pd.DataFrame(list(rows)).reindex(columns=columns)


def answers_offered(table: pd.DataFrame, classes: Sequence[str]) -> list[str]:
    """What a table may be filtered by: classes that occur in an answer or prediction set, then what is no class.

    Parameters
    ----------
    table : pandas.DataFrame
        From ``batch_table``.
    classes : sequence of str
        The model's classes.

    Returns
    -------
    list of str

    Examples
    --------
    >>> rows = [{"answer": "low or high", "prediction set": "low, high"}, {"answer": "Not read"}]
    >>> answers_offered(batch_table(rows, ("high", "low", "other")), ("high", "low", "other"))
    ['high', 'low', 'Not read']
    """
    offered = (*classes, NO_ANSWER, NOT_READ)
    return [name for name in offered if len(filter_batch(table, labels=[name]))]


def filter_batch(
    table: pd.DataFrame, *, labels: Sequence[str] = (), noted: Noted = "all", name: str = ""
) -> pd.DataFrame:
    """Select rows of a batch table by answer, notes and file name.

    Parameters
    ----------
    table : pandas.DataFrame
        From ``batch_table``.
    labels : sequence of str
        Answers to keep, and classes: a row is kept where its answer or its prediction set contains one. All when empty.
    noted : {"all", "with", "without"}
        Whether to keep rows with notes.
    name : str
        Text that the file's name must contain, in any case.

    Returns
    -------
    pandas.DataFrame
        The selected rows.

    Examples
    --------
    >>> table = batch_table([{"patch": "A1.png", "answer": "negative"}, {"patch": "b.png", "answer": "positive"}], ())
    >>> list(filter_batch(table, name="a1")["patch"]), list(filter_batch(table, labels=["positive"])["patch"])
    (['A1.png'], ['b.png'])
    """
    keep = pd.Series(True, index=table.index)
    if labels:
        sets = ", " + table["prediction set"].astype(object).fillna("") + ", "
        chosen = [sets.str.contains(f", {label}, ", regex=False) for label in labels]
        named = table["answer"].isin([*labels, *map(REFER.format, labels)])
        keep &= pd.concat([named, *chosen], axis=1).any(axis=1)
    if noted != "all":
        has_notes = table["notes"].fillna("") != ""
        keep &= has_notes if noted == "with" else ~has_notes
    if name:
        keep &= table["patch"].str.contains(name, case=False, regex=False, na=False)
    return table[keep]


def _rows(model: Predictor, chunk: list[Upload]) -> list[Row]:
    images = [u.decoded for u in chunk if u.image is not None]
    names = [u.name for u in chunk if u.image is not None]
    predictions = model.predict(images, names=names) if images else []
    predicted = iter(prediction_table(predictions).to_dict("records"))
    rows: list[Row] = []
    for upload in chunk:
        if upload.image is None:
            rows.append({"patch": upload.name, "answer": NOT_READ, "notes": upload.error})
        else:
            row = {"thumbnail": _thumbnail(upload.image), **{str(k): v for k, v in next(predicted).items()}}
            height, width = upload.image.shape[:2]
            if is_field(model, width, height, upload.mpp):
                row["notes"] = "; ".join([*filter(None, [row["notes"]]), FIELD])
            rows.append(row)
        rows[-1]["file"] = upload.file
    return rows


def _thumbnail(image: np.ndarray) -> str:
    png = encode_png(resize_rgb(centre_square(image), THUMBNAIL))
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
