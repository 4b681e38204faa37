"""Colours of the run report on paper and its HTML style sheet."""

from __future__ import annotations

#: Role of a mark -> its colour on paper and in light mode: Okabe & Ito's palette (2008), darkened to 3 on white.
COLOURS = {
    "ink": "#1c1b1f",
    "muted": "#57535c",
    "grid": "#e2dfe6",
    "band": "#cfe3f1",
    "c0": "#0072b2",
    "c1": "#b36b00",
    "c2": "#a8588a",
    "c3": "#007d5c",
    "c4": "#c24e00",
    "c5": "#2b7fb0",
    "c6": "#7a5c24",
    "c7": "#7a3b8f",
    "c8": "#5c5c5c",
    "c9": "#557a1f",
    "c10": "#14785a",
    "c11": "#8c5c17",
}
#: The same where the page is dark.
DARK = {
    "ink": "#eae7ee",
    "muted": "#b3adba",
    "grid": "#34313b",
    "band": "#173a52",
    "c0": "#56b4e9",
    "c1": "#e69f00",
    "c2": "#dd8fbd",
    "c3": "#2cc39a",
    "c4": "#f08a4b",
    "c5": "#8ccbf0",
    "c6": "#c9a866",
    "c7": "#c58bd6",
    "c8": "#b0b0b0",
    "c9": "#b2df8a",
    "c10": "#4fd0aa",
    "c11": "#d8a451",
}
#: State of a checklist's item -> colour of its text and of its background, on paper and in light mode.
STATES = {
    "met": ("#0b5c3f", "#e0f2ea"),
    "partly": ("#6b4a00", "#fff1cc"),
    "not reported": ("#8a1f1f", "#fbe6e4"),
    "not applicable": ("#57535c", "#efedf1"),
}
_STATES_DARK = {
    "met": ("#8fe0bf", "#123528"),
    "partly": ("#ffdf9a", "#3a2c08"),
    "not reported": ("#ffb4ab", "#44191a"),
    "not applicable": ("#b3adba", "#2b2833"),
}


def _tokens(colours: dict[str, str], states: dict[str, tuple[str, str]]) -> str:
    tokens = [f"--{role}: {colour};" for role, colour in colours.items()]
    for state, (text, ground) in states.items():
        name = state.replace(" ", "-")
        tokens += [f"--{name}: {text};", f"--{name}-ground: {ground};"]
    return " ".join(tokens)


_ROLES = "\n".join(f".l.{r} {{ stroke: var(--{r}); }} .f.{r}, .t.{r} {{ fill: var(--{r}); }}" for r in COLOURS)
_STATE_RULES = "\n".join(
    f".s-{s.replace(' ', '-')} {{ color: var(--{s.replace(' ', '-')}); "
    f"background: var(--{s.replace(' ', '-')}-ground); }}"
    for s in STATES
)

