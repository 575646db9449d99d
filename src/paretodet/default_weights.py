"""Trained weights for the default set: published files that are on this machine already, and labels to score them on.

Nothing is downloaded. A row with these weights says which file they are, and its AP is measured, not published.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from paretodet.downloading import downloads_folder
from paretodet.errors import InputError, words
from paretodet.export.cache import cached
from paretodet.importing import import_weights
from paretodet.reading import is_file, sha256
from paretodet.sweep.grid import DEFAULT
from paretodet.weights.files import WeightsMetadata
from paretodet.weights.published import PublishedWeights, of_detector

LABELS = Path("coco_val2017_44", "instances.json")  # in the folder that PARETODET_DATA names


class DefaultWeights(NamedTuple):
    """Imported weights of detectors of the default set, and the labels that their AP is measured on."""

    files: tuple[Path, ...]
    labels: Path


def default_weights(notify: Callable[[str], None]) -> DefaultWeights | None:
    """Those that are at hand; None without labels or weights.

    The labels are those of `coco_val2017_44` in the folder that `PARETODET_DATA` names. A file of weights is in a
    folder of that one, or where `paretodet weights get` puts it, with its published name and SHA-256.
    `notify` receives a sentence for every file that is used or cannot be used.
    """
    root = os.environ.get("PARETODET_DATA")
    if root is None or not is_file(labels := Path(root) / LABELS):
        return None
    found = tuple(_imported(Path(root), notify))
    return DefaultWeights(found, labels) if found else None


def _imported(root: Path, notify: Callable[[str], None]) -> Iterator[Path]:
    """One file for each detector of the default set that has one."""
    for name in DEFAULT:
        known = ((weights, file) for weights in of_detector(name) if (file := _file(weights, root)))
        for weights, file in known:
            try:
                path = _import(weights, name, file)
            except (InputError, OSError) as error:
                notify(f"Not measured: {name} with the weights {file}: {words(error)}.")
                continue
            notify(
                f"Beside the default set: {name} with the weights {weights.name} ({file}); its AP is measured on the "
                f"images of {LABELS.parent}, which are too few to compare it with published AP."
            )
            yield path
            break


def _file(weights: PublishedWeights, root: Path) -> Path | None:
    """The file of these weights on this machine; archives are not looked into, and a file without a hash not used."""
    if weights.sha256 is None or weights.member:
        return None
    places = (downloads_folder() / weights.file, *sorted(root.glob(f"*/{weights.file}")))
    return next((place for place in places if is_file(place) and sha256(place).startswith(weights.sha256)), None)


def _import(weights: PublishedWeights, name: str, file: Path) -> Path:
    """The file as weights of the detector `name`, from the cache. Raises InputError or OSError."""
    known = weights.accuracy_in(name)
    published = known.to_metadata() if known else {}
    metadata = WeightsMetadata(name=name, license=weights.origin.license, **published)
    target = f"{weights.name}.safetensors"
    key = {"imported": weights.name, "sha256": sha256(file), "as": name}
    return cached(key, lambda folder: _write(file, metadata, folder / target)).folder / target


def _write(file: Path, metadata: WeightsMetadata, target: Path) -> None:
    import_weights(file, metadata, target)
