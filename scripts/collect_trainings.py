"""One line of JSON a finished training: `python scripts/collect_trainings.py RUN [RUN ...] >>results/FILE.jsonl`.

What was taught, to which detector, by which recipe, on what machine, how long its updates took, how the loss fell, and
the validation AP of its checkpoints; the folders' own `run.json` and `log.jsonl` hold the rest.
"""

import json
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

KEPT = ("name", "width", "data", "recipe", "versions", "machine")


def line(folder: Path) -> dict[str, Any]:
    told = json.loads((folder / "run.json").read_text())
    log = [json.loads(text) for text in (folder / "log.jsonl").read_text().splitlines()]
    learned = [each for each in log if "loss" in each]
    judged = [each for each in log if "val/ap" in each]
    curve = [{key.removeprefix("val/"): value for key, value in each.items()} for each in judged]
    losses = [[each["step"], each["loss"]] for each in learned]
    return {key: told[key] for key in KEPT} | {"seconds": seconds(learned, told), "losses": losses, "curve": curve}


def seconds(learned: list[dict[str, Any]], told: dict[str, Any]) -> float:
    """Of all updates, reading included, judging and checkpoints not."""
    steps = [0, *(each["step"] for each in learned)]
    images = [told["recipe"]["batch"] * (end - begin) for begin, end in pairwise(steps)]
    return sum(count / each["images_per_s"] for count, each in zip(images, learned, strict=True))


if __name__ == "__main__":
    for run in sys.argv[1:]:
        print(json.dumps(line(Path(run))))
