"""Several candidates as one: each looks at every image, and their detections are fused."""

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
    """Candidates of any kind, each with its own preparation, one after another.

    Labels are matched by name where members number them differently; a member's unnamed slots are dropped then.
    Raises ValueError for no members, or where some name their labels and others do not.
    """

    def __init__(self, members: Sequence[Candidate], *, fusion: Fusion | None = None, name: str | None = None):
        if not members:
            raise ValueError("members: got none, an ensemble needs at least one")
        self.members = tuple(members)
        self.fusion: Fusion = fusion or BoxFusion()
        self.name = name or " + ".join(member.name for member in members)
        named = [labels_of(member) for member in members]
        self.labels = common_labels(named)
        self._own = named
        self._numbers = [numbering(each, self.labels) for each in named]
        self._knows = known(named, self.labels)

    def prepare(self, images: Sequence[Image]) -> tuple[Any, ...]:
        return tuple(member.prepare(images) for member in self.members)

    def infer(self, batch: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(member.infer(part) for member, part in zip(self.members, batch, strict=True))

    def finish(self, outputs: tuple[Any, ...], sizes: Tensor) -> Detections:
        found = [member.finish(part, sizes) for member, part in zip(self.members, outputs, strict=True)]
        for member, own, each in zip(self.members, self._own, found, strict=True):
            check_labels(member.name, own, each)
        alike = [relabeled(each, table) for each, table in zip(found, self._numbers, strict=True)]
        return self.fusion(alike, knows=self._knows)

    def stages(self) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
        """One stage a member."""
        return one_by_one((f"{place} {member.name}", member.infer) for place, member in enumerate(self.members, 1))

    def facts(self) -> ModelInfo:
        """Counts are sums over the members, each exact; None where a member does not know."""
        return joined(self.members, self.labels, fusion=self.fusion)


def one_by_one(calls: Iterable[tuple[str, Callable[[Any], Any]]]) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
    """Named functions, the n-th of which replaces the n-th part of a tuple by its answer."""
    return tuple((name, partial(_at, place, call)) for place, (name, call) in enumerate(calls))


def _at(place: int, call: Callable[[Any], Any], parts: tuple[Any, ...]) -> tuple[Any, ...]:
    return (*parts[:place], call(parts[place]), *parts[place + 1 :])


def labels_of(candidate: Candidate) -> Labels:
    """Its labels, none where it does not name them."""
    return candidate.labels if isinstance(candidate, Labeled) else ()


def common_labels(named: Sequence[Labels]) -> Labels:
    """The members' own where they agree, else every name once, the shorter lists' first."""
    if len(set(named)) == 1:
        return named[0]
    if () in named:
        raise ValueError("labels: some members name them and others do not")
    rising = sorted(named, key=lambda labels: (len(labels), str(labels)))
    return tuple(dict.fromkeys(name for labels in rising for name in labels if name is not None))


def numbering(own: Labels, common: Labels) -> Tensor | None:
    """The common number of each of a member's labels, -1 for an unnamed slot; None: the numbers are common."""
    if own == common:
        return None
    return torch.tensor([-1 if name is None else common.index(name) for name in own])


def known(named: Sequence[Labels], common: Labels) -> Tensor | None:
    """[S, K] bool: which of the common labels each member can find; None: each all of them."""
    if len(set(named)) == 1:
        return None
    return torch.tensor([[name in own for name in common] for own in named])


def check_labels(name: str, own: Labels, found: Detections) -> None:
    """Raises ValueError where the member `name` finds something of a label that its own list, if it has one, lacks."""
    strange = found.labels[(found.scores > 0) & ((found.labels < 0) | (found.labels >= len(own)))]
    if own and len(strange):
        raise ValueError(f"labels: {name} says label {int(strange[0])}, its list has {len(own)}")


def relabeled(found: Detections, table: Tensor | None) -> Detections:
    """Labels by `numbering`'s table; of empty slots, whatever they were."""
    if table is None:
        return found
    labels = table[found.labels.clamp(0, len(table) - 1)]
    return found._replace(labels=labels.clamp(min=0), scores=found.scores.masked_fill(labels < 0, 0))


def joined(passes: Sequence[Candidate], labels: Labels, **how: Any) -> ModelInfo:
    """What several passes are together. Weights of a candidate that passes more than once count once, its work each
    time. `how` are the frozen choices that join them.

    Raises ValueError where the passes use more than one GPU: one clock reads one.
    """
    every = {id(each): _stated(each) for each in passes}
    once, each = list(every.values()), [every[id(one)] for one in passes]
    told = json.dumps({name: to_data(value) for name, value in how.items()}, sort_keys=True)
    return ModelInfo(
        height=_shared(facts.height for facts in each),
        width=_shared(facts.width for facts in each),
        proposals=_shared(facts.proposals for facts in each),
        classes=len(labels) or _shared(facts.classes for facts in each),
        weights=_weights({facts.weights for facts in once}),
        device=_device({facts.device for facts in once}),
        runtime="+".join(sorted({facts.runtime for facts in once})),
        precision="+".join(sorted({facts.precision for facts in once})),
        load="capacity" if all(facts.load == "capacity" for facts in once) else "data",
        artefact=_digest(told, [facts.artefact for facts in each]) if all(facts.artefact for facts in once) else "",
        spec=_specs(told, [facts.spec for facts in each]),
        parameters=_sum(facts.parameters for facts in once),
        buffers=_sum(facts.buffers for facts in once),
        macs=_sum(facts.macs for facts in each),
        macs_other=_sum(facts.macs_other for facts in each),
        uncounted=tuple(sorted({name for facts in once for name in facts.uncounted})),
        activations_mib=_sum(facts.activations_mib for facts in each),
        runtime_settings=tuple(sorted({pair for facts in once for pair in facts.runtime_settings})),
    )


def _stated(candidate: Candidate) -> ModelInfo:
    return candidate.facts() if isinstance(candidate, Stated) else ModelInfo()


def _shared(values: Iterable[T]) -> T | None:
    found = set(values)
    return found.pop() if len(found) == 1 else None


def _sum(values: Iterable[Any]) -> Any:
    found = list(values)
    return None if None in found else sum(found)


def _weights(found: set[str]) -> str:
    if len(found) == 1:
        return found.pop()
    return "random" if "random" in found else _digest("weights", list(found))


def _device(found: set[str]) -> str:
    others = found - {"cpu"}
    if len(others) > 1:
        raise ValueError(f"device: got {', '.join(sorted(others))}; members share one GPU")
    return others.pop() if others else "cpu"


def _digest(how: str, parts: list[str]) -> str:
    return hashlib.sha256(json.dumps([how, sorted(parts)]).encode()).hexdigest()


def _specs(how: str, specs: list[str | None]) -> str | None:
    known = sorted({spec for spec in specs if spec is not None})
    if None in specs:
        return None
    told = {"how": json.loads(how), "passes": len(specs), "specs": [json.loads(spec) for spec in known]}
    return json.dumps(told, sort_keys=True, separators=(",", ":"))
