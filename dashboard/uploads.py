"""Which uploaded bytes may be looked at? Uploads in; accepted bytes with a safe name, or one sentence each, out.

Nothing is stored: bytes stay in the session's memory and are decoded by her2core.data.images alone, which looks at
the content and not at the name.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from her2core.data.images import read_image
from her2core.errors import ImageError

MAX_FILES = 32
MAX_BYTES = 30 * 2**20  # as server.maxUploadSize in .streamlit/config.toml
MAX_PIXELS = 40_000_000


@dataclass(frozen=True)
class Upload:
    """``image`` uint8 (H, W, 3) RGB, or None with the sentence in ``error``."""

    name: str
    image: np.ndarray | None
    error: str = ""


def safe_name(name: str, length: int = 60) -> str:
    """The last part of the name, printable characters only, shortened in the middle."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    clean = "".join(c for c in last if c.isprintable() and c not in "<>`$[]*|~#").strip() or "unnamed"
    return clean if len(clean) <= length else f"{clean[: length // 2]}...{clean[-length // 2 + 3 :]}"


def accept(files) -> list[Upload]:
    """Decode each of the uploaded files (objects with ``name``, ``size`` and ``getvalue``); the rest go on."""
    taken, seen = [], Counter()
    for file in files[:MAX_FILES]:
        name = safe_name(file.name)
        seen[name] += 1
        if seen[name] > 1:  # two files of one name, from two folders: each keeps its own row and its own answer
            name = f"{name} ({seen[name]})"
        try:
            image = read_image(file.getvalue(), name=name, max_bytes=MAX_BYTES, max_pixels=MAX_PIXELS)
            taken.append(Upload(name, image))
        except ImageError as refused:
            taken.append(Upload(name, None, str(refused)))
    if len(files) > MAX_FILES:
        said = f"{len(files) - MAX_FILES} files left out: {MAX_FILES} are looked at together. Upload the rest next."
        taken.append(Upload("the rest", None, said))
    return taken
