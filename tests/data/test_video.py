"""Videos frame by frame: what is written is what is read, upright and in time."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

av = pytest.importorskip("av")

from paretodet.data import video  # noqa: E402
from paretodet.data.video import Frame, drawing, opened  # noqa: E402
from paretodet.images import ImageError  # noqa: E402


def frames(count: int, height: int = 48, width: int = 64) -> list[Frame]:
    """Grey, lighter from frame to frame, the upper left quarter black."""
    made = [np.full((height, width, 3), 60 + 20 * number, np.uint8) for number in range(count)]
    for pixels in made:
        pixels[: height // 2, : width // 2] = 0
    return [Frame(number, number / 10, pixels) for number, pixels in enumerate(made)]


def wrote(path: Path, given: list[Frame]) -> Path:
    with drawing(path, Fraction(10)) as put:
        for frame in given:
            put(frame)
    return path


def read(path: Path) -> list[Frame]:
    with opened(path) as found:
        return list(found)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    given = frames(6)
    path = wrote(tmp_path / "a.mp4", given)
    with opened(path) as found:
        assert (found.rate, found.frames) == (10, 6)
        for one, other in zip(given, found, strict=True):
            assert one.number == other.number and other.seconds == pytest.approx(one.seconds, abs=1e-4)
            assert other.pixels.shape == (48, 64, 3) and abs(other.pixels.astype(int) - one.pixels).mean() < 4


def test_times_are_kept_where_frames_come_unevenly(tmp_path: Path) -> None:
    times = (0.0, 0.1, 0.15, 0.9, 1.0)
    given = [frame._replace(seconds=time) for frame, time in zip(frames(5), times, strict=True)]
    assert [each.seconds for each in read(wrote(tmp_path / "a.mp4", given))] == pytest.approx(times, abs=1e-4)


def test_an_odd_side_becomes_even(tmp_path: Path) -> None:
    (first, _) = read(wrote(tmp_path / "a.mp4", frames(2, height=47, width=63)))
    assert first.pixels.shape == (48, 64, 3)


@pytest.mark.parametrize(("angle", "corner"), [(90, (-1, 0)), (-90, (0, -1)), (180, (-1, -1))])
def test_a_telephones_video_is_seen_upright(tmp_path: Path, angle: int, corner: tuple[int, int]) -> None:
    """Turned counter-clockwise by 90 degrees, what was at the upper left is at the lower left."""
    given = frames(2)
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        if not hasattr(stream, "set_display_rotation"):
            pytest.skip("this PyAV writes no rotation")
        stream.set_display_rotation(angle)
        for frame in given:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame.pixels, format="rgb24")))
        container.mux(stream.encode())
    pixels = read(tmp_path / "a.mp4")[0].pixels
    assert pixels.shape == ((48, 64, 3) if angle == 180 else (64, 48, 3))
    dark = {place: pixels[place].mean() < 30 for place in ((0, 0), (0, -1), (-1, 0), (-1, -1))}
    assert dark == {place: place == corner for place in dark}


def test_what_is_no_video_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    for name, says in (("text.mp4", "cannot be read"), ("none.mp4", "no such file")):
        with pytest.raises(ImageError, match=rf"{name}: {says}"):
            read(tmp_path / name)
    whole = wrote(tmp_path / "a.mp4", frames(9)).read_bytes()
    monkeypatch.setattr(video, "MAX_PIXELS", 64 * 48 - 1)
    with pytest.raises(ImageError, match="64 x 48, too many pixels"):
        read(tmp_path / "a.mp4")
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ImageError, match="cut.mp4: "):
        read(tmp_path / "cut.mp4")


def test_a_video_that_fails_half_way_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), drawing(tmp_path / "a.mp4", Fraction(10)) as put:
        put(frames(1)[0])
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
