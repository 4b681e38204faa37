"""Rendering of single nuclei and mitotic figures onto the canvas and its mask.

Tumour nuclei, fibroblasts and endothelium, lymphocytes, pyknotic debris and mitotic figures are all an outline (an
ellipse with a few harmonics) filled with chromatin; they differ in the parameters of `Nucleus`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from her2core.data.synthetic.tissue import MITOSIS, Canvas


@dataclass(frozen=True)
class Nucleus:
    """Position, shape and staining of one nucleus.

    Parameters
    ----------
    y, x : float
        Centre, in pixels.
    long, short : float
        Semi-axes, in pixels.
    angle : float
        Of the long axis, in radians.
    stain : float
        Amount of haematoxylin, as on the canvas.
    chromatin : float
        Strength of the chromatin texture.
    irregularity : float
        Standard deviation of the outline's harmonics.
    rim : float
        Additional haematoxylin at the nuclear membrane.
    vesicular : float
        0 to 1: how much the centre is cleared.
    nucleoli : int
        Number of nucleoli.
    softness : float
        Blur of the outline.
    code : int or None
        Code in the mask; None leaves the mask as it is.
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
    """Render one nucleus over the canvas; outline and nucleoli are random.

    Parameters
    ----------
    rng : numpy.random.Generator
    canvas : Canvas
        Changed in place.
    nucleus : Nucleus
    """
    waves = rng.standard_normal(3) * nucleus.irregularity
    phases = rng.uniform(0, 2 * np.pi, 3)
    dots = rng.uniform(-0.45, 0.45, (nucleus.nucleoli, 2))
    box = _window(canvas, nucleus.y, nucleus.x, nucleus.long * 1.35 + 2, nucleus.angle)
    if box is None:
        return
    window, u, v = box
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
    """Render a mitotic figure: metaphase plate, anaphase or clumped prometaphase, in a cleared cell.

    Parameters
    ----------
    rng : numpy.random.Generator
    canvas : Canvas
        Changed in place.
    y, x : float
        Centre, in pixels.
    diameter : float
        Of the nucleus before division, in pixels.
    """
    angle = rng.uniform(0, np.pi)
    kind = rng.choice(3, p=(0.5, 0.2, 0.3))
    rough = 0.35 * rng.standard_normal((4,))
    box = _window(canvas, y, x, diameter * 1.1 + 2, angle)
    if box is None:
        return
    window, u, v = box
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


def _window(
    canvas: Canvas, y: float, x: float, reach: float, angle: float
) -> tuple[tuple[slice, slice], np.ndarray, np.ndarray] | None:
    """The box of half-width ``reach`` around a point, as slices, and its rotated coordinates u and v, in pixels.

    None where the box is outside the canvas.
    """
    n = canvas.side
    top, bottom = max(0, int(y - reach)), min(n, int(y + reach) + 2)
    left, right = max(0, int(x - reach)), min(n, int(x + reach) + 2)
    if top >= bottom or left >= right:
        return None
    dy = np.arange(top, bottom, dtype=np.float32)[:, None] - np.float32(y)
    dx = np.arange(left, right, dtype=np.float32)[None, :] - np.float32(x)
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return (slice(top, bottom), slice(left, right)), dx * c + dy * s, dy * c - dx * s
