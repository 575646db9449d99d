"""One name, one Candidate: a catalogue name, a file of trained weights, an ONNX file, a darknet cfg, `hf:...` or
`module:make`; and its job.
"""

import difflib
import importlib
import inspect
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypedDict, Unpack

from paretodet.adapters.darknet import DarknetCandidate
from paretodet.adapters.darknet_cfg import read_plan
from paretodet.adapters.published import PUBLISHED as HUB
from paretodet.bench.candidate import Candidate
from paretodet.bench.job import Job
from paretodet.detectors import catalogue, families
from paretodet.detectors.catalogue import PublishedAP
from paretodet.detectors.families import Override, UnknownName
from paretodet.detectors.names import parse
from paretodet.detectors.worst_case import fill_every_slot
from paretodet.reading import sha256
from paretodet.runtimes.eager import EagerCandidate, Setting, build
from paretodet.transforms.resize_policy import Letterbox, ResizePolicy, Stretch
from paretodet.weights import files, safe

FITS: dict[str, Callable[..., ResizePolicy]] = {
    "stretch": Stretch,
    "letterbox": Letterbox,
    "letterbox-darknet": partial(Letterbox, undo="darknet"),
}
FILES = (".onnx", ".cfg")  # names that are paths
TRAINED = ".safetensors"  # a path too: weights that say which detector they are of
NOT_BESIDE = "weights: {} is a file of weights itself, leave --weights out"
EXTRAS = {"onnxruntime": "onnxruntime", "transformers": "transformers"}  # module: extra of this package


class CandidateOptions(TypedDict, total=False):
    """What may be asked of a candidate; None, or nothing, leaves it its own."""

    weights: Path | None
    device: str | None  # "cpu", "cuda", "cuda:1"
    precision: str | None  # "fp32" or "bf16"
    height: int | None  # of the canvas, px; alone it stands for both sides
    width: int | None
    proposals: int | None
    labels: tuple[str | None, ...] | None
    score: float | None  # detections that score no more are dropped
    nms: float | None  # overlap above which a box suppresses another
    fit: str | None  # a key of FITS


class MissingExtra(ImportError):
    """A library that is not installed; the message says how to install it."""


def open_candidate(name: str, **options: Unpack[CandidateOptions]) -> Candidate:
    """The candidate that `name` stands for; picklable as `functools.partial(open_candidate, name, ...)`.

    A catalogue name, or any other of its form, opens an eager PyTorch detector; without weights it is at capacity, but
    for a `score` that is asked for. A path that ends in `.safetensors` opens the detector that its weights tell of. One
    that ends in `.onnx` opens under ONNX Runtime, one that ends in `.cfg` as a
    darknet network; `hf:...` is built from its configuration; `module:make` calls that function with the options given.
    Raises UnknownName with the nearest names, ValueError for an option that is out of range or that this candidate does
    not have, MissingExtra where a library is not installed.
    """
    asked = _checked({key: value for key, value in options.items() if value is not None})
    try:
        return _opener(name)(name, asked)
    except ModuleNotFoundError as error:
        if (extra := EXTRAS.get(error.name or "")) is None:
            raise
        raise MissingExtra(f"{name} needs {error.name}: pip install 'paretodet[{extra}]'") from error


def require_weights(name: str, weights: Path | None, *, insisted: bool = False) -> None:
    """Raises ValueError where `name` would open with random weights, unless that is insisted on."""
    if weights is None and not insisted and _opener(name) in (_catalogue, _darknet, _hub):
        raise ValueError(f"{name} has no weights of its own: give --weights FILE, or --untrained to see random boxes")


def check(name: str) -> str:
    """`name`, if it can stand for a candidate, without building one. Raises UnknownName or ValueError."""
    opener = _opener(name)
    if opener is _catalogue:
        _known_detector(name)
    elif opener is _hub:
        _known_guest(name)
    elif opener is _trained:
        read_metadata(Path(name))
    elif opener is _darknet:
        read_plan(Path(name))
    elif opener is _onnx and not Path(name).is_file():
        raise ValueError(f"{name}: no such file")
    return name


