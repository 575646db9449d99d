"""One update: losses of the parts of a batch, gradients, the limit on them, the optimiser, the average."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

import torch
from torch import Tensor

from paretodet.detectors.detector import Detector
from paretodet.training.clipping import total_norm
from paretodet.training.feed import Given, Noise, joined, one_image, to_device
from paretodet.training.optimisers import set_rate
from paretodet.training.recipe import Recipe
from paretodet.training.scratch import check_norms


class NotFinite(RuntimeError):
    """A loss or a gradient that is no number: which term, at which update, in which images."""


class Update(NamedTuple):
    """What an update did."""

    terms: dict[str, float]  # of the loss, averaged over the parts
    gradient: float  # norm of all gradients, before it was limited
    rate: float  # of the first group

    @property
    def loss(self) -> float:
        return sum(self.terms.values())


class Learner:
    """A detector on its device with all that changes while it learns.

    Raises ValueError where a frozen norm has no statistics or a stage cannot be trained.
    """

    def __init__(self, detector: Detector, recipe: Recipe, device: torch.device):
        check_norms(detector)
        self.detector = detector.to(device).train()
        self.recipe, self.device, self.made = recipe, device, 0
        self.optimiser = recipe.optimiser.build(detector)
        self.average = recipe.average.build(detector) if recipe.average else None
        self.noise = Noise(detector, recipe.seed)

    def update(self, parts: Sequence[Given]) -> Update:
        """Learn from the parts of one batch. Raises NotFinite, before a weight has changed."""
        self.optimiser.zero_grad(set_to_none=True)
        terms = [self._backward(to_device(part, self.device), len(parts)) for part in parts]
        found = {name: sum(part[name] for part in terms) / len(parts) for name in terms[0]}
        gradient = self._limit(parts)
        set_rate(self.optimiser, self.recipe.schedule(self.made))
        self.optimiser.step()
        if self.average:
            self.average.update(self.detector, self.made)
        self.made += 1
        return Update(found, gradient, self.optimiser.param_groups[0]["lr"])

    def _backward(self, batch: Given, parts: int) -> dict[str, float]:
        terms = self.loss(batch)
        values = torch.stack(list(terms.values()))
        if not bool(values.isfinite().all()):
            self._refuse([batch])
        torch.autograd.backward(values.sum() / parts)
        return dict(zip(terms, values.tolist(), strict=True))

    def loss(self, batch: Given) -> dict[str, Tensor]:
        """One scalar a term, float32, of a batch on the device."""
        noise = self.noise(self.made, batch).to(self.device, non_blocking=True)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.precision == "bf16"):
            terms = self.detector.loss(batch.images, batch.targets, noise=noise)
        return {name: value.float() for name, value in terms.items()}

    def _limit(self, parts: Sequence[Given]) -> float:
        gradients = [p.grad for p in self.detector.parameters() if p.grad is not None]
        norm = total_norm(gradients).item()
        if not norm < float("inf"):
            self._refuse(parts)
        self.recipe.clip(gradients)
        return norm

    def _refuse(self, parts: Sequence[Given]) -> NoReturn:
        """Look at each image alone, norms fixed, for the terms whose value or gradient is no number."""
        self.detector.eval()
        alone = [one_image(part, index) for part in parts for index in range(len(part.ids))]
        faults = {image.ids[0]: self._faults(to_device(image, self.device)) for image in alone}
        terms = sorted({term for found in faults.values() for term in found})
        bad = [image for image, found in faults.items() if found] or list(faults)
        said = f"not finite: {', '.join(terms) or 'the whole loss, no image alone'}"
        raise NotFinite(f"update {self.made}: {said}; its images: {joined(bad)}")

    def _faults(self, image: Given) -> list[str]:
        learnt = [p for p in self.detector.parameters() if p.requires_grad]
        return [name for name, value in self.loss(image).items() if not _well(value, learnt)]

    def weights(self) -> dict[str, Tensor]:
        """What one uses after training: the averages, where there are any."""
        return self.average.weights(self.detector) if self.average else self.detector.state_dict()

    def training(self) -> dict[str, Tensor]:
        """What going on needs beside `weights`, by flat names."""
        kept = {f"model/{name}": t for name, t in self.detector.state_dict().items()} if self.average else {}
        return kept | _flat(self.optimiser) | _random(self.device)

    def restore(self, made: int, weights: Mapping[str, Tensor], training: Mapping[str, Tensor]) -> None:
        """Go on where `weights` and `training` were taken, after update `made`."""
        model = _under("model/", training) if self.average else dict(weights)
        self.detector.load_state_dict(model)
        if self.average:
            self.average.load(dict(weights))
        _unflatten(self.optimiser, _under("optimiser/", training))
        _set_random(self.device, training)
        self.made = made


def _well(value: Tensor, learnt: Sequence[Tensor]) -> bool:
    """Whether a term and its gradient are finite."""
    if not value.requires_grad or not bool(value.isfinite()):
        return bool(value.isfinite())
    gradients = torch.autograd.grad(value, learnt, retain_graph=True, allow_unused=True)
    return all(bool(gradient.isfinite().all()) for gradient in gradients if gradient is not None)


def _flat(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    state = optimiser.state_dict()["state"]
    return {
        f"optimiser/{index}/{name}": t for index, kept in state.items() for name, t in kept.items() if t is not None
    }


def _unflatten(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    state: dict[int, dict[str, Any]] = {}
    for key, tensor in tensors.items():
        index, _, name = key.partition("/")
        state.setdefault(int(index), {})[name] = tensor
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}


def _random(device: torch.device) -> dict[str, Tensor]:
    own = {"random/cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {}
    return {"random/cpu": torch.get_rng_state()} | own


def _set_random(device: torch.device, tensors: Mapping[str, Tensor]) -> None:
    torch.set_rng_state(tensors["random/cpu"])
    if device.type == "cuda" and "random/cuda" in tensors:
        torch.cuda.set_rng_state(tensors["random/cuda"], device)
