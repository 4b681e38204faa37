"""``her2 features``: features of patches by a frozen network."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from her2core.cli.base import answer, as_json, cli, set_option


@cli.command()
@click.argument("manifest", type=click.Path(path_type=Path))
@click.option("--network", required=True, help="A network by name (her2core.networks.registry), timm:NAME or hub:ID.")
@click.option("--init", default="imagenet", show_default=True, help="First weights, as network.init of a training.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="File to write (.safetensors, .parquet).")
@set_option
@as_json
def features(manifest: Path, network: str, init: str, out: Path, overrides: tuple[str, ...], as_json: bool) -> None:
    """Compute the features of every patch of a manifest by a frozen network.

    Patches are prepared as for training; --set input.px=224, input.mean=[...], stain.method=none and other fields of a
    training's configuration apply. Features computed before are read from the cache. her2 study mil reads the file.
    """
    from her2core.data.manifest import read_manifest
    from her2core.errors import ConfigError
    from her2core.features.table import SUFFIXES
    from her2core.training.config import make_config
    from her2core.training.config_files import apply_override
    from her2core.training.tile_features import tile_features

    if out.suffix not in SUFFIXES:
        raise ConfigError(
            f"a name ending in {' or '.join(SUFFIXES)}", got=out.name, where="--out", fix="Choose another name."
        )
    fields: dict[str, Any] = {"name": "features", "manifest": str(manifest), "network": {"name": network, "init": init}}
    for override in overrides:
        apply_override(fields, override)
    config = make_config(fields, where="her2 features")
    table = read_manifest(manifest)
    with click.progressbar(length=len(table), label="patches", file=sys.stderr) as bar:
        found = tile_features(config, table, progress=lambda done, _: bar.update(done - bar.pos))
    found.write(out)
    length = found.vectors.shape[1]
    said = {"path": str(out), "patches": len(found.patch_ids), "length": length, "network": found.network}
    answer(as_json, said, f"{out}: {len(found.patch_ids):,} patches, {length:,} features each")