STYLE = f"""
:root {{ color-scheme: light dark; --page: #ffffff; --text: #1c1b1f; --line: #d8d4dc; --panel: #f6f4f8;
  --accent: #7a3b8f; --note: #fff4d6; --note-text: #4f3500; --note-line: #c98a00;
  {_tokens(COLOURS, STATES)} }}
@media screen and (prefers-color-scheme: dark) {{ :root {{ --page: #16151a; --text: #eae7ee; --line: #3a3742;
  --panel: #201e26; --accent: #c58bd6; --note: #33270a; --note-text: #ffe2a0; --note-line: #c98a00;
  {_tokens(DARK, _STATES_DARK)} }} }}
* {{ box-sizing: border-box; }}
body {{ margin: 0 auto; padding: 6mm 8mm 12mm; max-width: 1040px; background: var(--page); color: var(--text);
  font: 14px/1.5 system-ui, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif;
  print-color-adjust: exact; -webkit-print-color-adjust: exact; }}
.top {{ display: flex; flex-wrap: wrap; justify-content: space-between; gap: 0 1.5em; color: var(--muted);
  border-bottom: 2px solid var(--accent); padding-bottom: .35em; }}
.top p, footer p {{ margin: 0; }}
h1 {{ font-size: 1.8em; line-height: 1.2; margin: .6em 0 .1em; font-weight: 600; overflow-wrap: anywhere; }}
.subject {{ margin: 0 0 .9em; color: var(--muted); overflow-wrap: anywhere; }}
h2 {{ font-size: 1.25em; font-weight: 600; margin: 2.2em 0 .6em; padding-bottom: .2em;
  border-bottom: 1px solid var(--line); }}
h3 {{ font-size: 1em; font-weight: 600; margin: 1.5em 0 .5em; }}
p, li, td, th, figcaption {{ overflow-wrap: break-word; }}
main p {{ margin: 0 0 .7em; max-width: 78ch; }}
main ul {{ margin: 0 0 .9em; padding-left: 1.3em; max-width: 82ch; }}
.muted, .foot, .said {{ color: var(--muted); }}
.foot {{ font-size: .85em; margin: 0 0 .25em; }} main p.foot {{ max-width: none; margin: 0 0 .2em; }}
.note, .warnings {{ background: var(--note); color: var(--note-text); border-left: 4px solid var(--note-line);
  padding: .5em .9em; }}
.warnings {{ margin: 0 0 1em; }}
.warnings h2 {{ font-size: 1em; border: 0; margin: 0 0 .2em; padding: 0; color: inherit; }}
.warnings ul {{ margin: 0; padding-left: 1.2em; }}
.banner {{ background: var(--text); color: var(--page); padding: .4em .9em; font-weight: 600; margin: 0 0 .8em; }}
nav ol {{ columns: 3 15em; column-gap: 2em; margin: 0; padding-left: 2em; }}
a {{ color: var(--accent); }}
.scroll {{ overflow-x: auto; margin: .9em 0 .5em; }}
table {{ border-collapse: collapse; width: 100%; table-layout: fixed; }}
.grid {{ min-width: 660px; }}
caption {{ text-align: left; font-weight: 600; padding-bottom: .3em; }}
th {{ text-align: left; font-weight: 400; vertical-align: top; }}
thead th {{ color: var(--muted); font-size: .88em; vertical-align: bottom; border-bottom: 1px solid var(--text);
  padding: 0 .7em .3em 0; }}
tbody th, td {{ padding: .26em .7em .26em 0; border-bottom: 1px solid var(--line); vertical-align: top; }}
.grid .n {{ text-align: right; font-variant-numeric: tabular-nums; padding-left: .6em; }}
.grid th:last-child, .grid td:last-child {{ padding-right: .3em; }}
.facts th {{ color: var(--muted); width: 28%; padding-right: 1em; }}
td.state {{ padding-left: .5em; font-weight: 600; }} td.state + td {{ padding-left: .7em; }}
.said {{ display: block; }}
{_STATE_RULES}
.figures {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 330px), 1fr)); gap: 1.2em 2em;
  margin: .9em 0; }}
.figures.small {{ grid-template-columns: repeat(auto-fill, minmax(140px, 1fr)); gap: .9em; }}
figure {{ margin: 0; max-width: 480px; }}
figure svg, figure img {{ display: block; width: 100%; height: auto; }}
.small img {{ border: 1px solid var(--line); }}
figcaption {{ font-size: .88em; line-height: 1.35; margin-top: .3em; }}
.l {{ fill: none; stroke-width: 1.4; }} .l.grid {{ stroke-width: .6; }} .l.muted {{ stroke-width: .9; }}
{_ROLES}
footer {{ border-top: 2px solid var(--accent); margin-top: 2.5em; padding-top: .5em; color: var(--muted); }}
strong.use {{ color: var(--text); font-weight: 600; }}
@page {{ size: A4; margin: 14mm 13mm; }}
@media print {{ body {{ padding: 0; max-width: none; font-size: 9pt; }} h2 {{ break-after: avoid; }}
  h3, caption {{ break-after: avoid; }} tr, figure, .warnings {{ break-inside: avoid; }}
  .scroll {{ overflow: visible; }} .grid {{ min-width: 0; }}
  .figures {{ grid-template-columns: 1fr 1fr; }} .figures.small {{ grid-template-columns: repeat(4, 1fr); }} }}
"""
