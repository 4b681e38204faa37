"""``her2 report``: all the evidence of a run, or of any tool's predictions, as a document."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from her2core.cli.base import answer, as_json, cli
from her2core.cli.table_options import TableOptions, read_table_of, table_options
from her2core.errors import ConfigError
from her2core.notice import RESEARCH


@cli.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The report to write (.html).")
@click.option("--pdf", type=click.Path(path_type=Path), help="Also write it as PDF.")
@click.option("--summary", type=click.Path(path_type=Path), help="Also write a one-page summary (.pdf).")
@click.option(
    "--pictures",
    is_flag=True,
    help="Show the surest mistakes, where their images are available. Of a real "
    "data set these are its patches: mind its licence.",
)
@click.option("--recompute", is_flag=True, help="Compute a run's figures from its predictions instead of reading them.")
@table_options
@as_json
def report(
    source: Path,
    out: Path,
    pdf: Path | None,
    summary: Path | None,
    pictures: bool,
    recompute: bool,
    table: TableOptions,
    as_json: bool,
) -> None:
    """One self-contained HTML (and PDF) with every figure, its interval, TRIPOD+AI and CLAIM items and the card.

    SOURCE is a run folder, or a table of predictions (CSV, Parquet or Excel) of any tool.
    """
    from her2core.io.files import write_via_temporary
    from her2core.report.run_download import render_report
    from her2core.report.run_report import predictions_report, run_report
    from her2core.runs.folder import open_run

    for path, suffix, option in ((out, ".html", "--out"), (pdf, ".pdf", "--pdf"), (summary, ".pdf", "--summary")):
        if path is not None and path.suffix.lower() != suffix:
            raise ConfigError(f"a name ending in {suffix}", got=path.name, where=option, fix="Choose another name.")
    predictions = read_table_of(source, table)
    if predictions is None:
        found = run_report(open_run(source), fresh=recompute, pictures=pictures, base=Path.cwd())
    elif pictures or recompute:
        raise ConfigError(
            "a run folder with --pictures or --recompute",
            got="a table of predictions",
            where="her2 report",
            fix="Leave these options out.",
        )
    else:
        found = predictions_report(predictions, name=source.name)
    document = render_report(found)
    asked = ((out, document.html), (pdf, document.pdf), (summary, document.summary))
    made = [(path, make()) for path, make in asked if path is not None]
    for path, content in made:
        write_via_temporary(path, partial(_write_bytes, content))
    written = [str(path) for path, _ in made]
    value = {
        "written": written,
        "name": found.name,
        "units": list(found.units),
        "verdict": found.verdict.as_dict(),
        "warnings": list(document.warnings),
        "checklists": document.counts,
        "notice": RESEARCH,
    }
    lines = [found.verdict.headline, found.verdict.sentence, *(f"warning: {w}" for w in document.warnings)]
    lines += [
        f"{name}: {', '.join(f'{n} {state}' for state, n in count.items())}" for name, count in document.counts.items()
    ]
    answer(as_json, value, "\n".join([*lines, *(f"{path} is there." for path in written), RESEARCH]))


def _write_bytes(content: bytes, path: Path) -> None:
    path.write_bytes(content)
