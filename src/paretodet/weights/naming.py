"""How the tensors of a code base are named: one file in `namings/` that makes one `Naming`, and one line there."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from paretodet.detectors.spec import DetectorSpec

Tensors = Mapping[str, Tensor]
COUNTER = "num_batches_tracked"  # of a trained batch norm; no result depends on it


def _no_metadata(tensors: Tensors, spec: DetectorSpec) -> dict[str, Any]:
    return {}


def _no_width(tensors: Tensors) -> float | None:
    return None


def _nothing_unsaid(tensors: Tensors) -> dict[str, str]:
    return {}


def _nothing_unproved(tensors: Tensors, module: nn.Module) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True, kw_only=True)
class Naming:
    """From the tensors of another code base to the state of a detector or backbone of ours.

    `state` returns the tensors by our names; one without a place keeps its name, so that it is reported as unused.
    `metadata` returns the fields of WeightsMetadata that the tensors fix of a detector of this kind, `classes`, how
    many of them they have, and `unused`, how many of these come first and are never trained. Both raise WeightsError,
    without the file's path, for tensors of another kind of detector. `width` returns the factor on the channels; None
    if the code base has no such factor. `unsaid` returns the fields that the tensors leave open although the detector
    depends on them, each with the question that its user is asked; `unproved` returns sentences about what they leave
    open and nobody is asked. `published_eps` has the epsilon of the norms in files that the code base published, by
    the first digits of their SHA-256.
    """

    name: str
    title: str  # of the code base, in messages
    matches: Callable[[Collection[str]], bool]  # whether a file with these names is of the code base
    state: Callable[[Tensors, nn.Module], Tensors]
    metadata: Callable[[Tensors, DetectorSpec], dict[str, Any]] = _no_metadata
    width: Callable[[Tensors], float | None] = _no_width
    unsaid: Callable[[Tensors], dict[str, str]] = _nothing_unsaid
    unproved: Callable[[Tensors, nn.Module], tuple[str, ...]] = _nothing_unproved
    published_eps: Mapping[str, float] = field(default_factory=dict)
