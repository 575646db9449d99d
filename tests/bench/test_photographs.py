from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from paretodet.bench.photographs import batches, digest, draw, read


def test_drawn_images_are_seeded() -> None:
    first, again, other = draw(1, 2), draw(1, 2), draw(2, 2)
    assert digest(first) == digest(again) != digest(other)
    assert digest(first) != digest(first[:1])
    assert first[0].shape == (480, 640, 3)
    assert first[0].dtype == np.uint8


def test_drawn_images_look_like_photographs() -> None:
    """Neighbours agree as in photographs; white noise would show no correlation."""
    for image in draw(3, 3):
        grey = image.mean(axis=2)
        assert np.corrcoef(grey[:, :-1].ravel(), grey[:, 1:].ravel())[0, 1] > 0.8
        assert grey.std() > 15


def test_read_turns_upright(tmp_path: Path) -> None:
    picture = Image.fromarray(np.zeros((10, 20, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    picture.save(tmp_path / "turned.jpg", exif=exif)
    assert read(tmp_path / "turned.jpg").shape == (20, 10, 3)


def test_read_makes_three_channels(tmp_path: Path) -> None:
    Image.new("L", (4, 6), 7).save(tmp_path / "grey.png")
    assert (read(tmp_path / "grey.png") == 7).all()
    assert read(tmp_path / "grey.png").shape == (6, 4, 3)


@pytest.mark.parametrize("content", [None, b"", b"no picture"])
def test_read_names_what_it_cannot_read(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "broken.jpg"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ValueError, match="broken.jpg cannot be read"):
        read(file)


def test_batches_go_round_and_end() -> None:
    images = list(range(5))
    assert batches(images, 2) == [[0, 1], [2, 3], [4, 0]]
    assert batches(images, 8) == [[0, 1, 2, 3, 4, 0, 1, 2]]
    assert batches(images, 1, limit=3) == [[0], [1], [2]]
