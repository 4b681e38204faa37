"""Parquet tables: every level of the index becomes a column, text stays text, nothing is unpacked beyond the limits."""

from __future__ import annotations

import re

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from her2core.errors import TableError
from her2core.io.limits import TableLimits, check_size
from her2core.io.text import clean_text


def read_parquet(data: bytes, where: str, *, limits: TableLimits | None = None) -> tuple[pd.DataFrame, dict[str, str]]:
    """Read a Parquet file.

    Parameters
    ----------
    data : bytes
        The whole file.
    where : str
        Its name, for messages.
    limits : TableLimits, optional
        Largest table, checked against what the file states and against what it turns out to hold.

    Returns
    -------
    DataFrame
        Columns of numbers, text or dates. An index that pandas stored is a column; an unnamed one is left out.
    dict of str
        The file's key-value metadata, without that of pandas and Arrow.

    Raises
    ------
    TableError
        For a damaged file, nested or binary columns, and tables beyond the limits.

    Examples
    --------
    >>> import io
    >>> buffer = io.BytesIO()
    >>> pd.DataFrame({"label": ["a", "b"]}, index=pd.Index(["1.png", "2.png"], name="path")).to_parquet(buffer)
    >>> read_parquet(buffer.getvalue(), "t.parquet")[0].to_dict("list")
    {'label': ['a', 'b'], 'path': ['1.png', '2.png']}
    """
    limits = limits or TableLimits()
    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        schema, about = file.schema_arrow, file.metadata
        size = sum(about.row_group(i).total_byte_size for i in range(about.num_row_groups))
        check_size(about.num_rows, about.num_columns, size, limits, where)
        for field in schema:
            if not _plain(field.type):
                kind = "a nested column" if pa.types.is_nested(field.type) else f"a column of type {field.type}"
                raise TableError(
                    "columns of numbers or text",
                    got=f"{kind}, {clean_text(field.name, 60)!r}",
                    where=where,
                    fix="Write one value per cell: one probability column per class.",
                )
        frame = _frame(_read(data, schema, about.num_rows, limits, where))
        raw = schema.metadata or {}
        metadata = {k.decode(): v.decode() for k, v in raw.items() if not k.startswith((b"pandas", b"ARROW"))}
    # KeyError: an unknown time zone.
    except (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError, KeyError) as broken:
        reason = clean_text((str(broken).splitlines() or ["unreadable"])[0], 100)
        raise TableError(
            "a complete Parquet file", got=reason, where=where, fix="Write it again, or export as CSV."
        ) from None
    return frame, metadata


def _read(data: bytes, schema: pa.Schema, rows: int, limits: TableLimits, where: str) -> pa.Table:
    # Text stays a dictionary while it is read: a page of a few bytes can stand for gigabytes.
    file = pq.ParquetFile(pa.BufferReader(data), read_dictionary=[f.name for f in schema if _is_text(f.type)])
    parts, size = [], 0
    for batch in file.iter_batches(batch_size=65_536):
        size += sum(_unpacked(column) for column in batch.columns)
        check_size(rows, 0, size, limits, where)
        parts.append(batch)
    return pa.Table.from_batches(parts, schema=parts[0].schema if parts else schema)


def _plain(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type) or pa.types.is_integer(kind.value_type)
    tests = (
        *(pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal),
        *(pa.types.is_temporal, pa.types.is_null, _is_text),
    )
    return not isinstance(kind, pa.BaseExtensionType) and any(test(kind) for test in tests)


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _unpacked(column: pa.Array) -> int:
    """Bytes that a column takes once its dictionary is written out."""
    if not pa.types.is_dictionary(column.type) or not _is_text(column.type.value_type):
        return int(column.nbytes)
    lengths = pc.binary_length(column.dictionary)
    return int(pc.sum(lengths.take(column.indices)).as_py() or 0) + 8 * len(column)


def _frame(table: pa.Table) -> pd.DataFrame:
    kept, columns = [], []
    for field, column in zip(table.schema, table.columns, strict=True):
        if re.fullmatch(r"__index_level_\d+__", field.name):
            continue
        if pa.types.is_dictionary(field.type):
            column = column.cast(field.type.value_type)
        elif pa.types.is_decimal(field.type):
            column = column.cast(pa.float64())
        kept.append(field.name)
        columns.append(column.to_pandas())
    frame = pd.DataFrame(dict(enumerate(columns)), copy=False, index=range(table.num_rows))
    frame.columns = kept
    return frame
