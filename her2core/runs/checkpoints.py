"""Checkpoints of an unfinished run: the last one and the one before it, each with its SHA-256 beside it.

    last.ckpt, last.ckpt.sha256             from which a training resumes
    previous.ckpt, previous.ckpt.sha256     where the last one is damaged

They are replaced in an order in which at least one is whole at every moment: a process can be killed between any two
steps.
"""

from __future__ import annotations

import os
from pathlib import Path

from her2core.io.files import sha256_file, write_text

LAST, PREVIOUS = "last.ckpt", "previous.ckpt"


class CheckpointStore:
    """The checkpoints in a folder.

    Parameters
    ----------
    folder : Path
        Where they are.

    Attributes
    ----------
    part : Path
        Where the next checkpoint is written before ``commit``.

    Examples
    --------
    >>> import tempfile
    >>> store = CheckpointStore(Path(tempfile.mkdtemp()))
    >>> for content in (b"first", b"second"):
    ...     _ = store.part.write_bytes(content)
    ...     store.commit()
    >>> _ = store.last.write_bytes(b"")
    >>> store.newest().read_bytes(), store.damaged()
    (b'first', ['last.ckpt'])
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.last, self.previous = folder / LAST, folder / PREVIOUS
        self.part = folder / f".{LAST}.part"

    def commit(self) -> None:
        """Make the file written to ``part`` the last checkpoint, and the last one the one before it."""
        sha256 = sha256_file(self.part)
        if self._whole(self.last):
            write_text(_beside(self.previous), _beside(self.last).read_text(encoding="utf-8"))
            os.replace(self.last, self.previous)
        write_text(_beside(self.last), sha256 + "\n")
        os.replace(self.part, self.last)

    def newest(self) -> Path | None:
        """Find the newest checkpoint whose bytes are those that were written.

        Returns
        -------
        Path or None
            None where there is none.
        """
        return next((path for path in (self.last, self.previous) if self._whole(path)), None)

    def damaged(self) -> list[str]:
        """Name the checkpoints that are not whole.

        Returns
        -------
        list of str
        """
        return [path.name for path in (self.last, self.previous) if path.exists() and not self._whole(path)]

    def _whole(self, path: Path) -> bool:
        if not path.is_file():
            return False
        known = set()
        for name in (self.last, self.previous):  # a killed process may have renamed one and not yet the other
            try:
                known.add(_beside(name).read_text(encoding="utf-8").strip())
            except (OSError, UnicodeDecodeError):
                continue
        return sha256_file(path) in known


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")
