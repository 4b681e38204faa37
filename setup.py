"""Build hook: the wheel contains the app.

``app.py``, ``pages/`` and ``dashboard/`` are at the top level of the repository, where Streamlit expects them. A wheel
gets a copy in ``her2core/_app``, where ``her2 app`` finds it (``her2core.locations``). An editable installation needs
none. Everything else is in pyproject.toml.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
FOLDERS = ("pages", "dashboard")
FILES = ("app.py", ".streamlit/config.toml", "docs/method.md")


class BuildWithApp(build_py):
    """``build_py`` that copies the app into the package."""

    def run(self) -> None:
        """Build the package, then copy the app."""
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib) / "her2core" / "_app"
        shutil.rmtree(target, ignore_errors=True)
        for folder in FOLDERS:
            shutil.copytree(ROOT / folder, target / folder, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
        for name in FILES:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


setup(cmdclass={"build_py": BuildWithApp})
