"""Videos frame by frame: what is written is what is read, upright and in time."""

import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2", reason="the extra `video` is not installed")

from paretodet.images import ImageError  # noqa: E402
from paretodet.media import video  # noqa: E402
from paretodet.media.video import Frame, drawing, opened  # noqa: E402

CAPTURE = cv2.VideoCapture
UPRIGHT = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)  # the matrix of an MP4 track


def frames(count: int, height: int = 48, width: int = 64) -> list[Frame]:
    """Bluish, lighter from frame to frame, the upper left quarter black."""
    made = [np.full((height, width, 3), (60, 80, 100), np.uint8) + np.uint8(number % 8 * 15) for number in range(count)]
    for pixels in made:
        pixels[: height // 2, : width // 2] = 0
    return [Frame(number, number / 10, pixels) for number, pixels in enumerate(made)]


def wrote(path: Path, given: list[Frame]) -> Path:
    with drawing(path, 10) as put:
        for frame in given:
            put(frame)
    return path


def read(path: Path) -> list[Frame]:
    with opened(path) as found:
        return list(found)


def elsewhere(path: Path, codec: str, given: list[Frame]) -> Path:
    """A video written with OpenCV only, in the container of the file's suffix."""
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*codec), 10, (64, 48))
    for frame in given:
        writer.write(frame.pixels[..., ::-1])
    writer.release()
    return path


def streamed(path: Path, given: list[Frame]) -> bytes:
    """The file as servers store it: the index of the frames before the frames."""
    whole = wrote(path, given).read_bytes()
    start, end = whole.index(b"mdat") - 4, whole.index(b"moov") - 4
    index = bytearray(whole[end:])
    at = index.index(b"stco") + 8  # a count, then where each chunk lies in the file
    for place in range(at + 4, at + 4 + 4 * int.from_bytes(index[at : at + 4], "big"), 4):
        index[place : place + 4] = (int.from_bytes(index[place : place + 4], "big") + len(index)).to_bytes(4, "big")
    return whole[:start] + bytes(index) + whole[start:end]


def test_what_was_written_is_read(tmp_path: Path) -> None:
    given = frames(6)
    path = wrote(tmp_path / "a.mp4", given)
    with opened(path) as found:
        assert (found.rate, found.frames) == (10, 6)
        for one, other in zip(given, found, strict=True):
            assert one.number == other.number and other.seconds == pytest.approx(one.seconds, abs=1e-4)
            assert other.pixels.shape == (48, 64, 3) and abs(other.pixels.astype(int) - one.pixels).mean() < 4
            assert other.pixels.dtype == np.uint8 and other.pixels.flags.c_contiguous
    assert b"mp4v" in path.read_bytes()


@pytest.mark.parametrize(("ending", "codec"), [(".avi", "MJPG"), (".mkv", "mp4v"), (".webm", "VP90")])
def test_other_containers_are_read(tmp_path: Path, ending: str, codec: str) -> None:
    found = read(elsewhere(tmp_path / f"a{ending}", codec, frames(4)))
    assert [each.seconds for each in found] == pytest.approx([0, 0.1, 0.2, 0.3], abs=1e-3)
    assert abs(found[3].pixels[40, 50].astype(int) - frames(4)[3].pixels[40, 50]).max() < 8


def test_times_are_the_files_where_frames_come_unevenly(tmp_path: Path) -> None:
    path = elsewhere(tmp_path / "a.mkv", "mp4v", frames(4))
    whole = path.read_bytes()
    assert whole.count(b"\x81\x00\xc8") == 1  # track 1, 200 ms
    path.write_bytes(whole.replace(b"\x81\x00\xc8", b"\x81\x00\x78"))
    assert [each.seconds for each in read(path)] == pytest.approx([0, 0.1, 0.12, 0.3], abs=1e-3)


def test_a_rate_that_cannot_be_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = wrote(tmp_path / "a.mp4", frames(2))
    monkeypatch.setattr(video, "MIN_RATE", 11)
    with opened(path) as found:
        assert found.rate == 25


class Stating:
    """An open video that states 1,000 frames a second, as a recording of a browser does."""

    def __init__(self, *given: object) -> None:
        self.capture = CAPTURE(*given)

    def get(self, what: int) -> float:
        return 1000.0 if what == cv2.CAP_PROP_FPS else self.capture.get(what)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.capture, name)


def test_a_rate_that_is_the_unit_of_time_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = elsewhere(tmp_path / "a.mkv", "mp4v", frames(4))
    monkeypatch.setattr(video.cv2, "VideoCapture", Stating)
    with opened(path) as found:
        assert found.rate == pytest.approx(10) and found.frames == 0 and len(list(found)) == 4


class Times:
    """The times of a capture's frames, in milliseconds."""

    def __init__(self, *times: float) -> None:
        self.waiting, self.now = list(times), 0.0

    def grab(self) -> bool:
        is_there = bool(self.waiting)
        self.now = self.waiting.pop(0) if is_there else self.now
        return is_there

    def get(self, what: int) -> float:
        assert what == cv2.CAP_PROP_POS_MSEC
        return self.now


