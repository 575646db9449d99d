"""Names and lists of values -> every combination to measure. Torch-free."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from paretodet.adapters.published import PUBLISHED as HUB
from paretodet.detectors import catalogue
from paretodet.detectors.names import DetectorName, parse

DEFAULT = (  # covers the frontier from a phone's detector to a server's; the last one is among today's best
    "ssd-mobilenet_v1-300",
    "yolo_v3-darknet53-320",
    "yolo_v3-darknet53-608",
    "faster_rcnn-resnet101-600-s16-p100",
    "hf:d_fine-n",
    "hf:d_fine-s",
)


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A candidate's name, its weights, a canvas size if the name does not contain one, and a score threshold."""

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
    """Every candidate at every size, number of proposals and score threshold, in order and without duplicates.

    A candidate without proposals ignores `proposals`. All variants of a candidate have the same weights. Raises
    ValueError if `proposals` is not empty and no candidate has proposals.
    """
    if proposals and not any(_has_proposals(candidate.name) for candidate in candidates):
        names = ", ".join(candidate.name for candidate in candidates)
        raise ValueError(f"proposals: none of these detectors has proposals: {names}")
    variants = (variant for candidate in candidates for variant in _variants(candidate, proposals, sizes))
    return tuple(dict.fromkeys(replace(variant, score=score) for variant in variants for score in scores or (None,)))


def all_candidates() -> tuple[str, ...]:
    """The catalogue, and every third-party model that is built from a configuration."""
    return (*catalogue.names(), *HUB)


def _variants(candidate: Variant, proposals: Sequence[int], sizes: Sequence[tuple[int, int]]) -> Iterator[Variant]:
    parsed = _parsed(candidate.name)
    for size in sizes or (None,):
        if parsed is None:
            yield replace(candidate, height=size and size[0], width=size and size[1])
            continue
        sized = replace(parsed, height=size[0], width=size[1]) if size else parsed
        for count in proposals if proposals and parsed.proposals else (parsed.proposals,):
            yield replace(candidate, name=str(replace(sized, proposals=count)))


def _has_proposals(name: str) -> bool:
    parsed = _parsed(name)
    return parsed is not None and parsed.proposals is not None


def _parsed(name: str) -> DetectorName | None:
    """None if the name does not have the form of the catalogue's names."""
    try:
        return parse(name)
    except ValueError:
        return None
