"""An estimate of the memory that an update needs, from two small passes, and advice if there is too little.

Estimating does not change the training: norms are in evaluation mode, random samples depend only on the image, and no
optimizer step is made.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from paretodet.bench.memory import MIB, free_mib, ran_out_of_memory
from paretodet.errors import ErrorId, WithId, first_line
from paretodet.loader.batches import canvases
from paretodet.training.distributed import ProcessGroup
from paretodet.training.inputs import LabeledBatch, cycle_images, to_device
from paretodet.training.recipe import Recipe
from paretodet.training.step import Trainer, freeze
from paretodet.types import Images

GIB = 2**30
TRANSIENT = 2  # copies of the largest tensor, itself and its gradient, beside what the backward pass keeps on a CPU
LOST_WORKER = "DataLoader worker (pid"  # how torch's error about a process that has ended begins
SMALLER = "use a smaller canvas, a smaller --width or --precision bf16"


class OutOfMemory(WithId, RuntimeError):
    """An update ran out of memory: its message says what would fit."""

    def __init__(self, message: str, id: ErrorId = "memory-out") -> None:
        super().__init__(message, id)


class MemoryForecast(NamedTuple):
    """Estimated bytes of memory of one process; allocators keep a little more."""

    fixed: int  # for any pass: weights, gradients, the state of the optimizer
    per_image: int  # for each image of a pass
    available: int  # in all, including what is in use already
    min_images: int = 1  # that a pass must have

    def needs(self, images: int) -> int:
        """The peak of a pass of `images` images."""
        return self.fixed + images * self.per_image

    @property
    def max_images(self) -> int:
        """The largest number of images in a pass that fits."""
        return max(0, (self.available - self.fixed) // max(1, self.per_image))

    def describe(self, images: int) -> str:
        """One sentence about a pass of `images` images."""
        needs, available = (f"{size / GIB:.1f} GiB" for size in (self.needs(images), self.available))
        subject = f"a pass of {images} image{'s'[: images - 1]}"
        return f"memory: {subject} needs about {needs}; {available} are available, enough for {self.max_images}"


def forecast(trainer: Trainer, batch: LabeledBatch, *, mixed: bool) -> MemoryForecast:
    """Estimate from a pass of one and a pass of two images of the batch, scaled to the largest canvas of the training;
    `mixed` as in `inputs.BatchStream`.

    Raises OutOfMemory if one or two images do not fit.
    """
    measure = _peak_cuda if trainer.device.type == "cuda" else _peak_cpu
    trainer.detector.eval()  # norms keep their statistics, and accept a map of one cell
    try:
        peaks = []
        for count in range(1, min(2, len(batch.ids)) + 1):
            with _as_out_of_memory(f"a pass of {count} image{'s'[: count - 1]} on this canvas does not fit; {SMALLER}"):
                peaks.append(measure(trainer, to_device(cycle_images(batch, count), trainer.device)))
    finally:
        trainer.detector.train()
        trainer.detector.zero_grad(set_to_none=True)
    per_image = peaks[1] - peaks[0] if len(peaks) > 1 else max(0, peaks[0] - _fixed(trainer))
    return MemoryForecast(
        fixed=peaks[0] - per_image,
        per_image=round(per_image * _growth(trainer, batch, mixed)),
        available=_available(trainer),
        min_images=_min_images(trainer, batch),
    )


def advice(estimate: MemoryForecast, recipe: Recipe, group: ProcessGroup) -> str | None:
    """One sentence if the passes of the recipe do not fit, else None."""
    images = group.share(recipe.part)
    if images <= estimate.max_images:
        return None
    remedy = _remedy(recipe, group, estimate.min_images, estimate.max_images)
    return f"{estimate.describe(images)}; {remedy}"


@contextmanager
def explain_out_of_memory(estimate: MemoryForecast, recipe: Recipe, group: ProcessGroup) -> Iterator[None]:
    """Turn an error of an allocator inside the context into an OutOfMemory that says what to change."""
    images = group.share(recipe.part)
    remedy = _remedy(recipe, group, estimate.min_images, min(estimate.max_images, images - 1))
    with _as_out_of_memory(f"a pass of {images} images does not fit; {remedy}; the checkpoints are unchanged"):
        yield


@contextmanager
def explain_loading(images: int) -> Iterator[None]:
    """Turn an error of an allocator while a batch of images is loaded into an OutOfMemory that says what to change."""
    remedy = "use a smaller --batch or canvas, fewer --workers, or make the largest images of the data smaller"
    with _as_out_of_memory(f"a batch of {images} images cannot be loaded; {remedy}; the checkpoints are unchanged"):
        yield


def _growth(trainer: Trainer, batch: LabeledBatch, mixed: bool) -> float:
    """The area of the largest canvas of the training over that of the batch's: there may be several canvases, and
    landscape and portrait images may share one.
    """
    alone = trainer.recipe.batch == 1  # all parts of a batch have its one canvas
    fits = trainer.recipe.canvases or (trainer.detector.spec.fit,)
    options = [canvases(fit, fit.canvas((1, 1)))[0 if alone or not mixed else -1] for fit in fits]
    height, width = batch.images.pixels.shape[-2:]
    return max(1.0, *(tall * wide / (height * width) for tall, wide in options))


def _min_images(trainer: Trainer, batch: LabeledBatch) -> int:
    """2 if a trainable norm gets a map of one cell, where one image is a single value; tested on the meta device."""
    detector, (height, width) = trainer.noise.meta_detector.train(), batch.images.pixels.shape[-2:]
    try:
        with torch.device("meta"):
            detector.heads[0](detector.features(Images(torch.empty(1, 3, height, width), torch.empty(1, 2))))
    except ValueError:
        return 2
    finally:
        detector.eval()
    return 1


def _remedy(recipe: Recipe, group: ProcessGroup, min_images: int, max_images: int) -> str:
    """How to train on the same batch in passes of `min_images` to `max_images` images."""
    share = recipe.batch // group.processes
    fit = max((images for images in range(min_images, max_images + 1) if share % images == 0), default=0)
    if not fit:
        return SMALLER
    return f"--accumulate {share // fit} keeps the batch of {recipe.batch} in passes of {fit}"


@contextmanager
def explain_lost_worker() -> Iterator[None]:
    """Turn the end of a process that loads images into an OutOfMemory that says what to change.

    torch raises it wherever the training is at that moment. Images are passed in shared memory, of which a container
    has little.
    """
    try:
        yield
    except RuntimeError as error:
        if not str(error).startswith(LOST_WORKER):
            raise
        reason = first_line(error).rstrip(". ")
        raise OutOfMemory(
            f"out of memory: a process that loads images was ended ({reason}); use --workers 0, or in a container more "
            "shared memory (docker run --shm-size 8g); the checkpoints are unchanged"
        ) from error


@contextmanager
def _as_out_of_memory(sentence: str) -> Iterator[None]:
    try:
        yield
    except (MemoryError, OSError, RuntimeError) as error:
        if isinstance(error, MemoryError | torch.OutOfMemoryError) or ran_out_of_memory(str(error)):
            raise OutOfMemory(f"out of memory: {sentence}") from error
        raise


def _peak_cuda(trainer: Trainer, batch: LabeledBatch) -> int:
    """What the allocator counts in a pass, and the state of the optimizer if it is not allocated yet."""
    torch.cuda.reset_peak_memory_stats(trainer.device)
    torch.autograd.backward(torch.stack(list(trainer.local_loss(batch).values())).sum())
    trainer.detector.zero_grad(set_to_none=True)
    missing = max(0, _state_size(trainer) - _size(_state(trainer.optimizer)))
    return torch.cuda.max_memory_allocated(trainer.device) + missing


def _peak_cpu(trainer: Trainer, batch: LabeledBatch) -> int:
    """What autograd saves for the backward pass, beside weights, gradients and the state of the optimizer."""
    model = [*trainer.detector.parameters(), *trainer.detector.buffers()]
    ours = {tensor.untyped_storage().data_ptr() for tensor in model}
    held: dict[int, int] = {}

    def count(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in ours:
            held[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        terms = trainer.local_loss(batch)
        saved = sum(held.values()) + TRANSIENT * max(held.values(), default=0)
    del terms
    return saved + _fixed(trainer)


def _available(trainer: Trainer) -> int:
    if trainer.device.type == "cuda":
        return torch.cuda.mem_get_info(trainer.device)[0] + torch.cuda.memory_reserved(trainer.device)
    free = int(free_mib() * MIB) // trainer.group.local_processes
    return free + _model_size(trainer) + _size(_state(trainer.optimizer))


def _fixed(trainer: Trainer) -> int:
    """The detector, its gradients and the state of the optimizer."""
    return _model_size(trainer) + _size(_trainable(trainer.detector)) + _state_size(trainer)


def _model_size(trainer: Trainer) -> int:
    """The detector and its EMA."""
    averages = trainer.ema.shadow.values() if trainer.ema else ()
    return _size([*trainer.detector.parameters(), *trainer.detector.buffers(), *averages])


def _state_size(trainer: Trainer) -> int:
    """The state of the optimizer after its first step, which is made on the meta device."""
    detector = trainer.noise.meta_detector
    freeze(detector, trainer.recipe.frozen)
    for parameter in _trainable(detector):
        parameter.grad = torch.empty_like(parameter)
    optimizer = trainer.recipe.optimizer.build(detector)
    optimizer.step()
    detector.zero_grad(set_to_none=True)
    return _size(_state(optimizer))


def _trainable(model: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def _state(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [value for kept in optimizer.state.values() for value in kept.values() if isinstance(value, Tensor)]


def _size(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
