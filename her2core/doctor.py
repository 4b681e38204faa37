"""Diagnosis of this machine and installation: PASS, WARN or FAIL for each check, with the fix."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement

from her2core.errors import Her2Error
from her2core.runs.provenance import installed_version

MALICIOUS_LIGHTNING = ("2.6.2", "2.6.3")
#: Extras that a user of the app or the reports installs.
EXTRAS = ("app", "report")
Status = Literal["PASS", "WARN", "FAIL"]


@dataclass(frozen=True)
class Check:
    """Outcome of one check.

    Attributes
    ----------
    name : str
        What was checked.
    status : {'PASS', 'WARN', 'FAIL'}
        The outcome.
    found : str
        What was found.
    fix : str
        What to do; empty when nothing is.

    Examples
    --------
    >>> Check("disk", "WARN", "1.2 GB free here", "Free some space.").as_dict()["status"]
    'WARN'
    """

    name: str
    status: Status
    found: str
    fix: str = ""

    def as_dict(self) -> dict[str, str]:
        """Convert to plain values.

        Returns
        -------
        dict
        """
        return asdict(self)


def diagnose(models: str | Path = "models", runs: str | Path = "runs") -> list[Check]:
    """Run all checks.

    Parameters
    ----------
    models : str or Path, optional
        Folder of released runs; their weights are verified.
    runs : str or Path, optional
        Folder in which trainings write.

    Returns
    -------
    list of Check
        In order of importance.

    Examples
    --------
    >>> [check.name for check in diagnose()][:3]
    ['Python', 'packages', 'extras']
    """
    checks: list[Callable[[], Check]] = [
        _python,
        _packages,
        _extras,
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
    return _declared("packages", (), "FAIL", "her2core")


def _extras() -> Check:
    return _declared("extras", EXTRAS, "WARN", f"'her2core[{','.join(EXTRAS)}]'")


def _declared(name: str, extras: tuple[str, ...], status: Status, install: str) -> Check:
    """What is declared for some extras, or for the core where none is named, against what is installed."""
    try:
        declared = [Requirement(line) for line in metadata.requires("her2core") or ()]
    except metadata.PackageNotFoundError:
        return Check(name, "WARN", "her2core itself is not installed", "Run: pip install --editable .")
    if extras:
        needed = [r for r in declared if r.marker and any(r.marker.evaluate({"extra": e}) for e in extras)]
    else:
        needed = [r for r in declared if r.marker is None]
    missing, outside = _lacking(needed)
    if missing or outside:
        return Check(name, status, _listed(missing, outside), f"Run: pip install --upgrade {install}")
    return Check(name, "PASS", f"{', '.join(extras) or f'all {len(needed)}'} in the declared versions")


def _lacking(needed: list[Requirement]) -> tuple[list[str], list[str]]:
    """Names of missing distributions; those outside the declared bounds, with their version."""
    versions = {r: installed_version(r.name) for r in needed}
    missing = sorted({r.name for r, version in versions.items() if version is None})
    outside = [f"{r.name} {v} (needs {r.specifier})" for r, v in versions.items() if v and not r.specifier.contains(v)]
    return missing, outside


def _listed(missing: list[str], outside: list[str]) -> str:
    parts = [("missing", missing), ("outside the declared versions", outside)]
    return "; ".join(f"{what}: {', '.join(names)}" for what, names in parts if names)


def _lightning() -> Check:
    version = installed_version("pytorch-lightning") or "missing"
    if version in MALICIOUS_LIGHTNING:
        return Check(
            "pytorch-lightning",
            "FAIL",
            f"{version}, a malicious release",
            "Uninstall it, change every secret on this machine, install 2.6.4 or newer.",
        )
    return Check("pytorch-lightning", "PASS", version)


def _device() -> Check:
    try:
        import torch
    except ImportError as broken:
        return Check("device", "FAIL", f"torch does not import: {broken}", "Run: pip install torch torchvision")
    if torch.cuda.is_available():
        return Check("device", "PASS", f"{torch.cuda.device_count()} GPU: {torch.cuda.get_device_name(0)}")
    from her2core.networks.bfloat16 import native_bfloat16

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
            return Check("run folder", "PASS", f"{runs} is writable")
    except OSError as refused:
        return Check("run folder", "FAIL", str(refused), "Choose another folder with --runs.")


def _models(models: Path) -> Check:
    from her2core.io.files import sha256_file
    from her2core.runs.listing import list_runs

    found, problems = list_runs(models)
    try:
        for run in found:
            if run.has_weights and sha256_file(run.path / "model.safetensors") != run.card["weights_sha256"]:
                problems.append(f"{run.name}: the weights do not have the card's hash")
    except (Her2Error, OSError) as broken:
        problems.append(str(broken))
    if problems:
        return Check("released runs", "FAIL", problems[0], "Copy the folder models again from the repository.")
    if not found:
        fix = "Copy the folder models from the repository, or train with her2 train."
        return Check("released runs", "WARN", f"none in {models}", fix)
    return Check("released runs", "PASS", f"{', '.join(sorted(r.name for r in found))}; weights match their cards")
