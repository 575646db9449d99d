"""One name, one Candidate: a catalogue name, an ONNX file, `hf:...` or `module:make`."""

import difflib
import importlib
import inspect
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from paretodet.bench.candidate import Candidate
from paretodet.data.fit import Fit, Letterbox, Stretch
from paretodet.detectors import families
from paretodet.detectors.families import Override, UnknownName
from paretodet.detectors.load import at_capacity
from paretodet.guests.published import PUBLISHED as HUB
from paretodet.runtimes.eager import EagerCandidate, Setting, build
from paretodet.weights import safe

FITS: dict[str, Callable[..., Fit]] = {"stretch": Stretch, "letterbox": Letterbox}
EXTRAS = {"onnxruntime": "onnxruntime", "transformers": "transformers"}  # module: extra of this package


@dataclass(frozen=True, kw_only=True)
class Options:
    """What may be asked of a candidate; None leaves it its own. Raises ValueError naming the field."""

    weights: Path | None = None
    device: str | None = None
    precision: str | None = None  # "fp32" or "bf16"
    height: int | None = None  # of the canvas, px
    width: int | None = None
    proposals: int | None = None
    labels: tuple[str | None, ...] | None = None
    score: float | None = None  # detections that score no more are dropped
    nms: float | None = None  # overlap above which a box suppresses another
    fit: str | None = None  # "stretch" or "letterbox"

    def __post_init__(self) -> None:
        for name in ("score", "nms"):
            number = getattr(self, name)
            if number is not None and not 0 <= number <= 1:
                raise ValueError(f"{name}: got {number}, it must be in 0..1")
        if self.fit is not None and self.fit not in FITS:
            raise ValueError(f"fit: got {self.fit!r}, it must be one of {', '.join(FITS)}")
        if (self.height is None) != (self.width is None):
            raise ValueError("height, width: give both or neither")

    @property
    def size(self) -> tuple[int, int] | None:
        return None if self.height is None or self.width is None else (self.height, self.width)

    def given(self) -> dict[str, Any]:
        """The fields that are asked for."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) is not None}

    def only(self, name: str, *known: str) -> dict[str, Any]:
        """The same, after checking that the candidate called `name` knows all of them."""
        if unknown := sorted(self.given().keys() - {*known}):
            raise ValueError(f"{unknown[0]}: {name} has none to set")
        return self.given()


def open_candidate(name: str, *, options: Options | None = None) -> Candidate:
    """The candidate that `name` stands for; picklable as `functools.partial(open_candidate, name, options=...)`.

    A catalogue name, or any other of its form, opens an eager PyTorch detector, at capacity where it has no weights;
    a path that ends in `.onnx` opens under ONNX Runtime; `hf:...` is built from its configuration; `module:make` calls
    that function. Raises UnknownName with the nearest names, ValueError for options that the candidate has not, and
    MissingExtra where a library is not installed.
    """
    options = options or Options()
    try:
        return _opener(name)(name, options)
    except ModuleNotFoundError as error:
        if (extra := EXTRAS.get(error.name or "")) is None:
            raise
        raise MissingExtra(f"{name} needs {error.name}: pip install 'paretodet[{extra}]'") from error


class MissingExtra(ImportError):
    """A library that is not installed; the message says how to install it."""


def needs_weights(name: str) -> bool:
    """Whether `name` opens with random weights unless it is given some."""
    return _opener(name) in (_catalogue, _hub)


def _opener(name: str) -> Callable[[str, Options], Candidate]:
    if name.endswith(".onnx"):
        return _onnx
    if name.startswith("hf:"):
        return _hub
    return _module if ":" in name else _catalogue


def _catalogue(name: str, options: Options) -> Candidate:
    asked = options.given()
    change = {key: asked[key] for key in ("height", "width", "proposals", "labels", "score") if key in asked}
    spec = families.spec(name, Override(**change, overlap=options.nms))
    if options.fit:
        spec = replace(spec, fit=FITS[options.fit](height=spec.height, width=spec.width))
    setting = Setting(**{key: asked[key] for key in ("device", "precision") if key in asked})
    if options.weights is None:
        return EagerCandidate(build(at_capacity(spec), setting.seed), setting=setting)
    detector = build(spec, setting.seed)
    safe.load(detector, options.weights)
    return EagerCandidate(detector, weights=safe.sha256(options.weights), setting=setting)


def _onnx(name: str, options: Options) -> Candidate:
    from paretodet.guests.onnx_file import OnnxCandidate

    asked = options.only(name, "device", "height", "width", "labels", "score", "nms", "fit")
    candidate = OnnxCandidate(
        Path(name).stem,
        Path(name),
        **{key: asked[key] for key in ("device", "score") if key in asked},
        overlap=options.nms,
        size=options.size,
        fit=FITS.get(options.fit or ""),
    )
    candidate.labels = options.labels or ()
    return candidate


def _hub(name: str, options: Options) -> Candidate:
    if name not in HUB:
        near = difflib.get_close_matches(name, HUB, n=3, cutoff=0)
        raise UnknownName(f"{name!r} is not known here; the nearest are {', '.join(near)}")
    from paretodet.guests.hub import HubCandidate
    from paretodet.guests.hub_models import MODELS

    asked = options.only(name, "weights", "device", "precision", "height", "width", "score", "fit")
    return HubCandidate(
        name,
        MODELS[name.removeprefix("hf:")],
        **{key: asked[key] for key in ("weights", "device", "precision", "score") if key in asked},
        size=options.size,
        fit=FITS.get(options.fit or ""),
    )


def _module(name: str, options: Options) -> Candidate:
    """Calls `make` with what is asked for, if it has parameters of these names. Modules of the working folder count."""
    module, _, attribute = name.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        make = getattr(importlib.import_module(module), attribute)
    except AttributeError as error:
        raise UnknownName(f"{name!r}: module {module} has no {attribute!r}") from error
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        raise UnknownName(f"{name!r}: there is no module {error.name}") from error
    known = inspect.signature(make).parameters
    candidate = make(**options.only(name, *known))
    if not isinstance(candidate, Candidate):
        raise ValueError(f"{name} made a {type(candidate).__name__}, which lacks name, prepare, infer or finish")
    return candidate
