"""Width multipliers: fewer channels, for small machines and for tests."""

from paretodet.errors import InputError

MIN_CHANNELS = 8  # of a layer at any width, as TF-slim's `min_depth`


def scaled(channels: int, width: float) -> int:
    """max(8, floor(channels * width)); at width 1 the number itself, even below 8."""
    return channels if width == 1.0 else max(MIN_CHANNELS, int(channels * width))


def check_width(width: float) -> None:
    """Raises ValueError outside 0 < width <= 8 (nan included)."""
    if not 0 < width <= 8:
        raise InputError(f"width: got {width}, allowed more than 0 and up to 8", "option-range")
