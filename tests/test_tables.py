"""The reader of tables: formats, encodings and number formats; refusal of every other file; limits and speed."""

from __future__ import annotations

import io
import pickle
import time
import zipfile

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from her2core.errors import TableError
from her2core.evidence.predictions import Predictions
from her2core.io.limits import TableLimits
from her2core.io.tables import Table, read_table

FRAME = pd.DataFrame(
    {"patch_id": ["007", "1.10"], "label": ["a", "b"], "probability_a": [0.75, 0.25], "probability_b": [0.25, 0.75]}
)
CSV = FRAME.to_csv(index=False)


def read(data: bytes | str, name: str = "t.csv", **limits) -> pd.DataFrame:
    return whole(data, name, **limits).frame


def whole(data: bytes | str, name: str = "t.csv", **limits) -> Table:
    return read_table(data.encode() if isinstance(data, str) else data, name=name, limits=TableLimits(**limits))


def refused(data: bytes | str, **options) -> str:
    with pytest.raises(TableError) as caught:
        read(data, **options)
    assert len(str(caught.value)) < 500
    return str(caught.value)


def parquet(frame: pd.DataFrame | pa.Table, **options) -> bytes:
    table = frame if isinstance(frame, pa.Table) else pa.Table.from_pandas(frame)
    out = io.BytesIO()
    pq.write_table(table, out, **options)
    return out.getvalue()


def archive(*names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        for name in names:
            z.writestr(name, "x")
    return out.getvalue()


def excel(frame: pd.DataFrame, **options) -> bytes:
    out = io.BytesIO()
    frame.to_excel(out, index=False, **options)
    return out.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        CSV.encode(),
        CSV.encode("utf-8-sig"),
        CSV.encode("utf-16"),
        b"\xfe\xff" + CSV.encode("utf-16-be"),
        CSV.encode("utf-16-le"),
        CSV.replace("\n", "\r\n").encode(),
        CSV.replace(",", "\t").encode(),
        CSV.replace(",", ";").encode(),
        ("sep=;\r\n" + CSV.replace(",", ";").replace("0.", "0,")).encode(),
        ("\n\n" + CSV + "\n\n").encode(),
        FRAME.to_csv(index=False, quoting=1).encode(),
        CSV.replace(",", "|").encode(),
        excel(FRAME),
        parquet(FRAME),
        parquet(FRAME.astype({"label": "category", "probability_a": "float32", "probability_b": "float32"})),
    ],
    ids=[
        "utf-8",
        "bom",
        "utf-16",
        "utf-16-be",
        "utf-16 without bom",
        "crlf",
        "tsv",
        "semicolon",
        "decimal comma",
        "blank lines",
        "quoted",
        "pipes",
        "excel",
        "parquet",
        "parquet categories",
    ],
)
@pytest.mark.parametrize("name", ["t.csv", "t.parquet", "t.xlsx"])
def test_the_content_decides_whatever_the_name(data, name):
    pd.testing.assert_frame_equal(read(data, name), FRAME, check_dtype=False)
    assert len(Predictions.from_frame(read(data, name))) == 2


def test_ids_stay_text_and_so_does_what_is_no_decimal():
    frame = read("case;n;label;p_a;other\n007;08;1.0;0.5;x\n1e5;9;2.0;0.5;NA\n")
    assert frame.astype(object).values.tolist() == [["007", "08", "1.0", 0.5, "x"], ["1e5", "9", "2.0", 0.5, "NA"]]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("id;v;w\na;0,5;x\nb;1,25;y\n", [0.5, 1.25]),
        ('id,v\na,"0,5"\nb,"0,25"\n', [0.5, 0.25]),
        ("id\tv\na\t1.024,5\nb\t12.288\n", [1024.5, 12288]),
        ('id,v\na,"1,024"\nb,"12,288"\n', [1024, 12288]),
        ("id;v;w\na;1,024;0,5\nb;2,048;0,5\n", [1.024, 2.048]),
        ("id;v;w\na;1.024;0,5\nb;2.048;0,5\n", [1024, 2048]),
        ("id;v\na;1\u00a0024,5\nb;7\n", [1024.5, 7]),
        ("id,v\na,1\nb,\n", [1, np.nan]),
        ("id,v\na,n/a\nb,-3\n", [np.nan, -3]),
        ("id,v\na,1\nb,0.5\n", [1, 0.5]),
        ("id,v\na,1e-3\nb,0.5\n", [0.001, 0.5]),
    ],
)
def test_numbers_are_read_in_the_format_of_the_table(text, values):
    np.testing.assert_array_equal(read(text)["v"].to_numpy(float), values)


