"""Video files, frame by frame, by OpenCV."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from paretodet.images import MAX_PIXELS, ImageError
from paretodet.media.containers import missing
from paretodet.writing import written

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # AV_LOG_QUIET; read where the first video is opened

try:
    import cv2
except ImportError as error:
    raise ImportError("videos need OpenCV: pip install 'paretodet[video]'") from error

(cv2 if hasattr(cv2, "setLogLevel") else cv2.utils.logging).setLogLevel(0)  # silent: problems are reported as errors

RATE = 25.0  # frames a second of a file that states none
SLOWEST, FASTEST = 0.1, 1000.0  # frames a second that are believed
RETRIES = 1000  # damaged frames in a row, after which there may still be one that is none
CODEC = cv2.VideoWriter.fourcc(*"mp4v")  # MPEG-4 Part 2, whose patents have run out


class Frame(NamedTuple):
    """One picture of a video, upright."""

    number: int
    seconds: float  # from the start of the file
    pixels: np.ndarray  # [H, W, 3] uint8 RGB


class Video:
    """An open file; iterate once. Raises ImageError for what cannot be read, when it comes to it."""

    def __init__(self, path: Path, capture: Any) -> None:
        self._path, self._capture = path, capture
        stated = capture.get(cv2.CAP_PROP_FPS)
        self.rate = stated if SLOWEST <= stated <= FASTEST else RATE  # frames a second, on average
        self.frames = max(int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), 0)  # as the file states; 0 if it does not
        self._check(capture.get(cv2.CAP_PROP_FRAME_WIDTH), capture.get(cv2.CAP_PROP_FRAME_HEIGHT))

    def __iter__(self) -> Iterator[Frame]:
        number = 0
        while (found := self._capture.read())[0]:
            height, width = found[1].shape[:2]
            self._check(width, height)
            seconds = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000 or number / self.rate
            yield Frame(number, seconds, cv2.cvtColor(found[1], cv2.COLOR_BGR2RGB))
            number += 1
        if any(self._capture.grab() for _ in range(RETRIES)):  # OpenCV stops at damage as it does at the end
            raise ImageError(f"{self._path}: frame {number + 1} cannot be decoded")

    def _check(self, width: float, height: float) -> None:
        if width * height > MAX_PIXELS:
            raise ImageError(f"{self._path}: {width:.0f} x {height:.0f}, too many pixels")


@contextmanager
def opened(path: Path) -> Iterator[Video]:
    """A file to read. Raises ImageError where it is none, no video, or ends before it should."""
    try:
        lacks = missing(path)
    except OSError as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else f"cannot be read ({error})"
        raise ImageError(f"{path}: {reason}") from error
    if lacks:
        raise ImageError(f"{path}: cut short, {lacks} bytes are missing at its end")
    capture = cv2.VideoCapture(str(path.resolve()), cv2.CAP_FFMPEG)
    try:
        if not capture.isOpened():
            raise ImageError(f"{path}: cannot be read as a video")
        capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
        yield Video(path, capture)
    finally:
        capture.release()


@contextmanager
def drawing(path: Path, rate: float) -> Iterator[Callable[[Frame], None]]:
    """A new MP4 file, whole or not at all, that takes frames of one size and shows `rate` of them a second, whatever
    their own times: of a file whose frames come unevenly, the mean. An odd side gets its last line once more, since the
    codec knows even ones alone.

    Raises ImageError where frames change their size, or there is none, or the file is not there as it was written.
    """
    writer, sizes = cv2.VideoWriter(), list[tuple[int, int]]()
    with written(path, ending=".mp4") as temporary:

        def put(frame: Frame) -> None:
            height, width = frame.pixels.shape[:2]
            even = np.pad(frame.pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
            if not sizes and not writer.open(str(temporary), cv2.CAP_FFMPEG, CODEC, rate, even.shape[1::-1]):
                raise ImageError(f"{path}: no video of {width} x {height} at {rate:g} frames a second can be written")
            sizes.append((height, width))
            if sizes[-1] != sizes[0]:
                raise ImageError(f"{path}: frame {len(sizes)} has another size than those before")
            writer.write(cv2.cvtColor(even, cv2.COLOR_RGB2BGR))

        try:
            yield put
        finally:
            writer.release()
        if not sizes or _count(temporary) != len(sizes) or missing(temporary):
            raise ImageError(f"{path}: could not be written whole; is the disk full?")


def _count(path: Path) -> int:
    """Frames as the file says; 0 where it is no video."""
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    try:
        return int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    finally:
        capture.release()
