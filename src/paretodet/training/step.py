"""One update: losses of the parts of a batch, gradients, the limit on them, the optimizer, the average."""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, NoReturn

import torch
from torch import Tensor, nn

from paretodet.detectors.detector import Detector
from paretodet.detectors.spec import StageSpec
from paretodet.rules.losses import local_normalizer
from paretodet.training.clipping import total_norm
from paretodet.training.distributed import ALONE, ProcessGroup
from paretodet.training.feed import LabeledBatch, Noise, joined, one_image, to_device
from paretodet.training.optimizers import set_rate
from paretodet.training.precision import Scaler, autocast
from paretodet.training.quick_recipe import check_norms
from paretodet.training.recipe import Recipe
from paretodet.types import Normalizer


class NotFinite(RuntimeError):
    """A loss or a gradient that is no number: which term, at which update, in which images."""


class Update(NamedTuple):
    """What an update did."""

    terms: dict[str, float]  # of the loss, averaged over the parts
    gradient: float  # norm of all, before it was limited; inf where fp16 overflowed and the update was left out
    rate: float  # of the first group

    @property
    def loss(self) -> float:
        return sum(self.terms.values())


class Learner:
    """A detector on its device with all that changes while it learns; in every process of `world` the same.

    Raises ValueError where a frozen norm has no statistics or a stage cannot be trained.
    """

    def __init__(
        self,
        detector: Detector,
        recipe: Recipe,
        device: torch.device,
        *,
        world: ProcessGroup = ALONE,
        compiled: bool = False,
    ):
        check_norms(detector)
        freeze(detector, recipe.frozen)
        self.detector = detector.to(device).train()
        world.spread(detector.state_dict())
        self.recipe, self.device, self.world, self.made = recipe, device, world, 0
        self._begun = begun(detector)
        self._terms = [torch.compile(each.loss) if compiled else each.loss for each in (detector, self._begun)]
        self.scaler = Scaler(recipe.precision, device)
        self.optimizer = recipe.optimizer.build(detector)
        self.average = recipe.average.build(detector) if recipe.average else None
        self.noise = Noise(detector, recipe.seed)
        self._before: list[Tensor] = []  # the buffers as an update found them

    def update(self, parts: Sequence[LabeledBatch]) -> Update:
        """Learn from the parts of one batch, or of this process's share of it.

        Raises NotFinite, before a weight has changed, in every process of the world.
        """
        self.optimizer.zero_grad(set_to_none=True)
        self._before = [buffer.clone() for buffer in self.detector.buffers()]
        terms = [self._backward(to_device(part, self.device), len(parts)) for part in parts]
        found = {name: sum(part[name] for part in terms) / len(parts) for name in terms[0]}
        gradient = self._limit(parts)
        set_rate(self.optimizer, self.recipe.schedule(self.made))
        self.scaler.step(self.optimizer)
        if self.average and gradient < float("inf"):
            self.average.update(self.detector, self.made)
        self.made += 1
        return Update(found, gradient, self.optimizer.param_groups[0]["lr"])

    def _backward(self, batch: LabeledBatch, parts: int) -> dict[str, float]:
        terms = self.loss(batch)
        values = torch.stack(list(terms.values()))
        whole = self.world.mean(values).tolist()
        if not all(map(math.isfinite, whole)):
            self._refuse([batch])
        torch.autograd.backward(self.scaler.scaled(values.sum() / parts))
        return dict(zip(terms, whole, strict=True))

    def loss(self, batch: LabeledBatch) -> dict[str, Tensor]:
        """One scalar a term, float32, of a batch on the device; their mean over the world's processes is the loss."""
        return self._loss(self._terms[self._early], batch, self.world.divisor)

    def loss_alone(self, batch: LabeledBatch) -> dict[str, Tensor]:
        """The same as if no other process were there, and nothing compiled."""
        return self._loss((self._begun if self._early else self.detector).loss, batch, local_normalizer)

    @property
    def _early(self) -> bool:
        return self.made * self.recipe.batch < self.recipe.early

    def _loss(
        self, terms: Callable[..., dict[str, Tensor]], batch: LabeledBatch, divisor: Normalizer
    ) -> dict[str, Tensor]:
        noise = self.noise(self.made, batch).to(self.device, non_blocking=True)
        with autocast(self.recipe.precision, self.device):
            found = terms(batch.images, batch.targets, noise=noise, divisor=divisor)
        return {name: value.float() for name, value in found.items()}

    def _limit(self, parts: Sequence[LabeledBatch]) -> float:
        gradients = [p.grad for p in self.detector.parameters() if p.grad is not None]
        self.world.average(gradients)
        self.scaler.unscale(self.optimizer)
        norm = total_norm(gradients).item()
        if not math.isfinite(norm) and not self.scaler.may_skip:
            self._refuse(parts)
        self.recipe.clip(gradients)
        return norm if math.isfinite(norm) else math.inf

    def _refuse(self, parts: Sequence[LabeledBatch]) -> NoReturn:
        """Look at each image alone, norms fixed where this update found them, for the terms whose value or gradient is
        no number.
        """
        self.detector.eval()
        for buffer, before in zip(self.detector.buffers(), self._before, strict=True):
            buffer.copy_(before)
        alone = [one_image(part, index) for part in parts for index in range(len(part.ids))]
        found = {image.ids[0]: self._faults(to_device(image, self.device)) for image in alone}
        faults = dict(item for every in self.world.gather(found) for item in every.items())
        terms = sorted({term for its in faults.values() for term in its})
        bad = [image for image, its in faults.items() if its] or list(faults)
        said = f"not finite: {', '.join(terms) or 'the whole loss, no image alone'}"
        raise NotFinite(f"update {self.made}: {said}; its images: {joined(bad)}")

    def _faults(self, image: LabeledBatch) -> list[str]:
        learned = [p for p in self.detector.parameters() if p.requires_grad]
        return [name for name, value in self.loss_alone(image).items() if not _well(value, learned)]

    def weights(self) -> dict[str, Tensor]:
        """What one uses after training: the averages, where there are any."""
        return self.average.weights(self.detector) if self.average else self.detector.state_dict()

    def training(self) -> dict[str, Tensor]:
        """What going on needs beside `weights`, by flat names."""
        kept = {f"model/{name}": t for name, t in self.detector.state_dict().items()} if self.average else {}
        scaler = {f"scaler/{name}": t for name, t in self.scaler.state().items()}
        return kept | _flat(self.optimizer) | scaler | _random(self.device)

    def restore(self, made: int, weights: Mapping[str, Tensor], training: Mapping[str, Tensor]) -> None:
        """Go on where `weights` and `training` were taken, after update `made`."""
        model = _under("model/", training) if self.average else dict(weights)
        self.detector.load_state_dict(model)
        if self.average:
            self.average.load(dict(weights))
        _unflatten(self.optimizer, _under("optimizer/", training))
        self.scaler.load(_under("scaler/", training))
        _set_random(self.device, training)
        self.made = made


