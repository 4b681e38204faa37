"""Provenance of a run: command, time, git commit, package versions and machine."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "torchvision", "pytorch-lightning", "timm", "numpy", "pandas", "pillow", "scikit-learn", "scipy")


def provenance() -> dict[str, Any]:
    """Describe this process, JSON-ready.

    Returns
    -------
    dict
        ``command``, ``created`` (UTC), ``git`` (commit, and whether tracked files were changed since; None outside a
        checkout), ``python``, ``packages`` (name to version) and ``hardware``.

    Examples
    --------
    >>> here = provenance()
    >>> sorted(here)
    ['command', 'created', 'git', 'hardware', 'packages', 'python']
    >>> here["hardware"]["cores"] == os.cpu_count()
    True
    """
    return {
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "git": _git(),
        "python": platform.python_version(),
        "packages": {name: installed_version(name) for name in PACKAGES},
        "hardware": {"machine": platform.machine(), "processor": _processor(), "cores": os.cpu_count()},
    }


def installed_version(package: str) -> str | None:
    """Version of an installed package; None where it is not installed.

    Examples
    --------
    >>> installed_version("not-installed") is None
    True
    """
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git() -> dict[str, Any] | None:
    def ask(*words: str) -> str:
        return subprocess.run(
            ["git", *words], cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10, check=True
        ).stdout.strip()

    try:
        ask("ls-files", "--error-unmatch", Path(__file__).name)  # an installed copy may lie in another repository
        return {"commit": ask("rev-parse", "HEAD"), "changed_files": bool(ask("status", "--porcelain", "-uno"))}
    except (OSError, subprocess.SubprocessError):
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown"
