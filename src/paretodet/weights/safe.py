"""Reading and writing weights without ever unpickling code."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from paretodet.writing import written


class WeightsError(ValueError):
    """A weights file that cannot be used: which file, which tensor, and what would do."""


def read(path: Path) -> dict[str, Tensor]:
    """Every tensor of a safetensors file. Raises WeightsError where it is not one."""
    if not path.is_file():
        raise WeightsError(f"{path}: no such file")
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: not a readable safetensors file ({error})") from error


def metadata(path: Path) -> dict[str, str]:
    """What a safetensors file says beside its tensors. Raises WeightsError where it is not one."""
    try:
        with safe_open(path, "pt") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: not a readable safetensors file ({error})") from error


def load(module: nn.Module, path: Path) -> None:
    """Fill `module` from `path`. Raises WeightsError naming missing, unused or wrongly shaped tensors."""
    fill(module, read(path), path)


def fill(module: nn.Module, found: Mapping[str, Tensor], path: Path) -> None:
    """Fill `module` from tensors read from `path`. Raises WeightsError as `load`."""
    wanted = module.state_dict()
    faults = [f"missing {name}" for name in wanted.keys() - found.keys()]
    faults += [f"unused {name}" for name in found.keys() - wanted.keys()]
    faults += [
        f"{name} has shape {tuple(found[name].shape)}, wanted {tuple(wanted[name].shape)}"
        for name in wanted.keys() & found.keys()
        if found[name].shape != wanted[name].shape
    ]
    if faults:
        more = f" and {len(faults) - 5} more" if len(faults) > 5 else ""
        raise WeightsError(f"{path}: {'; '.join(sorted(faults)[:5])}{more}")
    module.load_state_dict(dict(found))


def save(tensors: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write a safetensors file, whole or not at all. Raises OSError."""
    whole = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    try:
        with written(path) as temporary:
            save_file(whole, temporary, dict(metadata or {}))
    except (SafetensorError, OSError) as error:  # the library has its own kind for a full disk
        raise OSError(f"{path}: not written ({getattr(error, 'strerror', None) or error})") from error