def published(name: str) -> tuple[PublishedAP, ...]:
    """What was published of a detector or guest, nothing where nothing was."""
    return HUB.get(name) or catalogue.published(name)


@dataclass(frozen=True, kw_only=True)
class CandidateConfig:
    """One candidate under one setting, as asked for."""

    name: str
    weights: Path | None = None
    height: int | None = None
    width: int | None = None
    score: float | None = None
    nms: float | None = None
    device: str | None = None
    precision: str | None = None
    fit: str | None = None
    labels: tuple[str | None, ...] | None = None
    batch: int = 1
    threads: int | None = None

    def resolved(self) -> "CandidateConfig":
        """Of a file of trained weights: the detector's name, with the file as its weights.

        Raises WeightsError where it does not say, ValueError where weights are given beside it.
        """
        if not self.name.endswith(TRAINED):
            return self
        if self.weights:
            raise ValueError(NOT_BESIDE.format(self.name))
        path = Path(self.name)
        return replace(self, name=read_metadata(path).name, weights=path)

    @property
    def display_name(self) -> str:
        """The name of its rows."""
        if self.name.endswith(FILES):
            return Path(self.name).stem
        told = files.origin(self.weights) if self.weights else None
        return told.display_name(self.name) if told else self.name

    @property
    def file(self) -> Path | None:
        """The file that decides what is computed: its weights, or the whole of an ONNX guest."""
        return Path(self.name) if self.name.endswith(".onnx") else self.weights

    @property
    def changed(self) -> bool:
        """Whether anything is asked for that published accuracy is not of."""
        asked = (self.weights, self.height, self.score, self.nms, self.fit, self.labels)
        return any(each is not None for each in asked)

    def to_json(self) -> dict[str, Any]:
        """A row's `job`. Files are told by name and content, never by where they lie.

        Who measures accuracy adds `scored_on`, which a recipe read back forgets, as it does what the file was called.
        """
        name = Path(self.name).name if self.name.endswith(FILES) else self.name
        called = {"file": _called(self.weights)} if self.weights else {}
        return asdict(self) | {"name": name} | self.contents() | called

    def contents(self) -> dict[str, str | None]:
        """SHA-256 of the weights, and of the cfg where the name is one; None where there is no such file."""
        found = {"weights": self.file} | ({"cfg": Path(self.name)} if self.name.endswith(".cfg") else {})
        return {what: sha256(path) if path and path.is_file() else None for what, path in found.items()}

    @classmethod
    def from_json(cls, data: dict[str, Any], *, weights: Path | None = None) -> "CandidateConfig":
        """The recipe back. `weights` is the file, where there was one; ONNX and cfg guests lie in the working folder.

        Raises ValueError where a file is missing or is another than it was.
        """
        if not data.get("name"):
            raise ValueError("job: this row does not tell how it was made")
        labels = None if data.get("labels") is None else tuple(data["labels"])
        told = {key: value for key, value in data.items() if key not in ("scored_on", "cfg", "file")}
        recipe = cls(**told | {"weights": weights, "labels": labels})
        for kind, found in recipe.contents().items():
            if found != data.get(kind):
                what = recipe.name if kind == "cfg" else recipe.file or "weights"
                raise ValueError(f"{what}: needed with SHA-256 {data.get(kind)}, got {found or 'none'}")
        return recipe


def _called(weights: Path) -> str:
    """A file's name; of a training's, behind that of its folder, as all trainings call theirs alike, where that is not
    the user's home and name.
    """
    path = weights.absolute()
    named = (path.parent / "run.json").is_file() and path.parent != Path.home()
    return f"{path.parent.name}/{path.name}" if named else path.name


def job(recipe: CandidateConfig, *, images: tuple[Path, ...] = ()) -> Job:
    """What the bench measures. Accuracy is as published, and only where nothing that it is of was changed."""
    recipe = recipe.resolved()
    chosen = ("weights", "height", "width", "score", "nms", "device", "precision", "fit", "labels")
    options = {key: getattr(recipe, key) for key in chosen}
    return Job(
        name=recipe.display_name,
        make=partial(open_candidate, recipe.name, **options),
        images=images,
        batch=recipe.batch,
        threads=recipe.threads,
        imports=runtime(recipe.name),
        about={} if recipe.changed else accuracy(recipe.name),
        recipe=recipe.to_json(),
    )


