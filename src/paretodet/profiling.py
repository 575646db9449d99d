"""Profiles a candidate by name, and finds what else could run it on this machine."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from paretodet.bench import profiling
from paretodet.bench.job import Plan
from paretodet.bench.process import WorkerError
from paretodet.bench.synthetic_images import IMAGE_COUNT
from paretodet.config import CandidateConfig
from paretodet.errors import InputError, words
from paretodet.media.photographs import photographs
from paretodet.opening import job
from paretodet.records.profile import Profile
from paretodet.runtimes.table import kind_of, no_profiler
from paretodet.sources.table import check, resolved, source_of
from paretodet.sweep.executions import ALL, DEFAULT, executions


def profile(
    config: CandidateConfig,
    *,
    images: Path | None = None,
    notify: Callable[[str], None] = lambda phase: None,
) -> Profile:
    """The times of the layers of a candidate, on the first of the images that `measure` would take.

    Raises UnknownName with the nearest names, MissingExtra for a library that is not installed, and InputError for an
    option that is out of range, or if the candidate fails or its runtime does not time layers.
    """
    check(config.name)
    source = source_of(config.name)
    form = source.form_of(config)
    if form and form not in (kind := kind_of(config, form)).timed_forms:
        raise no_profiler(kind, form, source.spec(config))
    found = photographs(images, limit=IMAGE_COUNT * config.batch)
    try:
        return profiling.profile(job(config, images=found.paths), Plan(), notify)
    except WorkerError as error:
        raise InputError(f"{config.name}: {words(error)}", "profile-failed") from None


def alternatives(config: CandidateConfig, profile: Profile) -> tuple[tuple[str, str], ...]:
    """Every other (runtime, precision) that can run the candidate here; empty if nothing can.

    What is stored in another precision than float32 runs as it is stored.
    """
    config = resolved(config)
    if source_of(config.name).form_of(config) is None:
        return ()
    own = _own_precision(config, profile)
    try:
        every = executions([config], runtimes=(ALL,), precisions=(ALL,)).configs
    except InputError:  # nothing is left
        return ()
    stored = own not in (DEFAULT, None)
    pairs = [(each.runtime, each.precision or own) for each in every if not (stored and each.precision)]
    found = ((runtime, precision) for runtime, precision in pairs if runtime and precision)
    return tuple(dict.fromkeys(pair for pair in found if pair != (profile.runtime, profile.precision)))


def _own_precision(config: CandidateConfig, profile: Profile) -> str | None:
    """The precision where none is asked for; None if it is another one than was profiled, and nothing tells it."""
    source = source_of(config.name)
    if not source.is_stored:
        return DEFAULT
    is_fixed = source.completed(replace(config, precision=None, calibration=None)).precision is not None
    return profile.precision if is_fixed or config.precision in (None, DEFAULT) else None
