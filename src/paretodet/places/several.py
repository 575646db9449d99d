"""Several places as one fleet."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from paretodet.errors import InputError
from paretodet.places.place import Fleet, Members, RemotePlace
from paretodet.places.ray import RayFleet


def together(places: Sequence[RemotePlace | Fleet]) -> RemotePlace | Fleet:
    """The place itself if it is one, else all of them as a fleet. Raises InputError for two clusters."""
    clusters = [place for place in places if isinstance(place, RayFleet)]
    if len({cluster.address for cluster in clusters}) > 1:
        names = " and ".join(cluster.name for cluster in clusters[:2])
        raise InputError(f"--on: {names} are two clusters, of which one command uses one", "option-conflict")
    parts = dict[str, RemotePlace | Fleet]({place.name: place for place in places if not isinstance(place, RayFleet)})
    if clusters:
        labels = dict.fromkeys(label for cluster in clusters for label in cluster.labels)
        everyone = not all(cluster.labels for cluster in clusters)
        cluster = RayFleet(clusters[0].address, () if everyone else tuple(labels))
        parts[cluster.name] = cluster
    found = tuple(parts.values())
    return found[0] if len(found) == 1 else Several(found)


@dataclass(frozen=True)
class Several:
    """Places and the machines of a cluster."""

    parts: tuple[RemotePlace | Fleet, ...]
    many = True

    @property
    def name(self) -> str:
        return " + ".join(part.name for part in self.parts)

    def owns(self, name: str) -> bool:
        return any(part.owns(name) if isinstance(part, Fleet) else part.name == name for part in self.parts)

    @contextmanager
    def connect(self, notify: Callable[[str], None]) -> Iterator["SeveralMembers"]:
        """Raises what the connection of a cluster raises; a place by itself is not asked yet."""
        with ExitStack() as stack:
            fleets = [stack.enter_context(part.connect(notify)) for part in self.parts if isinstance(part, Fleet)]
            alone = {part.name: part for part in self.parts if not isinstance(part, Fleet)}
            yield SeveralMembers(alone, fleets)


class SeveralMembers:
    """Places, which are always there until one asks, and clusters that are connected."""

    def __init__(self, alone: Mapping[str, RemotePlace], fleets: Sequence[Members]) -> None:
        self._alone, self._fleets = alone, fleets

    def places(self) -> Mapping[str, RemotePlace]:
        found = dict(self._alone)
        for fleet in self._fleets:
            found |= fleet.places()
        return found

    def release(self) -> None:
        for fleet in self._fleets:
            fleet.release()
