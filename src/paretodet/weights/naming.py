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


def _nothing_unsaid(tensors: Tensors) -> dict[str, str]:
    return {}


@dataclass(frozen=True, kw_only=True)
class Naming:
    """From the tensors of another code base to the state of a detector or backbone of ours.

    `state` returns the tensors by our names; one without a place keeps its name, so that it is reported as unused.
    `metadata` returns the fields of WeightsMetadata that the tensors fix of a detector of this kind, and `classes`, how
    many of them they have. Both raise WeightsError, without the file's path, for tensors of another kind of detector.
    `unsaid` returns the fields that the tensors leave open although the detector depends on them, each with the
    question that its user is asked; `published` has fields for files that the code base published.
    """

    name: str
    title: str  # of the code base, in messages
    matches: Callable[[Collection[str]], bool]  # whether a file with these names is of the code base
    state: Callable[[Tensors, nn.Module], Tensors]
    metadata: Callable[[Tensors, DetectorSpec], dict[str, Any]] = _no_metadata
    unsaid: Callable[[Tensors], dict[str, str]] = _nothing_unsaid
    published: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # by first digits of the file's SHA-256
