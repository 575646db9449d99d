"""What the benchmarks keep: a line of JSON a row, with the machine and the versions it is of."""

import argparse
import json
from pathlib import Path
from typing import Any

from paretodet.bench import machine


def add_out(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, help="append the rows here as JSON lines")


def keep(row: dict[str, Any], out: Path | None) -> None:
    if out:
        with out.open("a") as lines:
            lines.write(json.dumps(row | {"machine": machine.facts(), "versions": machine.versions()}) + "\n")
