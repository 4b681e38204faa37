"""Processor time and size of the report files, against those of another checkout.

python benchmarks/report_files.py --before FOLDER    FOLDER: a checkout of the version to compare with

Both are run in turns on the released run models/demo with its eight synthetic pictures. Each process writes HTML and
PDF, then those of a second report under another name; times are of the processor, so that other work counts little.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from her2core.io.files import write_text

HOME = Path(__file__).resolve().parents[1]
ROUNDS = 3
#: Runs in either checkout: both have these functions.
_MEASURED = """
import json, time
from her2core import open_run
from her2core.report.run_download import render_report
from her2core.report.run_report import run_report
report = run_report(open_run("models/demo"), pictures=True)
start = time.process_time()
rendered = render_report(report)
html = rendered.html()
middle = time.process_time()
pdf = rendered.pdf()
end = time.process_time()
from dataclasses import replace
again = render_report(replace(report, name="another"))
again.html(), again.pdf()
print(json.dumps({"html_seconds": middle - start, "pdf_seconds": end - middle, "both_seconds": end - start,
                  "second_report_seconds": time.process_time() - end, "html_bytes": len(html), "pdf_bytes": len(pdf)}))
"""


def measure(folder: Path) -> dict[str, float]:
    """One round in a checkout: seconds of the processor with imports, and bytes."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", _MEASURED]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def lines(folder: Path) -> int:
    """Lines of Python and templates below her2core/report, without the guidelines' items."""
    files = [p for p in (folder / "her2core" / "report").rglob("*") if p.suffix in (".py", ".typ", ".j2", ".css")]
    return sum(len(p.read_text(encoding="utf-8").splitlines()) for p in files)


def main() -> None:
    """Measure both, and write the medians and their ratios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--before", type=Path, required=True)
    before = parser.parse_args().before.resolve()
    rounds: dict[str, list[dict[str, float]]] = {"before": [], "after": []}
    for _ in range(ROUNDS):
        rounds["before"].append(measure(before))
        rounds["after"].append(measure(HOME))
    medians = {
        name: {key: round(statistics.median(row[key] for row in rows), 3) for key in rows[0]}
        for name, rows in rounds.items()
    }
    medians["before"]["lines"], medians["after"]["lines"] = lines(before), lines(HOME)
    ratios = {key: round(medians["after"][key] / medians["before"][key], 2) for key in medians["after"]}
    found = {
        "command": "python benchmarks/report_files.py --before FOLDER (checkout of ec01345)",
        "what": "run report of models/demo with eight pictures; processor seconds, median of 3 processes each",
        **medians,
        "after_over_before": ratios,
    }
    write_text(HOME / "benchmarks" / "results" / "report.json", json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