@pytest.mark.parametrize("cells", [["007", "8"], ["1.23457E+15", "2"], ["1,5", "2.5"], ["3", "high"], ["08.5", "1.5"]])
def test_what_would_lose_by_being_a_number_stays_text(cells):
    assert list(read("k\tv\n" + "".join(f"x\t{c}\n" for c in cells))["v"]) == cells


def test_whole_numbers_are_compared_with_their_text_in_every_row():
    rows = [str(i) for i in range(1_000)] + ["0042"]
    assert list(read("k,v\n" + "".join(f"x,{c}\n" for c in rows))["v"]) == rows
    assert read("k,v\n" + "".join(f"x,{c}\n" for c in rows[:-1]))["v"].dtype == np.int64


@pytest.mark.parametrize("end", [",", ", ", ',""'])
def test_a_trailing_comma_in_every_row_is_superfluous_and_noted(end):
    table = whole(f"patch_id,path,label\nt0,0.png,a{end}\nt1,1.png,b{end}\n")
    assert table.frame.to_dict("list") == {"patch_id": ["t0", "t1"], "path": ["0.png", "1.png"], "label": ["a", "b"]}
    assert "trailing comma" in table.notes[0]


def test_a_trailing_comma_in_the_header_too_is_a_column_without_name_or_value():
    table = whole("patch_id,label,\nt0,a,\nt1,b,\n")
    assert list(table.frame) == ["patch_id", "label"]
    assert table.notes
    assert list(read("patch_id,label,\nt0,a,\nt1,b,x\n")) == ["patch_id", "label", "column 3"]


def test_latin_1_is_read_with_a_note():
    table = whole("id,Gewebe\n1,Dr\xfcse\n".encode("latin-1"))
    assert table.frame["Gewebe"].item() == "Dr\xfcse"
    assert "Windows-1252" in table.notes[0]
    assert "Dr\xfcse" in table.notes[0]


def test_levels_of_the_index_are_columns_in_parquet_and_in_frames():
    frame = pd.DataFrame({"label": ["a", "b"]}, index=pd.MultiIndex.from_tuples([("P1", "1"), ("P2", "2")]))
    named = frame.rename_axis(["patient_id", "path"])
    for table in (read(parquet(named)), read_table(named).frame):
        assert set(table) == {"label", "patient_id", "path"}
        assert list(table["path"]) == ["1", "2"]
    shuffled = pd.DataFrame({"label": ["a", "b"]}, index=[7, 3])
    for table in (read(parquet(shuffled)), read_table(shuffled).frame):
        assert table.to_dict("list") == {"label": ["a", "b"]}
        assert list(table.index) == [0, 1]


def test_a_frame_is_left_alone():
    frame = pd.DataFrame({0: ["a"]}, index=pd.Index(["x"], name="path"))
    before = frame.copy()
    read_table(frame)
    pd.testing.assert_frame_equal(frame, before)


def test_the_first_worksheet_with_a_table_is_read_and_others_are_noted():
    out = io.BytesIO()
    with pd.ExcelWriter(out) as book:
        pd.DataFrame().to_excel(book, sheet_name="empty", index=False)
        FRAME.assign(n=[1, 2], note=["#N/A", None]).to_excel(book, sheet_name="cases", index=False, startrow=2)
        FRAME.head(1).to_excel(book, sheet_name="more", index=False)
    table = whole(out.getvalue(), "book.xlsx")
    assert list(table.frame["patch_id"]) == ["007", "1.10"]
    assert list(table.frame["n"]) == [1, 2]
    assert "'cases'" in table.notes[0]


