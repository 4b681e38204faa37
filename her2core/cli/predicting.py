"""Prediction of files, folders and zips for ``her2 predict``: sources, scales, answers as they come, and their CSV."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from her2core.errors import ConfigError, Her2Error, ImageError
from her2core.notice import RESEARCH

if TYPE_CHECKING:
    from her2core.inference.field import FieldPrediction
    from her2core.inference.prediction import Prediction
    from her2core.inference.predictor import Predictor

#: Patches passed to the predictor together; the CSV has every answer of the patches before.
STEP = 64


@dataclass(frozen=True)
class Patch:
    """An image to predict: its source, or the reason why it cannot be read.

    Parameters
    ----------
    name : str
        As it is printed.
    source : path, bytes or None
    error : str, optional

    Examples
    --------
    >>> Patch("a.png", b"").error
    ''
    """

    name: str
    source: Path | bytes | None
    error: str = ""


class Sources:
    """Images named on a command line: files, folders and zips.

    Parameters
    ----------
    paths : sequence of Path
        As typed.

    Attributes
    ----------
    left_out : list of str
        What was not read by a rule, and which; complete once all patches were taken.
    notes : list of str
        Links that were followed out of a folder.

    Raises
    ------
    ImageError
        There is no image at all.

    Examples
    --------
    >>> [patch.name for patch in Sources([Path("a.png")])]
    ['a.png']
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        from her2core.io.images import SUFFIXES
        from her2core.io.listing import images_below
        from her2core.io.text import printable_path

        self.left_out: list[str] = []
        self.notes: list[str] = []
        self._files: list[Path | Patch] = []
        for path in paths:
            if path.is_dir():
                shown, listing = printable_path(path), images_below(path)
                self._files += listing.files
                self._files += [
                    Patch(f"{shown}/{s.partition(': ')[0]}", None, f"{shown}/{s}") for s in listing.unreadable
                ]
                self.left_out += [f"{shown}/{sentence}" for sentence in listing.left_out]
                self.notes += [f"{shown}: {listing.links_sentence}"] if listing.linked else []
            else:
                self._files.append(path)
        if all(isinstance(found, Patch) for found in self._files):
            said = [*self.left_out, *(found.error for found in self._files if isinstance(found, Patch))]
            found = f"none ({' '.join(said)})" if said else "none"
            raise ImageError(
                "at least one image",
                got=found,
                where=", ".join(map(printable_path, paths)),
                fix=f"Name files, a zip, or a folder with {', '.join(SUFFIXES)}.",
            )

    def __len__(self) -> int:
        return len(self._files)

    def __iter__(self) -> Iterator[Patch]:
        from her2core.io.text import printable_path

        for path in self._files:
            if isinstance(path, Patch):
                yield path
            elif path.suffix.lower() == ".zip":
                yield from self._zipped(path)
            else:
                yield Patch(printable_path(path), path)

    def _zipped(self, path: Path) -> Iterator[Patch]:
        from her2core.io.archives import read_archive
        from her2core.io.text import printable_path

        shown = printable_path(path)
        try:
            for entry in read_archive(path, name=shown):
                if entry.skipped:
                    self.left_out.append(f"{shown}/{entry.error}")
                else:
                    yield Patch(f"{shown}/{entry.name}", entry.data, entry.error)
        except ImageError as refused:
            yield Patch(shown, None, refused.sentence)


def predictions(
    predictor: Predictor, patches: Sequence[Patch], *, mpp: float | None
) -> list[tuple[Prediction | FieldPrediction, list[str]]]:
    """Predict patches, and fields of several tiles where the scale is known.

    Parameters
    ----------
    predictor : Predictor
    patches : sequence of Patch
    mpp : float or None
        Microns per pixel of all; where None, what each file states.

    Returns
    -------
    list of (Prediction or FieldPrediction, list of str)
        In order, each with notes of this command.
    """
    from her2core.inference.field import MIN_FIELDS, is_field, predict_field
    from her2core.io.scale import image_scale

    found: dict[int, tuple[Prediction | FieldPrediction, list[str]]] = {}
    alike: dict[float | None, list[int]] = {}
    notes: dict[int, list[str]] = {}
    for number, patch in enumerate(patches):
        notes[number] = []
        try:
            if patch.source is None:
                found[number] = _refused(predictor, patch.name, patch.error), []
                continue
            scale = image_scale(patch.source, name=patch.name)
            own = mpp or scale.mpp
            if mpp is None and own is not None:
                notes[number].append(f"{own:.4g} microns per pixel, from {scale.source}")
            if is_field(predictor, scale.width, scale.height, own):
                assert own is not None  # for the type checker: a field has a scale
                found[number] = predict_field(predictor, patch.source, mpp=own, name=patch.name), notes[number]
                continue
            if own is None and max(scale.width, scale.height) > MIN_FIELDS * predictor.px:
                notes[number].append(
                    f"the whole image of {scale.width:,} x {scale.height:,} px was shrunk to {predictor.px} px, as its "
                    "scale is unknown; with --mpp a larger field is predicted tile by tile"
                )
            alike.setdefault(own, []).append(number)
        except Her2Error as refused:
            found[number] = _refused(predictor, patch.name, refused.sentence), []
    for own, numbers in alike.items():
        sources = [source for n in numbers if (source := patches[n].source) is not None]
        answers = predictor.predict(sources, names=[patches[n].name for n in numbers], mpp=own)
        found |= {n: (a, notes[n] if a.error is None else []) for n, a in zip(numbers, answers, strict=True)}
    return [found[number] for number in range(len(patches))]


