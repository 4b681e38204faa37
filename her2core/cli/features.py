"""``her2 features``: features of patches by a frozen network."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from her2core.cli.base import answer, as_json, cli, set_option
from her2core.cli.workers import work_on, worker_options

if TYPE_CHECKING:
    from her2core.data.manifest import Manifest
    from her2core.slide.work import Outcome
    from her2core.training.config import RunConfig


@cli.command()
@click.argument("manifest", type=click.Path(path_type=Path))
@click.option("--network", required=True, help="A network by name (her2core.networks.registry), timm:NAME or hub:ID.")
@click.option("--init", default="imagenet", show_default=True, help="First weights, as network.init of a training.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="File to write (.safetensors, .parquet).")
@worker_options
@set_option
@as_json
def features(
    manifest: Path,
    network: str,
    init: str,
    out: Path,
    workers: int | None,
    cluster: str | None,
    overrides: tuple[str, ...],
    as_json: bool,
) -> int:
    """Compute the features of every patch of a manifest by a frozen network.

    Patches are prepared as for training; --set input.px=224, input.mean=[...], stain.method=none and other fields of a
    training's configuration apply. Features computed before are read from the cache. her2 study mil reads the file.

    With --workers or --cluster the work is shared slide by slide: each slide's features are kept in the folder
    OUT.work, where the same command goes on, and OUT is written when every slide is done. Otherwise all patches are
    held in memory.
    """
    from her2core.data.manifest import read_manifest
    from her2core.errors import ConfigError
    from her2core.features.table import SUFFIXES
    from her2core.io.files import refuse_inputs
    from her2core.training.config import make_config
    from her2core.training.config_files import apply_override
    from her2core.training.tile_features import tile_features

    if out.suffix not in SUFFIXES:
        raise ConfigError(
            f"a name ending in {' or '.join(SUFFIXES)}", got=out.name, where="--out", fix="Choose another name."
        )
    refuse_inputs(out, manifest)
    fields: dict[str, Any] = {"name": "features", "manifest": str(manifest), "network": {"name": network, "init": init}}
    for override in overrides:
        apply_override(fields, override)
    config = make_config(fields, where="her2 features")
    table = read_manifest(manifest)
    if workers is not None or cluster is not None:
        return _by_slide(config, table, out, workers=workers, cluster=cluster, as_json=as_json)
    with click.progressbar(length=len(table), label="patches", file=sys.stderr) as bar:
        found = tile_features(config, table, progress=lambda done, _: bar.update(done - bar.pos))
    found.write(out)
    length = found.vectors.shape[1]
    said = {"path": str(out), "patches": len(found.patch_ids), "length": length, "network": found.network}
    answer(as_json, said, f"{out}: {len(found.patch_ids):,} patches, {length:,} features each")
    return 0


def _by_slide(
    config: RunConfig, table: Manifest, out: Path, *, workers: int | None, cluster: str | None, as_json: bool
) -> int:
    from her2core.training.slide_features import SlideFeatures, feature_jobs, join_features

    folder = out.with_name(f"{out.name}.work")
    if cluster is not None:
        folder, table = folder.absolute(), replace(table, root=table.root.absolute())
    jobs = feature_jobs(table)
    done, counts, code = work_on(
        folder, jobs, SlideFeatures(config, folder), workers=workers, cluster=cluster, line=_line
    )
    if len(done) < len(jobs):
        said = f"{out} was not written: {counts['failed']:,} slides failed ({folder / 'failed.csv'})"
        answer(as_json, {"path": None, "run": counts}, f"{said}\n{counts['summary']}")
        return code
    found = join_features(folder, jobs, table)
    found.write(out)
    length = found.vectors.shape[1]
    said = f"{out}: {len(found.patch_ids):,} patches, {length:,} features each"
    stated = {"path": str(out), "patches": len(found.patch_ids), "length": length, "network": found.network}
    answer(as_json, {**stated, "run": counts}, f"{said}\n{counts['summary']}")
    return code


def _line(outcome: Outcome) -> str:
    if outcome.error:
        return f"{outcome.job.slide_id}: failed. {outcome.error}"
    return f"{outcome.job.slide_id}: {outcome.about['tiles']:,} patches{' (done before)' if outcome.reused else ''}"
