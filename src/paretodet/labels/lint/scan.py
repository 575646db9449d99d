"""Reads every image file: its header, and with `decode` all of its pixels."""

import hashlib
import os
import warnings
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

import numpy as np

from paretodet.errors import ErrorId
from paretodet.images import ImageError, ImageHeader, read_head, read_image

OnImage = Callable[[int, int], None]  # (images done, images in all)


class ScannedImage(NamedTuple):
    """What was read of one image file; `head` is None if its header cannot be read."""

    head: ImageHeader | None = None
    digest: bytes | None = None  # of the pixels, without the metadata; None if they were not decoded
    problem: str | None = None  # why it is no usable image
    id: ErrorId | None = None  # of the problem
    highest: int | None = None  # of 8 bits, in an image of 16 bits a channel; None if it was not decoded


def scan_images(paths: Iterable[Path], *, decode: bool, on_image: OnImage) -> dict[Path, ScannedImage]:
    """Read every file once, with one thread per core; only its header if `decode` is off."""
    wanted = list(dict.fromkeys(paths))
    scanned = dict[Path, ScannedImage]()
    with warnings.catch_warnings(), ThreadPoolExecutor(_cores()) as pool:  # threads share the filters
        running = {pool.submit(scan_image, path, decode=decode): path for path in wanted}
        try:
            for future in as_completed(running):
                scanned[running.pop(future)] = future.result()
                on_image(len(scanned), len(wanted))
        except BaseException:  # an interruption does not wait for the remaining files
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return scanned


def scan_image(path: Path, *, decode: bool) -> ScannedImage:
    """Read one file. Pixels are not kept: only whether they can be decoded, and a digest that identifies copies."""
    head, digest, highest = None, None, None
    try:
        head = read_head(path)
        if decode:
            pixels = read_image(path)
            digest, highest = _digest(pixels), int(pixels.max()) if head.deep else None
    except ImageError as error:
        return ScannedImage(head, digest, error.message.removeprefix(f"{path}: "), error.id)
    except Exception as error:  # a decoder may raise anything on a damaged file
        return ScannedImage(head, digest, f"cannot be read ({type(error).__name__}: {error})")
    return ScannedImage(head, digest, highest=highest)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _digest(pixels: np.ndarray) -> bytes:
    digest = hashlib.sha256(repr(pixels.shape).encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.digest()
