"""Visual identity: one colour of a class everywhere, legible on both pages, told apart with any colour vision."""

from __future__ import annotations

import re
import tomllib
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab

from her2core.evidence.verdict.rules import ANSWERS, GRADES
from her2core.identity import CELLS, CLASS_COLOURS, DARK, LIGHT, NOTE, TONE_OF, TONES, mark_svg
from her2core.plots.colours import class_colours
from her2core.plots.confusion import confusion_figure
from her2core.report.checklist import STATES

#: Machado, Oliveira and Fernandes 2009, severity 1.0, for linear RGB.
VISION = {
    "usual": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}


def linear(colour: str) -> np.ndarray:
    values = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def contrast(a: str, b: str) -> float:
    """Of two colours, WCAG 2.2, 1.4.3."""
    low, high = sorted(float(linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (a, b))
    return (high + 0.05) / (low + 0.05)


def seen(colour: str, vision: str) -> np.ndarray:
    rgb = np.clip(np.array(VISION[vision]) @ linear(colour), 0, 1)
    coded = np.where(rgb <= 0.0031308, 12.92 * rgb, 1.055 * rgb ** (1 / 2.4) - 0.055)
    return rgb2lab(coded[None])[0]


def test_every_class_is_legible_on_both_pages():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert min(contrast(c, page["page"]) for c in CLASS_COLOURS for page in (LIGHT, DARK)) >= 3
    assert len(set(CLASS_COLOURS)) == 12


@pytest.mark.parametrize("vision", VISION)
def test_the_three_classes_are_told_apart_with_any_colour_vision(vision):
    pairs = combinations([seen(c, vision) for c in CLASS_COLOURS[:3]], 2)
    assert min(float(deltaE_ciede2000(a, b)) for a, b in pairs) > 18


def test_text_and_assessments_are_legible():
    for page in (LIGHT, DARK):
        assert min(contrast(page[r], page[on]) for r in ("ink", "muted", "accent") for on in ("page", "panel")) >= 4.5
    assert LIGHT.keys() == DARK.keys()
    for tone in (*TONES.values(), NOTE):
        assert contrast(tone.text, tone.ground) >= 4.5
        assert contrast(tone.text_dark, tone.ground_dark) >= 4.5
    assert {*GRADES, *ANSWERS, *STATES} == TONE_OF.keys()
    assert set(TONE_OF.values()) == TONES.keys()


def test_the_text_of_primary_buttons_is_legible_on_the_accent_of_either_theme():
    css = (Path(__file__).parents[1] / "dashboard" / "style.css").read_text()
    light, dark = re.search(r"stBaseButton-primary[^{]*\{\s*color: light-dark\((#\w+), (#\w+)\)", css).groups()
    assert contrast(light, LIGHT["accent"]) >= 4.5
    assert contrast(dark, DARK["accent"]) >= 4.5


def test_the_mark_has_the_colours_of_the_classes():
    drawn = [e.attrib for e in ElementTree.fromstring(mark_svg()).iter()]
    assert {a["stroke"] for a in drawn if "stroke" in a} == set(CLASS_COLOURS[:3])


def test_figures_of_pages_and_of_reports_have_the_same_colours():
    names = tuple("abcdefghijkl")
    assert tuple(class_colours(names).values()) == CLASS_COLOURS


#: Streamlit's name of a colour, and the tone that it has here.
PALETTE = {"green": "good", "orange": "limits", "yellow": "limits", "red": "bad", "gray": "unknown"}


def test_the_dashboard_has_the_colours_of_the_reports():
    theme = tomllib.loads((Path(__file__).parents[1] / ".streamlit" / "config.toml").read_text())["theme"]
    assert tuple(theme["chartCategoricalColors"]) == CLASS_COLOURS
    for name, colours in (("light", LIGHT), ("dark", DARK)):
        roles = ("primaryColor", "backgroundColor", "secondaryBackgroundColor", "borderColor")
        given = [theme[name][role] for role in roles]
        assert given == [colours[role] for role in ("accent", "page", "panel", "line")]
        for colour, of in {"blue": NOTE, **{c: TONES[tone] for c, tone in PALETTE.items()}}.items():
            dark = name == "dark"
            assert theme[name][f"{colour}TextColor"] == (of.text_dark if dark else of.text)
            assert theme[name][f"{colour}BackgroundColor"] == (of.ground_dark if dark else of.ground)


def laid_over(colour: str, page: str) -> str:
    """A colour ``rgba(r,g,b,a)`` over an opaque one."""
    *rgb, alpha = map(float, colour[5:-1].split(","))
    below = [int(page[i : i + 2], 16) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(alpha * a + (1 - alpha) * b):02x}" for a, b in zip(rgb, below, strict=True))


def test_counts_of_a_confusion_matrix_are_legible_on_every_cell():
    counts = pd.DataFrame(
        {"true": list("aabb"), "predicted": list("abab"), "count": [5, 0, 2, 3], "proportion_of_true": [1, 0, 0.4, 0.6]}
    )
    heat = confusion_figure(counts, ("a", "b"), show="count").data[0]
    assert [colour for _, colour in heat.colorscale] == list(CELLS)
    assert heat.textfont.color == LIGHT["ink"]
    for page in (LIGHT, DARK):
        for colour in CELLS:
            assert contrast(page["ink"], laid_over(colour, page["page"])) >= 4.5
