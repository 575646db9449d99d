"""A bundle: a folder with an artifact, what is needed to run it without this package, and the proof that it is right.

`bundle.json` names every file with its size and SHA-256, and holds the SHA-256 of its own content, so that a truncated
or altered bundle is refused before anything of it is opened by a runtime.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from paretodet import schema
from paretodet.config import BUNDLE
from paretodet.errors import InputError
from paretodet.export.open_size import SizeRange
from paretodet.export.proof import Proof
from paretodet.export.target import Suppression
from paretodet.reading import read_bytes, sha256
from paretodet.schema import Count, Finite, Limits, Pixels, SchemaError
from paretodet.transforms.resize_policy import Letterbox, ResizePolicy, ShortSideCrop, Stretch
from paretodet.writing import write_text

FORMAT, VERSION = "paretodet-bundle", 1
DIGEST = "sha256"  # key of the SHA-256 over the rest of the document
MAX_BYTES = 16 * 2**20  # of bundle.json
MAX_FILES, MAX_TOTAL = 256, 64 * 2**30  # files of an artifact, and their bytes

FITS: dict[str, type[ResizePolicy]] = {  # the resize policies of a fixed canvas, as `fit` names them
    "stretch": Stretch,
    "letterbox": Letterbox,
    "short-side-crop": ShortSideCrop,
}

Hash = Annotated[str, Limits(pattern="^[0-9a-f]{64}$")]
Side = Annotated[int, Limits(ge=1, le=2**14)]  # of a canvas; a tensor of boxes is longer


@dataclass(frozen=True, kw_only=True)
class FileEntry:
    """One file of an artifact."""

    sha256: Hash
    bytes: Count


@dataclass(frozen=True, kw_only=True)
class TensorInfo:
    """An input or output of an artifact. `shape` has a text where a side is open."""

    name: str
    type: str  # "uint8", "float32", "int64"
    shape: tuple[Pixels | str, ...]
    meaning: str


@dataclass(frozen=True, kw_only=True)
class Counts:
    """The detector's counts, as a row has them."""

    parameters: Count | None = None
    buffers: Count | None = None
    macs: Count | None = None
    macs_other: Count | None = None
    uncounted: tuple[str, ...] = ()
    activations_mib: Finite | None = None


@dataclass(frozen=True, kw_only=True)
class StatedAccuracy:
    """The accuracy that was published of weights, as a row has it."""

    ap: Finite | None = None
    ap50: Finite | None = None
    ap_split: str | None = None
    ap_source: str | None = None
    ap_rounding: Finite | None = None


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What `bundle.json` holds."""

    name: str  # of the detector, as its rows have it
    target: str  # "onnx": the form of the artifact
    artifact: str  # the one of `files` that a runtime opens; it finds the others by their names
    files: dict[str, FileEntry]
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    height: Side  # of the canvas, px
    width: Side
    batch: Annotated[int, Limits(ge=1, le=2**16)] | None  # images a call; None: any number
    fit: dict[str, str | int]  # how an image is brought to the canvas: `kind`, one of FITS, and its fields
    labels: Annotated[tuple[str | None, ...], Limits(min_length=1)]  # None: an unused slot
    score: Finite | None  # detections that score no more are dropped; None: none are
    nms: Finite | None  # overlap above which a box suppresses another
    keep: Count | None  # detections of an image
    proposals: Count | None
    precision: str  # of most convolutions and matrix products, as they are executed
    precision_layers: dict[str, int] | None  # how many of them are executed in each precision, where it can be read
    weights: str  # "random", or the SHA-256 of the weights file
    load: Literal["data", "capacity"]  # "capacity": every slot is filled, as untrained detectors are measured
    published: bool  # whether the accuracy that was published under `name` is this artifact's
    counts: Counts
    spec: str  # the detector's spec, as JSON
    versions: dict[str, str]  # of the libraries that wrote the artifact
    proof: Proof
    calibration: dict[str, str | int] | None = (
        None  # of int8: the number of images that it was calibrated on, and their SHA-256
    )
    accuracy: StatedAccuracy | None = None  # published of its weights, where the artifact keeps it
    sizes: SizeRange | None = None  # that it takes beside `height` and `width`; None: these alone
    suppression: Suppression | None = None  # in the artifact, or out of it by the program; None: older, as of its form


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A bundle in a folder, and what it says of itself."""

    folder: Path
    manifest: Manifest

    @property
    def artifact(self) -> Path:
        """The file that a runtime opens."""
        return self.folder / self.manifest.artifact

    @property
    def proof(self) -> Proof:
        return self.manifest.proof

    @property
    def fit(self) -> ResizePolicy:
        """How images are brought to the canvas. Raises SchemaError if `bundle.json` describes no such policy."""
        return fit_from_json(self.manifest.fit, what=self.folder / BUNDLE)

    def fit_to(self, size: tuple[int, int] | None) -> ResizePolicy:
        """`fit` to a canvas of (height, width) px; None: to its own."""
        if size is None:
            return self.fit
        height, width = size
        return replace(self.fit, height=height, width=width)  # type: ignore[type-var]