def runtime(name: str) -> tuple[str, ...]:
    """Modules to import before a worker's memory is first looked at, beside those that this one needs."""
    opener = _opener(name)
    return (
        ("paretodet.adapters.onnx_file",) if opener is _onnx else ("paretodet.adapters.hub",) if opener is _hub else ()
    )


def accuracy(name: str) -> dict[str, Any]:
    """A row's accuracy fields: of what was published the first with an AP, else the first; empty where nothing was."""
    known = published(name)
    if not known:
        return {}
    shown = next((each for each in known if each.ap is not None), known[0])
    numbers = {field: getattr(shown, field) for field in ("ap", "ap50", "mask_ap", "mask_ap50")}
    return {**numbers, "ap_split": shown.split, "ap_source": shown.source, "ap_rounding": shown.rounding}


Asked = dict[str, Any]  # the options that are not None


def _opener(name: str) -> Callable[[str, Asked], Candidate]:
    if name.endswith(FILES):
        return _onnx if name.endswith(".onnx") else _darknet
    if name.endswith(TRAINED):
        return _trained
    if name.startswith("hf:"):
        return _hub
    return _module if ":" in name else _catalogue


def _catalogue(name: str, asked: Asked) -> Candidate:
    _known_detector(name)
    told = files.origin(asked["weights"]) if "weights" in asked else None
    if told and _network(told.name) != _network(name):
        raise safe.WeightsError(f"{asked['weights']}: is of {told.name}, not of {name}")
    asked = remembered(told, asked.get("weights")) | asked
    part = {key: asked[key] for key in ("height", "width", "proposals", "labels", "score") if key in asked}
    change = Override(**part, overlap=asked.get("nms"))
    spec = families.spec(name, change)
    if "fit" in asked:
        spec = replace(spec, fit=asked["fit"](height=spec.height, width=spec.width))
    spec = told.apply_to(spec) if told else spec
    setting = Setting(**{key: asked[key] for key in ("device", "precision") if key in asked})
    if "weights" not in asked:
        full = families.with_selection(fill_every_slot(spec), change)
        return EagerCandidate(build(full, setting.seed), setting=setting)
    detector = build(spec, setting.seed)
    files.load(detector, asked["weights"])
    return EagerCandidate(detector, weights=sha256(asked["weights"]), setting=setting)


def _trained(name: str, asked: Asked) -> Candidate:
    if "weights" in asked:
        raise ValueError(NOT_BESIDE.format(name))
    return _catalogue(read_metadata(Path(name)).name, asked | {"weights": Path(name)})


def read_metadata(path: Path) -> files.WeightsMetadata:
    """Which detector a file of weights belongs to. Raises WeightsError where there is none or it does not say."""
    if not path.is_file():
        raise safe.WeightsError(f"{path}: no such file")
    if (told := files.origin(path)) is None:
        raise safe.WeightsError(f"{path} does not say which detector it belongs to: give its NAME and --weights")
    try:
        _known_detector(told.name)  # never a module:make, which would run code, nor another file
    except UnknownName as error:
        raise safe.WeightsError(f"{path}: {error}") from None
    return told


def _network(name: str) -> tuple[str, str | None]:
    """Whose weights fit each other, whatever the canvas."""
    part = parse(name)
    return part.architecture, part.backbone


def remembered(told: files.WeightsMetadata | None, path: Path | None) -> Asked:
    """How the weights file `path` says it wants to be used. Raises WeightsError where that cannot be."""
    wanted = {key: getattr(told, key) for key in ("labels", "fit", "score", "nms")} if told else {}
    try:
        return _checked({key: value for key, value in wanted.items() if value is not None})
    except ValueError as error:
        raise safe.WeightsError(f"{path}: what it says of its use cannot be: {error}") from None


def _onnx(name: str, asked: Asked) -> Candidate:
    from paretodet.adapters.onnx_file import OnnxCandidate

    _only(name, asked, ("device", "height", "width", "labels", "score", "nms", "fit"))
    chosen = {key: asked[key] for key in ("device", "score", "labels", "fit") if key in asked}
    return OnnxCandidate(Path(name).stem, Path(name), **chosen, overlap=asked.get("nms"), size=_size(asked))