def _refused(predictor: Predictor, name: str, error: str) -> Prediction:
    from her2core.inference.prediction import Prediction

    return Prediction(name, predictor.classes, (), (), {}, predictor.model_id, error=error)


class AnswerFile:
    """CSV of answers, written as they come under a temporary name and renamed when complete.

    Where writing fails, or the command ends early, what was answered stays in ``<name>.partial.csv``. Cells that a
    spreadsheet would run as a formula are guarded (``io.spreadsheet``).

    Parameters
    ----------
    path : Path or None
        The file; None writes nothing.

    Examples
    --------
    >>> with AnswerFile(None) as file:
    ...     file.add([])
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file: TextIO | None = None
        self._rows = self._size = 0

    @property
    def partial(self) -> Path:
        """Where incomplete answers are."""
        assert self._path is not None  # asked for only where there is a file
        return self._path.with_name(f"{self._path.stem}.partial.csv")

    def __enter__(self) -> AnswerFile:
        if self._path is not None:
            from her2core.io.files import check_replaceable

            check_replaceable(self._path)
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if self._path.is_dir():
                raise ConfigError("a file", got="a folder", where=str(self._path), fix="Choose another name.")
            self._temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}.part")
            self._file = self._temporary.open("w", encoding="utf-8", newline="")
        return self

    def add(self, rows: Sequence[dict[str, Any]]) -> None:
        """Write rows of ``answer_row`` and hand them to the system.

        Parameters
        ----------
        rows : sequence of dict
        """
        if self._file is None or not rows:
            return
        import pandas as pd

        from her2core.io.spreadsheet import to_csv

        self._file.write(to_csv(pd.DataFrame(list(rows)), header=not self._rows))
        self._file.flush()
        self._rows, self._size = self._rows + len(rows), os.path.getsize(self._temporary)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if self._file is None or self._path is None:
            return
        try:
            self._file.close()
            if kind is None:
                os.replace(self._temporary, self._path)
                return
        except OSError as failed:
            kind, error = type(failed), failed
        kept = self._rows
        if kept:
            os.truncate(self._temporary, self._size)  # a row that was begun
            os.replace(self._temporary, self.partial)
        else:
            self._temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            from her2core.cli.base import system_error

            place = f" {kept:,} answers until then are in {self.partial}." if kept else ""
            raise system_error(error, self._path, also=place) from error
        if kept and error is not None:
            error.add_note(f"{kept:,} answers until then are in {self.partial}.")


def answer_row(found: dict[str, Any], notes: Sequence[str], classes: Sequence[str]) -> dict[str, Any]:
    """One answer as a row of the CSV, with the research notice.

    The probabilities are raw output of the network; label and prediction set are empty where ``reliable`` is False.

    Parameters
    ----------
    found : dict
        From ``Prediction.as_dict`` or ``FieldPrediction.as_dict``.
    notes : sequence of str
        What else must be known when the answer is read.
    classes : sequence of str
        The order of the probability columns.

    Returns
    -------
    dict
    """
    prediction_set = found.get("prediction_set")
    return {
        "name": found["name"],
        "answer": found["answer"],
        "label": found["label"],
        "prediction_set": None if prediction_set is None else ", ".join(prediction_set),
        "reliable": found["reliable"],
        **{f"probability_{c}": found["probabilities"].get(c) for c in classes},
        "usable": found.get("usable", bool(found["probabilities"])),
        "flags": " ".join(found.get("flags", ())),
        "reasons": "; ".join(found["reasons"]),
        "notes": "; ".join([*notes, *found.get("notes", ())]),
        "error": found.get("error"),
        "model": found["model"],
        "engine": found["engine"],
        "notice": RESEARCH,
    }
