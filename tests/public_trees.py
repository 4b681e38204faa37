"""Small trees in the documented layout of public data sets: files of one byte under their names, and their tables."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

_STRICT = "http://purl.oclc.org/ooxml"


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def strict_workbook(path: Path, rows: Iterable[Sequence[str]]) -> Path:
    """A workbook of strict OOXML, in which openpyxl finds no worksheet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = "".join(
        "<row>" + "".join(f'<c t="inlineStr"><is><t>{cell}</t></is></c>' for cell in row) + "</row>" for row in rows
    )
    office, relations = f"{_STRICT}/officeDocument/relationships", "http://schemas.openxmlformats.org/package/2006"
    sheet_type = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{relations}/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{sheet_type}.sheet.main+xml"/>'
        f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{sheet_type}.worksheet+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{relations}/relationships">'
        f'<Relationship Id="rId1" Type="{office}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{_STRICT}/spreadsheetml/main" xmlns:r="{office}" conformance="strict">'
        '<sheets><sheet name="Sheet1" sheetId="1" r:id="rId1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{relations}/relationships">'
        f'<Relationship Id="rId1" Type="{office}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{_STRICT}/spreadsheetml/main"><sheetData>{cells}</sheetData>'
        "</worksheet>",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in parts.items():
            archive.writestr(name, f'<?xml version="1.0" encoding="UTF-8"?>{text}')
    return path


def warwick(root: Path) -> Path:
    touch(root, "a/01_HE.ndpi", "a/01_HER2.ndpi", "b/02_HE.NDPI", "b/02_Her2.ndpi", "04_he.ndpi", "88_HE.ndpi")
    percent = "PERCENTAGE CELLS WITH COMPLETE MEMBRANE STAINING IRRESPECTIVE OF INTENSITY"
    truth = {"CaseNo": [1, 2, 4, 9], "HeR2 SCORE": [0, 3, 2, 1], percent: [0, 95, 12.5, 3]}
    pd.DataFrame(truth).to_excel(root / "groundTruth.xlsx", index=False)
    return root


def bci(root: Path) -> Path:
    for stain in ("HE", "IHC"):
        touch(root / "BCI_dataset" / stain / "train", "00000_train_1+.png", "00001_train_3+.png", "00002_train_0.png")
        touch(root / "BCI_dataset" / stain / "test", "00000_test_2+.png")
    return root


HEROHE_COLUMNS = "Case;Immunohistochemistry;ISH Group;Final Result (Ground truth);Age;HER2 copy number;Laboratory"


def herohe(root: Path) -> Path:
    for case in (1, 2, 3):
        touch(root, f"Training/{case}.mrxs", f"Training/{case}/Slidedat.ini", f"Training/{case}/Data0000.dat")
    touch(root, "Test/1/1.mrxs", "Test/1/1/Slidedat.ini", "Test/7.mrxs")
    rows = [
        "1;2;5;Negative;24;1.6;Porto",
        "2;3;;Positive;70;;Braga",
        "3;1;1;Positive;55;6.1;Porto",
        "4;0;5;Negative;;;X",
    ]
    (root / "Training (ground truth).csv").write_text("\n".join([HEROHE_COLUMNS, *rows]), encoding="utf-8-sig")
    test = pd.DataFrame([["1", 2, "1", "Positive", 40, 7.0, "Lisbon"], ["7", 0, "", "Negative", 66, None, "Lisbon"]])
    test.columns = HEROHE_COLUMNS.split(";")
    test.to_excel(root / "Test (ground truth).xlsx", index=False)
    return root


def yale(root: Path) -> Path:
    cohort = "pkg_v3/Yale_HER2_cohort"
    for name in ("Her2Neg_Case_01", "Her2Neg_Case_02", "Her2Pos_Case_01"):
        touch(root / cohort, f"SVS/{name}.svs", f"Annotations/{name}.xml")
    touch(root / cohort, "SVS/Her2Pos_Case_02.svs", "Annotations/Her2Pos_Case_09.xml")
    response = root / "pkg_v3/Yale_trastuzumab_response_cohort"
    touch(response, "SVS/Patient_1.svs", "SVS/Patient_10.svs", "SVS/Patient_2.svs", "Annotations/Patient_1.xml")
    strict_workbook(
        response / "Yale_trastuzumab_response_cohort_metadata_clean.xlsx",
        [
            ("Patient", "Responder"),
            ("Patient_1", "responder"),
            ("Patient_10", "Non-responder"),
            ("Patient_3", "responder"),
        ],
    )
    touch(root / "pkg_v3/TCGA_BRCA_Filtered", "TCGA-A8-0001-01Z-00-DX1.0a-1b.xml")
    return root


def bcnb(root: Path) -> Path:
    for patient in (1, 2, 3, 12):
        touch(root, f"WSIs/{patient}.jpg")
        (root / f"WSIs/{patient}.json").write_text('{"positive": [{"vertices": [[0, 0], [9, 0], [9, 9]]}]}')
        touch(root, f"patches/{patient}/{patient}_0_256_512.jpg", f"patches/{patient}/{patient}_1_0_0.jpg")
    for part, ids in (("train", "1\n2\n"), ("val", "3\n"), ("test", "12\n40\n")):
        path = root / f"dataset-splitting/{part}_id.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text(ids)
    table = pd.DataFrame(
        {
            "Patient ID": [1, 2, 3, 12, 40],
            "Age(years)": [45, 61, 70, 52, 50],
            "ER": ["Positive", "Negative", "Positive", "Positive", "Negative"],
            "HER2": ["Negative", "Positive", "Negative", "Positive", "Negative"],
            "HER2 Expression": ["0", "2+", "2+", "3+", "1+"],
            "Molecular subtype": ["Luminal A", "HER2(+)", "Luminal B", "Luminal B", "Triple negative"],
        }
    )
    table.to_excel(root / "patient-clinical-data.xlsx", sheet_name="Sheet1", index=False)
    return root


def mist(root: Path) -> Path:
    base = root / "HER2" / "TrainValAB"
    for slide in range(5):
        for stain in "AB":
            touch(base, f"train{stain}/S_{slide}_0_1.jpg", f"train{stain}/S_{slide}_2_3.jpg")
    touch(base, "valA/S_4_9_9.jpg", "valB/S_4_9_9.jpg", "valA/T_0_0.jpg")
    touch(root, "ER/TrainValAB/trainA/S_0_0_1.jpg")
    return root
