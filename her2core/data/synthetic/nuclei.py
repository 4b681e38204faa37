"""How is one nucleus drawn? Its place and shape in; haematoxylin laid on the canvas and its code in the mask out.

Tumour nuclei, fibroblasts and endothelium, lymphocytes, pyknotic debris and mitotic figures are all an outline (an
ellipse with a few harmonics) filled with chromatin; they differ in the numbers of `Nucleus`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from her2core.data.synthetic.tissue import MITOSIS, Canvas


@dataclass(frozen=True)
class Nucleus:
    """One nucleus. Lengths in pixels, angles in radians, amounts as on the canvas.

    ``code`` is its mask code, or None where it leaves the mask as it is. ``vesicular`` 0 to 1 clears the middle and
    stresses the rim; ``nucleoli`` counts dark dots.
    """

    y: float
    x: float
    long: float
    short: float
    angle: float
    stain: float
    chromatin: float
    irregularity: float
    rim: float
    vesicular: float
    nucleoli: int
    softness: float
    code: int | None


def draw_nucleus(rng: np.random.Generator, canvas: Canvas, nucleus: Nucleus) -> None:
    """Lay one nucleus over what is there; draws from ``rng`` for outline and nucleoli."""
    waves = rng.standard_normal(3) * nucleus.irregularity
    phases = rng.uniform(0, 2 * np.pi, 3)
    dots = rng.uniform(-0.45, 0.45, (nucleus.nucleoli, 2))
    window, u, v = _window(canvas, nucleus.y, nucleus.x, nucleus.long * 1.35 + 2, nucleus.angle)
    if window is None:
        return
    u, v = u / nucleus.long, v / nucleus.short
    radius = np.sqrt(u * u + v * v)
    turn = np.arctan2(v, u)
    outline = 1.0 + sum(w * np.cos(k * turn + p) for k, w, p in zip((2, 3, 4), waves, phases, strict=True))
    radius = radius / outline
    edge = nucleus.short / nucleus.softness
    cover = np.clip((1.0 - radius) * edge + 0.5, 0, 1)

    fill = 1.0 + nucleus.chromatin * canvas.chromatin[window]
    if nucleus.vesicular > 0:
        fill = fill - 0.42 * nucleus.vesicular * np.clip(1.15 - radius * radius, 0, 1)
    rim_width = 0.9 / max(nucleus.short, 2.0)
    fill = fill + nucleus.rim * np.exp(-0.5 * ((radius - 0.93) / rim_width) ** 2)
    for du, dv in dots:
        size = max(0.15, 0.75 / nucleus.short)
        fill = fill + 0.75 * np.exp(-0.5 * ((u - du) ** 2 + (v - dv) ** 2) / size**2)
    amount = nucleus.stain * np.clip(fill, 0.18, 2.2)
    # A section has depth: of an overlapped nucleus a third still shows through.
    below = canvas.h[window]
    canvas.h[window] = below + cover * (np.maximum(amount, 0.75 * amount + 0.33 * below) - below)
    canvas.e[window] *= 1.0 - 0.62 * cover
    if nucleus.code is not None:
        canvas.mask[window][cover > 0.5] = nucleus.code


def draw_mitosis(rng: np.random.Generator, canvas: Canvas, y: float, x: float, diameter: float) -> None:
    """A mitotic figure of a cell of nuclear ``diameter`` pixels: plate, anaphase or clump, in a cleared cell."""
    angle = rng.uniform(0, np.pi)
    kind = rng.choice(3, p=(0.5, 0.2, 0.3))
    rough = 0.35 * rng.standard_normal((4,))
    window, u, v = _window(canvas, y, x, diameter * 1.1 + 2, angle)
    if window is None:
        return
    cell = np.clip((0.85 - np.hypot(u, v) / diameter) * 4, 0, 1)
    canvas.h[window] *= 1 - 0.85 * cell
    canvas.e[window] *= 1 - 0.45 * cell
    # Fringes: the plate's outline follows the chromatin noise, so that arms stick out.
    fringe = 0.16 * canvas.chromatin[window] + 0.10 * np.sin(u * (2.2 + rough[0]) + 6 * rough[1])
    length, thick = 0.52 * diameter, 0.17 * diameter
    if kind == 0:
        shape = np.hypot(u / length, (v + 0.06 * diameter * np.sin(u / length * 2 + rough[2])) / thick)
    elif kind == 1:
        off = 0.30 * diameter
        bend = 0.25 * u * u / diameter
        shape = np.minimum(
            np.hypot(u / (0.8 * length), (v - off + bend) / (0.8 * thick)),
            np.hypot(u / (0.8 * length), (v + off - bend) / (0.8 * thick)),
        )
    else:
        shape = np.hypot(u / (0.42 * diameter), v / (0.32 * diameter)) + 0.8 * fringe
    cover = np.clip((1.0 - shape - fringe) * max(thick, 1.0) + 0.5, 0, 1)
    canvas.h[window] += cover * (2.35 - canvas.h[window])
    canvas.e[window] *= 1 - 0.5 * cover
    canvas.mask[window][cover > 0.4] = MITOSIS


def _window(canvas: Canvas, y: float, x: float, reach: float, angle: float):
    """(slices, u, v): the box of half-width ``reach`` around a point and its turned coordinates, in pixels."""
    n = canvas.side
    top, bottom = max(0, int(y - reach)), min(n, int(y + reach) + 2)
    left, right = max(0, int(x - reach)), min(n, int(x + reach) + 2)
    if top >= bottom or left >= right:
        return None, None, None
    dy = np.arange(top, bottom, dtype=np.float32)[:, None] - np.float32(y)
    dx = np.arange(left, right, dtype=np.float32)[None, :] - np.float32(x)
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return (slice(top, bottom), slice(left, right)), dx * c + dy * s, dy * c - dx * s
