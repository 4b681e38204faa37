"""Importer of her2st: windows around spots of spatial transcriptomics, labelled with the level of ERBB2 mRNA.

Andersson et al. 2021 (doi 10.1038/s41467-021-26271-2), CC BY 4.0. Layout: ``ST-imgs/<patient>/<section>/*.jpg``,
``ST-cnts/<section>.tsv.gz`` (spots x genes, rows ``XxY``), ``ST-spotfiles/<section>_selection.tsv``.

The label is ``erbb2_level``: the tertile of ERBB2 counts per 10,000 of the spot, with thresholds from the training
sections only, which are kept in the manifest's facts. It is mRNA expression inside HER2-positive tumours, never a HER2
class.
"""

from __future__ import annotations

import csv
import gzip
import zlib
from pathlib import Path
from typing import NoReturn

import numpy as np
import pandas as pd

from her2core.data.manifest import Manifest, build_manifest
from her2core.errors import ManifestError
from her2core.io.images import image_size
from her2core.io.tables import read_table
from her2core.labels import SCHEMES

GENE = "ERBB2"
#: Centres of neighbouring spots are 200 microns apart.
SPOT_PITCH_UM = 200.0


def to_manifest(
    root: Path, *, window_px: int = 224, test_sections: tuple[str, ...] | None = None, val_share: float = 0.2
) -> Manifest:
    """Read the data set's own folder as a manifest, one row a spot whose window is inside its section.

    Parameters
    ----------
    root : Path
        The folder with ``ST-imgs``, ``ST-cnts`` and ``ST-spotfiles``.
    window_px : int
        Side of the square window around the spot, in pixels of the section's image.
    test_sections : tuple of str, optional
        Sections kept for testing; the last one by name when left out.
    val_share : float
        Share of each training section that becomes validation: the strip of spots with the largest y, so that
        validation spots touch training spots along one line only.

    Returns
    -------
    Manifest
        With a column split, and the thresholds in its facts.

    Raises
    ------
    ManifestError
        When the layout is another, a section lacks a file, ERBB2 is missing, or no spot is left.
    """
    root = Path(root)
    if not 0 < val_share < 1 or window_px < 32:
        _refuse(
            "val_share between 0 and 1 and window_px of 32 or more",
            f"{val_share} and {window_px}",
            "her2st options",
            "Leave them out for the defaults.",
        )
    sections = {p.name.removesuffix(".tsv.gz"): p for p in sorted((root / "ST-cnts").glob("*.tsv.gz"))}
    if len(sections) < 2:
        _refuse(
            "at least two sections in ST-cnts/*.tsv.gz",
            str(len(sections)),
            str(root / "ST-cnts"),
            "Give the data set's own folder, the one with ST-imgs, ST-cnts and ST-spotfiles.",
        )
    test = set(test_sections or (max(sections),))
    if not test < set(sections):
        _refuse(
            f"test sections out of {', '.join(sections)}, leaving some to train on",
            ", ".join(sorted(test)),
            "test_sections",
            "Name other sections.",
        )
    frame = pd.concat([_section(root, name, path, window_px) for name, path in sections.items()], ignore_index=True)
    trained = ~frame["slide_id"].isin(test)
    low, high = np.quantile(frame.loc[trained, "erbb2_per_10k"], [1 / 3, 2 / 3])
    names = SCHEMES["erbb2_level"].classes
    frame["label"] = np.array(names)[np.digitize(frame["erbb2_per_10k"], [low, high])]
    cut = frame.groupby("slide_id")["y"].transform(lambda y: y.quantile(1 - val_share))
    frame["split"] = np.where(~trained, "test", np.where(frame["y"] > cut, "val", "train"))
    facts = {
        "erbb2_tertiles_per_10k": [round(float(low), 6), round(float(high), 6)],
        "thresholds_from": sorted(set(sections) - test),
        "test_sections": sorted(test),
        "claim": "ERBB2 mRNA level inside HER2-positive tumours; not a HER2 class",
        "licence": "CC BY 4.0",
        "citation": "Andersson et al. 2021, Nat Commun 12:6012, doi 10.1038/s41467-021-26271-2",
    }
    return build_manifest(frame, root=root, scheme=SCHEMES["erbb2_level"], facts=facts, where=str(root))


