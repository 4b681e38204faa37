"""Files of a field for ``her2 predict --heatmaps``: the heatmap of its most probable class, and its tiles."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from her2core.notice import RESEARCH

if TYPE_CHECKING:
    from her2core.inference.field import FieldPrediction


class FieldFiles:
    """Writer of the heatmaps and tiles of fields into one folder.

    Parameters
    ----------
    folder : Path or None
        Made where it is missing; None writes nothing.

    Examples
    --------
    >>> FieldFiles(None).lines
    []
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._taken: dict[str, int] = {}
        self._fields = 0
        self._written: list[str] = []
        if folder is not None and folder.exists() and not folder.is_dir():
            from her2core.errors import ConfigError

            raise ConfigError("a folder", got="a file", where=f"--heatmaps {folder}", fix="Choose another name.")

    def add(self, found: FieldPrediction, source: Path | bytes) -> None:
        """Write ``<name>-<class>.png``, unless no tile counts, and ``<name>-tiles.csv``.

        Parameters
        ----------
        found : FieldPrediction
        source : Path or bytes
            The field's file or its content.

        Raises
        ------
        ImageError
            The field cannot be read any more.
        """
        if self._folder is None:
            return
        from her2core.inference.answers import field_table
        from her2core.io.archives import unique_name
        from her2core.io.files import write_csv, write_via_temporary
        from her2core.io.images import as_decoded, encode_png
        from her2core.io.text import safe_file_name
        from her2core.maps.field_overlay import field_overlay, with_colour_scale
        from her2core.maps.overlay import with_caption

        self._fields += 1
        stem = unique_name(Path(safe_file_name(found.name)).stem, self._taken)
        if found.most_probable is not None:
            pixels = as_decoded(source, name=found.name).pixels
            doubt = "" if found.reliable else f"{found.answer} for this field. "
            text = f"{doubt}Probability of {found.most_probable} by tile; tiles without colour do not count. {RESEARCH}"
            picture = with_caption(with_colour_scale(field_overlay(found, pixels)), text)
            path = self._folder / f"{stem}-{safe_file_name(found.most_probable)}.png"
            write_via_temporary(path, lambda t: t.write_bytes(encode_png(picture)))
            self._written.append(str(path))
        tiles = field_table(found).assign(notice=RESEARCH)
        self._written.append(str(write_csv(self._folder / f"{stem}-tiles.csv", tiles)))

    @property
    def lines(self) -> list[str]:
        """What was written, or why nothing was."""
        from her2core.io.text import printable_path

        if self._folder is not None and not self._fields:
            return ["no heatmap: none of the images is a field of several tiles; state its scale with --mpp"]
        return [f"written: {printable_path(path)}" for path in self._written]
