import numpy as np

from paretodet.bench.synthetic_images import batches, digest, draw_images


def test_drawn_images_are_seeded() -> None:
    first, again, other = draw_images(1, 2), draw_images(1, 2), draw_images(2, 2)
    assert digest(first) == digest(again) != digest(other)
    assert digest(first) != digest(first[:1])
    assert first[0].shape == (480, 640, 3)
    assert first[0].dtype == np.uint8


def test_drawn_images_look_like_photographs() -> None:
    """Adjacent pixels are correlated, as in photographs and unlike in white noise."""
    for image in draw_images(3, 3):
        gray = image.mean(axis=2)
        assert np.corrcoef(gray[:, :-1].ravel(), gray[:, 1:].ravel())[0, 1] > 0.8
        assert gray.std() > 15


def test_batches_repeat_images_up_to_the_limit() -> None:
    images = list(range(5))
    assert batches(images, 2) == [[0, 1], [2, 3], [4, 0]]
    assert batches(images, 8) == [[0, 1, 2, 3, 4, 0, 1, 2]]
    assert batches(images, 1, limit=3) == [[0], [1], [2]]
