"""Searches detectors, sizes, runtimes and precisions for their frontier on this machine, or another one."""

import math
import shlex
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from paretodet.bench.energy import open_meter
from paretodet.bench.job import Job, Plan, Progress
from paretodet.bench.machine import Identity, identity
from paretodet.bench.runner import OneByOne
from paretodet.config import CandidateConfig
from paretodet.errors import InputError
from paretodet.frontier.row_labels import differing_execution, row_labels
from paretodet.frontier.searched import Configuration, SearchResult, by_label
from paretodet.frontier.values import (
    COSTS,
    MIXED,
    accuracy_groups,
    check_field,
    columns,
    comparable_group,
    estimated_accuracy,
    noun,
    value,
)
from paretodet.measuring import ImageFiles, Subject, set_up, several
from paretodet.opening import job
from paretodet.records.measurement import GAINS, Measurement, accuracy_of
from paretodet.records.row_id import job_key
from paretodet.records.store import DEFAULT, Store
from paretodet.sources.table import check, resolved
from paretodet.sweep.executions import ALL, DEVICE, Executions, executions, not_in_space
from paretodet.sweep.grid import all_candidates, grid
from paretodet.sweep.known import (
    Scored,
    by_network,
    expected_rows,
    expected_seconds,
    features_of,
    kinds_of,
    missing_gain,
)
from paretodet.sweep.measuring import only_process
from paretodet.sweep.searching import Bench, Host, Runnable, Search, open_run

# Costs that do not depend on the machine: a search for them would measure nothing.
COUNTED = ("activations_mib", "parameters", "buffers", "macs", "macs_other", "flops")
OF_CUDA = ("memory_device_mib", "memory_allocated_mib", "memory_reserved_mib")
Space = Subject | Iterable[Subject]


def search(
    space: Space | None = None,
    *,
    minutes: float = 20.0,
    cost: str = "latency_ms_p50",
    gain: str = "ap",
    split: str | None = MIXED,
    estimates: bool = False,
    sizes: Sequence[tuple[int, int]] = (),
    proposals: Sequence[int] = (),
    scores: Sequence[float] = (),
    runtimes: Sequence[str] = (ALL,),
    precisions: Sequence[str] = (ALL,),
    calibration: Path | str | None = None,
    images: ImageFiles | None = None,
    store: Store | Path | str = DEFAULT,
    plan: Plan | None = None,
    host: Host | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    on_row: Callable[[Measurement], None] = lambda row: None,
    notify: Callable[[str], None] = lambda sentence: None,
    **options: Any,
) -> SearchResult:
    """Measures where the frontier of a space is undecided, until every membership is decided or `minutes` are over.

    The space is every candidate at every combination of the listed values, by default the catalogue and the models of
    the hub in every runtime and precision that can run here; `options` are further fields of `CandidateConfig`. A `Job`
    is a configuration by itself. What has no known `gain` is left out, named in the result; with `estimates`, systems
    of Huang et al. have an estimated AP. Rows of the store that its machine measured before count; every new row is
    committed before the next one is chosen, so that a search that was interrupted, or whose time was over, goes on.
    `on_row` receives every new row. `host` is the machine that measures, by default this one;
    `paretodet.places.host.connected` has another one, or several equal ones.

    Fresh processes import the main module: call this under `if __name__ == "__main__"`. Raises InputError for an empty
    space, and for one of which nothing can run here, with what is missing; what `measure` raises.

    >>> import paretodet
    >>> found = paretodet.search(["ssd-mobilenet_v1-300"], minutes=1, images="photo.jpg", store="found.db")
    >>> [found.configurations[index].expected.name for index in found.members]
    ['ssd-mobilenet_v1-300']
    """
    began = time.monotonic()
    _check(minutes, cost, gain)
    kept = store if isinstance(store, Store) else Store(store, notify=notify)
    question = _Question(cost=cost, gain=gain, split=split, estimates=estimates, scored=_scored(kept))
    folder = Path(calibration) if calibration else None
    values = _Values(sizes, proposals, scores, runtimes, precisions, folder)
    host = host or _Here()
    jobs, empty = _set_up(space, values, options, question, host, images, notify)
    plan = plan or Plan()
    run = open_run(kept, jobs, plan=plan, question=(cost, gain, split), host=host.identity)
    with only_process(kept, run):
        search = Search(
            jobs=jobs,
            empty=empty,
            store=kept,
            run=run,
            budget=60 * minutes,
            began=began,
            host=host.identity,
            notify=notify,
            on_progress=on_progress,
        )
        bench = host.bench(jobs, plan=plan, run=run, store=kept, on_progress=search.progress)
        for row in search.measure(bench, patience=plan.patience):
            on_row(row)
        return search.result()


