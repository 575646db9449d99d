"""Reads and writes video files frame by frame, by OpenCV."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from paretodet.extras import MissingExtra
from paretodet.images import MAX_PIXELS, ImageError
from paretodet.media.containers import missing
from paretodet.writing import written

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # AV_LOG_QUIET; read where the first video is opened

try:
    import cv2
except ImportError as error:
    raise MissingExtra("videos need OpenCV: pip install 'paretodet[video]'") from error

(cv2 if hasattr(cv2, "setLogLevel") else cv2.utils.logging).setLogLevel(0)  # silent: problems are reported as errors

RATE = 25.0  # frames per second if the file states none
MIN_RATE, MAX_RATE = 0.1, 1000.0  # a rate outside of these is ignored
PROBED = 10  # frames at the start whose times are compared with the stated rate
MAX_FACTOR = 2.0  # between the two: a stated average over the whole file may differ from that of the first frames
RETRIES = 1000  # frames that are tried after one that cannot be decoded
CODEC = cv2.VideoWriter.fourcc(*"mp4v")  # MPEG-4 Part 2, whose patents have expired


class Frame(NamedTuple):
    """One frame of a video, rotated as the file says."""

    number: int
    seconds: float  # from the start of the file
    pixels: np.ndarray  # [H, W, 3] uint8 RGB


class Video:
    """An open video file, to be iterated once. The iteration raises ImageError at a frame that cannot be decoded."""

    def __init__(self, path: Path, capture: Any) -> None:
        self._path, self._capture = path, capture
        self._check(capture.get(cv2.CAP_PROP_FRAME_WIDTH), capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        with _captured(path) as probe:
            self.rate = _rate(stated := capture.get(cv2.CAP_PROP_FPS), _measured_rate(probe))  # frames a second
        count = capture.get(cv2.CAP_PROP_FRAME_COUNT) if self.rate == stated else 0  # may be computed from the rate
        self.frames = max(int(count), 0)  # as the file states; 0 if it does not

    def __iter__(self) -> Iterator[Frame]:
        number = 0
        while (frame := self._capture.read())[0]:
            height, width = frame[1].shape[:2]
            self._check(width, height)
            seconds = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000 or number / self.rate
            yield Frame(number, seconds, cv2.cvtColor(frame[1], cv2.COLOR_BGR2RGB))
            number += 1
        if any(self._capture.grab() for _ in range(RETRIES)):  # OpenCV reports damage like the end of the file
            raise ImageError(f"{self._path}: frame {number + 1} cannot be decoded")

    def _check(self, width: float, height: float) -> None:
        if width * height > MAX_PIXELS:
            raise ImageError(f"{self._path}: {width:.0f} x {height:.0f}, too many pixels", "image-too-large")


@contextmanager
def opened(path: Path) -> Iterator[Video]:
    """Open a video file. Raises ImageError if it does not exist, is no video, or is cut short."""
    try:
        lacks = missing(path)
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise ImageError(f"{path}: no such file", "image-missing") from error
        raise ImageError(f"{path}: cannot be read ({error})") from error
    if lacks:
        raise ImageError(f"{path}: cut short, {lacks} bytes are missing at its end")
    with _captured(path) as capture:
        if not capture.isOpened():
            raise ImageError(f"{path}: cannot be read as a video")
        capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
        yield Video(path, capture)


@contextmanager
def drawing(path: Path, rate: float) -> Iterator[Callable[[Frame], None]]:
    """Write an MP4 file, whole or not at all: the value of the context is a function that appends a frame.

    The video shows `rate` frames per second; the times of the frames are not used. The codec needs even sides, so the
    last line of an odd side is repeated.

    Raises ImageError if frames differ in size, if there is none, or if the file was not written whole.
    """
    writer, sizes = cv2.VideoWriter(), list[tuple[int, int]]()
    with written(path, ending=".mp4") as temporary:

        def put(frame: Frame) -> None:
            height, width = frame.pixels.shape[:2]
            even = np.pad(frame.pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
            if not sizes and not writer.open(str(temporary), cv2.CAP_FFMPEG, CODEC, rate, even.shape[1::-1]):
                raise ImageError(
                    f"{path}: no video of {width} x {height} at {rate:g} frames a second can be written; "
                    "--json prints the detections without drawing them",
                    "output-unwritable",
                )
            sizes.append((height, width))
            if sizes[-1] != sizes[0]:
                raise ImageError(f"{path}: frame {len(sizes)} has another size than those before", "image-size")
            writer.write(cv2.cvtColor(even, cv2.COLOR_RGB2BGR))

        try:
            yield put
        finally:
            writer.release()
        if not sizes or _count(temporary) != len(sizes) or missing(temporary):
            raise ImageError(f"{path}: could not be written whole; is the disk full?", "output-unwritable")


def _count(path: Path) -> int:
    """The number of frames that the file states; 0 if it is no video."""
    with _captured(path) as capture:
        return int(capture.get(cv2.CAP_PROP_FRAME_COUNT))


@contextmanager
def _captured(path: Path) -> Iterator[Any]:
    capture = cv2.VideoCapture(str(path.resolve()), cv2.CAP_FFMPEG)
    try:
        yield capture
    finally:
        capture.release()


def _rate(stated: float, measured: float | None) -> float:
    """The stated rate, unless the frames come at another one: a file may state its unit of time as its rate."""
    is_stated, is_measured = (MIN_RATE <= (rate or 0.0) <= MAX_RATE for rate in (stated, measured))
    if measured is None or not is_measured:
        return stated if is_stated else RATE
    return stated if is_stated and 1 / MAX_FACTOR <= stated / measured <= MAX_FACTOR else measured


def _measured_rate(capture: Any) -> float | None:
    """Frames per second by the times of the first frames; None if they have none."""
    times = list[float]()
    while len(times) < PROBED and capture.grab():
        times.append(capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
    return (len(times) - 1) / (times[-1] - times[0]) if times and times[-1] > times[0] else None
