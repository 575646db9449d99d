"""Trains the three meta-architectures of Huang et al. 2017 on a small data set, for `docs/replication.md`.

    python scripts/replicate.py DATA RUNS >>results/FILE.jsonl

trains every case with three seeds into folders of RUNS, two at a time with one thread each. It prints one line of JSON
for every training and number of proposals: AP on the split `val`, overall, by size and by class. Trainings that are
complete in RUNS are not repeated, so an interrupted run can be continued. Takes two hours on two cores.
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

os.environ["OMP_NUM_THREADS"] = "1"  # for the worker processes

from collect_trainings import line
from paretodet.detectors.names import parse
from paretodet.opening import open_candidate
from paretodet.scoring import Evaluation, evaluate_candidate
from paretodet.training.config import RunOptions, TrainConfig
from paretodet.training.quick_recipe import quick_recipe
from paretodet.training_run import train

STEPS, BATCH, SEEDS = 600, 4, 3
PROPOSALS = (10, 50, 100, 300)
SCORES = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", "ar100")


@dataclass(frozen=True, kw_only=True)
class Case:
    """A detector to train, and the numbers of proposals to score it with."""

    name: str
    width: float = 0.25
    proposals: tuple[int | None, ...] = (None,)


CASES = (  # the longest first, so that both workers end at about the same time
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
    """One case with one seed."""

    case: Case
    seed: int
    data: Path
    runs: Path

    @property
    def folder(self) -> Path:
        return self.runs / f"{self.case.name}-width{self.case.width}-seed{self.seed}"


def lines(task: Task) -> list[dict[str, Any]]:
    """Train if that is not done yet, and score at each number of proposals."""
    case, recipe = task.case, quick_recipe(steps=STEPS, batch=BATCH)
    config = TrainConfig(name=case.name, data=task.data, recipe=replace(recipe, seed=task.seed), width=case.width)
    result = train(config, task.folder, RunOptions(every=STEPS), notify=lambda sentence: None)
    row = {"name": case.name, "width": case.width, "seed": task.seed, "steps": STEPS, "batch": BATCH}
    run = line(task.folder)
    row |= {key: run[key] for key in ("machine", "seconds", "losses")}
    return [row | scored(task, result.weights, count) for count in case.proposals]


def scored(task: Task, weights: Path, proposals: int | None) -> dict[str, Any]:
    name = str(replace(parse(task.case.name), proposals=proposals))
    evaluation = evaluate_candidate(open_candidate(name, weights=weights), task.data, split="val")
    return {"proposals": proposals, **numbers(evaluation), "weights": evaluation.subject["weights"]}


def numbers(evaluation: Evaluation) -> dict[str, Any]:
    whole = evaluation.boxes.whole._asdict()
    classes = {evaluation.names[key]: brief(scores) for key, scores in evaluation.boxes.categories.items()}
    return {field: whole[field] for field in SCORES} | {"classes": classes}


def brief(scores: Any) -> dict[str, Any]:
    return {field: getattr(scores, field) for field in SCORES[:3]}


def tasks(data: Path, runs: Path) -> Iterator[Task]:
    for seed, case in product(range(SEEDS), CASES):
        yield Task(case=case, seed=seed, data=data, runs=runs)


if __name__ == "__main__":
    data, runs = map(Path, sys.argv[1:])
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        for printed in pool.map(lines, tasks(data, runs)):
            for row in printed:
                print(json.dumps(row), flush=True)
