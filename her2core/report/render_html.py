"""HTML of a report as one self-contained file, for the browser and for printing.

Nothing is fetched and nothing is executed: figures are data: URIs of SVG and of freshly encoded PNG, and the file's own
Content-Security-Policy allows its one style sheet, by its hash, and those images only.
"""

from __future__ import annotations

import base64
import hashlib
import re
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING

from her2core.identity import CLASS_COLOURS, DARK, LIGHT, TONES, mark_svg
from her2core.notice import NOTICE
from her2core.report.document import Chart, Document, Picture

if TYPE_CHECKING:
    from jinja2 import Template


def render_html(document: Document) -> str:
    """The document as one HTML file.

    Parameters
    ----------
    document : Document
        From ``run_document``, ``summary_document`` or ``case_document``.

    Returns
    -------
    str
        Equal documents give equal text.

    Examples
    --------
    >>> from her2core.report.document import Section, Words
    >>> section = Section("data", 1, "Data", (Words("<b>"),))
    >>> "&lt;b&gt;" in render_html(Document("report", "name", "subject", (), (), (section,), ""))
    True
    """
    style = style_sheet()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    return _template().render(
        document=document,
        notice=NOTICE,
        style=style,
        policy=policy,
        mark=_data("svg+xml", mark_svg().encode()),
        source_of=_source,
        kind_of=lambda block: type(block).__name__,
    )


@lru_cache(1)
def style_sheet() -> str:
    """The style sheet with the colours of the identity, light and dark.

    Examples
    --------
    >>> "prefers-color-scheme: dark" in style_sheet()
    True
    """
    light = {**LIGHT, **{f"c{i}": c for i, c in enumerate(CLASS_COLOURS)}}
    light |= {k: v for name, t in TONES.items() for k, v in ((name, t.text), (f"{name}-ground", t.ground))}
    dark = {**DARK, **{k: v for n, t in TONES.items() for k, v in ((n, t.text_dark), (f"{n}-ground", t.ground_dark))}}
    tones = "".join(f".tone-{n} {{ color: var(--{n}); background: var(--{n}-ground); }}\n" for n in TONES)
    return (
        f":root {{ color-scheme: light dark; {_variables(light)} }}\n"
        f"@media screen and (prefers-color-scheme: dark) {{ :root {{ {_variables(dark)} }} }}\n"
        f"{_resource('report.css')}{tones}"
    )


def themed(svg: bytes) -> bytes:
    """A figure whose greys follow the page from light to dark; the colours of classes are legible on both.

    Parameters
    ----------
    svg : bytes
        From ``canvas.draw``.

    Returns
    -------
    bytes
        The same with custom properties in place of the colours of ``identity.LIGHT``, and their two values.

    Examples
    --------
    >>> b"stroke: var(--grid)" in themed(b'<svg><path style="stroke: #e6e2eb"/></svg>')
    True
    """
    roles = {value: role for role, value in LIGHT.items() if role != "page"}
    text = re.sub(
        r"(?<=: )#[0-9a-f]{6}\b",
        lambda found: f"var(--{roles[found[0]]})" if found[0] in roles else found[0],
        svg.decode(),
    )
    dark = f"@media (prefers-color-scheme:dark){{:root{{{_variables(DARK)}}}}}"
    start = text.index(">") + 1
    return f"{text[:start]}<style>:root{{{_variables(LIGHT)}}}{dark}</style>{text[start:]}".encode()


def _source(item: Chart | Picture) -> str:
    return _data("svg+xml", themed(item.svg)) if isinstance(item, Chart) else _data("png", item.png())


def _data(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _variables(colours: dict[str, str]) -> str:
    return " ".join(f"--{name}: {value};" for name, value in colours.items())


def _resource(name: str) -> str:
    return (files("her2core.report") / "templates" / name).read_text(encoding="utf-8")


@lru_cache(1)
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_resource("report.html.j2"))
