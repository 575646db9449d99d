"""Video files, frame by frame: the only file that knows PyAV."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from paretodet.images import MAX_PIXELS, ImageError
from paretodet.writing import written

try:
    import av
except ImportError as error:
    raise ImportError("videos need PyAV: pip install 'paretodet[video]'") from error

TICK = Fraction(1, 90_000)  # s: the clock of MPEG files
RATE = Fraction(25)  # frames a second of a file that tells none
DAMAGE = (av.error.FFmpegError, OSError, ValueError, EOFError)  # what PyAV raises over files that are no video


class Frame(NamedTuple):
    """One picture of a video, upright."""

    number: int
    seconds: float  # from the start of the file
    pixels: np.ndarray  # [H, W, 3] uint8 RGB


class Video:
    """An open file; iterate once. Raises ImageError for what cannot be read, when it comes to it."""

    def __init__(self, path: Path, container: Any) -> None:
        if not container.streams.video:
            raise ImageError(f"{path}: holds no video")
        self._path, self._container, self._stream = path, container, container.streams.video[0]
        self._stream.thread_type = "AUTO"
        self.rate = Fraction(self._stream.average_rate or self._stream.guessed_rate or RATE)  # frames a second
        self.frames = int(self._stream.frames)  # as the file says; 0 where it does not

    def __iter__(self) -> Iterator[Frame]:
        number = 0
        try:
            for number, frame in enumerate(self._container.decode(self._stream)):
                if frame.width * frame.height > MAX_PIXELS:
                    raise ImageError(f"{self._path}: {frame.width} x {frame.height}, too many pixels")
                seconds = float(frame.time) if frame.time is not None else float(number / self.rate)
                pixels = np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90))
                yield Frame(number, seconds, np.ascontiguousarray(pixels))
        except av.error.FFmpegError as error:
            raise ImageError(f"{self._path}: frame {number + 1} cannot be decoded ({error})") from error


@contextmanager
def opened(path: Path) -> Iterator[Video]:
    """A file to read. Raises ImageError where it is none, or no video."""
    try:
        container = av.open(str(path))
    except DAMAGE as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else f"cannot be read ({error})"
        raise ImageError(f"{path}: {reason}") from error
    with container:
        yield Video(path, container)


@contextmanager
def drawing(path: Path, rate: Fraction) -> Iterator[Callable[[Frame], None]]:
    """A new MP4 file, whole or not at all, that takes frames of one size at their own times. An odd side gets its last
    line once more: H.264 knows even ones alone.
    """
    with written(path) as temporary, av.open(str(temporary), "w", format="mp4") as container:
        stream: Any = container.add_stream("libx264" if "libx264" in av.codecs_available else "mpeg4", rate=rate)
        stream.pix_fmt, stream.codec_context.time_base = "yuv420p", TICK
        last = -1

        def put(frame: Frame) -> None:
            nonlocal last
            height, width = frame.pixels.shape[:2]
            even = np.pad(frame.pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
            if last < 0:
                stream.height, stream.width = even.shape[:2]
            image = av.VideoFrame.from_ndarray(even, format="rgb24")
            last = max(last + 1, round(frame.seconds / TICK))
            image.pts, image.time_base = last, TICK
            container.mux(stream.encode(image))

        yield put
        if last >= 0:
            container.mux(stream.encode())
