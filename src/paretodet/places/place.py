"""What a place is: somewhere else that measures candidates and answers with rows."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from paretodet.bench.job import Plan
from paretodet.bench.machine import Identity


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be measured: names with the options of `measuring.expand`, and how."""

    names: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)  # JSON
    plan: Plan = field(default_factory=Plan)
    calibrate: bool = False  # a row of the reference candidate too (`bench.reference`), which compares machines


class Connection(Protocol):
    """A place that is connected, and that nothing else measures on."""

    identity: Identity

    def measure(self, request: Request, *, run: str, finished: frozenset[str]) -> Iterator[Mapping[str, Any]]:
        """Messages, each with one key: "row" (its JSON), "progress" (fields of `Progress`) or "note" (a sentence).

        A row is sent as soon as it is measured. `finished` are keys of jobs (`job_key`) that are left out. What a
        session sends is not trusted: the caller checks it.
        """
        ...


class RemotePlace(Protocol):
    """Where a request is measured. `name` is what the user called it."""

    @property
    def name(self) -> str: ...

    def connect(self, request: Request) -> AbstractContextManager[Connection]:
        """Raises InputError if the place cannot be reached, or cannot measure the request."""
        ...


class Members(Protocol):
    """A cluster that is connected."""

    def places(self) -> Mapping[str, RemotePlace]:
        """The machines that are there now, by their names. Raises InputError if the cluster is lost or not safe."""
        ...

    def release(self) -> None:
        """Ends all that is measured; whoever waits for a machine gets an InputError."""
        ...


@runtime_checkable
class Fleet(Protocol):
    """Machines that measure the same request. `name` is what the user called them."""

    @property
    def name(self) -> str: ...

    @property
    def many(self) -> bool:
        """Whether there may be more than one of them."""
        ...

    def owns(self, name: str) -> bool:
        """Whether a machine of this name is one of them, if it is there."""
        ...

    def connect(self, notify: Callable[[str], None]) -> AbstractContextManager[Members]:
        """Raises InputError if the cluster cannot be reached, or has no machine that measures. `notify` receives
        sentences, in any thread.
        """
        ...
