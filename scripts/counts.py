"""Writes `src/paretodet/detectors/counts.json`: what only a built detector can tell of each catalogue entry."""

import json
from pathlib import Path

from paretodet.detectors.catalogue import names
from paretodet.detectors.families import spec
from paretodet.runtimes.eager import work

PATH = Path(__file__).resolve().parents[1] / "src/paretodet/detectors/counts.json"


def counted(name: str) -> dict[str, object]:
    made, found = spec(name), work(spec(name))
    return {
        "classes": made.classes,
        "parameters": found.parameters,
        "buffers": found.buffers,
        "macs": found.macs,
        "assumption": made.assumption,
    }


if __name__ == "__main__":
    PATH.write_text(json.dumps({name: counted(name) for name in names()}, indent=1) + "\n")
