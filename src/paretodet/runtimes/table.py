"""Every runtime, as listed in `names`, and the choice of one."""

from dataclasses import replace
from importlib import import_module

from paretodet.config import CandidateConfig
from paretodet.detectors.spec import DetectorSpec
from paretodet.errors import InputError
from paretodet.runtimes.names import CLASSES
from paretodet.runtimes.runtime import Runtime

ARTICLES = {
    "torch": "a torch module",
    "onnx": "an ONNX file",
    "torch-program": "a program of torch",
    "openvino": "a model of OpenVINO",
    "tflite": "a LiteRT file",
    "onnx-bundle": "a bundle with an ONNX file",
    "openvino-bundle": "a bundle with a model of OpenVINO",
    "executorch-bundle": "a bundle with a program of ExecuTorch",
    "litert-bundle": "a bundle with a LiteRT file",
    "ncnn-bundle": "a bundle with a network of ncnn",
    "aotinductor-bundle": "a bundle with a package of AOTInductor",
    "torch-bundle": "a bundle with a program of torch",
}
RUNTIMES: tuple[type[Runtime], ...] = tuple(
    getattr(import_module(f"paretodet.runtimes.{name.replace('-', '_')}"), kind) for name, kind in CLASSES.items()
)


def kind_of(config: CandidateConfig, form: str) -> type[Runtime]:
    """The runtime that the config names, else the first that takes networks of `form`.

    Raises ValueError if there is none of that name, or it does not take them.
    """
    if config.runtime is None:
        return default_kind(form)
    kind = kind_named(config.runtime)
    if form not in kind.forms:
        raise InputError(f"runtime: {kind.name} cannot run {config.name}: it is {ARTICLES[form]}", "option-unsupported")
    return kind


def kind_named(name: str) -> type[Runtime]:
    """The runtime of this name. Raises ValueError if there is none."""
    kinds = {kind.name: kind for kind in RUNTIMES}
    if (kind := kinds.get(name)) is None:
        raise InputError(f"runtime: got {name!r}, it must be one of {', '.join(kinds)}", "option-value")
    return kind


def without_default(config: CandidateConfig, form: str) -> CandidateConfig:
    """The config without a runtime that it would have anyway: one candidate has one job.

    Raises ValueError as `kind_of` does, and MissingExtra if a runtime that the config names is not installed.
    """
    if config.runtime is None:
        return config
    kind = kind_of(config, form)
    kind.require(form)
    return replace(config, runtime=None) if kind is default_kind(form) else config


def default_kind(form: str) -> type[Runtime]:
    """The first runtime that takes networks of `form`."""
    return next(kind for kind in RUNTIMES if form in kind.forms)


def others(runtime: Runtime, form: str, spec: DetectorSpec | None) -> tuple[str, ...]:
    """The other runtimes that take networks like this one on the same device in the same precision."""
    kinds = (kind for kind in RUNTIMES if kind is not type(runtime) and form in kind.forms)
    able = (kind for kind in kinds if kind.refusal(form, spec) is None)
    return tuple(kind.name for kind in able if runtime.precision in kind.usable(runtime.device))


def no_profiler(kind: type[Runtime], form: str, spec: DetectorSpec | None) -> InputError:
    """The error of a runtime that does not time the layers of such networks, with those that do."""
    names = [each.name for each in RUNTIMES if form in each.timed_forms and each.refusal(form, spec) is None]
    instead = f"--runtime {' or '.join(names)} does" if names else "no runtime does: profile what it was made of"
    return InputError(f"profile: {kind.name} does not time the layers of {ARTICLES[form]}; {instead}", "profile-failed")


def runtime_of(config: CandidateConfig, form: str) -> Runtime:
    """The runtime of a config for networks of `form`.

    Raises ValueError naming the option that the runtime or this machine lacks.
    """
    options = {name: getattr(config, name) for name in ("device", "precision", "calibration", "threads")}
    given = {name: value for name, value in options.items() if value is not None}
    return kind_of(config, form)(batch=config.batch, **given)