def test_what_openpyxl_cannot_read_calamine_does(monkeypatch):
    """Strict OOXML shows no worksheet to openpyxl."""
    import openpyxl

    monkeypatch.setattr(openpyxl, "load_workbook", lambda *_, **__: openpyxl.Workbook(write_only=True))
    pd.testing.assert_frame_equal(read(excel(FRAME)), FRAME, check_dtype=False)


def test_a_workbook_that_unpacks_to_gigabytes_is_refused():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("xl/workbook.xml", "x")
        z.writestr("xl/worksheets/sheet1.xml", b"0" * 20_000_000)
    assert "in memory" in refused(out.getvalue(), memory=2**20)


def test_cells_may_hold_line_breaks_quotes_separators_and_ten_thousand_characters():
    long = "x" * 10_000
    frame = pd.DataFrame({"patch_id": ['a,"b"\nc', long], "probability_a": [0.5, 1e-9], "probability_b": [0.5, 1.0]})
    pd.testing.assert_frame_equal(read(frame.to_csv(index=False)), frame, check_dtype=False)


def test_a_name_that_stands_twice_stays_twice():
    frame = read("label,probability_a,probability_a\na,0.5,0.5\n")
    assert list(frame) == ["label", "probability_a", "probability_a"]


def test_a_number_that_is_none_far_below_is_kept_for_the_message():
    rows = "".join(f"q{i},a,0.5,0.5\n" for i in range(5_000))
    frame = read("patch_id,label,probability_a,probability_b\n" + rows + "last,b,high,0.5\n")
    with pytest.raises(TableError, match=r"Expected a finite number .* got 'high'"):
        Predictions.from_frame(frame)


@pytest.mark.parametrize("first", ["PK", "PARENT", "II*", "(c", "case", "{x}", "%", "=1+1"])
def test_a_header_that_begins_like_another_file_is_a_header(first):
    assert list(read(f"{first},label,probability_a,probability_b\nx,a,0.5,0.5\n")) == [
        first,
        "label",
        "probability_a",
        "probability_b",
    ]


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (archive("[Content_Types].xml", "xl/other.xml"), "a ZIP archive"),
        (archive("a.csv"), "a ZIP archive"),
        (archive("m/data.pkl"), "a PyTorch or NumPy archive, which may hold pickles"),
        (b"  <!DOCTYPE html><html><table></table>", "a web page (HTML)"),
        (b"\xef\xbb\xbf<html>", "a web page (HTML)"),
        (b"<?xml version='1.0'?>", "an XML file"),
        (b'[{"label": "a"}]', "a JSON file"),
        *((pickle.dumps({"a": np.arange(3)}, protocol=i), "a Python pickle") for i in range(6)),
        *((pickle.dumps(FRAME, protocol=i), "a Python pickle") for i in range(6)),
        (b"cos\nsystem\n(S'true'\ntR.", "a Python pickle"),
        (b"\x1f\x8b" + b"\0" * 30, "a gzip archive"),
        (b"\x93NUMPY\x01\x00", "a NumPy array"),
        (b"\x89PNG\r\n\x1a\n", "an image"),
        (b"ARROW1\0\0", "an Arrow file"),
        (b"PARE" + b"\0" * 30 + b"PARE", "an encrypted Parquet file"),
        (b"\x00\x01\x02\x03" * 40, "binary data"),
        (CSV.encode("utf-32"), "text in UTF-32"),
    ],
)
def test_other_files_are_refused_by_what_they_are(data, kind):
    message = refused(data)
    assert f"got {kind}" in message
    assert "CSV" in message


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "got an empty file"),
        (b"\xef\xbb\xbf \n", "got an empty file"),
        (b"a,b\n1\xe9,\x012\n", "binary data"),
        (archive("[Content_Types].xml", "xl/workbook.xml"), "a complete, unencrypted Excel workbook"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 100, "a complete, unencrypted Excel workbook"),
        ("path,label\n1,a,\n2,b\n3,c,\n", "That row ends in a trailing comma"),
        (",path,label\n", "at least one row"),
        ("path,label\n1,1.png,a\n2,2.png,b\n", "a header as long as the rows"),
        (b"\xff\xfea\x00,\x00\x00\xd8", "UTF-16 that breaks off"),
        ("label,probability_a\n", "at least one row below the header"),
        ("hello\nworld\n", "a table with several columns, but got one column, 'hello'"),
        ("a,b,c\n1,2,3\n1,2\n", "the same number of cells in every row"),
        ("a," * 2_001 + "z\n" + "1," * 2_001 + "1\n", "at most 2,000 columns, but got 2,002"),
        (parquet(FRAME)[:-30], "a complete Parquet file"),
        (b"PAR1", "a complete Parquet file"),
        (parquet(FRAME.head(0)), "at least one row"),
        (parquet(pa.table({"a": [[1, 2]], "label": ["x"]})), "a nested column, 'a'"),
        (parquet(pa.table({"s": [{"k": 1}], "label": ["x"]})), "a nested column, 's'"),
        (parquet(pa.table({"b": [b"raw"], "label": ["x"]})), "a column of type binary, 'b'"),
        (parquet(pa.table({f"c{i}": [1.0] for i in range(2_001)})), "at most 2,000 columns, but got 2,001"),
    ],
)
def test_broken_tables_are_refused_in_a_sentence(data, message):
    assert message in refused(data)


