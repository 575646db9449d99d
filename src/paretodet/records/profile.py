"""The times of a network's layers, beside the least times that the machine's ceilings allow. Torch-free."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from paretodet.records.roofline import Ceilings, LayerWork, floor_ms


class LayerTime(NamedTuple):
    """The median time of a layer in one call of the network, ms."""

    name: str
    operator: str
    ms: float
    images: int | None = None  # that the call computes; None: those that it is given


@dataclass(frozen=True, kw_only=True)
class ProfiledLayer:
    """A layer's time, and the work and floor of what has its name in the network; None if nothing has."""

    name: str
    operator: str
    ms: float
    macs: int | None = None
    floor_ms: float | None = None

    @property
    def floor_pct(self) -> float | None:
        """The share of the time that the floor explains, in percent."""
        return 100 * self.floor_ms / self.ms if self.floor_ms and self.ms else None


@dataclass(frozen=True, kw_only=True)
class Profile:
    """The layers of one candidate by falling time."""

    name: str
    device: str
    runtime: str
    precision: str
    batch: int
    threads: int
    calls: int  # that the times of layers are medians of
    latency_ms: float  # median of whole calls without a profiler
    layers: tuple[ProfiledLayer, ...]
    floor_ms: float | None = None  # of all layers of the network
    ceilings: dict[str, float | None] | None = None
    disturbed: str = ""  # what disturbed all whole calls; empty if some were clean
    images: int | None = None  # that a call computes: more than the batch where a fixed number is filled up

    @property
    def layers_ms(self) -> float:
        """The sum of the layers."""
        return sum(layer.ms for layer in self.layers)

    @property
    def difference_pct(self) -> float:
        """By how many percent the sum of the layers exceeds the whole call."""
        return 100 * (self.layers_ms / self.latency_ms - 1)

    def share_pct(self, layers: Iterable[ProfiledLayer]) -> float:
        """The share of some layers in the time of all."""
        return 100 * sum(layer.ms for layer in layers) / (self.layers_ms or 1)

    def to_json(self) -> dict[str, Any]:
        layers = [asdict(layer) | {"floor_pct": layer.floor_pct} for layer in self.layers]
        sums = {"layers_ms": self.layers_ms, "difference_pct": self.difference_pct}
        return asdict(self) | sums | {"layers": layers}


def by_module(times: Iterable[LayerTime]) -> tuple[LayerTime, ...]:
    """The nodes of an exported graph, called "module/node", as one layer a module; its operator is the slowest node's.

    Other nodes stay as they are.
    """
    groups: dict[str, list[LayerTime]] = {}
    for time in times:
        groups.setdefault(time.name.partition("/")[0], []).append(time)
    return tuple(
        LayerTime(name, max(group, key=lambda time: time.ms).operator, sum(time.ms for time in group))
        for name, group in groups.items()
    )


def profiled_layers(
    times: Iterable[LayerTime],
    works: Sequence[LayerWork],
    ceilings: Ceilings,
    precision: str,
    *,
    batch: int = 1,
) -> tuple[ProfiledLayer, ...]:
    """The layers by falling time, each with the work of its name. Layers that take no time are left out."""
    by_name: dict[str, list[LayerWork]] = defaultdict(list)
    for work in works:
        by_name[work.name].append(work)
    layers = [
        ProfiledLayer(
            name=time.name,
            operator=time.operator,
            ms=time.ms,
            macs=batch * sum(work.macs for work in by_name[time.name]) if time.name in by_name else None,
            floor_ms=floor_ms(by_name.get(time.name, ()), ceilings, precision, batch=batch),
        )
        for time in times
        if time.ms > 0
    ]
    return tuple(sorted(layers, key=lambda layer: -layer.ms))
