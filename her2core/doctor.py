"""Will her2core work on this machine? Nothing in; PASS, WARN or FAIL lines with the way out, out."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from her2core.errors import Her2Error

MALICIOUS_LIGHTNING = ("2.6.2", "2.6.3")
#: Distribution names as in requirements.txt, of what cannot be missing.
NEEDED = (
    "torch",
    "torchvision",
    "pytorch-lightning",
    "torchmetrics",
    "timm",
    "safetensors",
    "grad-cam",
    "numpy",
    "scipy",
    "scikit-learn",
    "pandas",
    "pyarrow",
    "pillow",
    "pydantic",
    "PyYAML",
    "click",
    "streamlit",
    "plotly",
)


@dataclass(frozen=True)
class Check:
    """``status`` PASS, WARN or FAIL; ``fix`` is empty when there is nothing to do."""

    name: str
    status: str
    found: str
    fix: str = ""

    def as_dict(self) -> dict:
        return asdict(self)


def diagnose(models: str | Path = "models", runs: str | Path = "runs") -> list[Check]:
    """All checks, in the order in which they matter."""
    checks: list[Callable[[], Check]] = [
        _python,
        _packages,
        _lightning,
        _device,
        _memory,
        _disk,
        lambda: _writable(Path(runs)),
        lambda: _models(Path(models)),
    ]
    return [check() for check in checks]


def _python() -> Check:
    found = ".".join(map(str, sys.version_info[:3]))
    good = sys.version_info >= (3, 11)
    return Check("Python", "PASS" if good else "FAIL", found, "" if good else "Install Python 3.11 or newer.")


def _packages() -> Check:
    missing = [name for name in NEEDED if _version(name) is None]
    if missing:
        return Check("packages", "FAIL", f"missing: {', '.join(missing)}", "pip install -r requirements.txt")
    return Check("packages", "PASS", f"all {len(NEEDED)} there")


def _lightning() -> Check:
    version = _version("pytorch-lightning") or "missing"
    if version in MALICIOUS_LIGHTNING:
        return Check(
            "pytorch-lightning",
            "FAIL",
            f"{version}, a malicious release",
            "Uninstall it, change every secret this machine held, install 2.6.4 or newer.",
        )
    return Check("pytorch-lightning", "PASS", version)


def _device() -> Check:
    try:
        import torch
    except ImportError as broken:
        return Check("device", "FAIL", f"torch does not import: {broken}", "pip install -r requirements.txt")
    if torch.cuda.is_available():
        return Check("device", "PASS", f"{torch.cuda.device_count()} GPU: {torch.cuda.get_device_name(0)}")
    from her2core.training.hardware import native_bfloat16

    slow = "" if native_bfloat16() else ", no bfloat16 units"
    fix = "Predictions are fine; train at 64 to 128 px, or use a machine with a GPU."
    if slow:
        fix += " Train with --set hardware.precision=32-true: bf16-mixed is emulated here."
    return Check("device", "WARN", f"CPU only, {torch.get_num_threads()} threads{slow}", fix)


def _memory() -> Check:
    try:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    except (ValueError, OSError, AttributeError):
        return Check("memory", "WARN", "cannot be read on this system", "Keep 4 GB free for training.")
    good = free > 3
    return Check("memory", "PASS" if good else "WARN", f"{free:.1f} GB free", "" if good else "Close other programs.")


def _disk() -> Check:
    free = shutil.disk_usage(".").free / 1e9
    good = free > 2
    return Check("disk", "PASS" if good else "WARN", f"{free:.1f} GB free here", "" if good else "Free some space.")


def _writable(runs: Path) -> Check:
    place = next(p for p in (runs, *runs.absolute().parents) if p.is_dir())
    try:
        with tempfile.TemporaryFile(dir=place):
            return Check("run folder", "PASS", f"{runs} can be written")
    except OSError as refused:
        return Check("run folder", "FAIL", str(refused), "Choose a folder of your own with --runs.")


def _models(models: Path) -> Check:
    from her2core.io.files import sha256_file
    from her2core.runs.folder import list_runs

    found, problems = list_runs(models)
    try:
        for run in found:
            if sha256_file(run.path / "model.safetensors") != run.card["weights_sha256"]:
                problems.append(f"{run.name}: the weights are not those of its card")
    except (Her2Error, OSError) as broken:
        problems.append(str(broken))
    if problems:
        return Check("released runs", "FAIL", problems[0], "Take the models folder again from the repository.")
    if not found:
        return Check("released runs", "WARN", f"none in {models}", "Start her2 in the repository's folder.")
    return Check("released runs", "PASS", f"{', '.join(sorted(r.name for r in found))}; weights match their cards")


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
