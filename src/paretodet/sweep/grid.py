"""Candidates and lists of values -> every combination to measure. Torch-free."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from paretodet.adapters.published import PUBLISHED as HUB
from paretodet.detectors import catalogue
from paretodet.detectors.names import DetectorName, parse

DEFAULT = (  # spans the frontier from a phone's detector to a server's; the last answer for today's
    "ssd-mobilenet_v1-300",
    "yolo_v3-darknet53-320",
    "yolo_v3-darknet53-608",
    "faster_rcnn-resnet101-600-s16-p100",
    "hf:d_fine-n",
    "hf:d_fine-s",
)


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A name with its weights, a canvas where the name itself cannot tell it (guests), and a threshold of the
    detections' scores.
    """

    name: str
    weights: Path | None = None
    height: int | None = None
    width: int | None = None
    score: float | None = None


def grid(
    candidates: Sequence[Variant],
    *,
    proposals: Sequence[int] = (),
    sizes: Sequence[tuple[int, int]] = (),
    scores: Sequence[float] = (),
) -> tuple[Variant, ...]:
    """Every candidate at every size, number of proposals and threshold, each once, in order; one without proposals
    keeps none. No two of one candidate differ in weights.

    Raises ValueError where proposals are asked for and no candidate has any.
    """
    if proposals and not any(_has_proposals(each.name) for each in candidates):
        raise ValueError(f"proposals: none of {', '.join(each.name for each in candidates)} has any")
    found = (variant for each in candidates for variant in _variants(each, proposals, sizes))
    return tuple(dict.fromkeys(replace(variant, score=score) for variant in found for score in scores or (None,)))


def everything() -> tuple[str, ...]:
    """The whole catalogue and every guest that is built from a configuration."""
    return (*catalogue.names(), *HUB)


def _variants(candidate: Variant, proposals: Sequence[int], sizes: Sequence[tuple[int, int]]) -> Iterator[Variant]:
    part = _parsed(candidate.name)
    for size in sizes or (None,):
        if part is None:
            yield replace(candidate, height=size and size[0], width=size and size[1])
            continue
        sized = replace(part, height=size[0], width=size[1]) if size else part
        for count in proposals if proposals and part.proposals else (part.proposals,):
            yield replace(candidate, name=str(replace(sized, proposals=count)))


def _has_proposals(name: str) -> bool:
    part = _parsed(name)
    return part is not None and part.proposals is not None


def _parsed(name: str) -> DetectorName | None:
    """None for what is not of the catalogue's form, such as a guest."""
    try:
        return parse(name)
    except ValueError:
        return None
