"""Specs in stored rows read back to the same JSON and artifact hash, although parts were renamed since."""

from pathlib import Path
from typing import Any

import pytest

from paretodet.detectors.spec import from_json, to_json
from paretodet.network import digest
from paretodet.records.lines import read_lines

RESULTS = Path(__file__).resolve().parents[2] / "results"
ROWS = [row for path in sorted(RESULTS.glob("bccd-rows-*.jsonl")) for row in read_lines(path)]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['name']}-{row['id']}")
def test_a_stored_spec_reads_back(row: dict[str, Any]) -> None:
    assert to_json(from_json(row["spec"])) == row["spec"]
    parts = {"spec": row["spec"], "weights": row["weights"], "seed": 0, "runtime": "eager", "precision": "fp32"}
    assert digest(parts) == row["artefact"]
