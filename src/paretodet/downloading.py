"""Gets published weights on request: from the folder of downloads, else from their publisher or a mirror."""

import os
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import quote

from paretodet.archives import extract
from paretodet.errors import InputError
from paretodet.export.cache import cache_folder
from paretodet.fetching import Download, Progress, check_address, fetch
from paretodet.reading import is_file, sha256
from paretodet.weights.published import PublishedWeights, WeightsAccuracy, find
from paretodet.writing import check_folder, write_text

MIRROR = "PARETODET_WEIGHTS_MIRROR"  # the environment variable: an address to which the names of the files are added
RECORD = ".sha256"  # beside a file: the hash that it had, as sha256sum writes it


class ObtainedWeights(NamedTuple):
    """A file of published weights on this machine."""

    name: str
    path: str  # what `import` takes: the file, or what was read out of it
    file: str  # what was downloaded
    sha256: str  # of `file`
    is_new: bool  # downloaded now
    checked: str  # the hash that it was compared with: "listed", "recorded" or "none"
    options: dict[str, Any] | None  # of `import`, beside the path; None if no detector of the catalogue takes them


def downloads_folder() -> Path:
    """Where `get_weights` puts files if it is given no folder."""
    return cache_folder() / "weights"


def get_weights(
    name: str,
    folder: Path | None = None,
    *,
    offline: bool = False,
    progress: Progress = lambda done, total: None,
) -> ObtainedWeights:
    """The published weights `name`, or those of the detector `name`, in `folder` (default: `downloads_folder`).

    A file that is there, complete and with the listed or recorded hash, is not downloaded again; if its hash is
    recorded, nothing is written. Raises InputError with the known names; with the place where a file is to be put by
    hand, if `offline` or no address serves it, or if a server fails; or if a file or its archive is not what the list
    says.
    """
    weights, detector = find(name)
    place = folder or downloads_folder()
    file = place / weights.file
    recorded = _recorded(file)
    if is_new := not is_file(file):
        check_folder(place, "out")
        digest = fetch(_download(weights, file, offline=offline), progress)
    else:
        digest = _checked(weights, file, recorded)
    if digest != recorded:
        write_text(_record(file), f"{digest}  {weights.file}\n")
    checked = "listed" if weights.sha256 else "recorded" if recorded and not is_new else "none"
    path = _unpacked(weights, file) if weights.member else file
    options = _import_options(weights, detector) if detector else None
    return ObtainedWeights(weights.name, str(path), str(file), digest, is_new, checked, options)


def _import_options(weights: PublishedWeights, detector: str) -> dict[str, Any]:
    """What is known of these weights in this detector."""
    known = weights.accuracy_in(detector)
    accuracy = _accuracy(known) if known else {}
    return {"as": detector, "license": weights.origin.license, **accuracy, "out": f"{weights.name}.safetensors"}


def _accuracy(known: WeightsAccuracy) -> dict[str, Any]:
    """As options: a number has as many digits as were printed, which say how it is rounded."""
    numbers = {"ap": known.ap, "ap50": known.ap50}
    if known.rounding >= 0.5:
        numbers = {name: None if number is None else round(number) for name, number in numbers.items()}
    return {**numbers, "ap_split": known.split, "ap_source": known.source}


def _download(weights: PublishedWeights, file: Path, *, offline: bool) -> Download:
    """Raises InputError naming the place of the file, if it cannot or must not be downloaded."""
    mirror = os.environ.get(MIRROR)
    url = f"{mirror.rstrip('/')}/{quote(weights.file)}" if mirror else weights.url
    if offline or url is None:
        source = url or f"{weights.origin.page} ({weights.note})"
        why = "is not on this machine" if offline else "cannot be downloaded from here"
        raise InputError(f"{weights.name} {why}: get it from {source} and put it at {file}", "download-by-hand")
    if mirror:
        _check_mirror(url)
    return Download(url=url, target=file, limit=weights.limit, size=weights.size, sha256=weights.sha256)


def _check_mirror(url: str) -> None:
    try:
        check_address(url)
    except InputError as error:
        raise InputError(f"{MIRROR}: {error.message}", error.id) from None


def _checked(weights: PublishedWeights, file: Path, recorded: str | None) -> str:
    """The SHA-256 of a file that is there. Raises InputError if it is not the listed or recorded one."""
    digest = sha256(file)
    for expected in (weights.sha256 or "", recorded or ""):
        if not digest.startswith(expected):
            raise InputError(f"{file}: its SHA-256 is {digest}, not {expected}; remove it", "download-other")
    return digest


def _unpacked(weights: PublishedWeights, archive: Path) -> Path:
    """The member of an archive that holds the weights, as a file beside it; read again if the archive is newer."""
    member = str(weights.member)
    target = archive.with_name(weights.name + PurePosixPath(member).suffix)
    if not is_file(target) or target.stat().st_mtime < archive.stat().st_mtime:
        extract(archive, member, target)
    return target


def _record(file: Path) -> Path:
    return file.with_name(file.name + RECORD)


def _recorded(file: Path) -> str | None:
    record = _record(file)
    return record.read_text(encoding="utf-8").partition(" ")[0] if is_file(record) else None
