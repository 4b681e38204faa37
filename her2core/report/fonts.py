"""Fonts of the PDF reports: DejaVu Sans as matplotlib ships it, registered once.

PDF's own fonts end at Latin-1. Only a subset of the glyphs used is embedded.
"""

from __future__ import annotations

import threading
from datetime import datetime
from functools import lru_cache
from pathlib import Path

from her2core.errors import ConfigError

PLAIN, BOLD = "her2-DejaVuSans", "her2-DejaVuSans-Bold"
#: reportlab parses every paragraph with one parser for the whole process, and sessions are threads.
ONE_AT_A_TIME = threading.Lock()


def stamp(moment: datetime) -> str:
    """A moment as PDF writes it (ISO 32000-1, 7.9.4): D:YYYYMMDDHHmmSS and, where the zone is known, +HH'mm'.

    Examples
    --------
    >>> from datetime import UTC
    >>> stamp(datetime(2026, 3, 4, 10, 22, 5, tzinfo=UTC))
    "D:20260304102205+00'00'"
    """
    zone = f"{moment:%z}"
    return f"D:{moment:%Y%m%d%H%M%S}" + (f"{zone[:3]}'{zone[3:5]}'" if zone else "")


@lru_cache
def fonts() -> frozenset[int]:
    """Register the two fonts, once.

    Returns
    -------
    frozenset of int
        Code points that both faces can draw.

    Raises
    ------
    ConfigError
        matplotlib was installed without its fonts.
    """
    import matplotlib
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.ttfonts import TTFont

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    known = []
    for name, file in ((PLAIN, "DejaVuSans.ttf"), (BOLD, "DejaVuSans-Bold.ttf")):
        if not (folder / file).is_file():
            raise ConfigError(
                f"the font {file}",
                got="no such file",
                where=str(folder),
                fix="Install matplotlib from PyPI, which contains it.",
            )
        font = TTFont(name, str(folder / file))
        pdfmetrics.registerFont(font)
        known.append(set(font.face.charToGlyph))
    return frozenset(known[0] & known[1])
