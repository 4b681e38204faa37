"""Bad and unusual tables of predictions, each with the sentence that refuses it or the note that it gets."""

from __future__ import annotations

import gzip
import io
import zipfile
from dataclasses import dataclass

import numpy as np
import pandas as pd

ROWS = 60
RIGHT_TO_LEFT = "\u202e"


def good(**changes) -> pd.DataFrame:
    """A table as it should be: 12 patients, two classes; ``changes`` replace columns, None drops one."""
    rng = np.random.default_rng(0)
    positive = rng.uniform(0.05, 0.95, ROWS).round(4)
    columns = {
        "patch_id": [f"p{i}" for i in range(ROWS)],
        "patient_id": [f"P{i % 12}" for i in range(ROWS)],
        "label": np.where(rng.uniform(size=ROWS) < positive, "positive", "negative"),
        "probability_negative": (1 - positive).round(4),
        "probability_positive": positive,
    }
    return pd.DataFrame({k: v for k, v in (columns | changes).items() if v is not None})


def csv(frame: pd.DataFrame, **options) -> bytes:
    return frame.to_csv(index=False, **options).encode()


def parquet(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()


def excel(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.to_excel(buffer, index=False)
    return buffer.getvalue()


def with_first(column: str, value: object) -> pd.DataFrame:
    """The good table with one cell changed."""
    frame = good()
    frame[column] = [value, *frame[column].tolist()[1:]]
    return frame


def zipped(name: str, data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return buffer.getvalue()


@dataclass(frozen=True)
class Case:
    """``said``: words of the one sentence that refuses it; empty when the evidence is shown, and then ``noted`` stands
    among its warnings."""

    file: str
    data: bytes
    said: str = ""
    noted: str = ""


HALF = ROWS // 2
SCRIPT = "<script>alert(1)</script>"
CASES = {
    # no table at all
    "empty": Case("a.csv", b"", "got an empty file"),
    "blanks": Case("a.csv", b"   \n\n  ", "got an empty file"),
    "header only": Case("a.csv", csv(good()[:0]), "at least one row below the header"),
    "prose": Case("a.csv", b"these are notes of mine\nand more", "a table with several columns"),
    "binary": Case("a.csv", bytes(range(256)) * 40, "got binary data"),
    "picture": Case("a.csv", b"\x89PNG\r\n\x1a\n" + b"\0" * 400, "an image"),
    "web page with a script": Case("a.csv", b"<!doctype html><html>" + SCRIPT.encode(), "got a web page"),
    "JSON": Case("a.csv", b'{"label": [1, 2], "p": [3, 4]}', "got a JSON file"),
    "Excel that is damaged": Case("a.csv", zipped("xl/workbook.xml", b"x"), "Excel workbook"),
    "Excel": Case("a.csv", excel(good())),
    "Excel called CSV with numbers as text": Case("a.csv", excel(good().astype("str"))),
    "zip": Case("a.parquet", zipped("a.csv", csv(good())), "got a ZIP archive"),
    "gzip": Case("a.csv", gzip.compress(csv(good())), "got a gzip archive"),
    "gzip bomb": Case("a.csv.gz", gzip.compress(b"a,b\n" + b"0,0\n" * 5_000_000), "got a gzip archive"),
    "pickle": Case("a.csv", b"\x80\x04\x95\x00\x00\x00", "could run code when opened"),
    # a table that is damaged
    "Parquet cut off": Case("a.parquet", parquet(good())[:300], "a complete Parquet file"),
    "Parquet with a false footer": Case("a.parquet", b"PAR1" + b"\xff" * 200 + b"PAR1", "a complete Parquet file"),
    "zero bytes within": Case("a.csv", csv(good()).replace(b"p3,", b"p\0003,"), "got binary data"),
    "Latin-1": Case("a.csv", csv(good()).replace(b"p3,", b"p\xe4,"), noted="Windows-1252"),
    "an open quote": Case("a.csv", csv(good()).replace(b"p3,", b'"p3,'), "the same number of cells in every row"),
    "a long row": Case("a.csv", csv(good()) + b"p99,P1,positive,0.1,0.9,7\n", "the same number of cells in every row"),
    "a trailing comma in some rows": Case(
        "a.csv", csv(good()).replace(b"\np7,", b",\np7,"), "That row ends in a trailing comma"
    ),
    "a short row": Case("a.csv", csv(good()) + b"p99,P1\n", "the same number of cells in every row"),
    "20,000 columns": Case("a.csv", csv(pd.DataFrame({f"c{i}": [1] for i in range(20_000)})), "at most 2,000 columns"),
    "a cell of 200,000 letters": Case("a.csv", csv(with_first("patch_id", "x" * 200_000)), "a table of short cells"),
    "nested cells": Case(
        "a.parquet",
        parquet(pd.DataFrame({"label": ["a", "b"], "probability_a": [[1], [2]], "probability_b": [[1], [2]]})),
        "nested",
    ),
    # columns that are missing or wrong
    "no header": Case("a.csv", good().to_csv(index=False, header=False).encode(), "a probability column for each"),
    "no true label": Case("a.csv", csv(good(label=None)), "a column for the label"),
    "no probabilities": Case(
        "a.csv", csv(good(probability_negative=None, probability_positive=None)), "a probability column for"
    ),
    "one probability": Case("a.csv", csv(good(probability_negative=None)), noted="one minus it"),
    "one probability of three classes": Case(
        "a.csv",
        csv(good(probability_negative=None).assign(label=["positive", "negative", "other"] * (ROWS // 3))),
        "a probability column for each",
    ),
    "one score above one": Case(
        "a.csv",
        csv(good(probability_negative=None).assign(probability_positive=7.0)),
        "Expected probabilities from 0 to 1",
    ),
    "dates as probabilities": Case(
        "a.parquet",
        parquet(good(probability_positive=pd.date_range("2020", "2021", ROWS))),
        "a probability column for each",
    ),
    # cells that are wrong
    "a word as probability": Case(
        "a.csv", csv(with_first("probability_positive", "high")), "a finite number in every row"
    ),
    "a complex number": Case("a.csv", csv(with_first("probability_positive", "1+2j")), "a finite number in every row"),
    "NaN": Case("a.csv", csv(with_first("probability_positive", "nan")), "an empty cell (NaN)"),
    "an empty cell": Case("a.csv", csv(with_first("probability_positive", "")), "an empty cell (NaN)"),
    "an infinity": Case("a.csv", csv(with_first("probability_positive", "inf")), "got an infinity"),
    "a huge number": Case("a.csv", csv(with_first("probability_positive", "1e308")), "probabilities that sum to one"),
    "below zero": Case("a.csv", csv(with_first("probability_positive", -0.4)), "probabilities from 0 to 1"),
    "sums of 1.8": Case(
        "a.csv", csv(good(probability_positive=[0.9] * ROWS, probability_negative=[0.9] * ROWS)), "sum of 1.8"
    ),
    "an unknown class": Case("a.csv", csv(with_first("label", "maybe")), "labels out of negative, positive"),
    "an empty label": Case("a.csv", csv(with_first("label", "")), "a true label in every row"),
    "numbers as labels": Case("a.csv", csv(good(label=[7] * ROWS)), "labels out of negative, positive"),
    "an unseen mark in a label": Case(
        "a.csv", csv(good(label=[f"positive{RIGHT_TO_LEFT}", "negative"] * HALF)), "labels out of negative, positive"
    ),
    "one patch twice": Case("a.csv", csv(with_first("patch_id", "p7")), "each patch once"),
    "one class only": Case("a.csv", csv(good(label=["positive"] * ROWS)), "at least two classes"),
    "one row": Case("a.csv", csv(good()[:1]), "at least two classes"),
    "no test part": Case("a.csv", csv(good(split=["train"] * ROWS)), "predictions of the test part"),
    "independent scores rounded to two decimals": Case(
        "a.csv",
        csv(good(probability_positive=[0.71] * ROWS, probability_negative=[0.42] * ROWS)),
        "probabilities that sum to one",
    ),
    # read for what they are
    "a trailing comma in every row": Case("a.csv", csv(good()).replace(b"\n", b",\n").replace(b",\n", b"\n", 1)),
    "probabilities rounded to two decimals": Case(
        "a.csv",
        csv(good(probability_positive=[0.33, 0.66] * HALF, probability_negative=[0.66, 0.33] * HALF)),
        noted="rounded to 2 decimals",
    ),
    "predicted classes only": Case(
        "a.csv",
        csv(
            good(probability_positive=None, probability_negative=None).assign(
                prediction=["positive", "negative"] * HALF
            )
        ),
        noted="no scores",
    ),
    "patients in two parts of a fold": Case(
        "a.csv",
        csv(good().assign(fold=["train", "train", "test", "val", "test"] * (ROWS // 5))),
        noted="more than one split part",
    ),
    "identifiers from a spreadsheet": Case(
        "a.csv", csv(good(patient_id=["1.23457E+15", "9.87654E+15"] * HALF)), noted="rounded by a spreadsheet"
    ),
    "CSV called Parquet": Case("a.parquet", csv(good())),
    "Parquet called CSV": Case("a.csv", parquet(good())),
    "UTF-16": Case("a.csv", good().to_csv(index=False).encode("utf-16")),
    "semicolons and decimal commas": Case("a.csv", good().to_csv(index=False, sep=";", decimal=",").encode()),
    "formulas": Case("a.csv", csv(with_first("patch_id", '=HYPERLINK("x";"y")'))),
    "a script as class": Case(
        "a.csv",
        csv(good(label=[SCRIPT, "positive"] * HALF).rename(columns={"probability_negative": f"probability_{SCRIPT}"})),
    ),
    "Markdown as class": Case(
        "a.csv",
        csv(
            good(label=["**a** :smile: [b](x)", "positive"] * HALF).rename(
                columns={"probability_negative": "probability_**a** :smile: [b](x)"}
            )
        ),
    ),
    "constant scores": Case("a.csv", csv(good(probability_positive=[0.5] * ROWS, probability_negative=[0.5] * ROWS))),
    "all wrong": Case(
        "a.csv",
        csv(
            good(
                label=["positive"] * HALF + ["negative"] * HALF,
                probability_positive=[0.0] * HALF + [1.0] * HALF,
                probability_negative=[1.0] * HALF + [0.0] * HALF,
            )
        ),
    ),
    "one patient": Case("a.csv", csv(good(patient_id=["P"] * ROWS)), noted="only 1 patient"),
    "no patient": Case("a.csv", csv(good(patient_id=None)), noted="patients unknown"),
}
