"""A training of a tiny detector on synthetic shapes; as a script, it prints the update of each checkpoint and the
memory of the process after it, MiB.
"""

import sys
from pathlib import Path

import torch

from paretodet.bench.memory import resident_mib
from paretodet.loader.shapes import Shapes
from paretodet.training.config import RunOptions, TrainConfig
from paretodet.training.loop import Saved
from paretodet.training.recipes import make_recipe
from paretodet.training_run import train

NAME = "ssd-mobilenet_v1-64"


def shapes(folder):
    """Training and validation labels, drawn once."""
    paths = []
    for seed in (1, 2):
        path = folder / str(seed) / "instances.json"
        paths.append(path if path.exists() else Shapes(count=12, height=48, width=64, seed=seed).write(path.parent))
    return paths


def run_training(folder, steps, every, workers, listener=lambda event: None):
    data, val = shapes(folder.parent)
    recipe = make_recipe("quick", NAME, steps=steps, batch=4)  # its augmentation is random
    config = TrainConfig(name=NAME, data=data, val=val, recipe=recipe, width=0.125)
    return train(
        config, folder, RunOptions(every=every, workers=workers), notify=lambda sentence: None, listener=listener
    )


def print_checkpoint(event):
    if isinstance(event, Saved):
        print(event.step, resident_mib(), flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    run_training(Path(sys.argv[1]), *map(int, sys.argv[2:]), print_checkpoint)
