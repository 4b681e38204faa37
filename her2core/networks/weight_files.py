"""Weight files: safetensors read after their header was examined, and verified against a hash.

Pickled files are refused, because opening one can run any code, and so are weights that are not finite numbers: a
network with them gives no scores, and the largest of no scores would still be some class. The header of a safetensors
file states name and shape of every tensor, so that a file that does not fit is refused before its content is read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from io import BufferedReader
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load as load_bytes
from torch import Tensor

from her2core.errors import WeightsError
from her2core.io.below import RefusedFile, open_below
from her2core.io.documents import parse_json

PICKLE_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle")
_PICKLE_STARTS = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK")
#: Largest file of weights, and its largest header, in bytes: the largest published networks of patches hold 4 GiB.
LARGEST_FILE, _LARGEST_HEADER = 16 * 2**30, 16 * 2**20
#: Name of each tensor -> its shape.
Shapes = dict[str, tuple[int, ...]]
_AGAIN = "Copy it again from its source."


def stated_shapes(path: Path) -> Shapes:
    """Shapes of a safetensors file by its header; the tensors themselves are not read.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    dict of str to tuple of int

    Raises
    ------
    WeightsError
        If the file is missing, a link, pickled, no safetensors file, cut, or above ``LARGEST_FILE``.

    Examples
    --------
    >>> import tempfile, torch
    >>> from safetensors.torch import save_file
    >>> path = Path(tempfile.mkdtemp()) / "w.safetensors"
    >>> save_file({"fc.bias": torch.zeros(3)}, path)
    >>> stated_shapes(path)
    {'fc.bias': (3,)}
    """
    with _opened(path) as file:
        return _shapes(file, path)


def read_weights(path: Path, *, sha256: str | None = None, limit: int = LARGEST_FILE) -> dict[str, Tensor]:
    """Read a safetensors file.

    Parameters
    ----------
    path : Path
        The file.
    sha256 : str, optional
        Expected SHA-256 (hex) of the file.
    limit : int, optional
        Largest file in bytes; examined, as the header is, before anything else is read.

    Returns
    -------
    dict of str to Tensor
        Floats as float32, on the CPU.

    Raises
    ------
    WeightsError
        If the file is missing, a link, pickled, no safetensors file, different from ``sha256``, or holds numbers that
        are not finite.

    Examples
    --------
    >>> read_weights(Path("absent.safetensors"))
    Traceback (most recent call last):
        ...
    her2core.errors.WeightsError: Expected a safetensors file, but got no such file (absent.safetensors). \
Check the folder, or export the run again.
    """
    with _opened(path, limit) as file:
        _shapes(file, path)
        file.seek(0)
        if sha256 is not None and (actual := hashlib.file_digest(file, "sha256").hexdigest()) != sha256:
            raise WeightsError(
                f"the weights that the card names (sha256 {sha256[:12]}...)",
                got=f"other bytes (sha256 {actual[:12]}...)",
                where=path,
                fix="The file was changed or damaged after the run was finished; copy the run again from its source.",
            )
        file.seek(0)
        content = file.read()
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
        raise WeightsError("a file that stays as it is", got="one that changed", where=path, fix=_AGAIN)
    try:
        state = load_bytes(content)
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as broken:
        raise WeightsError("a whole safetensors file", got=str(broken)[:120], where=path, fix=_AGAIN) from None
    _refuse_not_finite(state, path)
    return {name: value.float() if value.is_floating_point() else value for name, value in state.items()}


def _opened(path: Path, limit: int = LARGEST_FILE) -> BufferedReader:
    try:
        return open_below(path.parent, path.name, limit=limit)
    except RefusedFile as refused:
        got, fix = str(refused), "Name the file itself." if str(refused) == "a link" else _AGAIN
    except FileNotFoundError:
        got, fix = "no such file", "Check the folder, or export the run again."
    except OSError as refused:
        got, fix = refused.strerror or "an error", "Check its permissions."
    raise WeightsError("a safetensors file", got=got, where=path, fix=fix)


def _shapes(file: BufferedReader, path: Path) -> Shapes:
    start = file.read(8)
    if path.suffix in PICKLE_SUFFIXES or start.startswith(_PICKLE_STARTS):
        raise WeightsError(
            "safetensors",
            got="a pickled file, which can run any code when it is opened",
            where=path,
            fix="Convert it with safetensors.torch.save_file where you trust it, and use that file.",
        )
    size = file.seek(0, 2)
    length = int.from_bytes(start, "little")
    if len(start) < 8 or not 2 <= length <= min(size - 8, _LARGEST_HEADER):
        raise WeightsError("a whole safetensors file", got="no header of one", where=path, fix=_AGAIN)
    file.seek(8)
    try:
        header = parse_json(file.read(length))
        tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
        shapes = {name: tuple(int(n) for n in entry["shape"]) for name, entry in tensors.items()}
        end = max((int(entry["data_offsets"][1]) for entry in tensors.values()), default=0)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as broken:
        raise WeightsError("a whole safetensors file", got=str(broken)[:120], where=path, fix=_AGAIN) from None
    if size != 8 + length + end:
        got = f"{size - 8 - length:,} bytes of tensors where its header states {end:,}"
        raise WeightsError("a whole safetensors file", got=got, where=path, fix=_AGAIN)
    return shapes


def _refuse_not_finite(state: Mapping[str, Tensor], path: Path) -> None:
    broken = [name for name, value in state.items() if value.is_floating_point() and not value.isfinite().all()]
    if broken:
        raise WeightsError(
            "finite numbers",
            got=f"NaN or infinity in {len(broken)} of {len(state)} tensors (first: {broken[0]})",
            where=path,
            fix="Copy the file again from its source, or train the run again with a lower learning rate.",
        )