def test_a_parquet_whose_middle_is_damaged_is_refused():
    data = bytearray(parquet(FRAME, compression="zstd"))
    data[8:60] = b"\xff" * 52
    assert "a complete Parquet file" in refused(bytes(data))


def test_large_files_are_refused_before_they_are_read():
    assert "at most 1 MiB, but got 2 MiB" in refused(b"a,b\n" + b"1,2\n" * 2**19, file=2**20)
    rows = parquet(pa.table({"a": pa.array(np.zeros(20_000_001, np.int8)), "b": pa.nulls(20_000_001, pa.int8())}))
    assert len(rows) < 2**20
    assert "at most 20,000,000 rows, but got 20,000,001" in refused(rows)
    wide = pa.table({f"c{i}": pa.array(np.zeros(2_000, np.int8)) for i in range(50)})  # 800,000 bytes as numbers
    for data in (parquet(wide), wide.to_pandas().to_csv(index=False)):
        assert len(data) < 250_000
        assert "in memory" in refused(data, memory=500_000)
    assert "at most 3 rows" in refused(CSV + "q3,a,0.5,0.5\n" * 5, rows=3)
    assert "at most 3 rows" in refused(parquet(pd.concat([FRAME] * 2)), rows=3)
    assert "at most 3 rows" in refused(excel(pd.concat([FRAME] * 2)), rows=3)


def test_a_page_of_a_few_bytes_that_stands_for_gigabytes_is_refused():
    cells = pa.DictionaryArray.from_arrays(pa.array(np.zeros(400_000, np.int32)), pa.array(["x" * 10_000]))
    bomb = parquet(pa.table({"label": cells.cast(pa.dictionary(pa.int32(), pa.string())), "n": np.zeros(400_000)}))
    assert len(bomb) < 2**20
    assert "at most 2 GiB in memory" in refused(bomb)


def test_names_in_messages_are_clean():
    assert (
        refused(b"", name="a\u202eb\x00\n.csv")
        == "Expected a table, but got an empty file (ab .csv). Check the export."
    )


def test_a_hundred_thousand_rows_are_read_at_once():
    n = 100_000
    frame = pd.DataFrame({"patch_id": [f"q{i}" for i in range(n)], "label": "a", "probability_a": np.linspace(0, 1, n)})
    data = frame.to_csv(index=False).encode()
    spent = []
    for _ in range(3):
        began = time.process_time()
        read(data)
        spent.append(time.process_time() - began)
    assert min(spent) < 0.5
