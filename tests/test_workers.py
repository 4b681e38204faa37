"""Slides shared among processes and on a Ray cluster: equal bytes, killed workers, Ctrl-C, report."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from slide_files import slide_pixels, write_pyramid
from worker_steps import CannotStart, KillAtThree, ProcessAndThreads, double, refuse_three

from her2core.errors import ConfigError
from her2core.io.periodic import EVERY, SHARE, PeriodicWrite
from her2core.parallel.processes import in_processes, processors
from her2core.parallel.tasks import choose_backend
from her2core.slide.jobs import SlideJob
from her2core.slide.work import work_through

TESTS = Path(__file__).parent
needs_slides = pytest.mark.skipif(find_spec("openslide") is None, reason="the extra slide is not installed")
needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed (extra cluster)")
WORDS = ("--px", "128", "--tile-mpp", "0.5", "--keep-all")


def tree(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder; the report has times and is left out."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "report.csv"
    }


def command(*words: object, start: str = "from her2core.cli import main; main()", **more) -> subprocess.Popen:
    path = os.pathsep.join([str(TESTS.parent), str(TESTS), os.environ.get("PYTHONPATH", "")])
    env = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", start, *map(str, words)],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **more,
    )


@pytest.fixture
def slides(tmp_path) -> Path:
    """Four slides."""
    folder = tmp_path / "slides"
    folder.mkdir()
    for number in range(4):
        write_pyramid(folder / f"S{number + 1}.tif", np.ascontiguousarray(np.roll(slide_pixels(), 32 * number, axis=1)))
    return folder


def test_every_item_is_done_once_by_several_processes(tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    found = list(in_processes(ProcessAndThreads(tmp_path, 2), range(8), workers=2))
    assert sorted(done.index for done in found) == list(range(8))
    assert {done.attempts for done in found} == {1}
    pids = {done.value[0] for done in found}
    assert len(pids) == 2
    assert os.getpid() not in pids
    assert {done.worker.rpartition(":")[2] for done in found} == {str(pid) for pid in pids}
    assert {done.value[1] for done in found} == {str(max(1, processors() // 2))}, "processors are shared"
    assert "OMP_NUM_THREADS" not in os.environ


def test_the_item_of_a_killed_process_is_done_by_another(tmp_path):
    found = {done.index: done for done in in_processes(KillAtThree(tmp_path / "killed"), range(6), workers=2)}
    assert {i: done.value for i, done in found.items()} == {i: 2 * i for i in range(6)}
    assert {i: done.attempts for i, done in found.items() if done.attempts > 1} == {3: 2}


def test_an_item_that_kills_every_process_is_reported_and_the_rest_is_done():
    found = {done.index: done for done in in_processes(KillAtThree(), range(6), workers=2)}
    assert [i for i, done in found.items() if done.lost] == [3]
    assert "2 times, the last by SIGKILL" in found[3].lost
    assert {i: done.value for i, done in found.items() if i != 3} == {i: 2 * i for i in range(6) if i != 3}


def test_what_the_function_raises_ends_the_work():
    with pytest.raises(ValueError, match="three"):
        list(in_processes(refuse_three, [1, 3], workers=1))
    with pytest.raises(RuntimeError, match="number 4"):
        list(in_processes(refuse_three, [4], workers=1))


def test_processes_that_cannot_start_are_said():
    with pytest.raises(ConfigError, match="exit code 3"):
        list(in_processes(CannotStart(), range(9), workers=2))


def test_more_workers_than_items_and_no_item():
    assert [done.value for done in in_processes(double, [4], workers=3)] == [8]
    assert list(in_processes(double, [], workers=2)) == []


def test_workers_belong_to_a_local_cluster_only(monkeypatch):
    with pytest.raises(ConfigError, match="`local` only"):
        choose_backend(2, "host:6379")
    monkeypatch.setattr("her2core.extras.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'her2core\[cluster\]'"):
        choose_backend(None, "local")


@needs_slides
@pytest.mark.parametrize(
    "how",
    [("--workers", "2"), pytest.param(("--cluster", "local", "--workers", "2"), marks=needs_ray)],
    ids=["processes", "ray"],
)
def test_with_one_worker_killed_on_the_way_the_tiles_are_those_of_one_process(her2, slides, tmp_path, how):
    assert her2("tile", slides, "--out", "alone", *WORDS)[0] == 0
    words = ("killed", tmp_path / "marker", "tile", slides, "--out", "shared", *WORDS, *how)
    started = command(*words, start="import worker_steps; worker_steps.main()")
    out, err = started.communicate(timeout=500)
    if "timed out during startup" in err:
        pytest.skip("Ray did not start within its own 30 s on this machine")
    assert started.returncode == 0, err
    assert (tmp_path / "marker").exists(), "no worker was killed"
    assert tree(Path("shared")) == tree(Path("alone"))
    assert "4 slides: 4 done, 0 skipped, 0 failed; 74 tiles" in out
    report = pd.read_csv("shared/report.csv").set_index("slide_id")
    assert list(report.index) == ["S1", "S2", "S3", "S4"]
    assert report["attempts"].to_dict() == {"S1": 1, "S2": 2, "S3": 1, "S4": 1}
    assert set(report["state"]) == {"done"}
    assert (report["seconds"] >= report[[c for c in report if c.startswith("seconds_")]].sum(axis=1) - 0.01).all()
    assert {"seconds_plan", "seconds_read", "seconds_write"} <= set(report)


@needs_slides
def test_answers_of_two_processes_are_those_of_one(her2, slides, run_of_64_microns):
    table = slides.parent / "slides.csv"
    table.write_text("slide,patient_id\nS1,P1\nS2,P1\nS3,P2\nS4,P2\n")
    words = ("slide", run_of_64_microns, slides, "--table", table)
    assert her2(*words, "--out", "alone")[0] == 0
    code, out, err = her2(*words, "--out", "shared", "--workers", "2")
    assert code == 0, err
    assert tree(Path("shared")) == tree(Path("alone"))
    assert {"slides.csv", "patients.csv"} < set(tree(Path("alone")))
    assert "by 2 processes" in out
    assert {"seconds_network", "seconds_prepare"} <= set(pd.read_csv("shared/report.csv"))


def test_features_do_not_depend_on_the_number_of_workers(her2, tiny_manifest, tmp_path):
    words = ("features", tiny_manifest, "--network", "timm:test_resnet", "--init", "none", "--set", "input.px=64")
    for name, workers in (("one", 1), ("two", 2)):
        code, _, err = her2(*words, "--out", tmp_path / f"{name}.safetensors", "--workers", workers)
        assert code == 0, err
    assert (tmp_path / "one.safetensors").read_bytes() == (tmp_path / "two.safetensors").read_bytes()
    assert her2(*words, "--out", tmp_path / "whole.safetensors")[0] == 0
    from her2core.features.table import read_features

    by_slide, whole = (read_features(tmp_path / f"{name}.safetensors") for name in ("two", "whole"))
    assert by_slide.patch_ids == whole.patch_ids
    assert np.allclose(by_slide.vectors, whole.vectors, atol=1e-4)


def test_features_are_written_when_every_slide_is_done(her2, tiny_manifest, tmp_path):
    folder = shutil.copytree(tiny_manifest.parent, tmp_path / "cohort")
    frame = pd.read_parquet(folder / tiny_manifest.name)
    damaged = folder / frame["path"].iloc[0]
    content = damaged.read_bytes()
    damaged.write_bytes(b"no image")
    words = (
        "features",
        folder / tiny_manifest.name,
        "--network",
        "timm:test_resnet",
        "--init",
        "none",
        "--workers",
        "1",
    )
    words = (*words, "--set", "input.px=64", "--out", "f.safetensors")
    code, out, _ = her2(*words)
    assert code == 1
    assert "1 slides failed" in out
    assert not Path("f.safetensors").exists()
    damaged.write_bytes(content)
    code, out, err = her2(*words)
    assert code == 0, err
    slides = frame["slide_id"].nunique()
    assert f"1 done, {slides - 1} skipped, 0 failed" in out


@needs_slides
def test_ctrl_c_leaves_nothing_half_written_and_the_command_goes_on(her2, slides, tmp_path):
    (tmp_path / "seen").mkdir()
    words = ("slow", tmp_path / "seen", "tile", slides, "--out", "shared", *WORDS, "--workers", "2")
    started = command(*words, start="import worker_steps; worker_steps.main()", start_new_session=True)
    wait_for(lambda: len(list((tmp_path / "seen").iterdir())) == 2 and Path("shared/slides/S1").exists(), started)
    os.killpg(started.pid, signal.SIGINT)
    _, err = started.communicate(timeout=300)
    assert started.returncode == 130, err
    assert "Traceback" not in err
    assert [p.name for p in Path("shared/slides").iterdir()] == ["S1"]
    wait_for(lambda: not any(alive(int(p.suffix[1:])) for p in (tmp_path / "seen").iterdir()))
    report = pd.read_csv("shared/report.csv").set_index("slide_id")
    assert report["state"].to_dict() == {"S1": "done", "S2": "skipped", "S3": "skipped", "S4": "skipped"}
    assert "not reached" in report.loc["S2", "reason"]
    code, out, err = her2("tile", slides, "--out", "shared", *WORDS, "--workers", "2")
    assert code == 0, err
    assert "3 done, 1 skipped" in out
    assert her2("tile", slides, "--out", "alone", *WORDS)[0] == 0
    assert tree(Path("shared")) == tree(Path("alone"))


@needs_slides
def test_workers_end_with_a_killed_command(slides, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "seen").mkdir()
    words = ("slow", tmp_path / "seen", "tile", slides, "--out", "shared", *WORDS, "--workers", "2")
    started = command(*words, start="import worker_steps; worker_steps.main()")
    wait_for(lambda: len(list((tmp_path / "seen").iterdir())) == 2, started)
    started.kill()
    started.communicate(timeout=300)
    wait_for(lambda: not any(alive(int(p.suffix[1:])) for p in (tmp_path / "seen").iterdir()))


def test_a_slide_that_fails_in_any_way_does_not_stop_the_rest(tmp_path, capsys):
    jobs = [SlideJob(tmp_path / f"{name}.svs", name) for name in "abcd"]
    for job in jobs:
        job.path.touch()

    def work(job):
        if job.slide_id == "b":
            raise ZeroDivisionError("a fault")
        if job.slide_id == "c":
            raise PermissionError(13, "Permission denied", str(job.path))
        return {"tiles": 2}, job.slide_id == "d"

    outcomes = {o.job.slide_id: o for o in work_through(tmp_path / "out", jobs, work)}
    assert outcomes["b"].fault
    assert "a fault of her2core: ZeroDivisionError" in outcomes["b"].error
    assert "ZeroDivisionError" in capsys.readouterr().err
    assert "cannot be read (Permission denied)" in outcomes["c"].error
    report = pd.read_csv(tmp_path / "out" / "report.csv").set_index("slide_id")
    assert report["state"].to_dict() == {"a": "done", "b": "failed", "c": "failed", "d": "skipped"}
    assert report.loc["d", "reason"] == "done before"


def test_slides_that_would_share_a_folder_are_refused(tmp_path):
    jobs = [SlideJob(Path("a.svs"), "P1/S1"), SlideJob(Path("b.svs"), "P2/s1")]
    with pytest.raises(ConfigError, match="folders have different names"):
        list(work_through(tmp_path / "out", jobs, lambda job: ({}, False)))


@needs_slides
def test_what_killed_processes_left_is_removed(her2, slides):
    assert her2("tile", slides, "--out", "alone", *WORDS)[0] == 0
    shutil.copytree("alone", "shared")
    shutil.copytree("shared/slides/S1", "shared/slides/.S1.123.former")
    shutil.copytree("shared/slides/S1", "shared/.work/S1")
    shutil.move("shared/.work/S1/slide.json", "shared/slide.json")
    about = pd.read_json("shared/slide.json", typ="series")
    Path("shared/slide.json").unlink()
    Path("shared/.work/S1/key.json").write_text(f'{{"key": "{about["key"]}"}}')
    Path("shared/.work/S1/.tiles.parquet.123.part").write_bytes(b"half")
    shutil.rmtree("shared/slides/S1")
    assert her2("tile", slides, "--out", "shared", *WORDS)[0] == 0
    assert tree(Path("shared")) == tree(Path("alone"))


def test_writing_a_growing_table_takes_a_small_share_of_the_time():
    """20,000 changes in 2,000 s, and a write that takes 1 ms a row: after each change it would take 55 hours."""
    now, spent, rows = 0.0, 0.0, 0

    def write():
        nonlocal now, spent
        now, spent = now + rows / 1000, spent + rows / 1000

    table = PeriodicWrite(write, clock=lambda: now)
    for _ in range(20_000):
        rows, now = rows + 1, now + 0.1
        table.changed()
    before = spent
    table.finish()
    assert before < 2 * SHARE * now
    assert EVERY > 0


def wait_for(holds, process: subprocess.Popen | None = None, seconds: float = 400) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert process is None or process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
