"""Checkpoints that survive a crash: one folder for each, either complete or absent.

`step-00001000/` contains `weights.safetensors` (for use: the averages if the recipe has an EMA), `training.safetensors`
(what else a resumed training needs) and `state.json` with the hashes of both. The folder is written under another name,
flushed to the disk and renamed.
"""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from paretodet import schema
from paretodet.errors import ErrorId, InputError, WithId, words
from paretodet.reading import read_bytes, sha256
from paretodet.schema import Closed, Count, Open
from paretodet.training.differences import differences
from paretodet.writing import write_text, written

FORMAT = 2
STATE = "state.json"
WEIGHTS, TRAINING = "weights.safetensors", "training.safetensors"
UNFINISHED = ".unfinished"  # suffix of a folder while it is written or removed


class CheckpointError(WithId, RuntimeError):
    """A checkpoint that cannot be written or read: its path, the reason, and the newest other checkpoint."""

    def __init__(self, message: str, id: ErrorId = "checkpoint-damaged") -> None:
        super().__init__(message, id)


class _Format(Open, frozen=True):
    format: int


class _Hashes(Closed, frozen=True, rename={"weights": WEIGHTS, "training": TRAINING}):
    weights: str
    training: str


class _State(Closed, frozen=True):
    """The content of `state.json`."""

    format: int
    files: _Hashes
    step: Count
    position: Any
    recipe: dict[str, Any]
    spec: dict[str, Any]
    data: Any = None


class Snapshot(NamedTuple):
    """The state of a training between two updates; everything but the tensors is JSON data."""

    step: int  # updates made
    spec: dict[str, Any]
    recipe: dict[str, Any]
    position: Any  # in the data
    weights: Mapping[str, Tensor]
    training: Mapping[str, Tensor]
    data: Any = None  # identifies the data set, to refuse another one


def save(folder: Path, snapshot: Snapshot, *, keep: int = 3, metadata: Mapping[str, str] | None = None) -> Path:
    """Write a checkpoint into `folder`, then remove all but the newest `keep`. A folder has one writer at a time.

    `metadata`: what its file of weights states.

    Raises CheckpointError if it cannot be written; the earlier checkpoints are then unchanged.
    """
    if keep < 1:
        raise InputError(f"keep: got {keep}, allowed 1 or more", "option-range")
    target = folder / f"step-{snapshot.step:08d}"
    temporary = folder / f"{target.name}{UNFINISHED}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        remove_unfinished(folder)
        _write(temporary, snapshot, metadata)
        os.rename(temporary, target)
        _flush(folder)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        reason = getattr(error, "strerror", None) or error
        raise CheckpointError(
            f"{target}: checkpoint not written ({reason}); {_newest_other(folder)}", "output-unwritable"
        ) from error
    for old in _all(folder)[:-keep]:
        _remove(old)
    return target


def latest(folder: Path) -> Path | None:
    """The newest checkpoint in `folder`, None if there is none."""
    found = _all(folder)
    return found[-1] if found else None


def load(path: Path) -> Snapshot:
    """Read a checkpoint. Raises CheckpointError if it is damaged, or not a checkpoint that this version reads."""
    if not path.exists():
        way = "processes on several machines need one run folder that all of them see"
        raise CheckpointError(f"{path}: this process finds no such folder; {way}", "file-missing")
    try:
        state = _state(path)
        for name, wanted in ((WEIGHTS, state.files.weights), (TRAINING, state.files.training)):
            if sha256(path / name) != wanted:
                reason = f"the SHA-256 of {name} is not the one in {STATE}"
                raise CheckpointError(f"{path}: damaged ({reason}); {_newest_other(path.parent, path)}")
        fields = {key: getattr(state, key) for key in ("step", "spec", "recipe", "position", "data")}
        return Snapshot(**fields, weights=load_file(path / WEIGHTS), training=load_file(path / TRAINING))
    except (OSError, ValueError, SafetensorError) as error:
        reason = words(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        other = _newest_other(path.parent, path)
        raise CheckpointError(f"{path}: not a complete checkpoint ({reason}); {other}") from error


def _state(path: Path) -> _State:
    text = read_bytes(path / STATE, schema.MAX_BYTES)
    found = schema.parse(text, _Format, what=STATE).format
    if found != FORMAT:
        raise CheckpointError(
            f"{path}: cannot be resumed, its format is {found} and this version reads {FORMAT}; {_new_folder(path)}",
            "checkpoint-other",
        )
    return schema.parse(text, _State, what=STATE)


def refuse_others(
    path: Path, snapshot: Snapshot, spec: dict[str, Any], recipe: dict[str, Any], data: Any = None
) -> None:
    """Raises CheckpointError naming the fields in which the detector, the recipe or the data of the checkpoint differ.

    Differences in `steps`, `accumulate` and `assumption` are allowed: a training may be made longer, and its passes
    smaller where memory runs out. Data of the same content may have another name.
    """
    allowed = {key: recipe[key] for key in ("steps", "accumulate", "assumption") if key in recipe}
    faults = differences(snapshot.spec, spec, "spec")
    faults += differences(snapshot.recipe | allowed, recipe, "recipe")
    faults += _of_data(snapshot.data, json.loads(json.dumps(data)))
    if faults:
        more = f" and {len(faults) - 8} more" if len(faults) > 8 else ""
        raise CheckpointError(
            f"{path}: belongs to another training: {'; '.join(faults[:8])}{more}; {_new_folder(path)}",
            "checkpoint-other",
        )


def _new_folder(path: Path) -> str:
    return f"use another folder for another training; it can start from {path / WEIGHTS}"


def _of_data(saved: Any, requested: Any) -> list[str]:
    """The differences of the data; none if only its name differs, as on another machine."""
    found = differences(saved, requested, "data")
    return [] if all(each.startswith("data.name:") for each in found) else found


def remove_unfinished(folder: Path) -> None:
    """Remove what a crash left incomplete."""
    for left in folder.glob(f"step-*{UNFINISHED}"):
        shutil.rmtree(left)


def _write(folder: Path, snapshot: Snapshot, metadata: Mapping[str, str] | None) -> None:
    folder.mkdir()
    hashes = {}
    for name, tensors, stated in ((WEIGHTS, snapshot.weights, metadata), (TRAINING, snapshot.training, None)):
        with written(folder / name) as temporary:
            copies = {key: t.detach().cpu().contiguous() for key, t in tensors.items()}
            save_file(copies, temporary, metadata=dict(stated) if stated else None)
        hashes[name] = sha256(folder / name)
    fields = {key: getattr(snapshot, key) for key in ("step", "position", "data", "recipe", "spec")}
    write_text(folder / STATE, json.dumps({"format": FORMAT, "files": hashes} | fields, indent=1))
    _flush(folder)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove(path: Path) -> None:
    """Rename it first, so that a partly removed checkpoint is never read; after a failure a later call removes it."""
    renamed = path if path.name.endswith(UNFINISHED) else path.with_name(path.name + UNFINISHED)
    try:
        os.rename(path, renamed)
    except OSError:
        return
    shutil.rmtree(renamed, ignore_errors=True)


def _all(folder: Path) -> list[Path]:
    found = [path for path in folder.glob("step-*") if path.name.removeprefix("step-").isdigit()]
    return sorted(found, key=lambda path: int(path.name.removeprefix("step-")))


def _newest_other(folder: Path, path: Path | None = None) -> str:
    found = [each for each in _all(folder) if each != path]
    return f"the newest other checkpoint is {found[-1]}" if found else "there is no other checkpoint"
