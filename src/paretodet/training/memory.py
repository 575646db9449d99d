"""How much memory an update will take, foreseen from two small ones, and what to do where there is too little.

A forecast changes nothing that learns: norms are fixed while it looks, samples are keyed by image, no step is made.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from paretodet.bench.memory import MIB, free_mib
from paretodet.loader.batches import canvases
from paretodet.training.distributed import ProcessGroup
from paretodet.training.feed import LabeledBatch, to_device, turns
from paretodet.training.recipe import Recipe
from paretodet.training.step import Learner, freeze
from paretodet.types import Images

GIB = 2**30
PASSING = 2  # of the largest tensor: itself and its gradient, beside what a CPU's backward pass keeps
SMALLER = "take a smaller canvas, a narrower detector or bf16"
TOLD = ("can't allocate memory", "not enough memory", "out of memory")  # by allocators whose error has no class


class OutOfMemory(RuntimeError):
    """An update that found no memory: what would fit, in a sentence."""


class MemoryForecast(NamedTuple):
    """Bytes of one process's memory, about: allocators keep a little more."""

    fixed: int  # whatever is learned from: weights, gradients, the optimizer's state
    image: int  # more for every image of a pass
    room: int  # there is, with what is already taken
    least: int = 1  # images a pass can be of

    def needs(self, images: int) -> int:
        """At the height of a pass of so many images."""
        return self.fixed + images * self.image

    @property
    def most(self) -> int:
        """The most images of a pass that fits."""
        return max(0, (self.room - self.fixed) // max(1, self.image))

    def said(self, images: int) -> str:
        """One sentence about a pass of so many images."""
        needs, room = (f"{size / GIB:.1f} GiB" for size in (self.needs(images), self.room))
        some = f"a pass of {images} image{'s'[: images - 1]}"
        return f"memory: {some} needs about {needs}, {room} are there, enough for {self.most}"


def forecast(learner: Learner, batch: LabeledBatch, *, mixed: bool) -> MemoryForecast:
    """From passes of one and of two of the batch's images, which count as if they lay on the largest canvas to come;
    `mixed` is what `feed.Batches` says.

    Raises OutOfMemory where one or two find no room.
    """
    measure = _peak_cuda if learner.device.type == "cuda" else _peak_cpu
    learner.detector.eval()  # norms keep their averages, and accept a map of one cell
    try:
        peaks = []
        for count in range(1, min(2, len(batch.ids)) + 1):
            with _said(f"a pass of {count} image{'s'[: count - 1]} on this canvas does not fit: {SMALLER}"):
                peaks.append(measure(learner, to_device(turns(batch, count), learner.device)))
    finally:
        learner.detector.train()
        learner.detector.zero_grad(set_to_none=True)
    image = peaks[1] - peaks[0] if len(peaks) > 1 else max(0, peaks[0] - _fixed(learner))
    return MemoryForecast(
        peaks[0] - image, round(image * _growth(learner, batch, mixed)), _room(learner), _least(learner, batch)
    )


def advice(foreseen: MemoryForecast, recipe: Recipe, world: ProcessGroup) -> str | None:
    """One sentence where the recipe's passes do not fit, None where they do."""
    images = world.share(recipe.part)
    if images <= foreseen.most:
        return None
    return f"{foreseen.said(images)}: {_way(recipe, world, foreseen.least, foreseen.most)}"


@contextmanager
def advised(foreseen: MemoryForecast, recipe: Recipe, world: ProcessGroup) -> Iterator[None]:
    """Raises OutOfMemory, with the way out, where there is no memory for what is done meanwhile."""
    images = world.share(recipe.part)
    way = _way(recipe, world, foreseen.least, min(foreseen.most, images - 1))
    with _said(f"a pass of {images} images does not fit: {way}; checkpoints are as they were"):
        yield


def _growth(learner: Learner, batch: LabeledBatch, mixed: bool) -> float:
    """How much larger than the batch's the largest canvas of the training is: of several, or where images that lie and
    images that stand share one."""
    alone = learner.recipe.batch == 1  # parts and shares of a batch lie on its one canvas
    fits = learner.recipe.canvases or (learner.detector.spec.fit,)
    options = [canvases(fit, fit.canvas((1, 1)))[0 if alone or not mixed else -1] for fit in fits]
    height, width = batch.images.pixels.shape[-2:]
    return max(1.0, *(tall * wide / (height * width) for tall, wide in options))


def _least(learner: Learner, batch: LabeledBatch) -> int:
    """Two where one image's map of a single cell leaves a norm that is learned a single value; shapes tell it."""
    shape, (height, width) = learner.noise.shape.train(), batch.images.pixels.shape[-2:]
    try:
        with torch.device("meta"):
            shape.heads[0](shape.features(Images(torch.empty(1, 3, height, width), torch.empty(1, 2))))
    except ValueError:
        return 2
    finally:
        shape.eval()
    return 1


def _way(recipe: Recipe, world: ProcessGroup, least: int, most: int) -> str:
    """How the same batch passes with `least` to `most` images at a time."""
    each = recipe.batch // world.processes
    fit = max((images for images in range(least, most + 1) if each % images == 0), default=0)
    if not fit:
        return SMALLER
    return f"accumulate={each // fit} keeps the batch of {recipe.batch} in passes of {fit}"


@contextmanager
def _said(sentence: str) -> Iterator[None]:
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, MemoryError | torch.OutOfMemoryError) or any(t in str(error) for t in TOLD):
            raise OutOfMemory(f"out of memory: {sentence}") from error
        raise


