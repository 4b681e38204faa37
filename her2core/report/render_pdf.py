"""PDF of a report by typst: tagged (PDF/UA-1), with bookmarks, page numbers and links, on A4 pages.

The document travels as JSON beside the template, so that no text from outside is ever read as markup. Each page carries
the notice and the restrictions on the figures. Equal documents give equal bytes: the only date in them is their own.
"""

from __future__ import annotations

import base64
import json
from dataclasses import fields
from datetime import UTC
from importlib.resources import files
from typing import Any

from her2core.identity import LIGHT, TONES, mark_svg
from her2core.io.text import shortened
from her2core.notice import NOTICE
from her2core.report.document import Block, Chart, Document, Grid, Picture, Row
from her2core.report.fonts import report_fonts, typst_fonts


def render_pdf(document: Document) -> bytes:
    """The document as PDF.

    Parameters
    ----------
    document : Document
        From ``run_document``, ``summary_document`` or ``case_document``.

    Returns
    -------
    bytes
        PDF 1.7 by PDF/UA-1; equal documents give equal bytes.

    Raises
    ------
    ConfigError
        A package was installed without its fonts.

    Examples
    --------
    >>> from her2core.report.document import Section, Words
    >>> section = Section("data", 1, "Data", (Words("#panic()"),))
    >>> render_pdf(Document("report", "name", "subject", (), (), (section,), ""))[:5]
    b'%PDF-'
    """
    import typst

    sources: dict[str, bytes] = {
        "main.typ": (files("her2core.report") / "templates" / "report.typ").read_bytes(),
        "mark.svg": mark_svg().encode(),
    }
    plain = _plain(document, sources)
    plain |= {
        "notice": NOTICE,
        "running": shortened(document.name, 48),
        "fonts": report_fonts().families,
        "colours": {**LIGHT, "note": "#c98500"},
        "tones": {name: {"text": tone.text, "ground": tone.ground} for name, tone in TONES.items()},
        "dated": document.created is not None,
    }
    sources["document.json"] = report_fonts().drawable(json.dumps(plain, ensure_ascii=False)).encode()
    # The stub of the binding leaves out the mapping of names to files that its documentation describes.
    made: bytes = typst.compile(  # type: ignore[call-overload]
        sources, format="pdf", font_paths=typst_fonts(), pdf_standards=["ua-1"], timestamp=_seconds(document)
    )
    return made


def _seconds(document: Document) -> int:
    """The document's date in seconds since 1970; a date without a zone counts as UTC."""
    if document.created is None:
        return 0
    created = document.created
    return int((created if created.tzinfo else created.replace(tzinfo=UTC)).timestamp())


def _plain(value: Any, sources: dict[str, bytes]) -> Any:
    """A document's parts as JSON; figures become files in ``sources``."""
    if isinstance(value, tuple):
        return [_plain(v, sources) for v in value]
    if not hasattr(value, "__dataclass_fields__"):
        return value
    kept = {f.name for f in fields(value)} - {"draw", "pixels", "created", "states"}
    plain = {name: _plain(getattr(value, name), sources) for name in kept}
    return plain | {"kind": plain.get("kind", type(value).__name__)} | _extra(value, sources)


def _extra(value: Block | Chart | Picture, sources: dict[str, bytes]) -> dict[str, Any]:
    if isinstance(value, Chart | Picture):
        name = f"figure{len(sources)}.svg"
        sources[name] = value.svg if isinstance(value, Chart) else _wrapped(value)
        return {"file": name}
    if isinstance(value, Grid):
        columns = range(len(value.head))
        tones = [{row[x]: value.tone(x, row[x]) for row in value.rows if x == value.states} for x in columns]
        return {"shares": value.shares, "tones": tones}
    if isinstance(value, Row):
        return {"columns": value.columns or (2 if isinstance(value.items[0], Chart) else 4)}
    return {"sets": value.sets} if hasattr(value, "sets") else {}


def _wrapped(picture: Picture) -> bytes:
    """An image inside SVG: typst 0.15's Python binding takes files in memory as UTF-8 only."""
    height, width = picture.pixels.shape[:2]
    data = base64.b64encode(picture.png()).decode()
    size = f'width="{width}" height="{height}"'
    start = f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {width} {height}">'
    return f'{start}<image {size} href="data:image/png;base64,{data}"/></svg>'.encode()
