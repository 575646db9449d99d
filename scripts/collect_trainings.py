"""One line of JSON a finished training: `python scripts/collect_trainings.py RUN [RUN ...] >>results/FILE.jsonl`.

What was taught, to which detector, by which recipe, on what machine, and the validation AP of its checkpoints; the
folders' own `run.json` and `log.jsonl` hold the rest.
"""

import json
import sys
from pathlib import Path
from typing import Any

KEPT = ("name", "width", "data", "recipe", "versions", "machine")


def line(folder: Path) -> dict[str, Any]:
    told = json.loads((folder / "run.json").read_text())
    judged = [each for each in map(json.loads, (folder / "log.jsonl").read_text().splitlines()) if "val/ap" in each]
    curve = [{key.removeprefix("val/"): value for key, value in each.items()} for each in judged]
    return {key: told[key] for key in KEPT} | {"curve": curve}


if __name__ == "__main__":
    for run in sys.argv[1:]:
        print(json.dumps(line(Path(run))))
