"""Tables of configurations: a CSV file with a name, costs and gains in its columns, or a file of our own rows."""

import argparse
import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from paretodet.frontier.features import Features, of_names
from paretodet.records.columns import NUMBER_FIELDS
from paretodet.records.lines import read_lines
from paretodet.records.measurement import Measurement
from paretodet.sweep.known import features_of


class Table(NamedTuple):
    """N configurations and their values [N, columns]; `left_out` further ones lack a value."""

    features: Features
    values: NDArray[np.float64]
    left_out: int


class _Lines(NamedTuple):
    """The lines of a CSV file as cells by column, each with its number."""

    columns: list[str]
    cells: list[tuple[int, dict[str, str]]]


def add_table(parser: argparse.ArgumentParser, *, share: float) -> None:
    """Add the file and the options that say what of it is used."""
    parser.add_argument("file", type=Path, help="CSV file with one row per configuration, or .jsonl of our rows")
    parser.add_argument("--cost", required=True, metavar="COLUMN", help="column to minimize, above 0")
    parser.add_argument("--name", default="name", metavar="COLUMN", help="column of the names [default: name]")
    parser.add_argument(
        "--share", type=float, default=share, help=f"share of the rows that are measured [default: {share}]"
    )
    parser.add_argument("--seeds", type=runs, default=20, help="how many runs [default: 20]")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def runs(text: str) -> int:
    """Raises ArgumentTypeError for a number of runs below 1."""
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{number} is not at least 1")
    return number


def read(parser: argparse.ArgumentParser, file: Path, *, name: str, columns: list[str]) -> Table:
    """The rows that have a finite number in all of the columns. No other column is looked at.

    Of our own rows (.jsonl) the features are those of a search, of a CSV file they are those of names. An empty cell is
    an unknown number, and so is nan. What is wrong ends the program with exit code 2.
    """
    if file.suffix == ".jsonl":
        return _own(parser, file, columns)
    try:
        table = _lines(file)
        for column in (name, *columns):
            if (count := table.columns.count(column)) != 1:
                found = f"{count} columns" if count else "no column"
                raise ValueError(f"{file} has {found} {column!r}; its columns are {', '.join(table.columns)}")
        values = [[_number(file, line, column, cells[column]) for column in columns] for line, cells in table.cells]
    except (OSError, ValueError, csv.Error) as error:
        parser.error(str(error) if str(file) in str(error) else f"{file}: {error}")
    kept, complete = _complete(parser, file, values, columns)
    names = [cells[name] for (_, cells), used in zip(table.cells, complete, strict=True) if used]
    return Table(of_names(names), kept, int((~complete).sum()))


def _lines(file: Path) -> _Lines:
    """Raises ValueError for a line that has not as many cells as the first one."""
    with file.open(newline="", encoding="utf-8-sig") as text:
        lines = csv.reader(text, skipinitialspace=True)
        columns, cells = [name.strip() for name in next(lines, [])], []
        for line in lines:
            if line and len(line) != len(columns):
                message = f"{file}, line {lines.line_num} has {len(line)} cells, the first line has {len(columns)}"
                raise ValueError(f"{message}; a decimal point is a full stop, and a cell with a comma is quoted")
            if line:
                cells.append((lines.line_num, dict(zip(columns, map(str.strip, line), strict=True))))
    return _Lines(columns, cells)


def _own(parser: argparse.ArgumentParser, file: Path, columns: list[str]) -> Table:
    if wrong := [column for column in columns if column not in NUMBER_FIELDS]:
        parser.error(f"{file}: rows have no number {wrong[0]!r}; they have {', '.join(NUMBER_FIELDS)}")
    try:
        rows = [Measurement.from_json(row) for row in read_lines(file)]
    except (OSError, ValueError) as error:
        parser.error(str(error))
    values, complete = _complete(parser, file, [[getattr(row, each) for each in columns] for row in rows], columns)
    features = features_of([row for row, used in zip(rows, complete, strict=True) if used])
    return Table(features, values, int((~complete).sum()))


def _complete(
    parser: argparse.ArgumentParser, file: Path, values: list[list[float]], columns: list[str]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The rows of values that are complete, and which of all these are."""
    numbers = np.array(values, dtype=np.float64).reshape(-1, len(columns))
    complete = np.asarray(np.isfinite(numbers).all(1))
    if not complete.any():
        parser.error(f"{file} has no row with a number in {' and '.join(columns)}")
    return numbers[complete], complete


def count(parser: argparse.ArgumentParser, share: float, rows: int) -> int:
    """How many rows a share of them is; at least 3, and at most all."""
    if not 0 < share <= 1:
        parser.error(f"--share is {share}; it must be above 0 and at most 1")
    return min(max(round(share * rows), 3), rows)


def _number(file: Path, line: int, column: str, text: str) -> float:
    """NaN for an empty cell. Raises ValueError for one that is no number."""
    try:
        number = float(text or "nan")
    except ValueError:
        number = np.inf
    if np.isinf(number):
        message = f"{file}, line {line}: {column} is {text!r}, which is not a number"
        raise ValueError(f"{message}; write 1203.4 for 1,203.4 and 45.3 for 45.3%, and nothing for what is unknown")
    return number
