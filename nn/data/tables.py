"""Tables of numbers in CSV files, which come from anywhere.

What is read: text in UTF-8, with or without a byte order mark; a first line with the names of the
columns; then one line for each row. Fields are separated by commas, semicolons or tabs, whichever
the first line has most of, and may stand in double quotes. Decimals have a point. Empty lines are
skipped. Everything else is an error that names the line.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nn.networks.schema import LARGEST_WIDTH, RealArray, check_text
from yashe.errors import FormatError, IndexingError, ParameterError
from yashe.wire.files import read_input, whole_file

LARGEST_BYTES = 2**27
MOST_CELLS = 2**23  # of which each is a Python text while a file is read: half a gigabyte
SEPARATORS = (",", ";", "\t")
NUMBER = re.compile(r"\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)
WHOLE = re.compile(r"[+-]?\d{1,18}", re.ASCII)  # that fits into an int64
MISSING = ("", "?", "na", "n/a", "nan", "none", "null", "-")


@dataclass(frozen=True, eq=False)
class Table:
    """Rows of numbers whose columns have names.

    Attributes
    ----------
    columns : their names
    values : float64 array, shape (rows, columns)
    """

    columns: tuple[str, ...]
    values: RealArray

    def __repr__(self) -> str:
        return f"Table({len(self.values):,} rows of {', '.join(self.columns)})"

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns."""
        return self.values.shape

    def __len__(self) -> int:
        return len(self.values)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.values, dtype=dtype, copy=True if copy is None else copy)

    def __getitem__(self, rows: Any) -> Table:
        """Return some rows: a slice, a mask, or positions."""
        try:
            chosen = self.values[rows]
        except IndexError as error:
            raise IndexingError(
                f"a table is indexed by rows, table[:10] or a mask: {error}"
            ) from error
        if chosen.ndim != 2 or chosen.shape[1] != len(self.columns):
            raise ParameterError("a table is indexed by rows: table[:10], table[mask]")
        return Table(self.columns, chosen)


@dataclass(frozen=True)
class Cells:
    """A CSV file as text: names, rows, and the line at which each row ends."""

    path: Path
    names: tuple[str, ...]
    rows: list[list[str]]
    lines: list[int]

    def places(self, names: Iterable[str]) -> list[int]:
        """Return where columns stand, or refuse names that are not there."""
        missing = [name for name in names if name not in self.names]
        if missing:
            raise FormatError(
                f"{self.path} has no column {', '.join(map(repr, missing[:5]))}; it has "
                f"{', '.join(map(repr, self.names[:20]))}."
            )
        return [self.names.index(name) for name in names]

    def numbers(self, names: Sequence[str]) -> RealArray:
        """Return columns as float64 array, shape (rows, columns); all cells must be numbers."""
        places = self.places(names)
        values = np.empty((len(self.rows), len(places)))
        for i, (line, row) in enumerate(zip(self.lines, self.rows, strict=True)):
            for j, place in enumerate(places):
                text = row[place]
                if NUMBER.fullmatch(text) is None or abs(value := float(text)) == np.inf:
                    raise FormatError(f"{self.path}, line {line}: {no_number(names[j], text)}")
                values[i, j] = value
        return values

    def target(self, name: str) -> NDArray[Any]:
        """Return a column as int64 or float64 array if all of it are numbers, else as texts."""
        (place,) = self.places([name])
        texts = [row[place].strip() for row in self.rows]
        for line, text in zip(self.lines, texts, strict=True):
            if text.lower() in MISSING:
                raise FormatError(
                    f"{self.path}, line {line}: {no_number(name, text)} A class needs another word."
                )
        if not all(map(NUMBER.fullmatch, texts)):
            return np.array(texts)
        if all(map(WHOLE.fullmatch, texts)):  # exactly: as floats, two classes could become one
            return np.array(list(map(int, texts)), dtype=np.int64)
        values = self.numbers([name])[:, 0]
        whole = values.astype(np.int64) if np.abs(values).max(initial=0) < 2**53 else values
        return whole if (whole == values).all() else values


