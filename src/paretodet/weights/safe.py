"""Read and write safetensors files, which contain no code."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from paretodet.errors import FileError, InputError
from paretodet.writing import written


class WeightsError(InputError):
    """A weights file that cannot be used: its path, the tensor or field, and what is allowed."""


def read(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file. Raises WeightsError if it cannot be read as one."""
    if not path.is_file():
        raise WeightsError(f"{path}: no such file", "file-missing")
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: not a readable safetensors file ({error})", "weights-format") from error


def metadata(path: Path) -> dict[str, str]:
    """The metadata of a safetensors file. Raises WeightsError if it cannot be read as one."""
    try:
        with safe_open(path, "pt") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: not a readable safetensors file ({error})", "weights-format") from error


def load(module: nn.Module, path: Path) -> None:
    """Load `path` into `module`. Raises WeightsError naming missing, unused or wrongly shaped tensors."""
    load_tensors(module, read(path), path)


def load_tensors(module: nn.Module, found: Mapping[str, Tensor], path: Path) -> None:
    """Load tensors that were read from `path` into `module`. Raises WeightsError as `load`."""
    wanted = module.state_dict()
    faults = [f"missing {name}" for name in wanted.keys() - found.keys()]
    faults += [f"unused {name}" for name in found.keys() - wanted.keys()]
    faults += [
        f"{name} has shape {tuple(found[name].shape)}, expected {tuple(wanted[name].shape)}"
        for name in wanted.keys() & found.keys()
        if found[name].shape != wanted[name].shape
    ]
    if faults:
        more = f" and {len(faults) - 5} more" if len(faults) > 5 else ""
        raise WeightsError(f"{path}: {'; '.join(sorted(faults)[:5])}{more}", "weights-shape")
    module.load_state_dict(dict(found))


def save(tensors: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write a safetensors file, completely or not at all. Raises OSError."""
    whole = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    try:
        with written(path) as temporary:
            save_file(whole, temporary, dict(metadata or {}))
    except (SafetensorError, OSError) as error:  # on a full disk the library raises its own error
        raise FileError(
            f"{path}: not written ({getattr(error, 'strerror', None) or error})", "output-unwritable"
        ) from error