class _Here:
    """This machine."""

    def __init__(self) -> None:
        self.identity: Identity = identity()

    def runnable(
        self,
        configs: Sequence[CandidateConfig],
        jobs: Sequence[Job],
        *,
        images: ImageFiles | None,
        **values: Any,
    ) -> Runnable:
        made = executions(configs, refuse_absent=True, **values) if configs else Executions(())
        setup = set_up((*made.configs, *jobs), images=images)
        return Runnable(setup.jobs, (*map(not_in_space, made.left_out), *setup.skipped))

    def bench(
        self, jobs: Sequence[Job], *, plan: Plan, run: str, store: Store, on_progress: Callable[[Progress], None]
    ) -> Bench:
        return OneByOne(jobs, plan=plan, run=run, on_progress=on_progress)


class _Values(NamedTuple):
    """The values that a space combines."""

    sizes: Sequence[tuple[int, int]]
    proposals: Sequence[int]
    scores: Sequence[float]
    runtimes: Sequence[str]
    precisions: Sequence[str]
    calibration: Path | None


@dataclass(frozen=True, kw_only=True)
class _Question:
    cost: str
    gain: str
    split: str | None
    estimates: bool
    scored: Scored  # rows of the store with a measured accuracy

    def expected(self, jobs: Sequence[Job]) -> list[Measurement]:
        return expected_rows(jobs, self.scored, gain=self.gain, split=self.split, estimates=self.estimates)

    @property
    def is_stated(self) -> bool:
        """Whether the gain is known before a measurement."""
        return self.gain in GAINS


def _check(minutes: float, cost: str, gain: str) -> None:
    if not 0 < minutes < math.inf:
        raise InputError(f"minutes: got {minutes:g}, it must be above 0 and finite", "option-range")
    check_field(cost, COSTS)
    check_field(gain, (*GAINS, *(f"-{name}" for name in COSTS)))
    if gain == f"-{cost}":
        raise InputError(f"gain: {gain} is the cost already; give another one", "option-conflict")
    if cost in COUNTED:
        message = f"cost: {cost} is the same on every machine: `paretodet list --json` has it; give a measured one"
        raise InputError(message, "option-value")


def _check_devices(question: _Question, devices: Collection[str], *, is_here: bool) -> None:
    """Raises InputError if no row of these devices would have what is compared."""
    for option, name in (("cost", question.cost), ("gain", question.gain.removeprefix("-"))):
        if name in OF_CUDA and not any(device.startswith("cuda") for device in devices):
            message = f"{option}: {name} is measured on GPUs of CUDA alone; add --device cuda, or give memory_infer_mib"
            raise InputError(message, "option-value")
        if name == "energy_j" and is_here and not any(map(open_meter, devices)):
            message = f"{option}: this machine has no energy meter that can be read (Linux may let only root read RAPL)"
            raise InputError(f"{message}; give another {option}", "option-value")


def _scored(store: Store) -> Scored:
    rows = store.all_rows()
    return by_network(rows.where(rows.numbers("ap_measured") == 1) if len(rows) else ())


def _set_up(
    space: Space | None,
    values: _Values,
    options: dict[str, Any],
    question: _Question,
    host: Host,
    images: ImageFiles | None,
    notify: Callable[[str], None],
) -> tuple[tuple[Job, ...], SearchResult]:
    """The jobs of a space, and the result before any of them is measured."""
    listed, jobs = _listed(space, values, options)
    if not jobs:  # whose devices are not known
        _check_devices(question, {config.device or DEVICE for config in listed}, is_here=isinstance(host, _Here))
    configs, unstated = _with_gain(listed, question)
    found = host.runnable(
        configs,
        jobs,
        runtimes=values.runtimes,
        precisions=values.precisions,
        calibration=values.calibration,
        images=images,
    )
    if not found.jobs:
        raise _nothing(unstated, found.notes)
    rows = question.expected(found.jobs)
    comparable, slack, split, of_group = _comparable(rows, question)
    kept = [index for index, row in enumerate(rows) if row.id in comparable]
    others = [row for row in rows if row.id not in comparable]
    unstated += [(label, _why(row, question.gain)) for label, row in _labeled(others)]
    if not kept:
        raise _nothing(unstated, found.notes)
    expected = [rows[index] for index in kept]
    notes = (*found.notes, *of_group, *estimated_accuracy(expected))
    for sentence in notes:
        notify(sentence)
    chosen = tuple(_with_accuracy(found.jobs[index], rows[index]) for index in kept)
    empty = SearchResult(
        cost=question.cost,
        gain=question.gain,
        split=split,
        slack=slack,
        configurations=tuple(Configuration(expected=row) for row in expected),
        features=features_of(expected),
        seconds=expected_seconds(expected, {}),
        kinds=kinds_of(expected),
        left_out=by_label(unstated),
        notes=notes,
    )
    return chosen, empty


