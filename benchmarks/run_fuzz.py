"""Damaged run folders against the Python interface and every page: counts exceptions that are no refusal.

    OMP_NUM_THREADS=1 PYTHONPATH=. python benchmarks/run_fuzz.py

A tiny run is trained once; each kind of damage of ``run_damage.py`` is done to a copy of it, which stands beside an
undamaged one; those of studies are done to copies of two released studies. A fault is an exception outside her2core's
family on the Python interface, or any exception on a page.

Steps of the interface and pages that do not open the damaged file are left out, since nothing changes for them: which
files each of them opens is recorded with the undamaged run. Where the run is refused on opening, pages differ by the
sentence alone: one page is drawn for each such damage, and every page for the first of each file.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from benchmarks.run_damage import FILES, Damage, all_damages, study_damages
from her2core import Her2Error
from her2core.io import below
from her2core.runs.folder import Run
from her2core.runs.schema.tables import EVALUATION_TABLES

ROOT = Path(__file__).resolve().parents[1]
PAGES = {page.stem: str(page.relative_to(ROOT)) for page in sorted((ROOT / "pages").rglob("*.py"))}
#: Drawn where a run is refused on opening: the choice of a model and its sentence stand beside every page.
ONE_PAGE = "about"
STUDIES = {"leakage": ROOT / "models/study/leakage", "backbones": ROOT / "models/study/backbones-demo"}


def damaged_copy(run: Path, target: Path, damage: Damage) -> Path:
    """Copy a run by hard links and damage the copy.

    Parameters
    ----------
    run, target : Path
    damage : callable

    Returns
    -------
    Path
        ``target``.
    """
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(run, target, copy_function=os.link)
    damage(target)
    return target


def steps_with(run: Run) -> dict[str, Callable[[], object]]:
    """Everything that the Python interface does with an opened run, by name.

    Parameters
    ----------
    run : Run

    Returns
    -------
    dict of str to callable
    """
    from her2core.inference.predictor import load_predictor
    from her2core.report.run_download import render_report
    from her2core.report.run_report import run_report
    from her2core.runs.patch_images import patch_images
    from her2core.runs.samples import sample_patches

    patch = np.full((64, 64, 3), 180, np.uint8)
    return {
        "repr": lambda: (repr(run), run._repr_html_(), run.warnings, run.selection, run.has_weights),
        "predictions": lambda: run.predictions,
        "test_predictions": lambda: run.test_predictions(),
        "validation_predictions": lambda: run.validation_predictions(),
        "splits": lambda: run.splits,
        "history": lambda: run.history,
        "dataset": lambda: run.dataset,
        "checks": lambda: run.checks,
        "cost": lambda: run.cost,
        "predictor": lambda: load_predictor(run).predict(patch),
        "report": lambda: render_report(run_report(run)).html(),
        "samples": lambda: sample_patches(run),
        "pictures": lambda: patch_images(run, base=run.path),
        **{f"table {name}": lambda name=name: run.table(name) for name in EVALUATION_TABLES},
    }


def interface_faults(folder: Path, wanted: Callable[[str], bool] = lambda step: True) -> tuple[bool, list[str]]:
    """Exceptions outside her2core's family, of what the Python interface does with a run.

    Parameters
    ----------
    folder : Path
    wanted : callable, optional
        Whether to take the step of this name; all when left out.

    Returns
    -------
    opened : bool
        Whether the run could be opened.
    faults : list of str
    """
    from her2core.runs.folder import open_run
    from her2core.runs.listing import list_runs

    steps: dict[str, Callable[[], object]] = {"list_runs": lambda: list_runs(folder.parent)}
    opened, faults = False, []
    try:
        steps |= {name: step for name, step in steps_with(open_run(folder)).items() if wanted(name)}
        opened = True
    except Her2Error:
        pass
    except BaseException as fault:
        faults.append(f"open_run: {_named(fault)}")
    for name, step in steps.items():
        try:
            step()
        except Her2Error:
            continue
        except BaseException as fault:
            faults.append(f"{name}: {_named(fault)}")
    return opened, faults


def page_faults(root: Path, pages: Iterable[str] = tuple(PAGES)) -> list[str]:
    """Exceptions on the pages, with the runs and studies below one folder.

    Parameters
    ----------
    root : Path
    pages : iterable of str, optional
        Names of ``PAGES``; all when left out.

    Returns
    -------
    list of str
    """
    import streamlit as st
    from streamlit.testing.v1 import AppTest

    from dashboard import cache

    cache.ROOTS = (root,)
    st.cache_data.clear()
    st.cache_resource.clear()
    faults = []
    for name in pages:
        try:
            at = AppTest.from_file(ROOT / "app.py", default_timeout=120).switch_page(PAGES[name]).run()
        except BaseException as fault:
            faults.append(f"page {name}: {_named(fault)}")
            continue
        faults += [f"page {name}: {e.message or e.value}"[:200] for e in at.exception]
        faults += [f"page {name}: {e.value}"[:200] for e in at.error if "a fault of her2core" in e.value]
    return faults


def study_faults(root: Path, kind: str, damage: Damage) -> list[str]:
    """Faults of a damaged copy of a released study, on the interface and on its page.

    Parameters
    ----------
    root : Path
        Folder of runs in which the copy is made; it is removed again.
    kind : str
        Key of ``STUDIES``.
    damage : callable

    Returns
    -------
    list of str
    """
    from her2core.runs.listing import list_runs
    from her2core.runs.schema.study import STUDY_TABLES
    from her2core.study.tables import read_study_tables

    folder = root / "a-study"
    folder.mkdir()
    for file in STUDIES[kind].iterdir():
        if file.is_file():
            shutil.copyfile(file, folder / file.name)
    damage(folder)
    faults = []
    steps = {f"read as {k}": lambda k=k: read_study_tables(folder, k) for k in STUDY_TABLES}
    for name, step in {**steps, "list_runs": lambda: list_runs(root, folder)}.items():
        try:
            step()
        except Her2Error:
            continue
        except BaseException as fault:
            faults.append(f"{name}: {_named(fault)}")
    faults += page_faults(root, [kind])
    shutil.rmtree(folder)
    return faults


@contextmanager
def recorded() -> Iterator[set[str]]:
    """The names of the files of runs and studies that are opened meanwhile."""
    names: set[str] = set()
    real = below.open_below

    def noted(root: str | os.PathLike[str], name: str, *, limit: int | None = None) -> object:
        names.add(name)
        return real(root, name, limit=limit)

    modules = [module for module in list(sys.modules.values()) if getattr(module, "open_below", None) is real]
    for module in modules:
        module.open_below = noted  # type: ignore[attr-defined]
    try:
        yield names
    finally:
        for module in modules:
            module.open_below = real  # type: ignore[attr-defined]


def readers(folder: Path) -> dict[str, set[str]]:
    """Which files each step of the interface and each page opens with an undamaged run.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    dict of str to set of str
        A page is ``page <name>``.
    """
    from her2core.runs.folder import open_run

    found: dict[str, set[str]] = {}
    for name in steps_with(open_run(folder)):
        with recorded() as names, suppress(Her2Error):
            steps_with(open_run(folder))[name]()
        found[name] = names
    for name in PAGES:
        with recorded() as names:
            page_faults(folder.parent, [name])
        found[f"page {name}"] = names
    return found


def tiny_run(folder: Path) -> Path:
    """Train the run that is damaged: 18 synthetic patients, two patches each, two epochs.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    Path
    """
    from her2core import import_dataset, train
    from her2core.training.config import make_config

    manifest = import_dataset("demo", folder, patients=18, patches_per_patient=2, px=64, seed=3, workers=1)
    settings = {
        "name": "tiny",
        "manifest": str(manifest.write(folder / "manifest.parquet")),
        "input": {"px": 64},
        "network": {"name": "timm:resnet10t", "options": {"output_stride": 16}},
        "train": {"epochs": 2, "batch_size": 8, "warmup_epochs": 0},
        "hardware": {"accelerator": "cpu"},
    }
    return train(make_config(settings), root=folder / "runs", progress=False).path


def main() -> None:
    """Do every kind of damage and write the faults."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "run_fuzz.json")
    parser.add_argument("--every", type=int, default=1, help="take every n-th kind of damage")
    parser.add_argument("--only", default="", help="kinds whose name holds this text")
    parser.add_argument("--run", type=Path, help="a run to damage copies of; a tiny one is trained when left out")
    asked = parser.parse_args()
    chosen = {name: damage for name, damage in (all_damages() | study_damages()).items() if asked.only in name}
    chosen = dict(list(chosen.items())[:: asked.every])
    logging.disable(logging.WARNING)  # Streamlit's, of pages drawn without a server
    began, faults, drawn, refused = time.process_time(), {}, 0, set()
    with tempfile.TemporaryDirectory() as place:
        run = asked.run or tiny_run(Path(place) / "made")
        folder = damaged_copy(run, Path(place) / "models" / "demo", lambda path: None)
        page_faults(folder.parent)  # imports what the pages import
        opened_by = readers(folder)
        damaged_copy(run, folder.with_name("undamaged"), lambda path: None)
        for number, (name, damage) in enumerate(chosen.items(), start=1):
            file = name.split(":")[0]
            if file.startswith("study/"):
                damaged_copy(run, folder, lambda path: None)
                found, pages = study_faults(folder.parent, file.split("/")[1], damage), [file]
            else:
                damaged_copy(run, folder, damage)
                wanted = {reader for reader, files in opened_by.items() if file not in FILES or file in files}
                opened, found = interface_faults(folder, wanted.__contains__)
                pages = [page for page in PAGES if f"page {page}" in wanted]
                if not opened and file in refused:
                    pages = [ONE_PAGE]
                refused |= set() if opened else {file}
                found += page_faults(folder.parent, pages)
            drawn += len(pages)
            if found:
                faults[name] = found
            print(f"{number}/{len(chosen)} {name}: {len(pages)} pages, {found}", file=sys.stderr, flush=True)
    shown = [f"--every {asked.every}"] * (asked.every > 1) + [f"--only '{asked.only}'"] * bool(asked.only)
    kinds = Counter(fault.split(": ", 1)[1].split(":")[0] for found in faults.values() for fault in found)
    result = {
        "command": " ".join(["OMP_NUM_THREADS=1 PYTHONPATH=. python benchmarks/run_fuzz.py", *shown]),
        "mutations": len(chosen),
        "pages": list(PAGES),
        "pages_drawn": drawn,
        "mutations_with_faults": len(faults),
        "faults": faults,
        "exceptions": dict(kinds.most_common()),
        "processor_seconds": round(time.process_time() - began),
    }
    asked.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"{len(faults)} of {len(chosen)} kinds of damage end in a fault", flush=True)


def _named(fault: BaseException) -> str:
    return f"{type(fault).__name__}: {str(fault)[:150]}"


if __name__ == "__main__":
    main()