@pytest.mark.parametrize(
    ("stated", "times", "rate"),
    [
        (1000.0, (0, 33, 66), 2 / 0.066),
        (90_000.0, (0, 40, 80), 25.0),
        (0.0, (0, 20, 40, 60), 50.0),
        (29.97, (0, 33, 66), 29.97),
        (24.0, (0, 33, 66, 200), 24.0),  # on average, where frames come unevenly
        (1000.0, (), 1000.0),
        (1000.0, (0, 1, 2), 1000.0),
        (60.0, (0, 0, 0), 60.0),
        (0.0, (0, 0), video.RATE),
        (0.0, (0,), video.RATE),
    ],
)
def test_the_rate_is_the_stated_one_unless_the_times_of_the_frames_contradict_it(
    stated: float, times: tuple[float, ...], rate: float
) -> None:
    assert video._rate(stated, video._measured_rate(Times(*times))) == pytest.approx(rate)


def test_an_odd_side_becomes_even(tmp_path: Path) -> None:
    (first, _) = read(wrote(tmp_path / "a.mp4", frames(2, height=47, width=63)))
    assert first.pixels.shape == (48, 64, 3)
    assert read(wrote(tmp_path / "b.mp4", frames(1, height=1, width=1)))[0].pixels.shape == (2, 2, 3)


@pytest.mark.parametrize(
    ("turn", "corner"), [((0, 1, -1, 0), (0, -1)), ((0, -1, 1, 0), (-1, 0)), ((-1, 0, 0, -1), (-1, -1))]
)
def test_a_rotated_video_is_read_upright(tmp_path: Path, turn: tuple[int, ...], corner: tuple[int, int]) -> None:
    """A quarter clockwise, what was at the upper left is at the upper right."""
    whole = wrote(tmp_path / "a.mp4", frames(2)).read_bytes()
    a, b, c, d = (each << 16 for each in turn)
    at = whole.index(UPRIGHT, whole.index(b"tkhd"))
    turned = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    (tmp_path / "a.mp4").write_bytes(whole[:at] + turned + whole[at + len(turned) :])
    pixels = read(tmp_path / "a.mp4")[0].pixels
    assert pixels.shape == ((48, 64, 3) if corner == (-1, -1) else (64, 48, 3))
    dark = {place: pixels[place].mean() < 30 for place in ((0, 0), (0, -1), (-1, 0), (-1, -1))}
    assert dark == {place: place == corner for place in dark}


def test_what_is_no_video_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "folder.mp4").mkdir()
    reasons = {"text.mp4": "cannot be read as a video", "none.mp4": "no such file", "folder.mp4": "cannot be read"}
    for name, says in reasons.items():
        with pytest.raises(ImageError, match=rf"{name}: {says}"):
            read(tmp_path / name)
    wrote(tmp_path / "a.mp4", frames(9))
    monkeypatch.setattr(video, "MAX_PIXELS", 64 * 48 - 1)
    with pytest.raises(ImageError, match="64 x 48, too many pixels"), opened(tmp_path / "a.mp4"):
        pass


def test_damage_is_one_sentence_and_nothing_on_the_screen(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    web = streamed(tmp_path / "a.mp4", frames(60))
    (tmp_path / "web.mp4").write_bytes(web)
    assert len(read(tmp_path / "web.mp4")) == 60
    whole = wrote(tmp_path / "a.mp4", frames(60)).read_bytes()
    middle = (whole.index(b"mdat") + whole.index(b"moov")) // 2
    mkv = elsewhere(tmp_path / "a.mkv", "mp4v", frames(60)).read_bytes()
    damaged = {
        "cut.mp4": (whole[: len(whole) // 2], r"cut short, \d+ bytes are missing"),
        "webcut.mp4": (web[:-100], "cut short, 100 bytes are missing"),
        "cut.mkv": (mkv[: len(mkv) // 2], r"cut short, \d+ bytes are missing"),
        "holes.mp4": (whole[:middle] + bytes(200) + whole[middle + 200 :], r"frame \d+ cannot be decoded"),
        "text.mp4": (b"no video", "cannot be read as a video"),
        "index.mp4": (whole[:-100], "cut short, 100 bytes are missing"),
    }
    for name, (content, says) in damaged.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ImageError, match=rf"{name}: ({says})"):
            read(tmp_path / name)
    assert capfd.readouterr() == ("", "")


def test_a_video_that_fails_half_way_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), drawing(tmp_path / "a.mp4", 10) as put:
        put(frames(1)[0])
        raise RuntimeError
    with pytest.raises(ImageError, match="frame 2 has another size"), drawing(tmp_path / "a.mp4", 10) as put:
        put(frames(1)[0])
        put(frames(1, height=46)[0])
    with (
        pytest.raises(ImageError, match="no video of 64 x 48 at 1e-05 frames"),
        drawing(tmp_path / "a.mp4", 1e-5) as put,
    ):
        put(frames(1)[0])
    with pytest.raises(ImageError, match=r"a\.mp4: could not be written whole"), drawing(tmp_path / "a.mp4", 10):
        pass
    assert list(tmp_path.iterdir()) == []


LIMITED = """
import resource, sys
from pathlib import Path
import numpy as np
from paretodet.media.video import Frame, drawing
from paretodet.images import ImageError
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
chance = np.random.default_rng(0)
try:
    with drawing(Path(sys.argv[1]), 10) as put:
        for number in range(20):
            put(Frame(number, number / 10, chance.integers(0, 256, (48, 64, 3), np.uint8)))
except ImageError as error:
    print(error)
"""


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    pytest.importorskip("resource", reason="this system limits no file's size")
    command = [sys.executable, "-c", LIMITED, str(tmp_path / "a.mp4")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"{tmp_path / 'a.mp4'}: could not be written whole"), done.stderr
    assert list(tmp_path.iterdir()) == []