def _darknet(name: str, asked: Asked) -> Candidate:
    _only(name, asked, ("weights", "device", "precision", "height", "width", "labels", "score", "nms", "fit"))
    setting = Setting(**{key: asked[key] for key in ("device", "precision") if key in asked})
    chosen: Asked = {key: asked[key] for key in ("weights", "labels", "score", "fit") if key in asked}
    if "nms" in asked:
        chosen["overlap"] = asked["nms"]
    return DarknetCandidate(Path(name), **chosen, device=setting.device, precision=setting.precision, size=_size(asked))


def _hub(name: str, asked: Asked) -> Candidate:
    _known_guest(name)
    from paretodet.adapters.hub import HubCandidate
    from paretodet.adapters.hub_models import MODELS

    _only(name, asked, ("weights", "device", "precision", "height", "width", "labels", "score", "fit"))
    Setting(**{key: asked[key] for key in ("device", "precision") if key in asked})  # refuses what torch cannot use
    chosen = {key: value for key, value in asked.items() if key not in ("height", "width")}
    return HubCandidate(name, MODELS[name.removeprefix("hf:")], **chosen, size=_size(asked))


def _known_detector(name: str) -> None:
    try:
        families.spec(name)
    except UnknownName:
        raise
    except ValueError as error:
        raise UnknownName(f"{name!r}: {error}; the nearest: {', '.join(catalogue.nearest(name))}") from error


def _known_guest(name: str) -> None:
    if name not in HUB:
        near = difflib.get_close_matches(name, HUB, n=3, cutoff=0)
        raise UnknownName(f"{name!r} is no guest known here; the nearest: {', '.join(near)}")


def _module(name: str, asked: Asked) -> Candidate:
    """Calls `make` with what is asked for, if it has parameters of these names. Modules of the working folder count."""
    module, _, attribute = name.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    if not all(map(str.isidentifier, module.split("."))):
        raise UnknownName(f"{name!r}: {module!r} is no name of a module; it is what stands behind `import`, no path")
    try:
        make = getattr(importlib.import_module(module), attribute, None)
    except ModuleNotFoundError as error:
        if not f"{module}.".startswith(f"{error.name}."):
            raise
        raise UnknownName(f"{name!r}: there is no module {error.name!r}") from error
    except Exception as error:
        raise ValueError(f"{name}: importing {module} raised {type(error).__name__}: {error}") from error
    if not callable(make):
        raise UnknownName(f"{name!r}: module {module} has no function {attribute!r}")
    known = inspect.signature(make).parameters
    asked = {key: value for key, value in asked.items() if key != "labels" or key in known}  # names are the reader's
    _only(name, asked, known)
    try:
        candidate = make(**asked)
    except Exception as error:
        raise ValueError(f"{name} raised {type(error).__name__}: {error}") from error
    if not isinstance(candidate, Candidate):
        raise ValueError(f"{name} made a {type(candidate).__name__}, which lacks name, prepare, infer or finish")
    return candidate


def _checked(asked: Asked) -> Asked:
    """Raises ValueError naming the option; the name of a fit becomes what makes it."""
    for name in ("score", "nms"):
        if not 0 <= asked.get(name, 0) <= 1:
            raise ValueError(f"{name}: got {asked[name]}, it must be in 0..1")
    if "width" in asked and "height" not in asked:
        raise ValueError("width: needs a height beside it")
    if "fit" not in asked:
        return asked
    if asked["fit"] not in FITS:
        raise ValueError(f"fit: got {asked['fit']!r}, it must be one of {', '.join(FITS)}")
    return {**asked, "fit": FITS[asked["fit"]]}


def _only(name: str, asked: Asked, known: Any) -> None:
    if unknown := sorted(asked.keys() - set(known)):
        raise ValueError(f"{unknown[0]}: {name} has none to set")


def _size(asked: Asked) -> tuple[int, int] | None:
    return (asked["height"], asked.get("width") or asked["height"]) if "height" in asked else None
