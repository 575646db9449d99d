"""Several candidates as one: all of them run on every image, and their detections are fused."""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor

from paretodet.bench.candidate import Candidate, Image, Labeled, ModelInfo, Stated
from paretodet.detectors.spec import to_data
from paretodet.ensembles.fusion import BoxFusion, Fusion
from paretodet.types import Detections

Labels = tuple[str | None, ...]
T = TypeVar("T")


class Ensemble:
    """Candidates of any kind that run one after another, each with its preparation of the images.

    If members number their labels differently, labels are matched by name and unnamed labels are dropped. Raises
    ValueError without members, or if some members name their labels and others do not.
    """

    def __init__(self, members: Sequence[Candidate], *, fusion: Fusion | None = None, name: str | None = None):
        if not members:
            raise ValueError("members: got none, an ensemble needs at least one")
        self.members = tuple(members)
        self.fusion: Fusion = fusion or BoxFusion()
        self.name = name or " + ".join(member.name for member in members)
        self._labels = [labels_of(member) for member in members]
        self.labels = common_labels(self._labels)
        self._label_maps = [label_map(labels, self.labels) for labels in self._labels]
        self._detects = detectable(self._labels, self.labels)

    def prepare(self, images: Sequence[Image]) -> tuple[Any, ...]:
        return tuple(member.prepare(images) for member in self.members)

    def infer(self, batch: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(member.infer(part) for member, part in zip(self.members, batch, strict=True))

    def finish(self, outputs: tuple[Any, ...], sizes: Tensor) -> Detections:
        results = [member.finish(part, sizes) for member, part in zip(self.members, outputs, strict=True)]
        for member, labels, detections in zip(self.members, self._labels, results, strict=True):
            check_labels(member.name, labels, detections)
        mapped = [relabeled(detections, table) for detections, table in zip(results, self._label_maps, strict=True)]
        return self.fusion(mapped, detects=self._detects)

    def stages(self) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
        """One stage for each member."""
        return part_stages((f"{place} {member.name}", member.infer) for place, member in enumerate(self.members, 1))

    def facts(self) -> ModelInfo:
        """Counts are sums over the members; None if a member does not state a count."""
        return combined_info(self.members, self.labels, fusion=self.fusion)


def part_stages(calls: Iterable[tuple[str, Callable[[Any], Any]]]) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
    """Named stages on a tuple of batches; the n-th stage replaces the n-th part by the result of the n-th call."""
    return tuple((name, partial(_replace_part, place, call)) for place, (name, call) in enumerate(calls))


def _replace_part(place: int, call: Callable[[Any], Any], parts: tuple[Any, ...]) -> tuple[Any, ...]:
    return (*parts[:place], call(parts[place]), *parts[place + 1 :])


def labels_of(candidate: Candidate) -> Labels:
    """The candidate's labels; empty if it does not name them."""
    return candidate.labels if isinstance(candidate, Labeled) else ()


def common_labels(lists: Sequence[Labels]) -> Labels:
    """The members' labels if all lists are equal, else the union of the names, those of shorter lists first."""
    if len(set(lists)) == 1:
        return lists[0]
    if () in lists:
        raise ValueError("labels: some members name them and others do not")
    by_length = sorted(lists, key=lambda labels: (len(labels), str(labels)))
    return tuple(dict.fromkeys(name for labels in by_length for name in labels if name is not None))


def label_map(labels: Labels, common: Labels) -> Tensor | None:
    """The common number of every label of a member, -1 for an unnamed one; None if the numbers are the common ones."""
    if labels == common:
        return None
    return torch.tensor([-1 if name is None else common.index(name) for name in labels])


def detectable(lists: Sequence[Labels], common: Labels) -> Tensor | None:
    """[S, K] bool: whether a member has a common label; None if all members have all of them."""
    if len(set(lists)) == 1:
        return None
    return torch.tensor([[name in labels for name in common] for labels in lists])


def check_labels(name: str, labels: Labels, detections: Detections) -> None:
    """Raises ValueError if the member `name` has a list of labels and detects a label that is not in it."""
    unlisted = detections.labels[
        (detections.scores > 0) & ((detections.labels < 0) | (detections.labels >= len(labels)))
    ]
    if labels and len(unlisted):
        raise ValueError(f"labels: {name} detects label {int(unlisted[0])}, its list has {len(labels)}")


def relabeled(detections: Detections, table: Tensor | None) -> Detections:
    """Labels replaced by `label_map`'s table; detections of an unnamed label become empty slots."""
    if table is None:
        return detections
    labels = table[detections.labels.clamp(0, len(table) - 1)]
    return detections._replace(labels=labels.clamp(min=0), scores=detections.scores.masked_fill(labels < 0, 0))


def combined_info(passes: Sequence[Candidate], labels: Labels, **how: Any) -> ModelInfo:
    """The `ModelInfo` of several passes over an image, combined by the frozen choices `how`.

    If a candidate runs in several passes, its weights count once and its work in every pass. Raises ValueError if the
    passes use more than one GPU.
    """
    infos = {id(candidate): _stated(candidate) for candidate in passes}
    unique, runs = list(infos.values()), [infos[id(candidate)] for candidate in passes]
    choices = json.dumps({name: to_data(value) for name, value in how.items()}, sort_keys=True)
    return ModelInfo(
        height=_shared(facts.height for facts in runs),
        width=_shared(facts.width for facts in runs),
        proposals=_shared(facts.proposals for facts in runs),
        classes=len(labels) or _shared(facts.classes for facts in runs),
        weights=_weights({facts.weights for facts in unique}),
        device=_device({facts.device for facts in unique}),
        runtime="+".join(sorted({facts.runtime for facts in unique})),
        precision="+".join(sorted({facts.precision for facts in unique})),
        load="capacity" if all(facts.load == "capacity" for facts in unique) else "data",
        artefact=_digest(choices, [facts.artefact for facts in runs])
        if all(facts.artefact for facts in unique)
        else "",
        spec=_specs(choices, [facts.spec for facts in runs]),
        parameters=_sum(facts.parameters for facts in unique),
        buffers=_sum(facts.buffers for facts in unique),
        macs=_sum(facts.macs for facts in runs),
        macs_other=_sum(facts.macs_other for facts in runs),
        uncounted=tuple(sorted({name for facts in unique for name in facts.uncounted})),
        activations_mib=_sum(facts.activations_mib for facts in runs),
        layers=tuple(layer for facts in runs for layer in facts.layers) if all(facts.layers for facts in runs) else (),
        runtime_settings=tuple(sorted({pair for facts in unique for pair in facts.runtime_settings})),
    )


def _stated(candidate: Candidate) -> ModelInfo:
    return candidate.facts() if isinstance(candidate, Stated) else ModelInfo()


def _shared(values: Iterable[T]) -> T | None:
    distinct = set(values)
    return distinct.pop() if len(distinct) == 1 else None


def _sum(values: Iterable[Any]) -> Any:
    counts = list(values)
    return None if None in counts else sum(counts)


def _weights(hashes: set[str]) -> str:
    if len(hashes) == 1:
        return hashes.pop()
    return "random" if "random" in hashes else _digest("weights", list(hashes))


def _device(devices: set[str]) -> str:
    others = devices - {"cpu"}
    if len(others) > 1:
        raise ValueError(f"device: got {', '.join(sorted(others))}; all members must use the same GPU")
    return others.pop() if others else "cpu"


def _digest(how: str, parts: list[str]) -> str:
    return hashlib.sha256(json.dumps([how, sorted(parts)]).encode()).hexdigest()


def _specs(how: str, specs: list[str | None]) -> str | None:
    known = sorted({spec for spec in specs if spec is not None})
    if None in specs:
        return None
    spec = {"how": json.loads(how), "passes": len(specs), "specs": [json.loads(each) for each in known]}
    return json.dumps(spec, sort_keys=True, separators=(",", ":"))