def _listed(
    space: Space | None, values: _Values, options: dict[str, Any]
) -> tuple[tuple[CandidateConfig, ...], tuple[Job, ...]]:
    """The configs of a space at every size, number of proposals and score, and its jobs."""
    named = tuple(all_candidates() if space is None else several(space))
    if not named:
        raise InputError("space: it is empty; name detectors, or leave it out to search all", "space-empty")
    made = (
        each if isinstance(each, CandidateConfig) else CandidateConfig(name=str(each), **options)
        for each in named
        if not isinstance(each, Job)
    )
    configs = [resolved(replace(config, name=check(config.name))) for config in made]
    listed = grid(configs, proposals=values.proposals, sizes=values.sizes, scores=values.scores) if configs else ()
    jobs = tuple(each for each in named if isinstance(each, Job))
    _check_distinct(jobs)
    return tuple(map(resolved, listed)), jobs


def _check_distinct(jobs: Sequence[Job]) -> None:
    """Raises InputError for two jobs that rows could not tell apart."""
    keys = Counter(job_key(each.name, each.recipe) for each in jobs)
    if repeated := next((each.name for each in jobs if keys[job_key(each.name, each.recipe)] > 1), None):
        message = f"space: two jobs are {repeated!r} with the same recipe, so that their rows could not be told apart"
        raise InputError(f"{message}; give each a name of its own", "option-conflict")


def _with_gain(
    configs: Sequence[CandidateConfig], question: _Question
) -> tuple[list[CandidateConfig], list[tuple[str, str]]]:
    """The configs whose gain is known or is measured, and (name, reason) of the others: most of a large space."""
    if not question.is_stated:
        return list(configs), []
    kept, unstated = [], []
    rows = question.expected([job(replace(config, runtime=None, precision=None)) for config in configs])
    for config, row, gain in zip(configs, rows, columns(rows, question.gain).point, strict=True):
        if math.isnan(gain):
            unstated.append((row.name, missing_gain(row, question.gain)))
        else:
            kept.append(config)
    return kept, unstated


def _comparable(
    rows: Sequence[Measurement], question: _Question
) -> tuple[set[str], float, str | None, tuple[str, ...]]:
    """Ids of the rows whose gains can be compared, the uncertainty of these, their split, and notes."""
    if not question.is_stated:
        return {row.id for row in rows}, 0.0, None, ()
    group = comparable_group(rows, question.gain, question.split)
    notes = () if not len(group.rows) else group.notes
    return set(group.rows.texts("id")), group.slack, group.label or None, notes


def _why(row: Measurement, gain: str) -> str:
    """Why a row is not compared."""
    if value(row, gain) is None:
        return missing_gain(row, gain)
    split, *_ = accuracy_groups([row], gain)
    return f"its {noun(gain)} is of {split}; --split {shlex.quote(split)} compares those"


def _with_accuracy(job: Job, row: Measurement) -> Job:
    """The job whose row has the accuracy that is compared."""
    known = {name: value for name, value in accuracy_of(row).items() if value is not None}
    return replace(job, about=job.about | known)


def _labeled(rows: Sequence[Measurement]) -> Iterator[tuple[str, Measurement]]:
    labels = row_labels(rows, stated=differing_execution(rows)) if rows else {}
    yield from ((labels[row.id], row) for row in rows)


def _nothing(unstated: Sequence[tuple[str, str]], notes: Sequence[str]) -> InputError:
    reasons = [f"{', '.join(each.labels[:3])}: {each.reason}" for each in by_label(unstated)[:3]]
    because = "; ".join(reasons or [note.removesuffix(".") for note in notes[:3]] or ["nothing in it can run"])
    return InputError(f"space: nothing in it can be compared; {because}", "space-empty")
