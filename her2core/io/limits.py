"""Limits on the size of a table that is read."""

from __future__ import annotations

from dataclasses import dataclass

from her2core.errors import TableError


@dataclass(frozen=True)
class TableLimits:
    """Largest table that is read, so that a small file cannot fill the memory.

    Parameters
    ----------
    rows, columns : int
        Largest number of rows and columns.
    memory : int
        Largest size once it is read, in bytes.
    file : int, optional
        Largest file in bytes; None for any (a file of this machine, which nobody uploaded).

    Examples
    --------
    >>> TableLimits().rows
    20000000
    """

    rows: int = 20_000_000
    columns: int = 2_000
    memory: int = 2 * 2**30
    file: int | None = None


#: Largest table that a visitor may upload: a table takes several times its memory while it is read.
UPLOADED_MIB = 200
UPLOADED_TABLE = TableLimits(rows=2_000_000, memory=2**30, file=UPLOADED_MIB * 2**20)


def check_size(rows: int, columns: int, size: int, limits: TableLimits, where: str) -> None:
    """Refuse a table beyond the limits.

    Parameters
    ----------
    rows, columns : int
        What the file states or holds.
    size : int
        Bytes in memory; 8 bytes a cell are assumed at least.
    limits : TableLimits
        The limits.
    where : str
        The file's name, for the message.

    Raises
    ------
    TableError
        Naming the limit.

    Examples
    --------
    >>> check_size(10, 3, 240, TableLimits(), "t.csv")
    """
    for value, limit, what in ((rows, limits.rows, "rows"), (columns, limits.columns, "columns")):
        if value > limit:
            raise TableError(
                f"at most {limit:,} {what}", got=f"{value:,}", where=where, fix="Leave out what is not needed."
            )
    size = max(size, rows * columns * 8)  # a run of one value is a few bytes in a file and eight a row in memory
    if size > limits.memory:
        raise TableError(
            f"a table of at most {limits.memory / 2**30:.2g} GiB in memory",
            got=f"{size / 2**30:.2g} GiB",
            where=where,
            fix="Leave out columns or rows that are not needed.",
        )
