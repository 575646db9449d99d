"""One machine elsewhere on which a search measures: what it can run, and its answers to one job at a time."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from paretodet.bench.job import Job, Plan, Progress
from paretodet.config import CandidateConfig
from paretodet.errors import InputError, words
from paretodet.opening import job_elsewhere
from paretodet.places.collect import MAX_REFUSED, row_of
from paretodet.places.fleet import LOST
from paretodet.places.place import Request
from paretodet.places.runner import CALIBRATION
from paretodet.places.session import RunnerSession
from paretodet.records.measurement import Measurement
from paretodet.records.row_id import canonical, job_key, with_id
from paretodet.records.store import Store
from paretodet.runtimes.table import RUNTIMES
from paretodet.sweep.searching import Bench, Runnable

CHOSEN = ("runtime", "precision", "calibration")  # entries of a job that the machine there adds
GOES_ON = "the rows that were measured are stored, and the same command goes on"


class RemoteHost:
    """A machine with a runner. `why` has the reason why its cluster was lost, once it is."""

    def __init__(self, name: str, session: Any, request: Request, why: Sequence[InputError]) -> None:
        if not isinstance(session, RunnerSession):
            raise InputError(f"{name}: nothing that a search could use measures there", "place-unfit")
        self.name, self.identity = name, session.identity
        self._session, self._request, self._why = session, request, why

    def runnable(
        self,
        configs: Sequence[CandidateConfig],
        jobs: Sequence[Job],
        *,
        runtimes: Sequence[str],
        precisions: Sequence[str],
        calibration: Path | None,
        images: Any,
    ) -> Runnable:
        """Raises InputError for code and files of this machine, and for an answer about other jobs."""
        if jobs or calibration or images:
            raise InputError("--on: code and images of this machine are not sent", "option-conflict")
        if not configs:
            return Runnable(())
        answer = self._session.space(
            self._request,
            [config.to_json() for config in configs],
            runtimes=list(runtimes),
            precisions=list(precisions),
        )
        asked = {_network(config.to_json()): config for config in configs}
        try:
            made = [self._job(each, asked, int(answer["threads"])) for each in answer["jobs"]]
            notes = tuple(f"{self.name}: {each}" for each in answer["notes"])
            if len({job_key(job.name, job.recipe) for job in made}) < len(made):
                raise InputError("it lists a job twice", "place-answer")
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise InputError(f"{self.name}: what it can run is refused: {words(error)}", "place-answer") from None
        return Runnable(tuple(made), notes)

    def bench(
        self, jobs: Sequence[Job], *, plan: Plan, run: str, store: Store, on_progress: Callable[[Progress], None]
    ) -> Bench:
        return RemoteBench(self, plan=plan, run=run, on_progress=on_progress)

    def messages(self, step: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """Those that answer a step. Raises InputError, which says how to go on, if the machine is lost."""
        try:
            yield from self._session.step(step)
        except InputError as error:
            error = next(iter(self._why), error)
            if error.id != LOST or "same command" in error.message:
                raise error from None
            raise InputError(f"{error.message}; {GOES_ON}", LOST) from None

    def _job(self, listed: Mapping[str, Any], asked: Mapping[str, CandidateConfig], threads: int) -> Job:
        """Raises InputError for a job of another network, or in a runtime that there is not."""
        recipe, runtime = listed["job"], listed["runtime"]
        if (config := asked.get(_network(recipe))) is None:
            raise InputError(f"{recipe.get('name')!s:.80} was not asked for", "place-answer")
        if runtime is not None and runtime not in {kind.name for kind in RUNTIMES}:
            raise InputError(f"there is no runtime {runtime!s:.80}", "place-answer")
        if not isinstance(recipe.get("precision"), str | None):
            raise InputError(f"there is no precision {recipe['precision']!s:.80}", "place-answer")
        return job_elsewhere(config, recipe, runtime=runtime, threads=threads)


class RemoteBench:
    """Measures one job at a time on the machine of a host."""

    def __init__(self, host: RemoteHost, *, plan: Plan, run: str, on_progress: Callable[[Progress], None]) -> None:
        self._host, self._plan, self._run, self._on_progress = host, plan, run, on_progress
        self._started = False

    def start(self) -> None:
        """Lets the machine run its self-test, once."""
        if not self._started:
            self._rows({"plan": asdict(self._plan), "run": self._run})
            self._started = True

    def __call__(self, job: Job, *, patience: float, processes: int) -> Measurement:
        """Raises InputError `row-invalid` if the machine answers anything but one row of this run."""
        key = job_key(job.name, job.recipe)
        rows, refused = self._rows({"job": key, "patience": patience, "processes": processes})
        if len(rows) != 1:
            raise InputError(next(iter(refused), f"it is {len(rows)} rows"), "row-invalid")
        return with_id(replace(rows[0], **job.about))

    def _rows(self, step: Mapping[str, Any]) -> tuple[list[Measurement], list[str]]:
        """The rows that answer a step, and why other answers are refused."""
        rows, refused = list[Measurement](), list[str]()
        for message in self._host.messages(step):
            try:
                if "progress" in message:
                    self._on_progress(Progress(**message["progress"]))
                else:
                    rows.append(row_of(message.get("row"), self._run, self._host.identity))
            except (TypeError, ValueError, RecursionError) as error:
                refused.append(words(error))
            if len(rows) + len(refused) >= MAX_REFUSED:
                reason = f"{MAX_REFUSED} answers to one question; the last refused: {refused[-1:]}"
                raise InputError(f"{self._host.name}: {reason}", "place-answer")
        return rows, refused


def calibration() -> Job:
    """The job of the reference candidate, which a runner has beside those of the search."""
    config = CandidateConfig(name=CALIBRATION)
    return job_elsewhere(config, config.to_json(), runtime=None, threads=1)


def _network(recipe: Mapping[str, Any]) -> str:
    """What a job measures, however it is executed."""
    return canonical({key: value for key, value in recipe.items() if key not in CHOSEN})
