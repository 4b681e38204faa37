"""``her2 doctor`` and ``her2 app``: the machine's state, and the start of the server."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from cli_steps import copy_of, strict_json


def test_doctor_says_what_there_is_and_what_to_do(her2, tiny_run):
    code, out, _ = her2("doctor", "--json")
    checks = {c["name"]: c for c in strict_json(out)}
    assert code == 0
    assert {c["status"] for c in checks.values()} <= {"PASS", "WARN"}
    assert checks["packages"]["status"] == "PASS"
    assert checks["released runs"] == {
        "name": "released runs",
        "status": "WARN",
        "found": "none in models",
        "fix": "Copy the folder models from the repository, or train with her2 train.",
    }
    copy_of(tiny_run, Path("models/demo"))
    _, out, _ = her2("doctor")
    assert "PASS  released runs: demo; weights match their cards" in out


def test_doctor_fails_on_weights_that_are_not_the_cards(her2, tiny_run):
    copy_of(tiny_run, Path("models/demo"), model__safetensors=b"other bytes")
    code, out, _ = her2("doctor", "--json")
    assert code == 1
    (failed,) = [c for c in strict_json(out) if c["status"] == "FAIL"]
    assert failed["found"] == "demo: the weights do not have the card's hash"
    assert failed["fix"]


def test_doctor_warns_of_malicious_lightning(her2, monkeypatch):
    import her2core.doctor as doctor

    real = doctor.installed_version
    monkeypatch.setattr(
        doctor, "installed_version", lambda name: "2.6.3" if name == "pytorch-lightning" else real(name)
    )
    code, out, _ = her2("doctor")
    assert code == 1
    assert "FAIL  pytorch-lightning: 2.6.3, a malicious release  ->  Uninstall it" in out


def test_doctor_names_every_declared_package_that_is_missing_or_out_of_bounds(her2, monkeypatch):
    import her2core.doctor as doctor

    real = doctor.installed_version
    lost = {"openpyxl": None, "tifffile": None, "streamlit": None, "pandas": "0.25.0"}
    monkeypatch.setattr(doctor, "installed_version", lambda name: lost[name] if name in lost else real(name))
    code, out, _ = her2("doctor")
    assert code == 1
    assert "FAIL  packages: missing: openpyxl, tifffile" in out.replace("tifffile, openpyxl", "openpyxl, tifffile")
    assert "pandas 0.25.0 (needs " in out
    assert "WARN  extras: missing: streamlit" in out


@pytest.fixture
def started(monkeypatch) -> list[tuple[list[str], dict[str, str]]]:
    """Commands that were started instead of running, with their environment."""
    calls = []
    monkeypatch.setattr(os, "execve", lambda program, command, env: calls.append((command, env)))
    monkeypatch.setattr(subprocess, "call", lambda command, env: calls.append((command, env)) or 0)
    return calls


def test_app_starts_streamlit_on_this_machine_only(her2, started, monkeypatch):
    monkeypatch.delenv("HER2_RUNS", raising=False)
    assert her2("app", "--port", 8600)[0] == 0
    ((command, environment),) = started
    root = Path(__file__).resolve().parents[1]
    assert command[1:5] == ["-m", "streamlit", "run", str(root / "app.py")]
    assert command[command.index("--server.address") + 1] == "127.0.0.1"
    assert command[command.index("--server.port") + 1] == "8600"
    assert environment["HER2_RUNS"].split(os.pathsep)[0] == str(root / "models")


def test_app_shows_the_runs_of_the_folders_that_are_named(her2, started, monkeypatch):
    Path("mine").mkdir()
    code, out, err = her2("app", "--runs", "mine", "--json")
    assert code == 0, err
    assert strict_json(out)["runs"] == [str(Path("mine").absolute())]
    monkeypatch.setenv("HER2_RUNS", os.pathsep.join(["a", "b"]))
    assert her2("app", "--json")[0] == 0
    assert [e["HER2_RUNS"] for _, e in started] == [
        str(Path("mine").absolute()),
        os.pathsep.join(str(Path(n).absolute()) for n in "ab"),
    ]
    code, out, _ = her2("app", "--runs", "nowhere", "--json")
    assert code == 1
    assert "Expected a folder of runs, but got no such folder" in strict_json(out)["error"]
    assert len(started) == 2


def test_runs_are_listed_from_the_named_folders(her2, tiny_run, monkeypatch):
    copy_of(tiny_run, Path("mine/run"))
    monkeypatch.setenv("HER2_RUNS", "mine")
    code, out, _ = her2("runs", "list", "--json")
    assert code == 0
    assert [r["path"] for r in strict_json(out)["runs"]] == [str(Path("mine/run").absolute())]
