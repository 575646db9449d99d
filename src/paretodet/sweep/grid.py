"""Candidates and lists of values -> every combination to measure."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from paretodet.config import CandidateConfig
from paretodet.detectors import catalogue
from paretodet.detectors.names import DetectorName, parse
from paretodet.sources.published import PUBLISHED as HUB

DEFAULT = (  # spans the frontier from a phone's detector to a server's; the last answer for today's
    "ssd-mobilenet_v1-300",
    "yolo_v3-darknet53-320",
    "yolo_v3-darknet53-608",
    "faster_rcnn-resnet101-600-s16-p100",
    "hf:d_fine-n",
    "hf:d_fine-s",
)


def grid(
    candidates: Sequence[CandidateConfig],
    *,
    proposals: Sequence[int] = (),
    sizes: Sequence[tuple[int, int]] = (),
    scores: Sequence[float] = (),
) -> tuple[CandidateConfig, ...]:
    """Every candidate at every size, number of proposals and score threshold, each once, in order.

    Size and proposals of a catalogue name stand in the name; others take the size as options. A candidate without
    proposals keeps none. Raises ValueError where proposals are given and no candidate has any.
    """
    if proposals and not any(_has_proposals(each.name) for each in candidates):
        raise ValueError(f"proposals: none of {', '.join(each.name for each in candidates)} has any")
    sized = (config for each in candidates for config in _sized(each, proposals, sizes))
    scored = (replace(config, score=score) for config in sized for score in scores or (config.score,))
    return tuple(dict.fromkeys(scored))


def everything() -> tuple[str, ...]:
    """The whole catalogue and every model of the hub."""
    return (*catalogue.names(), *HUB)


def _sized(
    candidate: CandidateConfig, proposals: Sequence[int], sizes: Sequence[tuple[int, int]]
) -> Iterator[CandidateConfig]:
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
