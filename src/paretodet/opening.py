"""A name and its options become a Candidate, or a job that the bench measures."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from paretodet.bench.candidate import Candidate
from paretodet.bench.job import Job
from paretodet.candidate import NetworkCandidate
from paretodet.config import CALIBRATED, CandidateConfig
from paretodet.errors import InputError, WithId
from paretodet.records.measurement import published_fields
from paretodet.runtimes.table import default_kind, kind_of, runtime_of, without_default
from paretodet.sources.table import resolved, source_of
from paretodet.weights import published


def open_candidate(name: Path | str, **options: Any) -> Candidate:
    """The candidate of this name. `options` are the fields of CandidateConfig; None leaves the candidate's own value.

    A name of the catalogue, or of its form, is a detector of this package; without weights it is at capacity unless a
    `score` is set. A path that ends in `.safetensors` is the detector that its weights belong to, one in `.onnx` an
    ONNX file, one in `.xml` a model of OpenVINO, one in `.tflite` a LiteRT file, one in `.torchscript` or `.pt2` a
    program of torch, one in `.cfg` a darknet network; a folder that `export` wrote is its artifact. `hf:NAME` and a
    `config.json` of transformers are built from the configuration, `tv:NAME` by torchvision; `module:function` calls
    that function with the options. Raises UnknownName with the nearest names, ValueError for an option that is out of
    range or that this candidate does not have, MissingExtra if a library is not installed.

    >>> import paretodet
    >>> candidate = paretodet.open("ssd-mobilenet_v1-300", score=0.3)
    >>> candidate.name
    'ssd-mobilenet_v1-300'
    """
    return open_config(
        CandidateConfig(name=str(name), **{key: value for key, value in options.items() if value is not None})
    )


def open_config(config: CandidateConfig) -> Candidate:
    """The candidate of a config, as `open_candidate`; picklable as `functools.partial(open_config, config)`."""
    source = source_of(config.name)
    source.check_options(config)
    form, completed = source.form_of(config), source.completed(config)
    runtime = runtime_of(completed, form) if form else None
    loaded = source.load(config)
    if isinstance(loaded, Candidate):
        return loaded
    as_stored = source.is_stored and completed.precision is None  # a file has its own precision
    return NetworkCandidate(loaded, runtime, allow_fallback=bool(config.allow_fallback) or as_stored)


def job(config: CandidateConfig, *, images: tuple[Path, ...] = ()) -> Job:
    """The job that measures a config.

    It has the published accuracy, of its weights if their file states one, unless an option may change the accuracy. If
    only quantization may, the published accuracy stands beside it, in `published_ap`.

    Raises ValueError if the file does not say which detector its weights belong to, or if the config's runtime cannot
    run the candidate, MissingExtra if that runtime is not installed.
    """
    config = resolved(config)
    source = source_of(config.name)
    form = source.form_of(config)
    config = without_default(config, form) if form else config
    kind = kind_of(config, form) if form else None
    return Job(
        name=source.display_name(config),
        make=partial(open_config, config),
        images=images,
        batch=config.batch,
        threads=config.threads,
        imports=source.imports + (kind.imports(form) if kind and form else ()),
        about=_accuracy(config),
        recipe=config.to_json(),
        asked=_asked(config) | ({"runtime": kind.name} if kind else {}),
    )


def config_of_row(
    recipe: Mapping[str, Any],
    *,
    weights: Path | None = None,
    calibration: Path | None = None,
    trust: bool | None = None,
) -> CandidateConfig:
    """The config of a row's `job`, as `CandidateConfig.from_json`. Whoever wrote the row may be another person.

    So the row does not decide whether code of its author may run: raises InputError unless the caller trusts it.
    """
    is_code = source_of(str(recipe.get("name", ""))).is_code
    if is_code and not trust:
        message = f"{recipe['name']}: this row runs a Python function; add --trust if you trust the row and the module"
        raise InputError(message, "trust-needed")
    config = CandidateConfig.from_json(dict(recipe), weights=weights, calibration=calibration)
    return replace(config, trust=((config.trust or is_code) and trust) or None)


def _accuracy(config: CandidateConfig) -> dict[str, Any]:
    """The row's fields of published accuracy."""
    accuracy = source_of(config.name).accuracy_of(replace(config, precision=None, calibration=None))
    return published_fields(accuracy) if accuracy and config.precision == CALIBRATED else accuracy


def refused_job(config: CandidateConfig, error: WithId) -> Job:
    """The job of a config that cannot run on this machine: its row is the error.

    It has the recipe of `job`, so that a row that is measured later takes the place of the error.
    """
    source = source_of(config.name)
    form = source.form_of(config)
    is_default = form is not None and config.runtime == default_kind(form).name
    return Job(
        name=source.display_name(config),
        make=partial(open_config, config),
        batch=config.batch,
        threads=config.threads,
        recipe=(replace(config, runtime=None) if is_default else config).to_json(),
        asked=_asked(config) | ({"runtime": config.runtime} if config.runtime else {}),
        refused=str(error),
    )


def job_elsewhere(config: CandidateConfig, recipe: Mapping[str, Any], *, runtime: str | None, threads: int) -> Job:
    """The job by which another machine measures a config as `recipe` says, in this runtime and with so many threads.

    It cannot be measured here, where its runtime may be missing.
    """
    made = job(replace(config, runtime=None, precision=None, calibration=None))
    precision = recipe.get("precision")
    asked = _asked(replace(config, precision=precision)) | ({"runtime": runtime} if runtime else {})
    about = published_fields(made.about) if made.about and precision == CALIBRATED else made.about
    return replace(made, recipe=dict(recipe), asked=asked, about=about, threads=config.threads or threads, imports=())


def _asked(config: CandidateConfig) -> dict[str, str]:
    return {name: value for name in ("device", "precision") if (value := getattr(config, name))}


def require_weights(name: str, weights: Path | None, *, insisted: bool = False) -> None:
    """Raises ValueError if `name` would open with random weights, unless that is insisted on.

    The message says which command gets weights that are published for it.
    """
    source = source_of(name)
    if weights is not None or insisted or not source.is_random(name):
        return
    commands = " or ".join(f"`paretodet weights get {each.name}`" for each in published.of_detector(name))
    known = f" ({commands} gets published ones)" if commands else ""
    takes = f"give --weights FILE{known}" if "weights" in source.options else "export it again with --weights FILE"
    message = f"{name} has no weights of its own: {takes}, or --untrained to see random boxes"
    raise InputError(message, "weights-needed")
