"""Writes the rows of a benchmark as JSON lines, with the machine and the versions of the libraries."""

import argparse
import json
from pathlib import Path
from typing import Any

from paretodet.bench import machine


def add_out(parser: argparse.ArgumentParser) -> None:
    """Add the option `--out`."""
    parser.add_argument("--out", type=Path, help="file to append the rows to, as JSON lines")


def append(row: dict[str, Any], out: Path | None) -> None:
    """Append the row to `out`, if it is given."""
    if out:
        with out.open("a") as lines:
            lines.write(json.dumps(row | {"machine": machine.facts(), "versions": machine.versions()}) + "\n")
