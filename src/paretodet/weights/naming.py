"""How the tensors of a code base are named: one file in `namings/` that makes one `Naming`, and one line there."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from paretodet.detectors.spec import DetectorSpec

Tensors = Mapping[str, Tensor]


def _no_metadata(tensors: Tensors, spec: DetectorSpec) -> dict[str, Any]:
    return {}


@dataclass(frozen=True, kw_only=True)
class Naming:
    """From the tensors of another code base to the state of a detector or backbone of ours."""

    name: str
    title: str  # of the code base, in messages
    matches: Callable[[Collection[str]], bool]  # whether a file with these names is of the code base
    state: Callable[[Tensors, nn.Module], Tensors]  # by our names; a tensor without a place keeps its name
    metadata: Callable[[Tensors, DetectorSpec], dict[str, Any]] = _no_metadata  # fields of WeightsMetadata