def _section(root: Path, name: str, counts_path: Path, window_px: int) -> pd.DataFrame:
    images = sorted((root / "ST-imgs").glob(f"*/{name}/*.jpg"))
    spots_path = root / "ST-spotfiles" / f"{name}_selection.tsv"
    if len(images) != 1 or not spots_path.is_file():
        _refuse(
            "one image and one spot file for each section",
            f"{len(images)} images, spot file {'there' if spots_path.is_file() else 'missing'}",
            f"section {name}",
            "Complete the folder, or remove the section's counts.",
        )
    image = images[0]
    spots = read_table(spots_path).frame
    needed = {"x", "y", "new_x", "new_y", "pixel_x", "pixel_y", "selected"}
    if needed - set(spots.columns):
        _refuse(
            f"columns {', '.join(sorted(needed))}",
            ", ".join(spots.columns),
            str(spots_path),
            "Use the spot file of the data set unchanged.",
        )
    spots = spots[spots["selected"] == 1]
    spots.index = [f"{x}x{y}" for x, y in zip(spots["x"], spots["y"], strict=True)]
    joined = spots.join(_erbb2(counts_path), how="inner")
    half = window_px // 2
    left = joined["pixel_x"].round().astype(int) - half
    top = joined["pixel_y"].round().astype(int) - half
    width, height = image_size(image)
    inside = (left >= 0) & (top >= 0) & (left + window_px <= width) & (top + window_px <= height)
    if not inside.any():
        _refuse(f"spots at least {half} px inside the image", "none", f"section {name}", "Use a smaller window.")
    return pd.DataFrame(
        {
            "patch_id": [f"{name}-{spot}" for spot in joined.index[inside]],
            "path": image.relative_to(root).as_posix(),
            "patient_id": f"her2st-{image.parent.parent.name}",
            "slide_id": name,
            "site": "her2st",
            "mpp": _microns_per_pixel(joined),
            "source": "her2st",
            "x": left[inside].to_numpy(),
            "y": top[inside].to_numpy(),
            "width": window_px,
            "height": window_px,
            "erbb2_per_10k": joined["erbb2_per_10k"][inside].to_numpy(),
        }
    )


def _erbb2(path: Path) -> pd.DataFrame:
    """Spot name -> ERBB2 counts per 10,000, since raw counts follow a spot's total.

    Read line by line, not as a table: it has one column per gene (15,000), of which one is needed.
    """
    rows = {}
    try:
        with gzip.open(path, "rt", newline="") as handle:
            reader = csv.reader(handle, delimiter="\t")
            header = next(reader, [])
            if GENE not in header:
                _refuse(f"a column {GENE}", f"{len(header)} other columns", str(path), "Use the counts unchanged.")
            gene = header.index(GENE)
            for row in reader:
                total = sum(map(float, row[1:]))
                if total > 0:
                    rows[row[0]] = 1e4 * float(row[gene]) / total
    except (OSError, EOFError, zlib.error, ValueError, IndexError) as broken:
        _refuse("a gzipped table of counts", str(broken)[:120], str(path), "Download the counts again.")
    return pd.DataFrame({"erbb2_per_10k": pd.Series(rows)})


def _microns_per_pixel(spots: pd.DataFrame) -> float:
    """Spots lie on a 200-micron grid: the regression of pixels on grid steps gives the scale."""
    slope_x = np.polyfit(spots["new_x"], spots["pixel_x"], 1)[0]
    slope_y = np.polyfit(spots["new_y"], spots["pixel_y"], 1)[0]
    return round(float(SPOT_PITCH_UM / np.mean([slope_x, slope_y])), 4)


def _refuse(expected: str, got: str, where: str, fix: str) -> NoReturn:
    raise ManifestError(expected, got=got, where=where, fix=fix)
