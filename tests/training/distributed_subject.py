"""A training on synthetic shapes with frozen norms, in one process or several; torchrun starts this file too."""

import json
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from training_subject import fixed

from paretodet.loader.batches import Batches, Batching
from paretodet.loader.shapes import LABELS, Shapes
from paretodet.training.clipping import ClipTotal
from paretodet.training.distributed import ONE_PROCESS, process_group
from paretodet.training.loop import CheckpointPolicy, Updated, training_loop
from paretodet.training.optimizers import Sgd
from paretodet.training.recipe import Recipe
from paretodet.transforms.resize_policy import Stretch

DATA = "shapes"


@dataclass(kw_only=True)
class Run:
    """A training, as JSON data for another process."""

    folder: str  # of the run; the shapes lie beside it
    name: str = "faster_rcnn-mobilenet_v1-300-s16-p10"
    side: int = 64
    steps: int = 5
    batch: int = 4
    accumulate: int = 1
    compiled: bool = False
    frozen: str = ""  # prefix of the names of frozen parameters
    die: int | None = None  # the batch at which the last process kills itself, before a restart
    spoil: int | None = None  # the batch in which the first image of the last process has NaN boxes

    def drawn(self):
        folder = Path(self.folder).parent / DATA
        shapes = Shapes(count=8, height=self.side, width=self.side, most=3, seed=1, folder=folder / "images")
        if not folder.exists():
            shapes.write(folder)
        return shapes

    def detector(self):
        return fixed(self.name, self.side, LABELS)

    def recipe(self):
        choices = {"accumulate": self.accumulate, "optimizer": Sgd(lr=1e-3), "clip": ClipTotal(norm=10.0)}
        frozen = (self.frozen,) if self.frozen else ()
        return Recipe(steps=self.steps, batch=self.batch, frozen=frozen, **choices)

    def go(self, group=ONE_PROCESS, listener=lambda event: None):
        detector = self.detector()
        made = Batching(
            fits=(Stretch(height=self.side, width=self.side),),
            images=self.batch,
            masks=28 if detector.spec.masks else None,
        )
        batches = FaultyBatches(self, group, Batches(self.drawn(), made, shard=group.shard))
        checkpoints = CheckpointPolicy(folder=Path(self.folder), every=1, keep=2)
        choices = {"recipe": self.recipe(), "checkpoints": checkpoints, "group": group, "compiled": self.compiled}
        return training_loop(detector, batches, listener=listener, **choices)


class FaultyBatches:
    """Batches with the faults of the run, in the last process."""

    def __init__(self, run, group, batches):
        self.run, self.batches = run, batches
        self.last = group.rank == group.processes - 1

    @property
    def position(self):
        return self.batches.position

    @property
    def mixed(self):
        return self.batches.mixed

    def seek(self, position):
        self.batches.seek(position)

    def __iter__(self):
        for batch in self.batches:
            if self.last and self.position == self.run.die and os.environ.get("TORCHELASTIC_RESTART_COUNT") == "0":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.last and self.position == self.run.spoil:
                batch.targets.boxes[0] = float("nan")
            yield batch


def print_event(event):
    if isinstance(event, Updated):
        print(json.dumps([event.step, event.images, event.update.terms, event.update.gradient_norm]), flush=True)
    else:
        print(type(event).__name__, event.step, flush=True)


def train(run):
    """In the process group that the environment names."""
    with process_group() as group:
        try:
            run.go(group, print_event)
        except Exception as error:  # every process prints what stopped it
            print(f"rank {group.rank}: {type(error).__name__}: {error}", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    train(Run(**json.loads(sys.argv[1])))
