"""``her2 check-run``: a run against a baseline run by thresholds, with an exit code for automatic checks."""

from __future__ import annotations

import math
from pathlib import Path

import click

from her2core.cli.base import answer, as_json, cli
from her2core.notice import RESEARCH

#: Exit code where a run does not pass; 1 and 2 are errors.
NOT_PASSED = 3


@cli.command("check-run")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--baseline", type=click.Path(path_type=Path), required=True, help="Run tested on the same patches.")
@click.option("--margin", type=float, required=True, help="Largest loss that is accepted, such as 0.05.")
@click.option("--minimum", type=float, help="Lowest value of the run that is accepted.")
@click.option("--metric", default="balanced_accuracy", show_default=True, help="A proportion over all classes.")
@click.option("--unit", default="patient", show_default=True, type=click.Choice(("patch", "slide", "patient")))
@as_json
@click.pass_context
def check_run(
    context: click.Context,
    run: Path,
    baseline: Path,
    margin: float,
    minimum: float | None,
    metric: str,
    unit: str,
    as_json: bool,
) -> None:
    """Check that RUN is not inferior to a baseline run; exit code 3 where it does not pass.

    It passes where the lower bound of the 95 % interval of its difference from the baseline, paired and over patients,
    is not below minus the margin, and where its value reaches the minimum. Choose both before the figures are seen.
    """
    from her2core.evidence.gate import gate
    from her2core.evidence.metrics.registry import metric_label

    found = gate(run, baseline, margin=margin, minimum=minimum, metric=metric, unit=unit)
    bounds = f"[{found.lower_95:+.3f}, {found.upper_95:+.3f}]" if not math.isnan(found.lower_95) else "(no interval)"
    lines = [
        f"{'Passed' if found.passed else 'Not passed'}: {found.run} against {found.baseline}.",
        f"{metric_label(metric)} by {unit}: {found.value:.3f}, baseline {found.baseline_value:.3f}, difference "
        f"{found.difference:+.3f} {bounds}.",
        *(f"- {reason}" for reason in found.reasons),
        RESEARCH,
    ]
    answer(as_json, {**found.as_dict(), "notice": RESEARCH}, "\n".join(lines))
    if not found.passed:
        context.exit(NOT_PASSED)