def freeze(detector: nn.Module, beginnings: Sequence[str]) -> None:
    """Parameters whose names begin so learn no more. Raises ValueError where none does."""
    for beginning in beginnings:
        found = [parameter for name, parameter in detector.named_parameters() if name.startswith(beginning)]
        if not found:
            raise ValueError(f"frozen: got {beginning!r}, no parameter's name begins so: take names of the state dict")
        for parameter in found:
            parameter.requires_grad_(False)


def begun(detector: Detector) -> Detector:
    """The same modules under a spec whose stages learn as their losses' `early()` says, where they have one."""
    other = copy.copy(detector)
    other.spec = replace(detector.spec, stages=tuple(map(_begun, detector.spec.stages)))
    return other


def _begun(stage: StageSpec) -> StageSpec:
    losses = stage.losses
    return replace(stage, losses=losses.early()) if losses and hasattr(losses, "early") else stage


def _well(value: Tensor, learned: Sequence[Tensor]) -> bool:
    """Whether a term and its gradient are finite."""
    if not value.requires_grad or not bool(value.isfinite()):
        return bool(value.isfinite())
    gradients = torch.autograd.grad(value, learned, retain_graph=True, allow_unused=True)
    return all(bool(gradient.isfinite().all()) for gradient in gradients if gradient is not None)


def _flat(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    state = optimizer.state_dict()["state"]
    return {
        f"optimizer/{index}/{name}": t for index, kept in state.items() for name, t in kept.items() if t is not None
    }


def _unflatten(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    state: dict[int, dict[str, Any]] = {}
    for key, tensor in tensors.items():
        index, _, name = key.partition("/")
        state.setdefault(int(index), {})[name] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}


def _random(device: torch.device) -> dict[str, Tensor]:
    local_normalizer = {"random/cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {}
    return {"random/cpu": torch.get_rng_state()} | local_normalizer


def _set_random(device: torch.device, tensors: Mapping[str, Tensor]) -> None:
    torch.set_rng_state(tensors["random/cpu"])
    if device.type == "cuda" and "random/cuda" in tensors:
        torch.cuda.set_rng_state(tensors["random/cuda"], device)
