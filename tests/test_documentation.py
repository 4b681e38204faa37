"""Documentation: the README is short and its example runs, pages are up to date, and the site builds without warnings."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from her2core.evidence.metrics.documentation import markdown_page

HOME = Path(__file__).resolve().parents[1]
DOCS = HOME / "docs"
PAGES = [HOME / "README.md", HOME / "CONTRIBUTING.md", HOME / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]


def test_the_readme_has_at_most_8_kb():
    assert len((HOME / "README.md").read_bytes()) <= 8 * 1024


@pytest.mark.parametrize("page", ["README.md", "docs/quickstart.md"])
def test_the_python_of_a_page_runs(page, tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", (HOME / page).read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(blocks)],
        cwd=HOME,
        env={**os.environ, "PYTHONPATH": str(HOME)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[0] in ("negative", "equivocal", "positive")


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(HOME).as_posix())
def test_every_link_into_the_repository_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if not re.match(r"https?:|#", target):
            assert (page.parent / target.split("#")[0]).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(HOME).as_posix())
def test_every_file_named_in_code_font_exists(page):
    text = page.read_text(encoding="utf-8")
    named = re.findall(r"`((?:her2core|dashboard|pages|configs|benchmarks|tests|docs)/[\w./-]+\.\w+)`", text)
    missing = [n for n in named if not (HOME / n).exists()]
    assert missing == [] or page.name == "CHANGELOG.md" or "add-a" in page.name


def test_the_page_of_metrics_is_that_of_the_registry():
    page = (DOCS / "metrics.md").read_text(encoding="utf-8")
    assert page == markdown_page(), "run: python -m her2core.evidence.metrics.documentation > docs/metrics.md"


def test_the_site_builds_without_a_warning(tmp_path):
    pytest.importorskip("mkdocstrings_handlers.python", reason="mkdocs and mkdocstrings are not installed")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)],
        cwd=HOME,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for page in ("index.html", "metrics/index.html", "api/evidence/index.html", "howto/own-table/index.html"):
        assert (tmp_path / page).is_file()
    fetched = [
        (page.relative_to(tmp_path).as_posix(), address)
        for page in tmp_path.rglob("*.html")
        for address in re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=\"(https?://[^\"]+)", page.read_text())
    ]
    assert fetched == [], "a reader's browser would fetch this from elsewhere"