def read_table(
    path: str | os.PathLike[str],
    target: str | None = None,
    columns: Sequence[str] | None = None,
    leave_out: Sequence[str] = (),
) -> Any:
    """Read a CSV file.

    Parameters
    ----------
    path : of the file
    target : name of the column that shall be predicted, if the file has it
    columns : names of the columns to read, in this order; all others are passed over. By default
        all but the target and those left out.
    leave_out : names of columns from which nothing shall be learnt, such as a number of the patient

    Returns
    -------
    Table, or (Table, array with one entry for each row) if a target is named

    Raises
    ------
    FormatError
        If the file is missing or too large, no such table, or a cell no number; with its line.
    ParameterError
        If columns are no lists of names, or one is named twice.
    """
    for given in (leave_out, () if columns is None else columns):
        if isinstance(given, str) or not isinstance(given, Iterable):
            raise ParameterError(f"columns are named in a list, not by {given!r}")
    cells = read_cells(path)
    aside = [*leave_out, *([] if target is None else [target])]
    cells.places(aside)
    names = [name for name in cells.names if name not in aside] if columns is None else [*columns]
    twice = [name for name in names if [*names, *aside].count(name) > 1]
    if twice:
        raise ParameterError(f"a column is read, or the target, or left out: {twice[0]!r} is two.")
    if not names:
        raise FormatError(f"{path} has no columns beside {', '.join(map(repr, aside))}.")
    table = Table(tuple(names), cells.numbers(names))
    return table if target is None else (table, cells.target(target))


def read_cells(path: str | os.PathLike[str]) -> Cells:
    """Read a CSV file as text."""
    content, path = read_input(path, LARGEST_BYTES), Path(path)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise FormatError(
            f"{path}, line {line}: text in UTF-8 is required; save the table as 'CSV UTF-8'."
        ) from error
    first = re.sub('"[^"]*"', "", text.partition("\n")[0])
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(SEPARATORS, key=first.count))
    rows: list[list[str]] = []
    lines: list[int] = []
    names: tuple[str, ...] = ()
    try:
        for row in reader:
            if not "".join(row).strip():
                continue
            if not names:
                names = check_header(path, [name.strip() for name in row])
                continue
            if len(row) != len(names):
                raise FormatError(
                    f"{path}, line {reader.line_num}: {len(names)} fields are required, as in the "
                    f"first line; got {len(row)}."
                )
            if len(rows) * len(names) > MOST_CELLS:
                raise FormatError(f"{path}: tables of at most {MOST_CELLS} fields are read.")
            rows.append(row)
            lines.append(reader.line_num)
    except csv.Error as error:
        raise FormatError(f"{path}, line {reader.line_num}: no CSV: {error}.") from error
    if not rows:
        raise FormatError(f"{path}: a line with names and at least one row are required.")
    return Cells(path, names, rows, lines)


def check_header(path: Path, names: list[str]) -> tuple[str, ...]:
    """Return the names of the columns, or refuse a first line that is none."""
    if len(names) > LARGEST_WIDTH + 1:
        raise FormatError(f"{path}: at most {LARGEST_WIDTH} columns are read; got {len(names)}.")
    if all(map(NUMBER.fullmatch, names)):
        raise FormatError(
            f"{path}: the first line must have the names of the columns; it has numbers."
        )
    for i, name in enumerate(names):
        if not name:
            raise FormatError(
                f"{path}, first line: column {i + 1} must have a name; give it one, or take it "
                "away. (In pandas, to_csv(index=False) writes none that only counts rows.)"
            )
        check_text(f"{path}, first line: the name of a column", name, FormatError)
        if names.count(name) > 1:
            raise FormatError(f"{path}, first line: column {name!r} is there twice.")
    return tuple(names)


def no_number(name: str, text: str) -> str:
    """Say why a cell is no number."""
    if text.strip().lower() in MISSING:
        return (
            f"the value of column {name!r} is missing, {text!r}: fill it in, or leave out the row "
            "or the column."
        )
    if re.fullmatch(r"\s*[+-]?\d+,\d+\s*", text):
        return f"column {name!r} has {text!r}: write decimals with a point."
    return (
        f"column {name!r} has {text[:40]!r}, and a finite number such as 1234.5 is required: write "
        "it as one (of a date, count the days), leave the column out, or make one column of 0 and "
        "1 for each of its values."
    )


def write_table(
    path: str | os.PathLike[str], names: Sequence[str], rows: Iterable[Sequence[Any]]
) -> None:
    """Write a CSV file with commas, whole or not at all.

    A text that a spreadsheet would take for a formula gets an apostrophe in front.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([tamed(name) for name in names])
    writer.writerows([tamed(cell) for cell in row] for row in rows)
    with whole_file(path) as file:
        file.write(text.getvalue().encode())


def tamed(cell: Any) -> Any:
    """Return a cell that no spreadsheet runs; numbers stay as they are."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@")) else cell
