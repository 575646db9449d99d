"""The name and the options of a candidate, as data."""

import os
import sys
from dataclasses import asdict, dataclass, fields
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from paretodet.errors import InputError
from paretodet.layouts.files import from_data, read_layout, to_data
from paretodet.layouts.layout import FileLayout
from paretodet.media.calibration import calibration_images
from paretodet.onnx_references import BESIDE, model_hash
from paretodet.reading import is_file, sha256
from paretodet.transforms.resize import SAMPLINGS, Sampling
from paretodet.transforms.resize_policy import FITS

BUNDLE = "bundle.json"  # in a folder that is a bundle, whose name is a name too
NAMED_FILES = {  # endings of names that are files: the key of their SHA-256 in a job
    ".onnx": "weights",
    ".xml": "weights",
    ".tflite": "weights",
    ".torchscript": "weights",
    ".pt2": "weights",
    ".pt": "weights",  # of TorchScript
    ".pth": "weights",
    ".cfg": "cfg",
    ".json": "cfg",
}
NOT_MODULES = ("hf", "tv", __name__.partition(".")[0])  # before the colon of a name: libraries, and this package
MODELS = tuple(BESIDE)  # endings of files of which others are read too
EXECUTION = frozenset(  # options that a runtime honors
    ("runtime", "device", "precision", "calibration", "allow_fallback")
)
PERMISSIONS = frozenset(("trust", "allow_fallback"))  # options that mean nothing to a candidate that does not need them
CALIBRATED = "int8"  # the precision whose ranges are measured on images
CONDITIONS = ("batch", "threads")  # how a candidate is run; every kind of candidate takes them
ALWAYS = frozenset(  # keys that every job has; a job has the key of a later field only if it is set
    ("name", "weights", "height", "width", "score", "nms", "device", "precision", "fit", "labels", *CONDITIONS)
)
NOT_OPTIONS = ("scored_on", "cfg", "file", "bundle", "module")  # keys of a job that no field reads