def _peak_cuda(learner: Learner, batch: LabeledBatch) -> int:
    """As the allocator counts a pass, and the optimizer's state where it is not there yet."""
    torch.cuda.reset_peak_memory_stats(learner.device)
    torch.autograd.backward(torch.stack(list(learner.loss_alone(batch).values())).sum())
    learner.detector.zero_grad(set_to_none=True)
    to_come = max(0, _state_size(learner) - _size(_state(learner.optimizer)))
    return torch.cuda.max_memory_allocated(learner.device) + to_come


def _peak_cpu(learner: Learner, batch: LabeledBatch) -> int:
    """What stays from the forward for the backward pass, counted, beside all that learns."""
    model = [*learner.detector.parameters(), *learner.detector.buffers()]
    ours = {tensor.untyped_storage().data_ptr() for tensor in model}
    held: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in ours:
            held[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        terms = learner.loss_alone(batch)
        passing = sum(held.values()) + PASSING * max(held.values(), default=0)
    del terms
    return passing + _fixed(learner)


def _room(learner: Learner) -> int:
    if learner.device.type == "cuda":
        return torch.cuda.mem_get_info(learner.device)[0] + torch.cuda.memory_reserved(learner.device)
    free = int(free_mib() * MIB) // learner.world.neighbors
    return free + _standing(learner) + _size(_state(learner.optimizer))


def _fixed(learner: Learner) -> int:
    """All that learns, its gradients and the optimizer's state."""
    return _standing(learner) + _size(_learned(learner.detector)) + _state_size(learner)


def _standing(learner: Learner) -> int:
    """The detector and its averages."""
    averages = learner.average.shadow.values() if learner.average else ()
    return _size([*learner.detector.parameters(), *learner.detector.buffers(), *averages])


def _state_size(learner: Learner) -> int:
    """Of the optimizer once it has made a step: one that computes nothing is made with shapes alone."""
    shape = learner.noise.shape
    freeze(shape, learner.recipe.frozen)
    for parameter in _learned(shape):
        parameter.grad = torch.empty_like(parameter)
    optimizer = learner.recipe.optimizer.build(shape)
    optimizer.step()
    shape.zero_grad(set_to_none=True)
    return _size(_state(optimizer))


def _learned(model: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def _state(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [value for kept in optimizer.state.values() for value in kept.values() if isinstance(value, Tensor)]


def _size(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
