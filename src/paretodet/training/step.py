"""One update: the losses of the parts of a batch, gradients, clipping, the optimizer step, the EMA."""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, NoReturn

import torch
from torch import Tensor, nn

from paretodet.detectors.detector import Detector
from paretodet.detectors.spec import StageSpec
from paretodet.errors import ErrorId, InputError, WithId
from paretodet.rules.losses import local_normalizer
from paretodet.training.clipping import total_norm
from paretodet.training.distributed import ONE_PROCESS, ProcessGroup
from paretodet.training.inputs import LabeledBatch, Noise, list_names, one_image, to_device
from paretodet.training.optimizers import scale_lr
from paretodet.training.precision import Scaler, autocast
from paretodet.training.quick_recipe import check_norms
from paretodet.training.recipe import Recipe
from paretodet.types import Normalizer


class NotFinite(WithId, RuntimeError):
    """A loss or a gradient is NaN or infinite: which term, at which update, in which images."""

    def __init__(self, message: str, id: ErrorId = "training-diverged") -> None:
        super().__init__(message, id)


class Update(NamedTuple):
    """The metrics of one update."""

    terms: dict[str, float]  # of the loss, averaged over the parts
    gradient_norm: float  # of all gradients before clipping; inf if fp16 overflowed and the update was skipped
    lr: float  # of the first parameter group

    @property
    def loss(self) -> float:
        return sum(self.terms.values())


class Trainer:
    """A detector on its device, with everything that changes during training; identical in every process of `group`.

    Raises ValueError if a frozen norm has no statistics or a stage cannot be trained.
    """

    def __init__(
        self,
        detector: Detector,
        recipe: Recipe,
        device: torch.device,
        *,
        group: ProcessGroup = ONE_PROCESS,
        compiled: bool = False,
    ):
        check_norms(detector)
        freeze(detector, recipe.frozen)
        set_norm_momentum(detector, recipe.norm_momentum)
        self.detector = detector.to(device).train()
        group.broadcast(detector.state_dict())
        self.recipe, self.device, self.group = recipe, device, group
        self.step = 0  # updates made
        self._early_detector = with_early_losses(detector)
        detectors = (detector, self._early_detector)
        self._losses = [torch.compile(each.loss) if compiled else each.loss for each in detectors]
        self.scaler = Scaler(recipe.precision, device)
        self.optimizer = recipe.optimizer.build(detector)
        self.ema = recipe.ema.build(detector) if recipe.ema else None
        self.noise = Noise(detector, recipe.seed)
        self._buffers: list[Tensor] = []  # copies from before the current update

    def update(self, parts: Sequence[LabeledBatch]) -> Update:
        """Train on the parts of one batch, or of this process's share of it.

        Raises NotFinite, before a weight has changed, in every process of the group.
        """
        self.optimizer.zero_grad(set_to_none=True)
        self._buffers = [buffer.clone() for buffer in self.detector.buffers()]
        losses = [self._backward(to_device(part, self.device), len(parts)) for part in parts]
        terms = {name: sum(part[name] for part in losses) / len(parts) for name in losses[0]}
        gradient_norm = self._clip(parts)
        scale_lr(self.optimizer, self.recipe.schedule(self.step))
        self.scaler.step(self.optimizer)
        if self.ema and gradient_norm < float("inf"):
            self.ema.update(self.detector, self.step)
        self.step += 1
        return Update(terms, gradient_norm, self.optimizer.param_groups[0]["lr"])

    def _backward(self, batch: LabeledBatch, parts: int) -> dict[str, float]:
        terms = self.loss(batch)
        values = torch.stack(list(terms.values()))
        means = self.group.mean(values).tolist()
        if not all(map(math.isfinite, means)):
            self._raise_not_finite([batch])
        torch.autograd.backward(self.scaler.scaled(values.sum() / parts))
        return dict(zip(terms, means, strict=True))

    def loss(self, batch: LabeledBatch) -> dict[str, Tensor]:
        """One float32 scalar a term, for a batch on the device; the loss is their mean over the processes."""
        return self._loss(self._losses[self._is_early], batch, self.group.normalizer)

    def local_loss(self, batch: LabeledBatch) -> dict[str, Tensor]:
        """As `loss`, but without other processes and never compiled."""
        return self._loss((self._early_detector if self._is_early else self.detector).loss, batch, local_normalizer)

    @property
    def _is_early(self) -> bool:
        return self.step * self.recipe.batch < self.recipe.early

    def _loss(
        self, loss: Callable[..., dict[str, Tensor]], batch: LabeledBatch, normalizer: Normalizer
    ) -> dict[str, Tensor]:
        noise = self.noise(self.step, batch).to(self.device, non_blocking=True)
        with autocast(self.recipe.precision, self.device):
            terms = loss(batch.images, batch.targets, noise=noise, divisor=normalizer)
        return {name: value.float() for name, value in terms.items()}

    def _clip(self, parts: Sequence[LabeledBatch]) -> float:
        """Average the gradients over the processes and clip them; returns their norm before clipping."""
        gradients = [p.grad for p in self.detector.parameters() if p.grad is not None]
        self.group.average_gradients(gradients)
        self.scaler.unscale(self.optimizer)
        norm = total_norm(gradients).item()
        if not math.isfinite(norm) and not self.scaler.may_skip:
            self._raise_not_finite(parts)
        self.recipe.clip(gradients)
        return norm if math.isfinite(norm) else math.inf

    def _raise_not_finite(self, parts: Sequence[LabeledBatch]) -> NoReturn:
        """Compute the loss of each image alone, with the norms as before this update, to find the terms whose value or
        gradient is not finite.
        """
        self.detector.eval()
        for buffer, before in zip(self.detector.buffers(), self._buffers, strict=True):
            buffer.copy_(before)
        images = [one_image(part, index) for part in parts for index in range(len(part.ids))]
        local = {image.ids[0]: self._faults(to_device(image, self.device)) for image in images}
        faults = dict(item for each in self.group.gather(local) for item in each.items())
        terms = sorted({term for each in faults.values() for term in each})
        bad = [image for image, each in faults.items() if each] or list(faults)
        what = ", ".join(terms) or "the loss of the batch, but of no image alone"
        raise NotFinite(f"update {self.step}: not finite: {what}; images: {list_names(bad)}")

    def _faults(self, image: LabeledBatch) -> list[str]:
        trainable = [p for p in self.detector.parameters() if p.requires_grad]
        return [name for name, value in self.local_loss(image).items() if not _is_finite(value, trainable)]

    def weights(self) -> dict[str, Tensor]:
        """The weights for use after training: the averages if there is an EMA."""
        return self.ema.weights(self.detector) if self.ema else self.detector.state_dict()

    def training_state(self) -> dict[str, Tensor]:
        """What a resumed training needs beside `weights`, by flat names."""
        model = {f"model/{name}": t for name, t in self.detector.state_dict().items()} if self.ema else {}
        scaler = {f"scaler/{name}": t for name, t in self.scaler.state().items()}
        return model | _flatten(self.optimizer) | scaler | _rng_state(self.device)

    def restore(self, step: int, weights: Mapping[str, Tensor], training: Mapping[str, Tensor]) -> None:
        """Return to the state after update `step`, from `weights()` and `training_state()`."""
        model = _with_prefix("model/", training) if self.ema else dict(weights)
        self.detector.load_state_dict(model)
        if self.ema:
            self.ema.load(dict(weights))
        _unflatten(self.optimizer, _with_prefix("optimizer/", training))
        self.scaler.load(_with_prefix("scaler/", training))
        _set_rng_state(self.device, training)
        self.step = step


