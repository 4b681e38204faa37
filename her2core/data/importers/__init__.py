"""Which public data sets can be read as they come? A registry: name -> one file with ``to_manifest(root)``."""

from __future__ import annotations

import difflib
import importlib
from dataclasses import replace
from pathlib import Path

from her2core.data.manifest import Manifest
from her2core.errors import ConfigError, ManifestError

IMPORTERS = {
    "folder": "a folder for each class of images",
    "table": "your own CSV or Parquet with a column mapping",
    "her2st": "her2st spatial transcriptomics: windows around spots, ERBB2 expression level",
    "demo": "the synthetic cohort, drawn here",
}


def import_dataset(
    name: str, root, /, *, licence: str | None = None, citation: str | None = None, **options
) -> Manifest:
    """The manifest of the data set of that name below ``root``; ``options`` are the importer's own.

    ``licence`` and ``citation`` of the data go into the manifest's facts, and from there into the card of every run;
    importers of a public data set know their own.

    Raises ManifestError for an unknown name (with near matches) or a layout that does not fit, ConfigError for an
    option the importer does not take.
    """
    if name not in IMPORTERS:
        near = difflib.get_close_matches(name, IMPORTERS, n=2)
        raise ManifestError(
            f"an importer out of {', '.join(IMPORTERS)}",
            got=repr(name),
            where="data import",
            fix=f"Did you mean {near[0]}?" if near else "Bring any other data with 'table' or 'folder'.",
        )
    module = importlib.import_module(f"her2core.data.importers.{name}")
    try:
        manifest = module.to_manifest(Path(root), **options)
    except TypeError as wrong:
        if "unexpected keyword" not in str(wrong) and "multiple values" not in str(wrong):
            raise
        raise ConfigError(
            f"options that the importer {name} takes",
            got=str(wrong).split("argument ")[-1],
            where="data import",
            fix=f"See her2core/data/importers/{name}.py.",
        ) from None
    said = {key: value for key, value in (("licence", licence), ("citation", citation)) if value}
    return replace(manifest, facts={**manifest.facts, **said})
