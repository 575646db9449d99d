"""Teaches the paper's three meta-architectures one small data set and scores them, for `docs/replication.md`.

    python scripts/replicate.py DATA RUNS >>results/FILE.jsonl

trains each case with three seeds into a folder of RUNS, two at a time on one thread each, and prints a line of JSON a
training and number of proposals: its AP on the split `val`, in all, by size and by class. What RUNS holds whole is
not taught again, so that an interrupted run goes on. Two hours on two cores.
"""

import json
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # of the processes that are started from here

from collect_trainings import line
from paretodet.detectors.names import parse
from paretodet.evaluate import Evaluation, evaluate_candidate
from paretodet.open import open_candidate
from paretodet.train import RunOptions, TrainConfig, train
from paretodet.training.quick_recipe import quick_recipe

STEPS, BATCH, SEEDS = 600, 4, 3
PROPOSALS = (10, 50, 100, 300)
SCORES = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", "ar100")


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is taught: the longest of a seed first, so that both cores end together."""

    name: str
    width: float = 0.25
    proposals: tuple[int | None, ...] = (None,)  # to score it with


CASES = (
    Case(name="ssd-inception_v2-600"),
    Case(name="ssd-vgg16-300"),
    Case(name="ssd-inception_resnet_v2-300"),
    Case(name="faster_rcnn-inception_v2-300-s16-p300", proposals=PROPOSALS),
    Case(name="rfcn-inception_v2-300-s16-p300", proposals=PROPOSALS),
    Case(name="ssd-inception_v2-300"),
    Case(name="ssd-resnet101-300-s16"),
    Case(name="ssd-inception_v3-300"),
    Case(name="ssd-mobilenet_v1-300"),
    Case(name="ssd-inception_v2-150"),
    Case(name="ssd-resnet101-300-s8", width=0.125),
    Case(name="ssd-resnet101-300-s16", width=0.125),
)


@dataclass(frozen=True, kw_only=True)
class Task:
    case: Case
    seed: int
    data: Path
    runs: Path

    @property
    def folder(self) -> Path:
        return self.runs / f"{self.case.name}-width{self.case.width}-seed{self.seed}"


def lines(task: Task) -> list[dict[str, Any]]:
    """Teach where that is not done, and score at each number of proposals."""
    recipe = quick_recipe(steps=STEPS, batch=BATCH)
    lesson = TrainConfig(
        name=task.case.name, data=task.data, recipe=replace(recipe, seed=task.seed), width=task.case.width
    )
    taught = train(lesson, task.folder, RunOptions(every=STEPS), tell=lambda sentence: None)
    told = {"name": task.case.name, "width": task.case.width, "seed": task.seed, "steps": STEPS, "batch": BATCH}
    kept = line(task.folder)
    told |= {key: kept[key] for key in ("machine", "seconds", "losses")}
    return [told | scored(task, taught.weights, count) for count in task.case.proposals]


def scored(task: Task, weights: Path, proposals: int | None) -> dict[str, Any]:
    name = str(replace(parse(task.case.name), proposals=proposals))
    found = evaluate_candidate(open_candidate(name, weights=weights), task.data, split="val")
    return {"proposals": proposals, **numbers(found), "weights": found.subject["weights"]}


def numbers(found: Evaluation) -> dict[str, Any]:
    whole = found.boxes.whole._asdict()
    classes = {found.names[key]: brief(each) for key, each in found.boxes.categories.items()}
    return {field: whole[field] for field in SCORES} | {"classes": classes}


def brief(scores: Any) -> dict[str, Any]:
    return {field: getattr(scores, field) for field in SCORES[:3]}


def tasks(data: Path, runs: Path) -> Iterator[Task]:
    for seed, case in product(range(SEEDS), CASES):
        yield Task(case=case, seed=seed, data=data, runs=runs)


if __name__ == "__main__":
    data, runs = map(Path, sys.argv[1:])
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        for found in pool.map(lines, tasks(data, runs)):
            for each in found:
                print(json.dumps(each), flush=True)
