"""A training on drawn shapes with frozen norms, by one process or by several; as a script, what torchrun starts."""

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
from paretodet.training.distributed import ALONE, together
from paretodet.training.loop import Keeping, Updated, train
from paretodet.training.optimizers import Sgd
from paretodet.training.recipe import Recipe
from paretodet.transforms.resize_policy import Stretch

DATA = "shapes"


@dataclass(kw_only=True)
class Run:
    """A training, as JSON tells it to another process."""

    folder: str  # of the run; the shapes lie beside it
    name: str = "faster_rcnn-mobilenet_v1-300-s16-p10"
    side: int = 64
    steps: int = 5
    batch: int = 4
    accumulate: int = 1
    compiled: bool = False
    frozen: str = ""  # the beginning of the names of what does not learn
    die: int | None = None  # at which batch the last process kills itself, the first time
    spoil: int | None = None  # at which batch the last process's first image has boxes that are no numbers

    def drawn(self):
        folder = Path(self.folder).parent / DATA
        shapes = Shapes(count=8, height=self.side, width=self.side, most=3, seed=1, folder=folder / "images")
        if not folder.exists():
            shapes.write(folder)
        return shapes

    def detector(self):
        return fixed(self.name, self.side, LABELS)

    def recipe(self):
        choices = {"accumulate": self.accumulate, "optimizer": Sgd(rate=1e-3), "clip": ClipTotal(norm=10.0)}
        frozen = (self.frozen,) if self.frozen else ()
        return Recipe(steps=self.steps, batch=self.batch, frozen=frozen, **choices)

    def go(self, world=ALONE, listener=lambda event: None):
        detector = self.detector()
        made = Batching(
            fits=(Stretch(height=self.side, width=self.side),),
            images=self.batch,
            masks=28 if detector.spec.masks else None,
        )
        batches = Hurt(self, world, Batches(self.drawn(), made, shard=world.shard))
        keeping = Keeping(folder=Path(self.folder), every=1, keep=2)
        choices = {"recipe": self.recipe(), "keeping": keeping, "world": world, "compiled": self.compiled}
        return train(detector, batches, listener=listener, **choices)


class Hurt:
    """Batches to which happens, in the last process, what the run says."""

    def __init__(self, run, world, batches):
        self.run, self.batches = run, batches
        self.last = world.rank == world.processes - 1

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


def tell(event):
    if isinstance(event, Updated):
        print(json.dumps([event.step, event.images, event.update.terms, event.update.gradient]), flush=True)
    else:
        print(type(event).__name__, event.step, flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    run = Run(**json.loads(sys.argv[1]))
    with together() as world:
        try:
            run.go(world, tell)
        except Exception as error:  # every process says what stopped it
            print(f"rank {world.rank}: {type(error).__name__}: {error}", flush=True)
