"""Documentation: short README whose example runs, pages up to date, site builds without a warning."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from her2core.data.manifest import read_manifest
from her2core.evidence.metrics.documentation import markdown_page

HOME = Path(__file__).resolve().parents[1]
DOCS = HOME / "docs"
PAGES = [HOME / "README.md", HOME / "CONTRIBUTING.md", HOME / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]


def test_the_readme_has_at_most_8_kb():
    assert len((HOME / "README.md").read_bytes()) <= 8 * 1024


HOWTO = sorted((DOCS / "howto").glob("add-*.md"))
#: Runs the Python of a guide, then the tests that it defines.
_RUN = "\nfor name, test in list(globals().items()):\n    if name.startswith('test_'):\n        test()\n"


def python_of(page: Path) -> str:
    return "\n".join(re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL))


def run_python(code: str, folder: Path = HOME) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(HOME)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("page", ["README.md", "docs/quickstart.md"])
def test_the_python_of_a_page_runs(page):
    assert run_python(python_of(HOME / page)).split()[0] in ("negative", "Refer", "positive")


@pytest.mark.parametrize("page", HOWTO, ids=lambda p: p.stem)
def test_the_python_and_the_tests_of_a_guide_run(page):
    code = python_of(page)
    assert "def test_" in code
    run_python(code + _RUN)


def test_the_recipe_for_ones_own_patients_imports_a_table(tmp_path):
    recipe = (HOME / "README.md").read_text(encoding="utf-8").split("## Your own patients")[1]
    words = re.search(r"her2 (data import table .*?)\nher2", recipe, re.DOTALL)[1].replace("\\\n", " ")
    images = tmp_path / "path" / "to" / "images"
    rows = [("P-001", "P-001/tile_01.png", "positive"), ("P-002", "P-002/tile_07.png", "negative")]
    for _, file, _ in rows:
        (images / file).parent.mkdir(parents=True)
        Image.new("RGB", (64, 64), (200, 120, 180)).save(images / file)
    pd.DataFrame(rows, columns=["case", "file", "HER2"]).to_csv(tmp_path / "patients.csv", index=False)
    run_python(f"import sys; sys.argv[1:] = {words.split()!r}; from her2core.cli import main; main()", tmp_path)
    manifest = read_manifest(tmp_path / "data" / "own.parquet")
    assert manifest.frame["patient_id"].tolist() == ["P-001", "P-002"]
    assert all(Path(manifest.root, p).is_file() for p in manifest.frame["path"])


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
