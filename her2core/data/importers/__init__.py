"""Importers of data sets: a registry of name -> module with ``to_manifest(root, **options)``."""

from __future__ import annotations

import difflib
import importlib
import inspect
import os
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from her2core.data.manifest import Manifest
from her2core.errors import ConfigError, ManifestError
from her2core.io.listing import FEW
from her2core.io.shards import file_version
from her2core.io.text import printable_path

IMPORTERS = {
    "folder": "a folder for each class of images",
    "table": "your own CSV, Parquet or Excel table, its columns recognised or mapped",
    "her2st": "her2st spatial transcriptomics: windows around spots, ERBB2 expression level",
    "tcga_brca": "TCGA-BRCA: slides or fields named by barcode, HER2 results from the clinical table",
    "warwick": "Warwick HER2 contest: slides with IHC scores",
    "bci": "BCI: pairs of H&E and IHC patches with the score of their slide; no patient ids",
    "herohe": "HEROHE challenge: slides with IHC score and final result",
    "yale": "Yale: slides HER2-positive or negative with annotated tumour; trastuzumab response",
    "bcnb": "BCNB: core-needle biopsies of 1,058 patients, slides or patches, with IHC score and HER2 result",
    "mist": "MIST: pairs of H&E and HER2 IHC patches, regrouped by slide; no HER2 class",
    "demo": "the synthetic cohort, which is drawn by this program",
}


def import_dataset(
    name: str,
    root: str | os.PathLike[str],
    /,
    *,
    licence: str | None = None,
    citation: str | None = None,
    allow_missing: int = 0,
    **options: Any,
) -> Manifest:
    """Read a data set in its own layout as a manifest.

    Parameters
    ----------
    name : str
        A key of ``IMPORTERS``.
    root : path
        The data set's folder, or the table.
    licence, citation : str, optional
        Of the data; they go into the manifest's facts and from there into the card of every run. Importers of a public
        data set know their own.
    allow_missing : int, optional
        Largest number of image files that the rows name and that do not exist or are empty, folders that cannot be read
        and links that lead nowhere; more are refused. Whether an image can be decoded is a check of its own
        (``her2 data check --contents``).
    **options
        Options of the importer (``importer_options``).

    Returns
    -------
    Manifest
        ``facts["missing_at_import"]`` has the number of missing files where there are any.

    Raises
    ------
    ManifestError
        For an unknown name (with near matches), a layout that does not fit, and more missing files than allowed.
    TableError
        For a table that cannot be read.
    ConfigError
        For an option that the importer does not take.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     table = Path(folder, "cases.csv")
    ...     _ = table.write_text("path,patient,label\\n1.png,P1,neg\\n2.png,P2,pos\\n")
    ...     manifest = import_dataset("table", table, licence="CC BY 4.0", allow_missing=2)
    >>> manifest.classes, manifest.facts["licence"], manifest.facts["missing_at_import"]
    (('negative', 'positive'), 'CC BY 4.0', 2)
    """
    if name not in IMPORTERS:
        near = difflib.get_close_matches(name, IMPORTERS, n=2)
        raise ManifestError(
            f"an importer out of {', '.join(IMPORTERS)}",
            got=repr(name),
            where="data import",
            fix=f"Did you mean {near[0]}?" if near else "Import any other data with 'table' or 'folder'.",
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
            fix=f"Its options: {', '.join(importer_options(name)) or 'none'}.",
        ) from None
    missing = _missing(manifest, allow_missing, str(root))
    said = {"licence": licence, "citation": citation, "missing_at_import": missing}
    return replace(manifest, facts={**manifest.facts, **{key: value for key, value in said.items() if value}})


def importer_options(name: str) -> dict[str, str]:
    """Options of an importer and what each takes.

    Parameters
    ----------
    name : str
        A key of ``IMPORTERS``.

    Returns
    -------
    dict of str to str
        Type or choices as the importer documents them, and the default.

    Examples
    --------
    >>> importer_options("bci")
    {'scheme': '"ihc_status", "ihc_positive", "ihc_score"; default ihc_status', 'mpp': 'float'}
    """
    function = importlib.import_module(f"her2core.data.importers.{name}").to_manifest
    documented = dict(re.findall(r"^(\w+(?:, \w+)*) : (.+)$", inspect.getdoc(function) or "", re.MULTILINE))
    said = {own: text for names, text in documented.items() for own in names.split(", ")}
    options = {}
    for parameter in list(inspect.signature(function).parameters.values())[1:]:
        kind = re.sub(r",? optional$", "", said.get(parameter.name, "")).strip("{}")
        default = "" if parameter.default in (None, "", inspect.Parameter.empty) else f"default {parameter.default}"
        options[parameter.name] = "; ".join(filter(None, (kind, default)))
    return options


def _different(paths: Iterable[str], others: Iterable[str]) -> list[str]:
    """Paths, each once, without others."""
    return sorted(set(paths) - set(others))


def _missing(manifest: Manifest, allowed: int, where: str) -> int:
    """Number of files that are not there or cannot be reached; more than ``allowed`` are refused."""
    if isinstance(allowed, bool) or not isinstance(allowed, int) or allowed < 0:
        raise ConfigError(
            "`allow_missing` to be a whole number of at least 0",
            got=repr(allowed),
            where="data import",
            fix="Leave it out to allow none.",
        )
    absent = manifest.missing_files()
    empty = [path for path in _different(manifest.frame["path"], absent) if not file_version(manifest.file(path))[0]]
    missing = [*manifest.facts.get("unreadable", ()), *absent, *(f"{path} (empty)" for path in empty)]
    if len(missing) > allowed:
        named = ", ".join(printable_path(name).removesuffix(".") for name in missing[:FEW])
        kind = "missing or empty" if empty else "missing"
        raise ManifestError(
            f"at most {allowed:,} missing files" if allowed else "every file to be there",
            got=f"{len(missing):,} {kind}: {named}{', ...' if len(missing) > FEW else ''}",
            where=where,
            fix="Correct the paths or the folder from which they start (--images), or accept them with "
            f"--allow-missing {len(missing)}.",
        )
    return len(missing)
