"""Measures at a place into a store here: rows are checked and committed one by one; an interrupted run continues."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from paretodet.bench.job import Progress
from paretodet.bench.machine import Identity
from paretodet.config import BUNDLE, is_bundle
from paretodet.errors import InputError, words
from paretodet.measuring import expand
from paretodet.places.place import RemotePlace, Request
from paretodet.places.runner import CALIBRATION
from paretodet.reading import sha256
from paretodet.records.measurement import Measurement
from paretodet.records.row_id import job_key, stored_row, validated
from paretodet.records.store import Store
from paretodet.sweep.grid import parsed
from paretodet.sweep.measuring import only_process

BUILT = ("hf:", "tv:")  # names that stand for the same network on every machine, beside those of the catalogue
HERE = ("runtimes", "precisions")  # options of a request that only the place can expand
MAX_REFUSED = 100  # answers, after which a place is left
Asked = Mapping[str, set[str | None]]  # name in a job -> SHA-256 of its bundles, whose folders may be called alike


def measure_at(
    place: RemotePlace,
    request: Request,
    *,
    store: Store,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    notify: Callable[[str], None] = lambda sentence: None,
) -> Iterator[Measurement]:
    """The rows of a request that is measured at `place`: those of an interrupted run first, then new ones.

    Every row is committed before it is yielded. An answer that is not a row of what was asked is refused, and `notify`
    receives the reason; then the next run of the same request measures that candidate again. Raises InputError if the
    place cannot be reached or cannot measure, the connection is lost, or no answer was a row.
    """
    together = Together()
    yield from measure_there(place, request, together, store=store, on_progress=on_progress, notify=notify)
    together.close(store)


@dataclass
class Together:
    """What several places know of each other that measure one request."""

    complete: dict[str, str] = field(default_factory=dict)  # name of a place -> its run, which has all rows
    artifacts: dict[str, tuple[str, str]] = field(default_factory=dict)  # job -> hash of its artifact, and where

    def close(self, store: Store) -> None:
        """Ends the complete runs, so that the same request measures anew."""
        for run in self.complete.values():
            store.close_run(run)

    def check(self, place: str, key: str, row: Measurement) -> None:
        """Raises InputError if a row is of another artifact than that of another place for the same job."""
        if row.error is None and row.artefact:
            known, where = self.artifacts.setdefault(key, (row.artefact, place))
            if known != row.artefact:
                raise InputError(
                    f"its artifact has another hash ({row.artefact:.12}) than on {where} ({known:.12}); install the "
                    "same versions on both, or measure a bundle",
                    "place-answer",
                )


def measure_there(
    place: RemotePlace,
    request: Request,
    together: Together,
    *,
    store: Store,
    on_progress: Callable[[Progress], None],
    notify: Callable[[str], None],
) -> Iterator[Measurement]:
    """As `measure_at`, beside other places of the same request; the run stays open until `together` is closed."""
    asked = asked_jobs(request)
    with place.connect(request) as session:
        run = store.open_run(_plan_of(place, request, session.identity), machine=session.identity.machine)
        with only_process(store, run):
            earlier = store.rows(run=run)
            keys = set[str]()
            received = _Received(place.name, asked, run, session.identity, keys, together)
            for known in earlier:
                keys.add(key := job_key(known.name, known.job))
                with suppress(InputError):  # it was checked before
                    together.check(place.name, key, known)
            yield from earlier
            for message in session.measure(request, run=run, finished=frozenset(keys)):
                row = received(message, on_progress, notify)
                if row:
                    store.append(row)
                    yield row
            if not received.refused:
                together.complete[place.name] = run
            elif not keys:
                raise InputError(f"{place.name}: no answer was a row; {received.refused[0]}", "place-answer")


def asked_jobs(request: Request) -> Asked:
    """What the jobs of a request are called, with the hashes of the bundles that are called so.

    Raises InputError for a name that is a file of this machine, or code, and what `measuring.expand` raises.
    """
    check_names(request.names)
    configs = expand(request.names, **{key: value for key, value in request.options.items() if key not in HERE})
    jobs = [each.recipe if hasattr(each, "recipe") else each.to_json() for each in configs]
    asked: dict[str, set[str | None]] = {CALIBRATION: {None}} if request.calibrate else {}
    for job in jobs:
        asked.setdefault(str(job["name"]), set()).add(job.get("bundle"))
    return asked


def check_names(names: Iterable[str]) -> None:
    """Raises InputError for a name that is a file of this machine, or code."""
    for name in names:
        if not is_bundle(name) and not name.startswith(BUILT) and parsed(name) is None:
            raise InputError(
                f"{name}: with --on, a name is a bundle or one of `paretodet list`; `paretodet export {name} --out "
                "FOLDER` makes a bundle",
                "option-unsupported",
            )


def bundles_of(request: Request) -> dict[str, Path]:
    """The bundles of a request by the SHA-256 of their description, which names the hash of every file."""
    folders = [Path(name).absolute() for name in request.names if is_bundle(name)]
    return {sha256(folder / BUNDLE): folder for folder in folders}


def names_there(request: Request) -> list[str]:
    """The names of a request where its bundles are called by their SHA-256; equal bundles are one name."""
    names = (sha256(Path(name) / BUNDLE) if is_bundle(name) else name for name in request.names)
    return list(dict.fromkeys(names))


def unfinished_places(store: Store, request: Request) -> set[str]:
    """The names of the places where this request was begun and not finished."""
    asked = _asked(request)
    plans = [plan for plan in store.unfinished() if isinstance(plan, dict) and "on" in plan]
    return {str(plan["on"]) for plan in plans if asked == {key: plan.get(key) for key in asked}}


def _asked(request: Request) -> dict[str, Any]:
    """What is measured and how, as JSON."""
    named = {sha: folder.name for sha, folder in bundles_of(request).items()}
    names = [name for name in request.names if not is_bundle(name)]
    asked = {
        "names": names,
        "bundles": named,
        "options": dict(request.options),
        "plan": asdict(request.plan),
        **({"calibrate": True} if request.calibrate else {}),
    }
    return json.loads(json.dumps(asked))


def _plan_of(place: RemotePlace, request: Request, identity: Identity) -> dict[str, Any]:
    """What makes two runs one: the place, what is measured there and how, and its versions."""
    return {"on": place.name, **_asked(request), "versions": identity.versions}


class _Received:
    """Checks messages of a session. `refused` are the sentences about those that are not rows of what was asked."""

    def __init__(
        self, place: str, asked: Asked, run: str, identity: Identity, keys: set[str], together: Together
    ) -> None:
        self._place, self._asked, self._run, self._identity, self._keys = place, asked, run, identity, keys
        self._together = together
        self.refused: list[str] = []

    def __call__(
        self, message: Mapping[str, Any], on_progress: Callable[[Progress], None], notify: Callable[[str], None]
    ) -> Measurement | None:
        """The row in a message, if it is one."""
        try:
            if "progress" in message:
                on_progress(Progress(**message["progress"]))
            elif "note" in message:
                notify(f"{self._place}: {message['note']}")
            else:
                return self._row(message.get("row"))
        except (TypeError, ValueError, RecursionError) as error:
            name = _name(message)
            self.refused.append(f"an answer{name} is refused: {words(error)}")
            notify(f"{self._place}: {self.refused[-1]}.")
            if len(self.refused) >= MAX_REFUSED:
                reason = f"{MAX_REFUSED} answers were refused; the last: {self.refused[-1]}"
                raise InputError(f"{self._place}: {reason}", "place-answer") from None
        return None

    def _row(self, values: Any) -> Measurement:
        """Raises InputError if these are not a row of this run, machine and artifact."""
        row = row_of(values, self._run, self._identity)
        name, key = str(row.job.get("name")), job_key(row.name, row.job)
        if name not in self._asked:
            raise InputError(f"job is of {name!r}, which was not asked for", "place-answer")
        if row.job.get("bundle") not in self._asked[name]:
            raise InputError("its bundle has another hash than the one here", "place-answer")
        if key in self._keys:
            raise InputError("it was measured before in this run", "place-answer")
        self._together.check(self._place, key, row)
        self._keys.add(key)
        return row


def row_of(values: Any, run: str, identity: Identity) -> Measurement:
    """The row that was received. Raises InputError if these are not a row of this run and machine."""
    row = stored_row(json.dumps(validated(values)))
    if (row.run, row.machine) != (run, identity.machine):
        raise InputError("run or machine are not those of this connection", "place-answer")
    return row


def _name(message: Mapping[str, Any]) -> str:
    row = message.get("row")
    return f" about {row['name']!s:.80}" if isinstance(row, dict) and row.get("name") else ""
