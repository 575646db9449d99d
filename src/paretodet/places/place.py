"""What a place is: somewhere else that measures candidates and answers with rows."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from paretodet.bench.job import Plan


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be measured: names with the options of `measuring.expand`, and how."""

    names: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)  # JSON
    plan: Plan = field(default_factory=Plan)


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Which machine a place is: the fingerprint that its rows have, and the versions of its libraries."""

    machine: str
    versions: dict[str, str]


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
