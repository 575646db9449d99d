"""Checkpoints that a crash cannot cost: a folder a step, whole or not there.

`step-00001000/` holds `weights.safetensors` (what one uses: the averages, where there are any),
`training.safetensors` (what else going on needs) and `state.json` with the hashes of both. It is written under
another name, flushed to the disk and renamed.
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
from paretodet.reading import read_bytes, sha256
from paretodet.schema import Closed, Count, Open
from paretodet.training.differences import differences
from paretodet.writing import write_text, written

FORMAT = 1
STATE = "state.json"
WEIGHTS, TRAINING = "weights.safetensors", "training.safetensors"
ANOTHER = "another training needs another folder, and may begin from this one's weights"
LATER = {"early": 0, "frozen": []}  # what a recipe of before these fields did
UNFINISHED = ".unfinished"  # a name's ending while it is written or removed


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be written or read: which, why, and what is left."""


class _Format(Open, frozen=True):
    format: int


class _Hashes(Closed, frozen=True, rename={"weights": WEIGHTS, "training": TRAINING}):
    weights: str
    training: str


class _State(Closed, frozen=True):
    """What `state.json` holds."""

    format: int
    files: _Hashes
    step: Count
    position: Any
    recipe: dict[str, Any]
    spec: dict[str, Any]
    data: Any = None


class Snapshot(NamedTuple):
    """A training between two updates; all but the tensors as JSON has it."""

    step: int  # updates made
    spec: dict[str, Any]
    recipe: dict[str, Any]
    position: Any  # of the data
    weights: Mapping[str, Tensor]
    training: Mapping[str, Tensor]
    data: Any = None  # what the caller says of its data set, so that no other is taken for it


def save(folder: Path, snapshot: Snapshot, *, keep: int = 3) -> Path:
    """Write a checkpoint into `folder`, then remove all but the newest `keep`. One writer a folder.

    Raises CheckpointError where the disk is full or read-only; the earlier checkpoints are then as they were.
    """
    if keep < 1:
        raise ValueError(f"keep: got {keep}, allowed 1 or more")
    target = folder / f"step-{snapshot.step:08d}"
    temporary = folder / f"{target.name}{UNFINISHED}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder)
        _write(temporary, snapshot)
        os.rename(temporary, target)
        _flush(folder)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        reason = getattr(error, "strerror", None) or error
        raise CheckpointError(f"{target}: checkpoint not written ({reason}); {_left(folder)}") from error
    for old in _all(folder)[:-keep]:
        _remove(old)
    return target


def latest(folder: Path) -> Path | None:
    """The newest checkpoint of `folder`, None where there is none."""
    found = _all(folder)
    return found[-1] if found else None


def load(path: Path) -> Snapshot:
    """A checkpoint as it was saved. Raises CheckpointError where it is damaged or none of ours."""
    try:
        state = _state(path)
        for name, wanted in ((WEIGHTS, state.files.weights), (TRAINING, state.files.training)):
            if sha256(path / name) != wanted:
                raise CheckpointError(f"{path}: damaged ({name} is not what was written); {_left(path.parent, path)}")
        fields = {key: getattr(state, key) for key in ("step", "spec", "recipe", "position", "data")}
        return Snapshot(**fields, weights=load_file(path / WEIGHTS), training=load_file(path / TRAINING))
    except (OSError, ValueError, SafetensorError) as error:
        reason = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        raise CheckpointError(f"{path}: not a whole checkpoint ({reason}); {_left(path.parent, path)}") from error


def _state(path: Path) -> _State:
    text = read_bytes(path / STATE, schema.MAX_BYTES)
    found = schema.parse(text, _Format, what=STATE).format
    if found != FORMAT:
        raise CheckpointError(f"{path}: of format {found}, this version reads {FORMAT}")
    return schema.parse(text, _State, what=STATE)


def refuse_others(
    path: Path, snapshot: Snapshot, spec: dict[str, Any], recipe: dict[str, Any], data: Any = None
) -> None:
    """Raises CheckpointError naming the fields in which the checkpoint's detector, recipe or data are others.

    A training may go on for longer, and in more and smaller parts where memory became scarce; assumptions are prose.
    """
    free = {key: recipe[key] for key in ("steps", "accumulate", "assumption") if key in recipe}
    faults = differences(snapshot.spec, spec, "spec")
    later = {key: value for key, value in LATER.items() if key in recipe}
    faults += differences(later | snapshot.recipe | free, recipe, "recipe")
    faults += differences(snapshot.data, json.loads(json.dumps(data)), "data")
    if faults:
        more = f" and {len(faults) - 8} more" if len(faults) > 8 else ""
        raise CheckpointError(f"{path}: belongs to another training: {'; '.join(faults[:8])}{more}; {ANOTHER}")


def _write(folder: Path, snapshot: Snapshot) -> None:
    folder.mkdir()
    hashes = {}
    for name, tensors in ((WEIGHTS, snapshot.weights), (TRAINING, snapshot.training)):
        with written(folder / name) as temporary:
            save_file({key: t.detach().cpu().contiguous() for key, t in tensors.items()}, temporary)
        hashes[name] = sha256(folder / name)
    told = {key: getattr(snapshot, key) for key in ("step", "position", "data", "recipe", "spec")}
    write_text(folder / STATE, json.dumps({"format": FORMAT, "files": hashes} | told, indent=1))
    _flush(folder)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove(path: Path) -> None:
    """First out of the way, so that a half removed checkpoint is never taken for one; a failure waits for later."""
    gone = path if path.name.endswith(UNFINISHED) else path.with_name(path.name + UNFINISHED)
    try:
        os.rename(path, gone)
    except OSError:
        return
    shutil.rmtree(gone, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Removes what a crash left unfinished."""
    for left in folder.glob(f"step-*{UNFINISHED}"):
        shutil.rmtree(left)


def _all(folder: Path) -> list[Path]:
    found = [path for path in folder.glob("step-*") if path.name.removeprefix("step-").isdigit()]
    return sorted(found, key=lambda path: int(path.name.removeprefix("step-")))


def _left(folder: Path, but: Path | None = None) -> str:
    found = [path for path in _all(folder) if path != but]
    return f"the newest other checkpoint is {found[-1]}" if found else "there is no other checkpoint"
