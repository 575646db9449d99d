"""A training as a user calls it, of a tiny detector on drawn shapes; as a script it tells each checkpoint's step and
the memory that it leaves the process with, MiB.
"""

import sys
from pathlib import Path

import torch

from paretodet.bench.memory import resident_mib
from paretodet.loader.shapes import Shapes
from paretodet.train import RunOptions, TrainConfig, recipe_of, train
from paretodet.training.loop import Saved

NAME = "ssd-mobilenet_v1-64"


def shapes(folder):
    """Labels to learn and to judge by, drawn once."""
    paths = []
    for seed in (1, 2):
        path = folder / str(seed) / "instances.json"
        paths.append(path if path.exists() else Shapes(count=12, height=48, width=64, seed=seed).write(path.parent))
    return paths


def taught(folder, steps, every, workers, listener=lambda event: None):
    data, val = shapes(folder.parent)
    recipe = recipe_of("quick", NAME, steps=steps, batch=4)  # its augmentation is random
    lesson = TrainConfig(name=NAME, data=data, val=val, recipe=recipe, width=0.125)
    return train(
        lesson, folder, RunOptions(every=every, workers=workers), tell=lambda sentence: None, listener=listener
    )


def say(event):
    if isinstance(event, Saved):
        print(event.step, resident_mib(), flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    taught(Path(sys.argv[1]), *map(int, sys.argv[2:]), say)
