"""Rows of docs/results.md on speed, from benchmarks/results: ratios inside one run, as the machines are shared."""

from __future__ import annotations

import json
from typing import Any

from results_evidence import HOME, LINK, RESULTS

Row = tuple[str, str, str, str]


def speed() -> str:
    """Measurements of engines, other libraries, preparation, training and start, with targets and results files."""
    rows = [*_engines(), *_pipeline(), *_growth(), *_int8(), *_peers(), *_slides(), *_stain(), *_training(), *_start()]
    lines = ["| ratio, median (least to largest) | measured | target | file |", "|---|---|---|---|"]
    lines += [f"| {a} | {b} | {c} | [{d}.json]({LINK}/{RESULTS}/{d}.json) |" for a, b, c, d in rows]
    return "\n".join(lines)


def _read(name: str) -> dict[str, Any]:
    return json.loads((HOME / RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def _text(ratio: dict[str, float]) -> str:
    return f"{ratio['median']:.3g} ({ratio['least']:.3g} to {ratio['largest']:.3g})"


def _engines() -> list[Row]:
    ratios = _read("engine")["ratios"]
    rows = []
    for px in (112, 224):
        for engine in ("openvino", "openvino-bf16"):
            if (name := f"bare, torch over {engine}, {px} px") in ratios:
                rows.append(
                    (f"forward pass, {px} px: torch in float32 over {engine}", _text(ratios[name]), "", "engine")
                )
        for engine in ("torch", "openvino", "openvino-bf16"):
            if (name := f"bare over predict, {engine}, {px} px") in ratios:
                what = f"forward pass over JPEG decoding to prediction, {engine}, {px} px"
                rows.append((what, _text(ratios[name]), "0.9", "engine"))
    name = "OOD score over predict, torch, 112 px"
    return [
        *rows,
        ("out-of-distribution score, share of a prediction at 112 px", _text(ratios[name]), "0.05", "engine"),
    ]


def _pipeline() -> list[Row]:
    found = _read("pipeline")
    return [
        (
            f"wall clock, network on one of two cores: JPEG decoding to prediction over the bare rate, {name}",
            _text(ratio),
            "0.9",
            "pipeline",
        )
        for name, ratio in found["ratios"].items()
    ]


def _growth() -> list[Row]:
    found = _read("growth_patches")
    of = found["patches_a_second_ready_tensors"]
    one, two = of["threads 1"], of["threads 2"]
    rows = []
    for engine in ("torch", "openvino", "openvino-bf16"):
        batches = [one[f"{engine}, batch {n}, 112 px"] / one[f"{engine}, batch 1, 112 px"] for n in (4, 16, 64)]
        pixels = [one[f"{engine}, batch 16, {px} px"] * px**2 for px in (64, 112, 224, 448)]
        sides = [pixel / pixels[1] for pixel in pixels]
        threads = two[f"{engine}, batch 16, 112 px"] / one[f"{engine}, batch 16, 112 px"]
        rows += [
            (f"patches a second in batches of 4, 16, 64 over single ones, {engine}", _numbers(batches), ""),
            (f"pixels a second at 64, 112, 224, 448 px over those at 112 px, {engine}", _numbers(sides), ""),
            (f"patches a second with two threads over one, {engine}", _numbers([threads]), ""),
        ]
    sessions = {n: one for n, one in found["sessions"].items() if n != "engine"}
    rates = [one["uploads_a_second"] / sessions["1"]["uploads_a_second"] for one in sessions.values()]
    images = found["images"]
    rows += [
        (f"uploads with maps a second in {', '.join(sessions)} sessions at once over one", _numbers(rates), ""),
        (
            f"peak memory of `her2 predict` on {', '.join(f'{int(n):,}' for n in images)} patches, MB",
            ", ".join(f"{one['peak_mb']:,.0f}" for one in images.values()),
            "",
        ),
    ]
    return [(*row, "growth_patches") for row in rows]


def _numbers(values: list[float]) -> str:
    return ", ".join(f"{value:.2f}" for value in values)


def _int8() -> list[Row]:
    rows = []
    for run, found in _read("int8")["runs"].items():
        figures = "; ".join(
            f"{figure} {of['float32']:.3f} and {of['int8']:.3f} [{of['lower_95']:.3f}, {of['upper_95']:.3f}]"
            for figure, of in (
                ("balanced accuracy", found["figures"]["balanced_accuracy"]),
                ("ECE", found["figures"]["ece"]),
            )
        )
        ratio = found["processor_time_ratios"].get("torch over openvino-int8")
        what = f"`{run}` at {found['px']} px, forward pass: torch in float32 over 8-bit integers"
        rows.append((f"{what}; {figures} in float32 and 8 bits", _text(ratio) if ratio else "not offered", "", "int8"))
    return rows


def _peers() -> list[Row]:
    found = _read("peers")
    targets = {"TIAToolbox": "4", "TIAToolbox with its Macenko": "5"}
    rows = []
    for name, ratio in found["ratios"].items():
        theirs, ours = name.split(" over her2core, ")
        what = (
            f"PNG to prediction at {found['px']} px: {theirs} {found['tiatoolbox']} (ResNet50, output stride 32) over"
        )
        rows.append((f"{what} `tissue12` by {ours}, with Macenko and flags", _text(ratio), targets[theirs], "peers"))
    return rows


def _slides() -> list[Row]:
    found = _read("slide_peers")
    what = f"tiles of {found['px']} px at {found['mpp']} microns per pixel: TIAToolbox {found['tiatoolbox']} over ours"
    return [
        (f"{what}, {name.partition(', ')[2]}", _text(ratio), "", "slide_peers")
        for name, ratio in found["ratios"].items()
    ]


def _stain() -> list[Row]:
    ratios = _read("stain")["ratios"]
    return [
        ("Macenko at 224 px: torchstain (NumPy) over ours", _text(ratios["torchstain over apply"]), "10", "stain"),
        ("the same with one estimate for many patches", _text(ratios["torchstain over recolour"]), "40", "stain"),
    ]


def _training() -> list[Row]:
    rows = []
    for name, ratio in _read("training")["ratios"].items():
        what, *network = name.split(", ")
        label, target = {
            "plain over pipeline": ("the same loop fed by our loader with augmentation", "0.95"),
            "plain over her2core": ("`her2 train`", "1"),
        }[what]
        rows.append(
            (
                f"training of {' at '.join(network)}: plain loop on ready tensors over {label}",
                _text(ratio),
                target,
                "training",
            )
        )
    compiled = _read("training_compiled")
    for precision, name in (("fp32", "float32"), ("bf16", "bfloat16")):
        of = compiled[precision]
        what = f"training step of {compiled['network']}, {name}, two cores: eager over `torch.compile`"
        took = f"{what}, which took {of['compilation_s']:.0f} s"
        rows.append((took, _text(of["eager_over_compiled"]), "", "training_compiled"))
    return rows


def _start() -> list[Row]:
    ratios = _read("start")["ratios"]
    names = {"her2 predict, torch": "`her2 predict` by torch", "her2 --help": "`her2 --help`"}
    return [
        (f"{label} over `import torch`", _text(ratios[f"{name} over import torch"]), "", "start")
        for name, label in names.items()
    ]
