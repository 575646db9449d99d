"""Names and lists of values -> every combination to measure."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from paretodet.config import CandidateConfig
from paretodet.detectors import catalogue
from paretodet.detectors.names import DetectorName, parse
from paretodet.errors import InputError
from paretodet.sources.published import PUBLISHED as HUB

DEFAULT = (  # covers the frontier from a phone's detector to a server's; the last one is among today's best
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
    """Every candidate at every size, number of proposals and score threshold, in order and without duplicates.

    A catalogue name contains its size and proposals; other candidates get the size as options. A candidate without
    proposals ignores `proposals`. Options that are not listed stay as they are. Raises ValueError if `proposals` is not
    empty and no candidate has proposals.
    """
    if proposals and not any(_has_proposals(candidate.name) for candidate in candidates):
        names = ", ".join(candidate.name for candidate in candidates)
        raise InputError(f"proposals: none of these detectors has proposals: {names}", "option-unsupported")
    sized = (config for candidate in candidates for config in _sized(candidate, proposals, sizes))
    scored = (replace(config, score=score) for config in sized for score in scores or (config.score,))
    return tuple(dict.fromkeys(scored))


def all_candidates() -> tuple[str, ...]:
    """The catalogue, and every third-party model that is built from a configuration."""
    return (*catalogue.names(), *HUB)


def _sized(
    candidate: CandidateConfig, proposals: Sequence[int], sizes: Sequence[tuple[int, int]]
) -> Iterator[CandidateConfig]:
    part = parsed(candidate.name)
    for size in sizes or (None,):
        if part is None:
            yield replace(candidate, height=size[0], width=size[1]) if size else candidate
            continue
        sized = replace(part, height=size[0], width=size[1]) if size else part
        for count in proposals if proposals and part.proposals else (part.proposals,):
            yield replace(candidate, name=str(replace(sized, proposals=count)))


def _has_proposals(name: str) -> bool:
    part = parsed(name)
    return part is not None and part.proposals is not None


def parsed(name: str) -> DetectorName | None:
    """The parts of a name; None if it does not have the form of the catalogue's names."""
    try:
        return parse(name)
    except ValueError:
        return None