def freeze(detector: nn.Module, prefixes: Sequence[str]) -> None:
    """Freeze the parameters whose names start with one of `prefixes`. Raises ValueError for a prefix of none."""
    for prefix in prefixes:
        parameters = [parameter for name, parameter in detector.named_parameters() if name.startswith(prefix)]
        if not parameters:
            raise InputError(
                f"frozen: got {prefix!r}, allowed prefixes of parameter names in the state dict", "option-value"
            )
        for parameter in parameters:
            parameter.requires_grad_(False)


def set_norm_momentum(detector: nn.Module, momentum: float | None) -> None:
    """Set the share of a batch in the running statistics of all batch norms; None leaves the detector's own."""
    for module in detector.modules():
        if momentum is not None and isinstance(module, nn.BatchNorm2d):
            module.momentum = momentum


def with_early_losses(detector: Detector) -> Detector:
    """The same modules with a spec whose stages use the `early()` form of their losses, where there is one."""
    early = copy.copy(detector)
    early.spec = replace(detector.spec, stages=tuple(map(_with_early_loss, detector.spec.stages)))
    return early


def _with_early_loss(stage: StageSpec) -> StageSpec:
    losses = stage.losses
    return replace(stage, losses=losses.early()) if losses and hasattr(losses, "early") else stage


def _is_finite(value: Tensor, trainable: Sequence[Tensor]) -> bool:
    """Whether a term and its gradient are finite."""
    if not value.requires_grad or not bool(value.isfinite()):
        return bool(value.isfinite())
    gradients = torch.autograd.grad(value, trainable, retain_graph=True, allow_unused=True)
    return all(bool(gradient.isfinite().all()) for gradient in gradients if gradient is not None)


def _flatten(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
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


def _with_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}


def _rng_state(device: torch.device) -> dict[str, Tensor]:
    cuda = {"random/cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {}
    return {"random/cpu": torch.get_rng_state()} | cuda


def _set_rng_state(device: torch.device, tensors: Mapping[str, Tensor]) -> None:
    torch.set_rng_state(tensors["random/cpu"])
    if device.type == "cuda" and "random/cuda" in tensors:
        torch.cuda.set_rng_state(tensors["random/cuda"], device)
