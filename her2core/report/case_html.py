"""Case report as one self-contained HTML document, for the browser and for printing on one A4 page.

Nothing is fetched and nothing is executed: images are data: URIs of freshly encoded PNG (no metadata of an upload
reaches them), and the document's own Content-Security-Policy allows its one style sheet, by its hash, and those images
only.
"""

from __future__ import annotations

import base64
import hashlib
import math
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

from her2core.notice import NOTICE
from her2core.report.case import CaseReport
from her2core.report.case_page import CasePage, case_page, columns, fitted

if TYPE_CHECKING:
    from jinja2 import Environment

#: Longest side of an image in px: 34 mm printed at 300 dpi is 400 px; of many images each is printed smaller.
_SIDE, _SIDE_OF_MANY = 448, 300
#: What @page below leaves of A4, in points.
_WIDTH, _HEIGHT = 527.0, 779.0

# Colours are tokens, so that a test can measure their contrast: AA needs 4.5 for text, 3 for bars.
_STYLE = """
:root { color-scheme: light dark;
  --page: #ffffff; --text: #1c1b1f; --muted: #57535c; --line: #d8d4dc; --panel: #f6f4f8; --accent: #7a3b8f;
  --bar: #807b87; --track: #eceaef; --note: #fff4d6; --note-text: #4f3500; --note-line: #c98a00; }
@media screen and (prefers-color-scheme: dark) { :root {
  --page: #16151a; --text: #eae7ee; --muted: #b3adba; --line: #3a3742; --panel: #201e26; --accent: #c58bd6;
  --bar: #8d8896; --track: #2b2833; --note: #33270a; --note-text: #ffe2a0; --note-line: #c98a00; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 6mm 10mm; max-width: 210mm; background: var(--page); color: var(--text);
  font: 13px/1.4 system-ui, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif;
  print-color-adjust: exact; -webkit-print-color-adjust: exact; }
.top { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 0 1.5em; color: var(--muted);
  border-bottom: 2px solid var(--accent); padding-bottom: .35em; }
.top p, footer p, .answer, .after, .banner, figure, ul { margin: 0; }
h1 { font-size: 1.5em; line-height: 1.25; margin: .55em 0 .35em; overflow-wrap: anywhere; font-weight: 600; }
h2 { font-size: .82em; letter-spacing: .06em; text-transform: uppercase; color: var(--muted); margin: 0 0 .4em;
  font-weight: 600; }
.banner { background: var(--text); color: var(--page); padding: .3em .7em; font-weight: 600; margin-bottom: .7em; }
.notes { background: var(--note); color: var(--note-text); border-left: 4px solid var(--note-line);
  padding: .45em .8em; margin-bottom: .8em; }
.notes h2 { color: inherit; margin: 0 0 .15em; }
ul { padding-left: 1.5em; }
li, td, th, figcaption { overflow-wrap: anywhere; }
.two { display: grid; grid-template-columns: 11fr 9fr; gap: 1em 2em; margin-bottom: .9em; }
.answer { font-size: 1.75em; line-height: 1.2; font-weight: 600; color: var(--accent); margin-bottom: .15em;
  overflow-wrap: anywhere; }
.none { color: var(--text); }
.after { margin-bottom: .3em; }
.meaning { color: var(--muted); font-size: .9em; }
table { border-collapse: collapse; width: 100%; }
th { text-align: left; font-weight: 400; vertical-align: top; }
thead th { color: var(--muted); font-size: .85em; border-bottom: 1px solid var(--line); padding: 0 .6em .2em 0; }
tbody th, td { padding: .17em .6em .17em 0; border-bottom: 1px solid var(--line); vertical-align: top; }
.facts th { color: var(--muted); width: 38%; }
.facts td { padding-right: 0; }
.bars { margin-top: .6em; }
.bars .top-class th, .bars .top-class data { font-weight: 600; }
.bars th[scope=row] { width: 36%; }
.share { display: flex; align-items: center; gap: .6em; }
.track { flex: 1; height: .72em; background: var(--track); }
.fill { display: block; height: 100%; background: var(--bar); }
.top-class .fill { background: var(--accent); }
data { min-width: 4.2em; text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.bars th:last-child, .bars td:last-child { padding-right: 0; }
.bars .set { width: 5.6em; padding-left: 1em; }
.pictures { display: grid; grid-template-columns: repeat(var(--columns), minmax(0, 43mm)); gap: .7em .7em; padding: 0;
  margin-bottom: .9em; list-style: none; }
.pictures img { display: block; width: 100%; aspect-ratio: 1; object-fit: contain; object-position: left;
  border: 1px solid var(--line); }
figcaption { color: var(--muted); font-size: .85em; line-height: 1.25; margin-top: .25em; }
.limits { margin-bottom: .8em; }
footer { border-top: 2px solid var(--accent); padding-top: .35em; color: var(--muted); font-size: .9em; }
strong.use { color: var(--text); font-weight: 600; }
@media screen and (max-width: 640px) {
  body { padding: 4mm; }
  .two { grid-template-columns: 1fr; }
  .pictures { grid-template-columns: repeat(auto-fill, minmax(30mm, 1fr)); } }
@page { size: A4; margin: 11mm 12mm; }
@media print { body { padding: 0; max-width: none; font-size: var(--print); }
  .pictures { grid-template-columns: repeat(var(--columns), minmax(0, var(--picture))); }
  .two, .notes, .limits, figure, footer { break-inside: avoid; } }
"""

_TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{{ policy }}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<meta name="robots" content="noindex">
<title>{{ page.title }}</title>
<style>{{ style|safe }}</style>
</head>
<body>
<header>
<div class="top"><p>her2core case report</p>
<p><strong class="use">{{ notice }}</strong></p></div>
<h1><bdi>{{ page.name }}</bdi></h1>
{% if page.banner %}<p class="banner">{{ page.banner }}</p>{% endif %}
</header>
<main>
{% if page.notes %}
<section class="notes" aria-labelledby="notes"><h2 id="notes">Read before the answer</h2>
<ul>{% for note in page.notes %}<li>{{ note }}</li>{% endfor %}</ul></section>
{% endif %}
<div class="two">
<section aria-labelledby="answer">
<h2 id="answer">Answer</h2>
<p class="answer{{ "" if page.classified else " none" }}"><bdi>{{ page.answer }}</bdi></p>
{% for sentence in page.sentences %}
<p class="after{{ " meaning" if page.classified and not loop.first else "" }}">{{ sentence }}</p>
{% endfor %}
{% if page.bars %}
<table class="bars">
<thead><tr><th scope="col">Class</th><th scope="col">Calibrated probability</th>
{%- if sets %}<th scope="col" class="set">In the set</th>{% endif %}</tr></thead>
<tbody>
{% for bar in page.bars %}
<tr{% if bar.top %} class="top-class"{% endif %}><th scope="row"><bdi>{{ bar.name }}</bdi></th>
<td><div class="share"><span class="track"><span class="fill w{{ loop.index }}"></span></span>
<data value="{{ bar.share }}">{{ bar.text }}</data></div></td>
{%- if sets %}<td class="set">{{ "yes" if bar.in_set else "no" }}</td>{% endif %}</tr>
{% endfor %}
</tbody></table>
{% endif %}
</section>
<section aria-labelledby="made"><h2 id="made">How it was computed</h2>
<table class="facts"><tbody>
{% for what, value in page.facts %}<tr><th scope="row">{{ what }}</th><td>{{ value }}</td></tr>
{% endfor %}
</tbody></table></section>
</div>
{% if pictures %}
<section aria-labelledby="pictures"><h2 id="pictures">Images</h2>
<div class="pictures">
{% for caption, alt, data in pictures %}
<figure><img src="data:image/png;base64,{{ data }}" alt="{{ alt }}"><figcaption>{{ caption }}</figcaption></figure>
{% endfor %}
</div></section>
{% endif %}
{% if page.limits %}
<section class="limits" aria-labelledby="limits"><h2 id="limits">Limits of this run</h2>
<ul>{% for limit in page.limits %}<li>{{ limit }}</li>{% endfor %}</ul></section>
{% endif %}
</main>
<footer><p><strong class="use">{{ notice }}</strong></p>
{% if page.software %}<p>Software: {{ page.software }}</p>{% endif %}
</footer>
</body>
</html>
"""


def render_html(report: CaseReport) -> str:
    """The report as one HTML document that prints on one A4 page.

    Parameters
    ----------
    report : CaseReport
        From ``case_report``.

    Returns
    -------
    str
        Equal reports give equal text.

    Examples
    --------
    >>> from her2core.report.examples import example_case
    >>> html = render_html(example_case())
    >>> html.startswith("<!doctype html>"), "http://" in html
    (True, False)
    """
    from her2core.io.images import encode_png

    page = case_page(report)
    side = _SIDE if len(page.pictures) <= 7 else _SIDE_OF_MANY
    pictures = [
        (caption, alt, base64.b64encode(encode_png(fitted(image, side))).decode())
        for caption, alt, image in page.pictures
    ]
    style = _style(page)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    return (
        _environment()
        .from_string(_TEMPLATE)
        .render(
            page=page,
            pictures=pictures,
            notice=NOTICE,
            style=style,
            policy=policy,
            sets=bool(page.bars) and page.bars[0].in_set is not None,
        )
    )


def _style(page: CasePage) -> str:
    """The style sheet with the widths of bars, as the policy allows no style attributes; only numbers are inserted."""
    size, picture = _print_sizes(page)
    sizes = f"--columns: {columns(len(page.pictures))}; --print: {size:g}pt; --picture: {picture:.0f}pt;"
    widths = "".join(f".w{i} {{ width: {100 * bar.share:.2f}%; }}\n" for i, bar in enumerate(page.bars, start=1))
    return f"{_STYLE}:root {{ {sizes} }}\n{widths}"


def _print_sizes(page: CasePage) -> tuple[float, float]:
    """The largest (font, picture) sizes in points at which one A4 page should be enough.

    A style sheet cannot measure itself, so heights are estimated, on the safe side, from the numbers of the style
    above; tests/test_case_report_page.py prints the fullest report.
    """
    across = columns(len(page.pictures))
    for size in (9.0, 8.5, 8.0, 7.5, 7.0, 6.5, 6.0, 5.5, 5.0, 4.5, 4.0):
        picture = min(_WIDTH / across - 0.7 * size, 122 * size / 9)
        if _height(page, size, picture, across) <= 0.97 * _HEIGHT:
            break
    return size, picture


def _height(page: CasePage, size: float, picture: float, across: int) -> float:
    """Height of the page in points at a font size and an image size in points."""
    heading, line = 1.6 * size, 1.4 * size

    def lines(texts: Iterable[str], width: float, scale: float = 1.0) -> int:
        return sum(math.ceil(_ems(text) * scale * size / width) for text in texts)

    height = 10 * size + 1.9 * size * lines([page.name], _WIDTH, 1.5)  # the lines above and below, and the name
    height += 2.7 * size if page.banner else 0
    for sentences in filter(None, (page.notes, page.limits)):
        height += heading + 2 * size + line * lines(sentences, 0.94 * _WIDTH)
    left, right = 0.52 * _WIDTH, 0.42 * _WIDTH
    answer = heading + 2.1 * size * lines([page.answer], left, 1.75) + 1.3 * size
    answer += line * lines(page.sentences, left) + 0.3 * size * len(page.sentences)
    answer += sum(line * lines([bar.name], 0.33 * left) + 0.6 * size for bar in page.bars)
    made = heading + sum(line * lines([value], 0.58 * right) + 0.6 * size for _, value in page.facts)
    height += max(answer, made) + size
    rows = [page.pictures[i : i + across] for i in range(0, len(page.pictures), across)]
    for row in rows:
        height += picture + size * (1 + 1.1 * max(lines([caption], picture, 0.85) for caption, _, _ in row))
    return height + (heading + size if rows else 0)


def _ems(text: str) -> float:
    """Approximate width of a text in units of the font size, for a wide font and with a margin for line breaks."""
    wide = sum(c in "MW@%" or unicodedata.east_asian_width(c) in "WF" for c in text)
    capital = sum(c.isupper() for c in text)
    return 0.53 * len(text) + 0.6 * wide + 0.12 * capital + 2


@lru_cache
def _environment() -> Environment:
    from jinja2 import Environment, StrictUndefined

    return Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
