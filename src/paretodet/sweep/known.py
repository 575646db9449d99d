"""What is known of a configuration before it is measured: its counts, its accuracy, and how long measuring may take."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paretodet.bench.job import Job
from paretodet.bench.process import thread_count
from paretodet.config import CALIBRATED
from paretodet.detectors import catalogue
from paretodet.detectors.catalogue import DetectorEntry
from paretodet.detectors.names import DetectorName
from paretodet.frontier.features import Features, of_names
from paretodet.frontier.values import FULL_PRECISION, MEASURED, Floats, noun
from paretodet.records.measurement import Measurement, accuracy_of
from paretodet.records.row_id import canonical, job_key
from paretodet.runtimes.table import RUNTIMES
from paretodet.sources.published import entries as entries_of_others
from paretodet.sweep.estimates import with_estimated_ap
from paretodet.sweep.grid import parsed

Scored = Mapping[str, Sequence[Measurement]]  # by `_network_key`
EXECUTION = (  # keys of a job that do not change the accuracy of a network, except for int8
    "runtime", "device", "precision", "calibration", "allow_fallback", "trust", "batch", "threads", "scored_on",
)  # fmt: skip
NAMED = ("architecture", "backbone")  # parts of names that the features have as words
# A rough time of one measurement, which those that were made correct: its processes, their calls, the quantizer; and
# what its runtime takes to build a network.
PROCESSES_S = 6.0
CALLS, MACS_PER_S = 20, 4e10
QUANTIZE_S = 60.0


def by_network(scored: Iterable[Measurement]) -> Scored:
    """Rows with a measured accuracy, by what their networks detect; the newest first."""
    found: dict[str, list[Measurement]] = {}
    for row in sorted(scored, key=lambda row: row.at, reverse=True):
        found.setdefault(_network_key(row.name, row.job), []).append(row)
    return found


def expected_rows(
    jobs: Sequence[Job], scored: Scored, *, gain: str, split: str | None, estimates: bool = False
) -> list[Measurement]:
    """Rows without measured numbers: what each job states, its counts and its accuracy; the ids are their `job_key`.

    With `estimates`, those without an AP have an estimated one as `ap_estimate`, if there is one.
    """
    rows = [_expected_row(job, known_accuracy(job, scored, gain=gain, split=split)) for job in jobs]
    return list(with_estimated_ap(rows)) if estimates and rows else rows


def _expected_row(job: Job, accuracy: dict[str, Any]) -> Measurement:
    return Measurement(
        id=job_key(job.name, job.recipe),
        run="",
        at="",
        name=job.name,
        job=job.recipe,
        weights=job.recipe.get("weights") or "random",
        batch=job.batch,
        threads=thread_count(job),
        **{"runtime": "eager", "precision": "fp32", **job.asked},
        **_counts(job.recipe),
        **accuracy,
    )


def known_accuracy(job: Job, scored: Scored, *, gain: str = "ap", split: str | None = None) -> dict[str, Any]:
    """The accuracy fields of a row of this job, known before it is measured; without `gain` if nothing states it.

    It is what is published, or what one of the rows `scored` measured of the same network in the same precision; the
    latter first if `split` is one of measured accuracies. The interval is `ap_rounding` on either side.
    """
    found = [_repeated(row, job) for row in scored.get(_network_key(job.name, job.recipe), ())] if scored else []
    order = (*found, job.about) if split and split.startswith(MEASURED) else (job.about, *found)
    return next((each for each in order if each.get(gain) is not None), job.about)


def missing_gain(row: Measurement, gain: str) -> str:
    """Why an expected row has no such accuracy, and how it gets one."""
    option = f" --precision {CALIBRATED}" if row.precision == CALIBRATED else ""
    how = f"`paretodet measure NAME{option} --weights FILE --data DATA` measures it"
    if row.precision == CALIBRATED and row.published_ap is not None:
        return f"the published AP is not of a network in {CALIBRATED}; {how}"
    return f"no {noun(gain)} of this network is published or in the store; {how}"


def features_of(rows: Sequence[Measurement]) -> Features:
    """What predictions read of expected rows: names, counts, and how they are executed."""
    names = [parsed(row.name) for row in rows]
    numbers: dict[str, Sequence[float | str | None]] = {
        "macs": [row.macs or None for row in rows],  # a 0 has no logarithm
        "parameters": [row.parameters or None for row in rows],
        "layers": [_layers(row) for row in rows],
        "moved": [_moved(row) for row in rows],
        "side": [math.sqrt(row.height * row.width) if row.height and row.width else None for row in rows],
    }
    if len({row.threads for row in rows}) > 1:
        numbers["threads"] = [row.threads for row in rows]
    words: dict[str, Sequence[float | str | None]] = {
        "runtime": [row.runtime for row in rows],
        "precision": [row.precision for row in rows],
        **{part: [getattr(name, part, None) for name in names] for part in NAMED},
    }
    return of_names([row.name for row in rows], known=numbers | words)


def kinds_of(rows: Sequence[Measurement]) -> tuple[tuple[str, str, str], ...]:
    """[N] the kinds of expected rows that may fail alike, from wide to narrow: the runtime, in it the precision, and
    with these where the network comes from.
    """
    executed = [f"{row.runtime} {row.precision}" for row in rows]
    origins = [_origin(str(row.job.get("name", row.name))) for row in rows]
    return tuple((row.runtime, how, f"{who} in {how}") for row, how, who in zip(rows, executed, origins, strict=True))


def _origin(name: str) -> str:
    """What names like this one are, as a plural: by their prefix, as of `hf:d_fine-n`, or the ending of the file."""
    prefix, colon, _ = name.partition(":")
    if colon:
        return f"{prefix}: models"
    suffix = PurePath(name).suffix
    return f"{suffix} files" if suffix and parsed(name) is None else "detectors of the catalogue"


def expected_seconds(rows: Sequence[Measurement], took: Mapping[int, float]) -> Floats:
    """[N] seconds that the measurement of every expected row may take; `took` has those of the measured, by index."""
    return ExpectedSeconds.of(rows).after(took)


@dataclass(frozen=True)
class ExpectedSeconds:
    """Rough times [N] of measurements with export and compilation, and codes [N] of their runtime and precision."""

    rough: Floats
    groups: NDArray[np.intp]

    @classmethod
    def of(cls, rows: Sequence[Measurement]) -> "ExpectedSeconds":
        code: dict[tuple[str, str], int] = {}
        groups = [code.setdefault((row.runtime, row.precision), len(code)) for row in rows]
        build = {kind.name: kind.build_s for kind in RUNTIMES}
        rough = [_rough_seconds(row, build.get(row.runtime, 0.0)) for row in rows]
        return cls(np.array(rough), np.array(groups, dtype=np.intp))

    def after(self, took: Mapping[int, float]) -> Floats:
        """[N] the times, corrected by those that measurements took, by index.

        They are corrected by the mean ratio to these, and in each runtime and precision by the mean of its own: on the
        log scale, with one imagined measurement that needs no correction.
        """
        if not took:
            return self.rough
        indices = np.array(list(took))
        errors = np.log(np.array(list(took.values())) / self.rough[indices])
        shared = errors.sum() / (errors.size + 1)
        count, groups = int(self.groups.max()) + 1, self.groups[indices]
        sums, sizes = np.bincount(groups, errors - shared, count), np.bincount(groups, minlength=count)
        return np.asarray(self.rough * np.exp(shared + (sums / (sizes + 1))[self.groups]))


def _rough_seconds(row: Measurement, build: float) -> float:
    work = (row.macs or 0) * row.batch / MACS_PER_S
    return PROCESSES_S + build + QUANTIZE_S * (row.precision == CALIBRATED) + CALLS * work


def _network_key(name: str, recipe: Mapping[str, Any]) -> str:
    """Equal for jobs of networks that detect the same: float32 in any runtime, other precisions in their own."""
    precision = recipe.get("precision") or FULL_PRECISION[0]
    kept = {key: value for key, value in recipe.items() if key not in EXECUTION and value is not None}
    own = () if precision in FULL_PRECISION else ("runtime", "precision", "calibration")
    return canonical([name, kept, {key: recipe.get(key) for key in own}])


def _repeated(row: Measurement, job: Job) -> dict[str, Any]:
    """The accuracy of a row for a job of the same network; the source names the row if it is executed otherwise."""
    accuracy, runtime = accuracy_of(row), job.asked.get("runtime", row.runtime)
    other = f"{row.ap_source}, in {row.runtime} (row {row.id[:8]})"
    return accuracy if row.runtime == runtime else accuracy | {"ap_source": other}


def _layers(row: Measurement) -> int | None:
    entry, _ = _entry_like(str(row.job.get("name", row.name)))
    return entry.layers if entry else None


def _moved(row: Measurement) -> float | None:
    """Values, in proportion to the area of the canvas."""
    entry, _ = _entry_like(str(row.job.get("name", row.name)))
    if entry is None or not row.height or not row.width:
        return None
    return entry.moved * row.height * row.width / (entry.height * entry.width)


def _entry_like(name: str) -> tuple[DetectorEntry | None, DetectorName | None]:
    """The entry of the catalogue with the name, or the most like it, and what the name says."""
    entry, part = _entries().get(name), parsed(name)
    return (_nearest(part) if entry is None and part is not None else entry), part


def _counts(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Canvas, parameters and multiply-adds, as fields of a row; empty for names without a catalogue entry like them.

    Of another size than the catalogue's, multiply-adds are in proportion to the area.
    """
    entry, part = _entry_like(str(recipe.get("name", "")))
    if entry is None:
        return {}
    height = recipe.get("height") or (part.height if part else entry.height)
    width = recipe.get("width") or recipe.get("height") or (part.width if part else entry.width)
    area = height * width / (entry.height * entry.width)
    return {
        "height": height,
        "width": width,
        "proposals": part.proposals if part else None,
        "parameters": entry.parameters,
        "macs": round(entry.macs * area),
    }


@cache
def _nearest(part: DetectorName) -> DetectorEntry | None:
    """The entry of the same architecture, backbone and stride with the nearest number of proposals and canvas."""
    family = (part.architecture, part.backbone, part.output_stride)
    alike = [
        entry
        for entry in catalogue.entries()
        if (entry.meta_architecture, entry.backbone, entry.output_stride) == family
    ]

    def distance(entry: DetectorEntry) -> tuple[float, float]:
        proposals = abs(math.log((entry.proposals or 1) / (part.proposals or 1)))
        return proposals, abs(math.log(entry.height * entry.width / (part.height * part.width)))

    return min(alike, key=distance, default=None)


@cache
def _entries() -> dict[str, DetectorEntry]:
    return {entry.name: entry for entry in (*catalogue.entries(), *entries_of_others())}
