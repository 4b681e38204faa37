"""Damaged run folders against the Python interface and every page: counts exceptions that are no refusal.

    PYTHONPATH=. python benchmarks/run_fuzz.py [--out FILE] [--every N] [--only TEXT] [--no-pages] [--run FOLDER]

A tiny run is trained once; each kind of damage of ``run_damage.py`` is done to a copy of it. A fault is an exception
outside her2core's family on the Python interface, or any exception on a page.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from benchmarks.run_damage import Damage, all_damages

ROOT = Path(__file__).resolve().parents[1]
PAGES = {page.stem: str(page.relative_to(ROOT)) for page in sorted((ROOT / "pages").rglob("*.py"))}


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


def interface_faults(folder: Path) -> list[str]:
    """Exceptions outside her2core's family, of everything that the Python interface does with a run.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    list of str
    """
    import numpy as np

    from her2core import Her2Error, load_predictor, open_run
    from her2core.report.run_download import render_report
    from her2core.report.run_report import run_report
    from her2core.runs.listing import list_runs
    from her2core.runs.patch_images import patch_images
    from her2core.runs.samples import sample_patches

    patch = np.full((64, 64, 3), 180, np.uint8)
    tables = sorted(path.stem for path in (folder / "evaluation").glob("*.csv"))
    steps = {
        "list_runs": lambda run: list_runs(folder.parent),
        "repr": lambda run: (repr(run), run._repr_html_(), run.warnings, run.selection, run.has_weights),
        "predictions": lambda run: run.predictions,
        "test_predictions": lambda run: run.test_predictions(),
        "validation_predictions": lambda run: run.validation_predictions(),
        "splits": lambda run: run.splits,
        "history": lambda run: run.history,
        "dataset": lambda run: run.dataset,
        "checks": lambda run: run.checks,
        "cost": lambda run: run.cost,
        "predictor": lambda run: load_predictor(run).predict(patch),
        "report": lambda run: render_report(run_report(run)).html(),
        "samples": lambda run: sample_patches(run),
        "pictures": lambda run: patch_images(run, base=folder),
        **{f"table {name}": lambda run, name=name: run.table(name) for name in tables},
    }
    try:
        run = open_run(folder)
    except Her2Error:
        steps, run = {"list_runs": steps["list_runs"]}, None
    except BaseException as fault:
        return [f"open_run: {_named(fault)}"]
    faults = []
    for name, step in steps.items():
        try:
            step(run)
        except Her2Error:
            continue
        except BaseException as fault:
            faults.append(f"{name}: {_named(fault)}")
    return faults


def page_faults(folder: Path, pages: dict[str, str] | None = None) -> list[str]:
    """Exceptions on the pages, with ``folder`` as the only run.

    Parameters
    ----------
    folder : Path
    pages : dict of str to str, optional
        All of ``PAGES`` when left out.

    Returns
    -------
    list of str
    """
    import streamlit as st
    from streamlit.testing.v1 import AppTest

    from dashboard import cache

    cache.ROOTS = (folder.parent,)
    st.cache_data.clear()
    st.cache_resource.clear()
    faults = []
    for name, script in (PAGES if pages is None else pages).items():
        try:
            at = AppTest.from_file(ROOT / "app.py", default_timeout=120).switch_page(script).run()
        except BaseException as fault:
            faults.append(f"page {name}: {_named(fault)}")
            continue
        faults += [f"page {name}: {e.message or e.value}"[:200] for e in at.exception]
        faults += [f"page {name}: {e.value}"[:200] for e in at.error if "a fault of her2core" in e.value]
    return faults


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
    """Run every kind of damage and write the faults."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "run_fuzz.json")
    parser.add_argument("--every", type=int, default=1, help="take every n-th kind of damage")
    parser.add_argument("--only", default="", help="kinds whose name holds this text")
    parser.add_argument("--no-pages", action="store_true")
    parser.add_argument("--run", type=Path, help="a run to damage copies of; a tiny one is trained when left out")
    asked = parser.parse_args()
    chosen = {name: damage for name, damage in all_damages().items() if asked.only in name}
    chosen = dict(list(chosen.items())[:: asked.every])
    began, faults = time.time(), {}
    with tempfile.TemporaryDirectory() as place:
        run = asked.run or tiny_run(Path(place) / "made")
        for number, (name, damage) in enumerate(chosen.items(), start=1):
            folder = damaged_copy(run, Path(place) / "models" / "demo", damage)
            found = interface_faults(folder)
            if not asked.no_pages:
                found += page_faults(folder)
            if found:
                faults[name] = found
            print(f"{number}/{len(chosen)} {name}: {found}", file=sys.stderr, flush=True)
    kinds = Counter(fault.split(": ", 1)[1].split(":")[0] for found in faults.values() for fault in found)
    result = {
        "mutations": len(chosen),
        "pages": [] if asked.no_pages else list(PAGES),
        "mutations_with_faults": len(faults),
        "faults": faults,
        "exceptions": dict(kinds.most_common()),
        "seconds": round(time.time() - began),
    }
    asked.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"{len(faults)} of {len(chosen)} kinds of damage end in a fault", flush=True)


def _named(fault: BaseException) -> str:
    return f"{type(fault).__name__}: {str(fault)[:150]}"


if __name__ == "__main__":
    main()