def entries(folder: Path, names: tuple[str, ...]) -> dict[str, FileEntry]:
    """The files of these names in `folder`, as a manifest lists them."""
    paths = {name: folder / name for name in names}
    return {name: FileEntry(sha256=sha256(path), bytes=path.stat().st_size) for name, path in paths.items()}


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Writes `bundle.json` into the folder that holds the files of the artifact."""
    document = {"format": FORMAT, "version": VERSION, **asdict(manifest)}
    text = json.dumps(document | {DIGEST: _digest(document)}, indent=1, ensure_ascii=False, allow_nan=False)
    write_text(folder / BUNDLE, f"{text}\n")


def read_manifest(folder: Path) -> Bundle:
    """The bundle in a folder, without a look at the files of its artifact.

    Raises InputError if there is no `bundle.json`, it was altered, or a newer version of this package wrote it.
    """
    path = folder / BUNDLE
    _refuse_link(folder, (BUNDLE,))
    try:
        document = schema.parse(read_bytes(path, MAX_BYTES), dict, what=path)
    except OSError as error:
        raise InputError(
            f"{path}: {error.strerror or error}; give a folder that holds {BUNDLE}", "bundle-altered"
        ) from None
    except SchemaError as error:
        raise InputError(f"{error.message}; export the bundle again", "bundle-altered") from None
    except InputError as error:
        raise InputError(f"{path}: {error.message}", error.id) from None
    _check_version(path, document)
    stated = document.pop(DIGEST, None)
    if stated != _digest(document):
        raise InputError(
            f"{path}: its content does not have the SHA-256 that it states; export it again", "bundle-altered"
        )
    fields = {key: value for key, value in document.items() if key not in ("format", "version")}
    bundle = Bundle(folder=folder, manifest=schema.convert(fields, Manifest, what=path))
    manifest = bundle.manifest
    schema.parse(manifest.spec, dict, what=f"{path}: spec")
    if bundle.fit.canvas((1, 1)) != (manifest.height, manifest.width):
        raise SchemaError(f"{path}: fit: its canvas is not the one of the artifact")
    return bundle


def read_bundle(folder: Path) -> Bundle:
    """The bundle in a folder, every file of it checked by its size and SHA-256.

    Raises InputError as `read_manifest` does, and if a file is missing, truncated, altered, a link, or outside of the
    folder.
    """
    bundle = read_manifest(folder)
    manifest = bundle.manifest
    if manifest.artifact not in manifest.files or len(manifest.files) > MAX_FILES:
        raise InputError(f"{folder}: {BUNDLE} does not list its artifact {manifest.artifact!r}", "bundle-altered")
    if sum(entry.bytes for entry in manifest.files.values()) > MAX_TOTAL:
        raise InputError(f"{folder}: its files have more than {MAX_TOTAL >> 30} GiB", "file-too-large")
    for name, entry in manifest.files.items():
        _check_file(folder, name, entry)
    return bundle


def fit_to_json(fit: ResizePolicy) -> dict[str, str | int]:
    """A resize policy of a fixed canvas as `bundle.json` holds it. Raises InputError for another one."""
    for kind, policy in FITS.items():
        if type(fit) is policy:
            return {"kind": kind, **asdict(fit)}  # type: ignore[call-overload]
    raise InputError(f"fit: {type(fit).__name__} has no fixed canvas", "option-unsupported")


def fit_from_json(data: Mapping[str, Any], *, what: object) -> ResizePolicy:
    """The resize policy that `fit_to_json` wrote. Raises SchemaError."""
    policy = FITS.get(str(data.get("kind")))
    if policy is None:
        raise SchemaError(f"{what}: fit.kind: got {data.get('kind')!r}, allowed {', '.join(FITS)}")
    return schema.convert({key: value for key, value in data.items() if key != "kind"}, policy, what=f"{what}: fit")


def _check_version(path: Path, document: dict[str, Any]) -> None:
    version = document.get("version")
    if document.get("format") != FORMAT or not isinstance(version, int):
        raise InputError(f"{path}: it is not the {BUNDLE} of a bundle; export the bundle again", "bundle-altered")
    if version > VERSION:
        message = f"{path}: it has version {version}, this paretodet reads up to {VERSION}; update paretodet"
        raise InputError(message, "bundle-newer")


def _check_file(folder: Path, name: str, entry: FileEntry) -> None:
    parts = PurePosixPath(name).parts
    if not parts or {*"\0\\:"} & {*name} or name.startswith("/") or {"..", "."} & {*name.split("/")}:
        raise InputError(f"{folder}: the file {name!r} is outside of the bundle", "bundle-unsafe")
    path = _refuse_link(folder, parts)
    try:
        size = path.stat().st_size
        found = sha256(path) if size == entry.bytes else None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}; copy the whole bundle again", "bundle-altered") from None
    if size != entry.bytes:
        message = f"{path}: it has {size:,} bytes, {entry.bytes:,} are expected; copy the whole bundle again"
        raise InputError(message, "bundle-altered")
    if found != entry.sha256:
        message = f"{path}: it is not the file that was exported (SHA-256); copy the bundle or export it again"
        raise InputError(message, "bundle-altered")


def _refuse_link(folder: Path, parts: tuple[str, ...]) -> Path:
    """The path of a file in `folder`. Raises InputError if a link leads there."""
    path = folder.joinpath(*parts)
    if os.path.realpath(path) != os.path.join(os.path.realpath(folder), *parts):
        raise InputError(f"{path}: it is a link; copy the file into the bundle", "bundle-unsafe")
    return path


def _digest(document: dict[str, Any]) -> str:
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
