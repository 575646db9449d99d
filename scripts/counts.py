"""Writes the two `counts.json`: what only a built network can tell of each catalogue entry and of each guest."""

import json
from pathlib import Path

from paretodet.detectors.catalogue import names
from paretodet.detectors.families import spec
from paretodet.guests.hub import HubCandidate
from paretodet.guests.hub_models import MODELS
from paretodet.guests.published import PUBLISHED
from paretodet.runtimes.eager import work

PACKAGE = Path(__file__).resolve().parents[1] / "src/paretodet"


def counted(name: str) -> dict[str, object]:
    made, found = spec(name), work(spec(name))
    return {
        "classes": made.classes,
        "parameters": found.parameters,
        "buffers": found.buffers,
        "macs": found.macs,
        "assumption": made.assumption,
    }


def counted_guest(name: str) -> dict[str, object]:
    facts = HubCandidate(name, MODELS[name.removeprefix("hf:")]).facts()
    return {"parameters": facts.parameters, "buffers": facts.buffers, "macs": facts.macs}


def write(room: str, counts: dict[str, dict[str, object]]) -> None:
    (PACKAGE / room / "counts.json").write_text(json.dumps(counts, indent=1) + "\n")


if __name__ == "__main__":
    write("detectors", {name: counted(name) for name in names()})
    write("guests", {name: counted_guest(name) for name in PUBLISHED})
