"""Prediction of a large field, tile by tile at the field of view that a run was trained on.

A network answers for a patch of one field of view. A larger field shrunk to its input shows tissue at another scale, so
it is cut into tiles of that field of view instead. The rules are our choice and are stated with the result:

- Tiles cover the whole field; where its side is no multiple of the tile's, neighbours overlap evenly.
- The field's probabilities are the mean over the tiles that count: those with assessable tissue that are like the
  training patches (``inference.prediction.UNRELIABLE`` names the flags that exclude a tile).
- A class is named only where at least half of the tiles with tissue count. A field has no prediction set: the coverage
  of prediction sets holds for single patches. But where a patch of the field's probabilities would have several classes
  in its set, all of them are named.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from her2core.data.prepare import FLAGS
from her2core.errors import ConfigError, ImageError
from her2core.inference.arguments import checked_batch, checked_mpp
from her2core.inference.images import ImageLike, image_name
from her2core.inference.prediction import answer_text
from her2core.inference.predictor import Predictor
from her2core.inference.tiles import credible_classes, left_out_notes, tile_reasons, tile_row
from her2core.io.colours import FLAGS as COLOUR_FLAGS
from her2core.io.images import DecodedImage, RGBImage, as_decoded
from her2core.labels import referral_class

if TYPE_CHECKING:
    import pandas as pd

#: A field is an image whose shorter side exceeds this many fields of view; a smaller one is a patch.
MIN_FIELDS = 1.5
#: Shortest side of a tile, as a share of the network's input: below it, tiles would be enlarged beyond use.
_MIN_TILE = 0.25
#: How a field's answer comes about, for people.
FIELD_RULE = (
    "Each tile shows one field of view of the training patches. The field's probabilities are the mean over the tiles "
    "with assessable tissue that are like the training patches; a class is named where these are at least half of the "
    "tiles with tissue, and several classes where the prediction set of a patch with these probabilities has several."
)


@dataclass(frozen=True, repr=False)
class FieldPrediction:
    """What a run predicts for a large field.

    Parameters
    ----------
    name : str
        What the caller calls the field.
    classes : tuple of str
        In the order of ``probabilities``.
    probabilities : tuple of float
        Mean over the tiles that count, in 0..1; empty where none counts.
    tiles : DataFrame
        One row a tile: ``x, y, width, height`` in pixels of the field, ``probability_<class>``, ``flags`` (keys of
        data.prepare.FLAGS, separated by spaces), ``tissue`` and ``counts`` (bool). Not to be changed.
    size : tuple of int
        Width and height of the field in pixels.
    mpp : float
        Microns per pixel that the tiling used.
    field_um : float
        Side of a tile in microns.
    model : str
        The run's name and the first 12 digits of its weights' SHA-256.
    research_use_only : bool
        Always True.
    engine : str
        What computed the forward passes: library, version, precision and device.
    credible : tuple of str
        From ``inference.tiles.credible_classes``.

    Examples
    --------
    >>> from her2core.inference.example import example_predictor
    >>> glass = np.full((300, 400, 3), 245, np.uint8)
    >>> found = predict_field(example_predictor(), glass, mpp=0.5, field_um=50.0)
    >>> found
    FieldPrediction(name='image 1', answer='No reliable answer', tiles=12, counted=0)
    >>> found.reasons
    ['none of the 12 tiles has assessable tissue']
    """

    name: str
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]
    tiles: pd.DataFrame = field(compare=False)
    size: tuple[int, int]
    mpp: float
    field_um: float
    model: str
    research_use_only: bool = True
    engine: str = ""
    credible: tuple[str, ...] = ()

    @property
    def counted(self) -> int:
        """Number of tiles that the probabilities are the mean of."""
        return int(self.tiles["counts"].sum())

    @property
    def reasons(self) -> list[str]:
        """Why there is no reliable answer, as phrases for people; empty where there is one."""
        return tile_reasons(self.tiles)

    @property
    def reliable(self) -> bool:
        """Whether a class may be named."""
        return not self.reasons

    @property
    def most_probable(self) -> str | None:
        """The class of highest mean probability, reliable or not; None where no tile counts."""
        return self.classes[int(np.argmax(self.probabilities))] if self.probabilities else None

    @property
    def label(self) -> str | None:
        """The most probable class of a reliable prediction; None where ``reliable`` is False."""
        return self.most_probable if self.reliable else None

    @property
    def named(self) -> tuple[str, ...]:
        """Classes that the answer names: the label and those that are credible beside it; empty without a label."""
        return tuple(c for c in self.classes if c == self.label or (self.label and c in self.credible))

    @property
    def answer(self) -> str:
        """What to show first: all of ``named``, a referral for ISH, or NO_ANSWER."""
        return answer_text(self.label, self.named, referral=referral_class(self.classes))

    @property
    def notes(self) -> list[str]:
        """How the answer came about and which tiles were left out, as phrases for people."""
        found = [
            f"the field was cut into {len(self.tiles):,} tiles of {self.field_um:g} microns at {self.mpp:g} microns "
            f"per pixel; the probabilities are the mean of {self.counted:,} of them"
        ]
        found += left_out_notes(self.tiles)
        found += [
            FLAGS[flag]
            for flag in COLOUR_FLAGS
            if self.tiles["flags"].str.split().map(set(flag.split()).issubset).all()
        ]
        failed = int((self.tiles["flags"] == "error").sum())
        return found + ([f"{failed:,} tiles could not be predicted"] if failed else [])

    def heatmap(self, target: str | None = None, *, longest: int | None = None) -> npt.NDArray[np.float32]:
        """Probability of a class over the field.

        Parameters
        ----------
        target : str, optional
            The class; the most probable one by default.
        longest : int, optional
            Longest side of the result in pixels; the field's own size when left out.

        Returns
        -------
        float32 array (H, W)
            Probability, 0-1, the mean where tiles overlap; NaN where no tile counts.

        Raises
        ------
        ConfigError
            For an unknown class.

        Examples
        --------
        >>> from her2core.inference.example import example_predictor
        >>> found = predict_field(example_predictor(), np.full((300, 400, 3), 245, np.uint8), mpp=0.5, field_um=50.0)
        >>> found.heatmap("negative").shape, found.heatmap("negative", longest=100).shape
        ((300, 400), (75, 100))
        """
        name = target or self.most_probable or self.classes[0]
        if name not in self.classes:
            raise ConfigError(f"one of {', '.join(self.classes)}", got=repr(name), where="target", fix="Choose one.")
        width, height = self.size
        scale = min(1.0, (longest or max(self.size)) / max(self.size))
        shape = max(1, round(height * scale)), max(1, round(width * scale))
        total, times = np.zeros(shape, np.float32), np.zeros(shape, np.uint8)
        for tile in self.tiles[self.tiles["counts"]].to_dict("records"):
            top, bottom = (round(v * scale) for v in (tile["y"], tile["y"] + tile["height"]))
            left, right = (round(v * scale) for v in (tile["x"], tile["x"] + tile["width"]))
            total[top:bottom, left:right] += tile[f"probability_{name}"]
            times[top:bottom, left:right] += 1
        return np.where(times > 0, total / np.maximum(times, 1), np.float32(np.nan)).astype(np.float32)

    def as_dict(self) -> dict[str, Any]:
        """All of it, JSON-ready.

        Returns
        -------
        dict
            With ``tiles`` as a list of rows.
        """
        rows = self.tiles.astype(object).where(self.tiles.notna(), None).to_dict("records")
        return {
            "name": self.name,
            "answer": self.answer,
            "label": self.label,
            "named": list(self.named),
            "reliable": self.reliable,
            "reasons": self.reasons,
            "notes": self.notes,
            "probabilities": dict(zip(self.classes, self.probabilities, strict=False)),
            "width": self.size[0],
            "height": self.size[1],
            "mpp": self.mpp,
            "field_um": self.field_um,
            "counted": self.counted,
            "tiles": rows,
            "model": self.model,
            "engine": self.engine,
            "research_use_only": self.research_use_only,
        }

    def __repr__(self) -> str:
        return (
            f"FieldPrediction(name={self.name!r}, answer={self.answer!r}, tiles={len(self.tiles)}, "
            f"counted={self.counted})"
        )


def is_field(predictor: Predictor, width: int, height: int, mpp: float | None) -> bool | None:
    """Whether an image is a field of several tiles rather than one patch.

    Parameters
    ----------
    predictor : Predictor
        Its run states the field of view.
    width, height : int
        Of the image, in pixels.
    mpp : float or None
        Microns per pixel, where known.

    Returns
    -------
    bool or None
        None where it cannot be told, because the scale or the run's field of view is unknown.

    Examples
    --------
    >>> from her2core.inference.example import example_predictor
    >>> is_field(example_predictor(), 2000, 2000, 0.5) is None
    True
    """
    field_um = predictor.prepare.field_um
    if field_um is None or mpp is None:
        return None
    # The longer side, so that a strip of several fields of view is refused rather than cropped to its middle.
    return max(width, height) * mpp > MIN_FIELDS * field_um


def predict_field(
    predictor: Predictor,
    image: ImageLike,
    *,
    mpp: float,
    field_um: float | None = None,
    name: str | None = None,
    batch: int = 16,
    progress: Callable[[int, int], Any] | None = None,
) -> FieldPrediction:
    """Predict a field tile by tile.

    Parameters
    ----------
    predictor : Predictor
        From ``load_predictor``.
    image : image
        As for ``Predictor.predict``.
    mpp : float
        Microns per pixel of the field; ``io.scale.image_scale`` reads it from a file, PRESETS has usual values.
    field_um : float, optional
        Side of a tile in microns; that of the run's training patches when left out.
    name : str, optional
        What to call the field.
    batch : int, default 16
        Tiles a forward pass.
    progress : callable, optional
        Called with (tiles done, tiles in all) after each batch; what it raises ends the prediction.

    Returns
    -------
    FieldPrediction

    Raises
    ------
    ConfigError
        For ``mpp`` or ``batch`` out of range, or a run that states no field of view.
    ImageError
        The image cannot be read, is smaller than one tile (a strip, for example), or too coarse.

    Examples
    --------
    >>> from her2core.inference.example import example_predictor
    >>> strip = np.full((10, 2000, 3), 200, np.uint8)
    >>> predict_field(example_predictor(), strip, mpp=0.5, field_um=50.0)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    her2core.errors.ImageError: Expected a field of at least 67 x 67 px (one field of view of 50 microns at 0.5 ...
    """
    import pandas as pd

    called = name or image_name(image, 1)
    scale = checked_mpp(mpp)
    if scale is None:
        raise ConfigError("argument `mpp` to be microns per pixel above 0", got="None", fix="State the field's scale.")
    side_um = checked_mpp(field_um) or predictor.prepare.field_um
    if side_um is None:
        raise ConfigError(
            "a run that states the field of view of its training patches",
            got="one that does not",
            where=predictor.model_id,
            fix="Pass `field_um`, or cut the field into patches like those of training.",
        )
    batch = checked_batch(batch)
    decoded = as_decoded(image, name=called)
    pixels = decoded.pixels
    boxes = _boxes(pixels, side_um, scale, predictor.px, called)
    rows: list[dict[str, Any]] = []
    for start in range(0, len(boxes), batch):
        chunk = boxes[start : start + batch]
        cut = [DecodedImage(pixels[y : y + side, x : x + side], decoded.flags) for x, y, side in chunk]
        # The tiles have the right field of view by construction; where they were shortened, by less than a third.
        found = predictor.predict(cut, names=[called] * len(cut), mpp=scale, batch=batch)
        rows += [
            {"x": x, "y": y, "width": side, "height": side, **tile_row(prediction)}
            for (x, y, side), prediction in zip(chunk, found, strict=True)
        ]
        if progress:
            progress(len(rows), len(boxes))
    tiles = pd.DataFrame(rows)
    columns = [f"probability_{c}" for c in predictor.classes]
    counted = tiles.loc[tiles["counts"], columns].to_numpy(float)
    mean = tuple(float(v) for v in counted.mean(axis=0)) if len(counted) else ()
    size = pixels.shape[1], pixels.shape[0]
    facts = (size, scale, float(side_um), predictor.model_id)
    credible = credible_classes(predictor.run, mean)
    return FieldPrediction(called, predictor.classes, mean, tiles, *facts, engine=predictor.engine, credible=credible)


def _boxes(pixels: RGBImage, side_um: float, mpp: float, px: int, where: str) -> list[tuple[int, int, int]]:
    """(x, y, side) of each tile, row by row."""
    height, width = pixels.shape[:2]
    side = round(side_um / mpp)
    if side < max(8, _MIN_TILE * px):
        raise ImageError(
            f"a field of at most {side_um / max(8, _MIN_TILE * px):.2g} microns per pixel",
            got=f"{mpp:g}, at which one field of view of {side_um:g} microns is {side} px",
            where=where,
            fix="Export the field at a higher magnification, or check the microns per pixel.",
        )
    smallest = -(-2 * side // 3)  # the tolerance of data.prepare for a field of view
    if min(height, width) < smallest:
        raise ImageError(
            f"a field of at least {smallest} x {smallest} px (one field of view of {side_um:g} microns at {mpp:g} "
            "microns per pixel, less a third)",
            got=f"{width:,} x {height:,} px",
            where=where,
            fix="Export a larger field, or check the microns per pixel.",
        )
    side = min(side, height, width)
    return [(x, y, side) for y in _starts(height, side) for x in _starts(width, side)]


def _starts(length: int, side: int) -> list[int]:
    """Evenly spread starts of as few tiles as cover the length."""
    return [round(v) for v in np.linspace(0, length - side, -(-length // side))]
