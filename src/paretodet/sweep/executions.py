"""Runtimes and precisions to measure: lists of names, or all that can run a candidate on this machine."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from paretodet.config import CALIBRATED, CandidateConfig
from paretodet.errors import InputError, WithId
from paretodet.extras import MissingExtra
from paretodet.media.calibration import calibration_images
from paretodet.runtimes.runtime import Runtime
from paretodet.runtimes.table import ARTICLES, RUNTIMES, default_kind, kind_named
from paretodet.sources.source import Source
from paretodet.sources.table import source_of

ALL = "all"
DEFAULT, DEVICE = "fp32", "cpu"  # the precision and device of a config that names none
OF_MACHINE = ("extra-missing", "device-missing")  # errors that do not depend on the candidate
MAX_NAMES = 3  # in a sentence


class Refusal(NamedTuple):
    """A config in a runtime that cannot run it here, and why."""

    config: CandidateConfig
    error: WithId


class Executions(NamedTuple):
    """Configs that can run, those that cannot, and a sentence for every reason why some cannot or were left out."""

    configs: tuple[CandidateConfig, ...]
    refused: tuple[Refusal, ...] = ()
    left_out: tuple[str, ...] = ()


def executions(
    configs: Sequence[CandidateConfig],
    *,
    runtimes: Sequence[str] = (),
    precisions: Sequence[str] = (),
    calibration: Path | None = None,
    refuse_absent: bool = False,
) -> Executions:
    """Every config in every runtime and precision, names of which may be "all": those that can run it here.

    One runtime and one precision are set as they are. Of several runtimes, one that cannot run a config is refused: it
    does not take such networks, cannot use the device or, under "all", is not installed; with `refuse_absent`, one that
    is named too, also if it is the only one. A config whose source needs a library that is not installed is refused as
    well. A precision that a runtime or a bundle does not have is left out, and under "all" int8 if there are no images
    to calibrate it on, which are those of the folder `calibration`. A file has the precision that it is stored in,
    unless one is named. Candidates that run themselves have no runtime. Raises ValueError for a runtime that does not
    exist, MissingExtra for one that is named and not installed, InputError if nothing is left, or nothing to calibrate
    where a folder is given.
    """
    if len(runtimes) < 2 and len(precisions) < 2 and ALL not in (*runtimes, *precisions) and not refuse_absent:
        given = {"runtime": [*runtimes, None][0], "precision": [*precisions, None][0]}
        change: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        return Executions(_checked(tuple(_changed(config, calibration, **change) for config in configs), calibration))
    strict = ALL not in runtimes and not refuse_absent
    grid = _Grid(runtimes=runtimes, precisions=precisions, calibration=calibration, strict=strict)
    found = tuple(dict.fromkeys(each for config in configs for each in grid.of(config)))
    if not found:
        raise InputError(f"runtime, precision: nothing is left to measure; {'; '.join(grid.sentences)}", "option-value")
    refused = tuple(Refusal(*pair) for pair in grid.refused.items())
    return Executions(_checked(found, calibration), refused, grid.sentences)


def not_in_space(reason: str) -> str:
    """What a search says of what cannot run."""
    return f"Not in the space: {reason}."


def _changed(config: CandidateConfig, folder: Path | None, **change: Any) -> CandidateConfig:
    """The config with these options; in int8 it is calibrated on the images of `folder`, else on its own, unless it is
    stored in int8.
    """
    bare, images = replace(config, calibration=None, **change), folder or config.calibration
    takes = bare.precision == CALIBRATED and "calibration" in source_of(bare.name).options
    return replace(bare, calibration=images) if images and takes else bare


def _checked(configs: tuple[CandidateConfig, ...], folder: Path | None) -> tuple[CandidateConfig, ...]:
    """The configs. Raises InputError if a folder of images is given, and none of them is quantized on it."""
    if folder and all(config.calibration is None for config in configs):
        message = f"calibration: needs precision {CALIBRATED}, which alone uses images, of something that is no bundle"
        raise InputError(message, "option-conflict")
    return configs


@dataclass(frozen=True, kw_only=True)
class _Grid:
    runtimes: Sequence[str]
    precisions: Sequence[str]
    calibration: Path | None
    strict: bool  # whether a runtime that is not installed is an error
    reasons: dict[str, list[str]] = field(default_factory=dict)  # why -> names of candidates; none: of all
    refused: dict[CandidateConfig, WithId] = field(default_factory=dict)

    @property
    def sentences(self) -> tuple[str, ...]:
        return tuple(f"{why} ({_some(names)})" if names else why for why, names in self.reasons.items())

    def of(self, config: CandidateConfig) -> Iterator[CandidateConfig]:
        source = source_of(config.name)
        if self._lacks_library(config, source):
            return
        form = source.form_of(config)
        if form is None:
            asked = () if ALL in self.precisions else self.precisions
            named: Sequence[str | None] = asked or (config.precision,)
            yield from (_changed(config, self.calibration, precision=precision) for precision in named)
            return
        for kind in self._kinds(config, form):
            if error := self._error(kind, form, config, source):
                self.refused[replace(config, runtime=kind.name)] = error
                self._leave_out(error.message, None if error.id in OF_MACHINE else config)
                continue
            for precision in self._precisions(kind, config, source):
                yield _changed(config, self.calibration, runtime=kind.name, precision=precision)

    def _lacks_library(self, config: CandidateConfig, source: Source) -> bool:
        """Whether the library of its source is not installed, so that the config is refused."""
        try:
            source.require()
        except MissingExtra as error:
            self.refused[config] = error
            self._leave_out(error.message)
            return True
        return False

    def _kinds(self, config: CandidateConfig, form: str) -> list[type[Runtime]]:
        """The wanted runtimes. Raises ValueError for a name that is none."""
        if ALL in self.runtimes:
            return [kind for kind in RUNTIMES if form in kind.forms]
        names = self.runtimes or ((config.runtime,) if config.runtime else ())
        return [kind_named(name) for name in names] or [default_kind(form)]

    def _error(self, kind: type[Runtime], form: str, config: CandidateConfig, source: Source) -> WithId | None:
        """Why a runtime cannot run a config. Raises MissingExtra if it is not installed, and that is an error."""
        if form not in kind.forms:
            return InputError(f"runtime: {kind.name} cannot run {ARTICLES[form]}", "option-unsupported")
        if why := kind.refusal(form, source.spec(config)):
            return InputError(why, "option-unsupported")
        try:
            kind.require(form)
        except MissingExtra as error:
            if self.strict:
                raise
            return error
        device = config.device or DEVICE
        if not kind.usable(device):
            return InputError(f"device: {kind.name} cannot use {device} here", "device-missing")
        return None

    def _precisions(self, kind: type[Runtime], config: CandidateConfig, source: Source) -> Iterator[str | None]:
        """None: the precision that the candidate has if none is asked for."""
        device, lacks = config.device or DEVICE, f"precision: {kind.name} has no {{}} on {config.device or DEVICE} here"
        known, own = kind.usable(device), source.completed(_changed(config, None, precision=None)).precision
        asked = self.precisions or ((config.precision,) if config.precision else ())
        named = () if ALL in asked else asked
        if own and not kind.accepts(device, own):
            self._leave_out(lacks.format(own))
        elif own and named and own not in named:
            self._leave_out(f"precision: it is stored in {own}; export another one as {' or '.join(named)}", config)
        elif own or "precision" not in source.options:
            yield None
        elif ALL in self.precisions:
            wanted = (each for each in known if each != CALIBRATED or self._has_images(config))
            yield from (None if each == DEFAULT else each for each in wanted)
        else:
            for precision in named or (DEFAULT,):
                if precision not in known:
                    self._leave_out(lacks.format(precision))
                else:  # a file may be stored in another one than the default
                    yield None if precision == DEFAULT and not (named and source.is_stored) else precision

    def _has_images(self, config: CandidateConfig) -> bool:
        try:
            calibration_images(self.calibration or config.calibration)
        except InputError as error:
            self._leave_out(error.message)
            return False
        return True

    def _leave_out(self, why: str, config: CandidateConfig | None = None) -> None:
        names = self.reasons.setdefault(why, [])
        if config and config.name not in names:
            names.append(config.name)


def _some(names: Sequence[str]) -> str:
    more = len(names) - MAX_NAMES
    return ", ".join(names[:MAX_NAMES]) + (f" and {more} more" if more > 0 else "")