@dataclass(frozen=True, kw_only=True)
class CandidateConfig:
    """A candidate's name and options. None uses the value that belongs to the name.

    The fields are the only list of a candidate's options: `open_candidate`, the command line, the grid and the jobs of
    rows take them from here. `weights` and `calibration` may also be given as text, `labels` as a list, and
    `layout` as the path of a file or as data. Raises ValueError naming the field that is out of range.
    """

    name: str
    weights: Path | None = None
    height: int | None = None  # of the canvas, px
    width: int | None = None  # None: as the height
    proposals: int | None = None  # of a detector of two stages
    score: float | None = None  # detections that score no more are dropped
    nms: float | None = None  # overlap above which a box suppresses another
    fit: str | None = None  # a key of FITS: how an image is brought to the canvas
    sampling: Sampling | None = None  # how pixels are resampled
    labels: tuple[str | None, ...] | None = None  # names of the classes
    layout: FileLayout | None = None  # what the outputs of a file mean; None: it is recognized
    trust: bool | None = None  # whether a file may run code of its author when it is opened
    runtime: str | None = None  # how it executes: "eager", "compiled", …; None: the first that can
    device: str | None = None  # "cpu", "cuda", "cuda:1"
    precision: str | None = None  # "fp32", "bf16", "int8"; None: fp32, and of an ONNX file its own
    calibration: Path | None = None  # folder of images that int8 is calibrated on; None: the photographs at hand
    allow_fallback: bool | None = None  # whether another precision than this may be executed
    batch: int = 1  # images a call
    threads: int | None = None  # None: as many as torch uses

    def __post_init__(self) -> None:
        for name in ("weights", "calibration"):
            if (path := getattr(self, name)) is not None:
                object.__setattr__(self, name, Path(path))
        if isinstance(self.layout, str | Path):
            object.__setattr__(self, "layout", read_layout(Path(self.layout)))
        elif isinstance(self.layout, dict):
            object.__setattr__(self, "layout", from_data(self.layout))
        if self.labels is not None:
            object.__setattr__(self, "labels", tuple(self.labels))
        for name in ("height", "width", "proposals", "batch", "threads"):
            if (count := getattr(self, name)) is not None and count < 1:
                raise InputError(f"{name}: got {count}, it must be at least 1", "option-range")
        for name in ("score", "nms"):
            if (share := getattr(self, name)) is not None and not 0 <= share <= 1:
                raise InputError(f"{name}: got {share}, it must be in 0..1", "option-range")
        if self.width is not None and self.height is None:
            raise InputError("width: needs a height beside it", "option-conflict")
        if self.calibration is not None and self.precision != CALIBRATED:
            raise InputError(f"calibration: needs precision {CALIBRATED}, which alone uses images", "option-conflict")
        if self.fit is not None and self.fit not in FITS:
            raise InputError(f"fit: got {self.fit!r}, it must be one of {', '.join(FITS)}", "option-value")
        if self.sampling is not None and self.sampling not in SAMPLINGS:
            allowed = ", ".join(SAMPLINGS)
            raise InputError(f"sampling: got {self.sampling!r}, it must be one of {allowed}", "option-value")

    @property
    def size(self) -> tuple[int, int] | None:
        """(height, width) of the canvas, px."""
        return None if self.height is None else (self.height, self.width or self.height)

    @property
    def options(self) -> dict[str, Any]:
        """What is set beside name and conditions, by field."""
        names = (field.name for field in fields(self) if field.name not in ("name", *CONDITIONS))
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    @property
    def as_published(self) -> bool:
        """Whether published accuracy is of this config: it may set how the network executes, and nothing else.

        Quantized to int8, it is another network.
        """
        return self.options.keys() <= EXECUTION | {"trust"} and self.precision != CALIBRATED

    def to_json(self) -> dict[str, Any]:
        """The `job` of a row. It has the names and SHA-256 of files, never their paths.

        The job of a row with measured accuracy also has `scored_on`, which `from_json` leaves out. Raises InputError
        for int8 without images to calibrate it on.
        """
        name = Path(os.path.abspath(self.name)).name if _named_file(self.name) else self.name
        file = {"file": _short_path(self.weights)} if self.weights else {}
        calibrated = self.precision == CALIBRATED and not is_bundle(self.name)
        images = calibration_images(self.calibration).to_json() if calibrated else None
        layout = {"layout": self.layout and to_data(self.layout)}
        values = asdict(self) | layout | {"name": name, "calibration": images} | self._hashes() | file
        return {key: value for key, value in values.items() if value is not None or key in ALWAYS}

    @classmethod
    def from_json(
        cls, job: dict[str, Any], *, weights: Path | None = None, calibration: Path | None = None
    ) -> "CandidateConfig":
        """The config of a row's `job`.

        `weights` is its weights file and `calibration` the folder of its images; an ONNX or cfg file is in the working
        folder. Raises ValueError if a file is missing or has another SHA-256, and for an option that this version
        lacks.
        """
        if not job.get("name"):
            raise InputError("job: this row does not state how it was made", "row-incomplete")
        options = {key: value for key, value in job.items() if key not in NOT_OPTIONS}
        if unknown := sorted(options.keys() - {field.name for field in fields(cls)}):
            raise InputError(f"job: this version has no option {unknown[0]!r}", "row-invalid")
        labels = None if job.get("labels") is None else tuple(job["labels"])
        config = cls(**options | {"weights": weights, "labels": labels, "calibration": calibration})
        config._check_calibration(job.get("calibration"))
        files = config._files() | ({"bundle": Path(config.name) / BUNDLE} if "bundle" in job else {})
        if "module" in job and (module := _module_file(config.name)):
            files["module"] = module
        for key, path in files.items():
            if (got := _sha256(path)) != job.get(key):
                raise InputError(
                    f"{path or 'weights'}: needed with SHA-256 {job.get(key)}, got {got or 'none'}", "file-changed"
                )
        return config

    def _check_calibration(self, wanted: dict[str, Any] | None) -> None:
        """Raises InputError if the images at hand are not those of the row."""
        if wanted and (found := calibration_images(self.calibration).to_json()) != wanted:
            needed, got = (f"{each['images']} images with SHA-256 {each['sha256']}" for each in (wanted, found))
            raise InputError(
                f"calibration: needed are {needed}, got {got}; give their folder by --calibrate DIR", "file-changed"
            )

    def _files(self) -> dict[str, Path | None]:
        """The files that decide what is computed, by the key of their SHA-256."""
        named = _named_file(self.name)
        return {"weights": self.weights} | ({named[0]: named[1]} if named else {})

    def _hashes(self) -> dict[str, str | None]:
        module = _module_file(self.name)
        files = self._files() | ({"module": module} if module else {})
        return {key: _sha256(path) for key, path in files.items()}


def is_bundle(name: str) -> bool:
    """Whether the name is that of a bundle's folder."""
    return is_file(Path(name) / BUNDLE)


def _named_file(name: str) -> tuple[str, Path] | None:
    """The key in a job of the file that decides what a name stands for, and the file; None for other names."""
    if key := NAMED_FILES.get(Path(name).suffix):
        return key, Path(name)
    return ("bundle", Path(name) / BUNDLE) if is_bundle(name) else None


def _module_file(name: str) -> Path | None:
    """The file of the module of `module:make`, found without importing it; None if there is none."""
    module, colon, _ = name.partition(":")
    parts = module.split(".")
    if not colon or parts[0] in NOT_MODULES or not all(map(str.isidentifier, parts)):
        return None
    places, found = [os.getcwd(), *sys.path], None
    for part in parts:
        if (found := PathFinder.find_spec(part, places)) is None:
            return None
        places = list(found.submodule_search_locations or ())
    return Path(found.origin) if found and found.origin and is_file(Path(found.origin)) else None


def _sha256(path: Path | None) -> str | None:
    """None if there is no such file. Over the other files that decide the results of a detector file, too."""
    if not path or not path.is_file():
        return None
    return model_hash(path) if path.suffix in MODELS else sha256(path)


def _short_path(weights: Path) -> str:
    """The name of the file; in the folder of a training also the folder's name, as all trainings use the same names.

    The name of the home folder is left out: it is the user's.
    """
    path = weights.absolute()
    of_training = (path.parent / "run.json").is_file() and path.parent != Path.home()
    return f"{path.parent.name}/{path.name}" if of_training else path.name
