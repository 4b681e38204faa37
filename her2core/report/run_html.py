"""Run report as one self-contained HTML file, for the browser and for printing.

Nothing is fetched and nothing is executed: charts are inline SVG, images are data: URIs of freshly encoded PNG, and the
file's own Content-Security-Policy allows its one style sheet, by its hash, and those images only.
"""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING

from her2core.notice import NOTICE
from her2core.report.case_page import fitted
from her2core.report.document import Chart, Document, Grid, Picture
from her2core.report.run_style import STYLE
from her2core.report.run_svg import render_svg

if TYPE_CHECKING:
    from jinja2 import Environment

#: Longest side of a picture in px.
_SIDE = 256

_TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{{ policy }}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<meta name="robots" content="noindex">
<title>{{ document.title }}</title>
<style>{{ style|safe }}</style>
</head>
<body>
<header>
<div class="top"><p>her2core run report</p><p><strong class="use">{{ notice }}</strong></p></div>
<h1><bdi>{{ document.name }}</bdi></h1>
<p class="subject">{{ document.subject }}</p>
{% for banner in document.banners %}<p class="banner">{{ banner }}</p>
{% endfor %}
{% if document.warnings %}
<section class="warnings" aria-labelledby="before"><h2 id="before">Before reading any number</h2>
<ul>{% for warning in document.warnings %}<li>{{ warning }}</li>{% endfor %}</ul></section>
{% endif %}
<nav aria-label="Sections"><ol>
{% for s in document.sections %}<li><a href="#{{ s.key }}">{{ s.title }}</a></li>
{% endfor %}</ol></nav>
</header>
<main>
{% for s in document.sections %}
<section id="{{ s.key }}" aria-labelledby="{{ s.key }}-title">
<h2 id="{{ s.key }}-title">{{ s.number }}. {{ s.title }}</h2>
{% for block in s.blocks %}
{% if kind(block) == "Words" %}
{% if block.tone == "strong" %}<h3>{{ block.text }}</h3>
{% else %}<p class="{{ block.tone }}">{{ block.text }}</p>
{% endif %}
{% elif kind(block) == "Points" %}
<ul>{% for item in block["items"] %}<li>{{ item }}</li>{% endfor %}</ul>
{% elif kind(block) == "Facts" %}
<div class="scroll"><table class="facts"><tbody>
{% for what, value in block.rows %}<tr><th scope="row">{{ what }}</th><td>{{ value }}</td></tr>
{% endfor %}</tbody></table></div>
{% elif kind(block) == "Grid" %}
<div class="scroll" tabindex="0" role="group" aria-label="{{ block.caption }}"><table class="grid">
<caption>{{ block.caption }}</caption>
<colgroup>{% for share in block.shares %}<col width="{{ "%.2f"|format(100 * share) }}%">{% endfor %}</colgroup>
<thead><tr>{% for title in block.head %}<th scope="col"
{%- if loop.index0 in block.right %} class="n"{% endif %}>{{ title }}</th>{% endfor %}</tr></thead>
<tbody>
{% for row in block.rows %}<tr>{% for cell in row %}
{% if loop.first %}<th scope="row">{{ cell }}</th>
{% else %}<td{{ attributes(block, loop.index0, cell) }}>{{ cell }}</td>{% endif %}{% endfor %}</tr>
{% endfor %}</tbody></table></div>
{% for note in block.notes %}<p class="foot">{{ note }}</p>
{% endfor %}
{% elif kind(block) == "Row" %}
<div class="figures{{ " small" if kind(block["items"][0]) == "Picture" else "" }}">
{% for item in block["items"] %}<figure>{{ drawn(item)|safe }}<figcaption>{{ item.caption }}
{%- if kind(item) == "Chart" %} <span class="said">{{ item.alt }}</span>{% endif %}</figcaption></figure>
{% endfor %}</div>
{% endif %}
{% endfor %}
</section>
{% endfor %}
</main>
<footer><p><strong class="use">{{ notice }}</strong></p><p>Software: {{ document.made_with }}</p></footer>
</body>
</html>
"""


def render_run_html(document: Document) -> str:
    """The document as one HTML file.

    Parameters
    ----------
    document : Document
        From ``run_document.report_document``.

    Returns
    -------
    str
        Equal documents give equal text.

    Examples
    --------
    >>> from her2core.report.document import Section, Words
    >>> section = Section("data", 1, "Data", (Words("<b>"),))
    >>> "&lt;b&gt;" in render_run_html(Document("name", "subject", (), (), (section,), ""))
    True
    """
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    template = _environment().from_string(_TEMPLATE)
    return template.render(
        document=document,
        notice=NOTICE,
        style=STYLE,
        policy=policy,
        drawn=_drawn,
        attributes=_attributes,
        kind=lambda block: type(block).__name__,
    )


def _drawn(item: Chart | Picture) -> str:
    from her2core.io.images import encode_png

    if isinstance(item, Chart):
        return render_svg(item.drawing, alt=f"{item.caption}. {item.alt}")
    data = base64.b64encode(encode_png(fitted(item.pixels, _SIDE))).decode()
    return str(
        _environment()
        .from_string('<img src="data:image/png;base64,{{ data }}" alt="{{ alt }}">')
        .render(data=data, alt=item.alt)
    )


def _attributes(grid: Grid, column: int, cell: str) -> str:
    """The class of a cell: numbers to the right, the states of a checklist in their colours."""
    from markupsafe import Markup

    names = ["n"] if column in grid.right else []
    if column == grid.states:
        names.append(f"state s-{cell.replace(' ', '-')}")
    return Markup(f' class="{" ".join(names)}"') if names else ""


@lru_cache
def _environment() -> Environment:
    from jinja2 import Environment, StrictUndefined

    return Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
