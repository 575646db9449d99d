"""Tables of configurations: a CSV file with a name, costs and gains in its columns, or a file of our own rows."""

import argparse
import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from paretodet.frontier.features import Features, of_names
from paretodet.records.lines import read_lines
from paretodet.records.measurement import Measurement
from paretodet.sweep.known import features_of


class Table(NamedTuple):
    """N configurations and their values [N, columns]."""

    features: Features
    values: NDArray[np.float64]


def add_table(parser: argparse.ArgumentParser, *, share: float) -> None:
    """Add the file and the options that say what of it is used."""
    parser.add_argument("file", type=Path, help="CSV file with one row per configuration, or .jsonl of our rows")
    parser.add_argument("--cost", required=True, metavar="COLUMN", help="column to minimize, above 0")
    parser.add_argument("--name", default="name", metavar="COLUMN", help="column of the names [default: name]")
    parser.add_argument(
        "--share", type=float, default=share, help=f"share of the rows that are measured [default: {share}]"
    )
    parser.add_argument("--seeds", type=int, default=20, help="how many runs [default: 20]")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def read(parser: argparse.ArgumentParser, file: Path, *, name: str, columns: list[str]) -> Table:
    """The rows that have a finite number in all of the columns. No other column is looked at.

    Of our own rows (.jsonl) the features are those of a search, of a CSV file they are those of names. What is wrong
    ends the program with exit code 2.
    """
    if file.suffix == ".jsonl":
        return _own(parser, file, columns)
    try:
        with file.open(newline="", encoding="utf-8") as lines:
            rows = list(csv.DictReader(lines))
    except (OSError, UnicodeDecodeError) as error:
        parser.error(f"{file}: {error}")
    for column in (name, *columns):
        if rows and column not in rows[0]:
            parser.error(f"{file} has no column {column!r}; its columns are {', '.join(rows[0])}")
    values = np.array([[_number(row[column]) for column in columns] for row in rows]).reshape(-1, len(columns))
    complete = np.isfinite(values).all(1)
    if not complete.any():
        parser.error(f"{file} has no row with a number in {' and '.join(columns)}")
    names = [row[name] or "" for row, used in zip(rows, complete, strict=True) if used]
    return Table(of_names(names), values[complete])


def _own(parser: argparse.ArgumentParser, file: Path, columns: list[str]) -> Table:
    try:
        rows = [Measurement.from_json(row) for row in read_lines(file)]
    except (OSError, ValueError) as error:
        parser.error(str(error))
    values = np.array([[getattr(row, column, None) for column in columns] for row in rows], dtype=np.float64)
    complete = np.asarray(np.isfinite(values.reshape(-1, len(columns))).all(1))
    if not complete.any():
        parser.error(f"{file} has no row with a number in {' and '.join(columns)}")
    return Table(features_of([row for row, used in zip(rows, complete, strict=True) if used]), values[complete])


def count(parser: argparse.ArgumentParser, share: float, rows: int) -> int:
    """How many rows a share of them is; at least 3, and at most all."""
    if not 0 < share <= 1:
        parser.error(f"--share is {share}; it must be above 0 and at most 1")
    return min(max(round(share * rows), 3), rows)


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return np.nan
