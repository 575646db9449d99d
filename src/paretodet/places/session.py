"""A conversation with a runner (`runner.py`) on another machine, whatever carries its lines."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol, get_args

from paretodet.bench.machine import Identity
from paretodet.errors import ErrorId, InputError
from paretodet.places.collect import bundles_of, names_there
from paretodet.places.place import Request
from paretodet.places.runner import PROTOCOL
from paretodet.version import __version__

GREETING = 1000  # lines that a login may print before the first message
MAX_LINE = 2**26  # characters of a message
INSTALL = "pip install paretodet"


class Channel(Protocol):
    """What carries lines to a runner and back. Its methods raise InputError if the connection has ended."""

    def send(self, line: str) -> None: ...

    def receive(self) -> str:
        """The next line; at most `MAX_LINE` characters."""
        ...

    def copy(self, folder: Path, sha: str) -> None:
        """Copies a bundle to where the runner takes one of this SHA-256 from (`runner.FOLDER`, with `PART`)."""
        ...


class RunnerSession:
    """A runner at the other end of a channel. `name` is that of its place."""

    def __init__(self, name: str, channel: Channel) -> None:
        self._name, self._channel = name, channel
        self._check_version(self._hello())
        answer = self._expect("identity")
        try:
            versions = {str(library): str(version) for library, version in answer["versions"].items()}
            self.identity = Identity(machine=str(answer["machine"]), versions=versions)
        except (AttributeError, KeyError, TypeError):
            raise self._nonsense("it does not say which machine it is") from None

    def measure(self, request: Request, *, run: str, finished: frozenset[str]) -> Iterator[Mapping[str, Any]]:
        """Copies the bundles that the machine lacks, and yields its messages.

        Raises InputError if the connection ends before the last one, or with the error that the machine states.
        """
        bundles = self._copied(request)
        asked = {
            "names": names_there(request),
            "bundles": _named(bundles),
            "options": dict(request.options),
            "plan": asdict(request.plan),
        }
        self._send(asked | {"calibrate": request.calibrate, "run": run, "finished": sorted(finished)})
        yield from self._until_end()

    def space(self, request: Request, jobs: Sequence[Mapping[str, Any]], **values: Any) -> Any:
        """What the machine says that it can run of these jobs, in the runtimes and precisions that `values` lists.

        Copies the bundles of the request that it lacks. Raises InputError as `measure` does.
        """
        bundles = self._copied(request)
        self._send({"space": list(jobs), "bundles": _named(bundles), **values})
        return self._expect("space")

    def step(self, asked: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """The messages that answer a step of a search, after `space`. Raises InputError as `measure` does."""
        self._send(asked)
        yield from self._until_end()

    def _copied(self, request: Request) -> dict[str, Path]:
        """The bundles of a request by their SHA-256, after those that the machine lacks were copied."""
        bundles = bundles_of(request)
        self._send({"bundles": list(bundles)})
        if not isinstance(missing := self._expect("missing"), list):
            raise self._nonsense("it does not list the bundles that it lacks")
        for sha, folder in bundles.items():
            if sha in missing:
                self._channel.copy(folder, sha)
        return bundles

    def _until_end(self) -> Iterator[Mapping[str, Any]]:
        while "end" not in (message := self._message()):
            yield message

    def _hello(self) -> Any:
        """The first message; lines that the login prints before it are skipped."""
        for _ in range(GREETING):
            line = self._channel.receive()
            if line.startswith('{"hello"'):
                return _parsed(line).get("hello")
        raise self._nonsense("it is no runner of paretodet")

    def _check_version(self, hello: Any) -> None:
        got = hello if isinstance(hello, dict) else {}
        if (got.get("version"), got.get("protocol")) != (__version__, PROTOCOL):
            raise InputError(
                f"{self._name}: paretodet there is {got.get('version')!s:.40}, here it is {__version__}; install "
                f"this version there: {INSTALL}=={__version__}",
                "place-unfit",
            )

    def _send(self, message: Mapping[str, Any]) -> None:
        self._channel.send(json.dumps(message))

    def _expect(self, key: str) -> Any:
        message = self._message()
        if key not in message:
            raise self._nonsense(f"it does not answer with {key!r}")
        return message[key]

    def _message(self) -> dict[str, Any]:
        """The next message. What is not one is a message without a key that anyone knows."""
        message = _parsed(self._channel.receive())
        if isinstance(failed := message.get("failed"), dict):
            ids: dict[str, ErrorId] = {each: each for each in get_args(ErrorId)}
            id = ids.get(str(failed.get("id")), "place-answer")
            raise InputError(f"{self._name}: {failed.get('message')!s:.500}", id)
        return message

    def _nonsense(self, what: str) -> InputError:
        return InputError(f"{self._name}: the answer is refused: {what}", "place-answer")


def _named(bundles: Mapping[str, Path]) -> dict[str, str]:
    """What bundles are called here."""
    return {sha: folder.name for sha, folder in bundles.items()}


def _parsed(line: str) -> dict[str, Any]:
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return message if isinstance(message, dict) else {}
