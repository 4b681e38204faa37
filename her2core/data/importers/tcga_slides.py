"""TCGA's diagnostic slides among whole-slide files named by barcode.

A slide's name is ``TCGA-XX-YYYY-01Z-00-DX1.<uuid>.svs``: patient (12 characters), sample type and vial, portion, slide.
Sample type 01 is the primary tumour and 11 normal tissue; DX is a diagnostic slide (formalin-fixed), TS and BS are
frozen sections. HER2 was read on the primary tumour, and frozen sections look different, so only 01 with DX is taken.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from her2core.data.importers.findings import MISSING, TWICE, Findings, relative
from her2core.io.image_header import SLIDE_SUFFIXES

#: Kind of finding for slides of other tissue.
OTHER_TISSUE = "not a diagnostic slide"
_NAME = re.compile(
    r"(?P<patient>TCGA-[A-Z0-9]{2}-[A-Z0-9]{4})-(?P<sample>\d{2})[A-Z]-\d{2}-(?P<slide>[A-Z]{2})[A-Z0-9]?(?=\.|$)",
    re.IGNORECASE,
)


def is_slide(path: Path) -> bool:
    """Whether a file is a whole slide by its ending.

    Parameters
    ----------
    path : Path

    Returns
    -------
    bool

    Examples
    --------
    >>> is_slide(Path("TCGA-A8-A06N-01Z-00-DX1.0a.SVS")), is_slide(Path("TCGA-A8-A06N-01Z-00-DX1_1_1_9_9_1.0.png"))
    (True, False)
    """
    return path.suffix.lower() in SLIDE_SUFFIXES


def slide_rows(
    files: Sequence[Path], root: Path, *, mpp: float | None, annotations: Path | None, findings: Findings
) -> list[dict[str, Any]]:
    """Rows of the diagnostic slides of primary tumours.

    Parameters
    ----------
    files : sequence of Path
        Slides whose names hold a barcode.
    root : Path
        Where paths start.
    mpp : float or None
        Scale of all slides, where their files do not state it.
    annotations : Path or None
        Folder of Aperio XML, named by the barcode before the first dot.
    findings : Findings
        Slides of other tissue, slides twice and missing annotations are added.

    Returns
    -------
    list of dict
        path, patient_id, slide_id, site, mpp, source and, with ``annotations``, regions.

    Examples
    --------
    >>> found = Findings()
    >>> names = ["TCGA-A8-A06N-01Z-00-DX1.0a.svs", "TCGA-A8-A06N-01A-01-TS1.0b.svs", "TCGA-A8-A06N-11A-01-TS1.0c.svs"]
    >>> files = [Path(name) for name in names]
    >>> rows = slide_rows(files, Path("."), mpp=None, annotations=None, findings=found)
    >>> [row["slide_id"] for row in rows], [detail for *_, detail in found.rows]
    (['TCGA-A8-A06N-01Z-00-DX1'], ['sample type 01, slide TS', 'sample type 11, slide TS'])
    """
    regions = {} if annotations is None else annotation_files(annotations)
    rows: dict[str, dict[str, Any]] = {}
    for path in files:
        found = _NAME.search(path.name)
        inside = relative(path, root)
        if found is None:
            findings.add(OTHER_TISSUE, path=inside, detail="a barcode without sample type and slide")
            continue
        patient, slide = found["patient"].upper(), found[0].upper()
        if found["sample"] != "01" or found["slide"].upper() != "DX":
            detail = f"sample type {found['sample']}, slide {found['slide'].upper()}"
            findings.add(OTHER_TISSUE, patient, slide, inside, detail)
            continue
        if slide in rows:
            findings.add(TWICE, patient, slide, inside, f"{rows[slide]['path']} is used")
            continue
        row = {
            "path": inside,
            "patient_id": patient,
            "slide_id": slide,
            "site": patient[5:7],
            "mpp": float("nan") if mpp is None else mpp,
            "source": "TCGA-BRCA",
        }
        if annotations is not None:
            row["regions"] = str(regions[slide].resolve()) if slide in regions else None
            if slide not in regions:
                findings.add(MISSING, patient, slide, inside, f"no annotation {slide}.xml")
        rows[slide] = row
    return list(rows.values())


def annotation_files(folder: Path) -> dict[str, Path]:
    """Annotations by slide barcode: what stands before the first dot of the file's name.

    Parameters
    ----------
    folder : Path
        Of Aperio XML files, as in the Yale data set's ``TCGA_BRCA_Filtered``; searched with its folders.

    Returns
    -------
    dict of str to Path

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "TCGA-A8-A06N-01Z-00-DX1.0a.xml").write_text("<Annotations/>")
    ...     list(annotation_files(Path(folder)))
    ['TCGA-A8-A06N-01Z-00-DX1']
    """
    found = (path for path in sorted(folder.rglob("*")) if path.suffix.lower() == ".xml" and path.is_file())
    return {name: path for path in found if (name := path.name.split(".")[0].upper()).startswith("TCGA-")}
