"""What every picture's file is: its head, and whether all of it can be decoded."""

import hashlib
import os
import warnings
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

import numpy as np

from paretodet.images import ImageError, ImageHeader, read_head, read_image

Heard = Callable[[int, int], None]  # (done, of how many)


class ScannedImage(NamedTuple):
    """One file; `head` is None if not even that can be read."""

    head: ImageHeader | None = None
    digest: bytes | None = None  # of the pixels, without the metadata; None if they were not decoded
    problem: str | None = None  # why it is no usable picture


def examine_pictures(paths: Iterable[Path], *, decode: bool, on_picture: Heard) -> dict[Path, ScannedImage]:
    """Every file once, by as many threads as there are cores; only its head if `decode` is off."""
    wanted = list(dict.fromkeys(paths))
    scanned = dict[Path, ScannedImage]()
    with warnings.catch_warnings(), ThreadPoolExecutor(_cores()) as pool:  # threads share the filters
        running = {pool.submit(examine_picture, path, decode=decode): path for path in wanted}
        try:
            for future in as_completed(running):
                scanned[running.pop(future)] = future.result()
                on_picture(len(scanned), len(wanted))
        except BaseException:  # whoever stops it does not wait for the rest
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return scanned


def examine_picture(path: Path, *, decode: bool) -> ScannedImage:
    """Decoded pixels are not kept: only whether decoding works, and a digest that identifies copies."""
    head, digest = None, None
    try:
        head = read_head(path)
        if decode:
            digest = _digest(read_image(path))
    except ImageError as error:
        return ScannedImage(head, digest, error.message.removeprefix(f"{path}: "))
    except Exception as error:  # of a decoder that never expected this
        return ScannedImage(head, digest, f"cannot be read ({type(error).__name__}: {error})")
    return ScannedImage(head, digest)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _digest(pixels: np.ndarray) -> bytes:
    digest = hashlib.sha256(repr(pixels.shape).encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.digest()
