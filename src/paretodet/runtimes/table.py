"""Every runtime. A new one is its file and its line here."""

from typing import Any

from paretodet.config import CandidateConfig
from paretodet.runtimes.eager import Eager
from paretodet.runtimes.onnxruntime import OnnxRuntime
from paretodet.runtimes.runtime import Runtime

RUNTIMES: tuple[type[Runtime], ...] = (Eager, OnnxRuntime)


def kind_of(config: CandidateConfig, form: str) -> type[Runtime]:
    """The first runtime that takes networks of `form`."""
    return next(kind for kind in RUNTIMES if form in kind.forms)


def runtime_of(config: CandidateConfig, form: str) -> Runtime:
    """The runtime of a config for networks of `form`.

    Raises ValueError naming the option that the runtime or this machine lacks.
    """
    options: dict[str, Any] = {"device": config.device, "precision": config.precision, "threads": config.threads}
    given = {name: value for name, value in options.items() if value is not None}
    return kind_of(config, form)(batch=config.batch, **given)
