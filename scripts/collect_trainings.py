"""Prints one line of JSON for every finished training.

    python scripts/collect_trainings.py RUN [RUN ...] >>results/FILE.jsonl

It has the detector, its initial weights, the data, the recipe, the machine, the time of all updates, the losses and the
validation AP of the checkpoints; `run.json` and `log.jsonl` in the folder have the rest.
"""

import json
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

KEPT = ("name", "width", "weights", "data", "recipe", "versions", "machine")


def line(folder: Path) -> dict[str, Any]:
    """The line of the training in `folder`."""
    run = json.loads((folder / "run.json").read_text())
    log = [json.loads(text) for text in (folder / "log.jsonl").read_text().splitlines()]
    updates = [entry for entry in log if "loss" in entry]
    validations = [entry for entry in log if "val/ap" in entry]
    curve = [{key.removeprefix("val/"): value for key, value in entry.items()} for entry in validations]
    losses = [[entry["step"], entry["loss"]] for entry in updates]
    return {key: run[key] for key in KEPT} | {"seconds": seconds(updates, run), "losses": losses, "curve": curve}


def seconds(updates: list[dict[str, Any]], run: dict[str, Any]) -> float:
    """The time of all updates with reading of images, without validation and checkpoints."""
    steps = [0, *(entry["step"] for entry in updates)]
    images = [run["recipe"]["batch"] * (end - begin) for begin, end in pairwise(steps)]
    return sum(count / entry["images_per_s"] for count, entry in zip(images, updates, strict=True))


if __name__ == "__main__":
    for run in sys.argv[1:]:
        print(json.dumps(line(Path(run))))
