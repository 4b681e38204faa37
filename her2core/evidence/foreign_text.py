"""What of a stranger's text can be shown in a message? Any text in; one short, clean line out."""

from __future__ import annotations

import unicodedata


def shown(text: object, length: int = 60) -> str:
    """Text fit for a message: no control, direction or invisible characters, one line, at most ``length`` long."""
    spaced = (" " if c.isspace() else c for c in str(text)[:8192])
    kept = " ".join("".join(c for c in spaced if unicodedata.category(c)[0] != "C").split())
    return kept if len(kept) <= length else f"{kept[: length // 2]}...{kept[3 - length // 2 :]}"
