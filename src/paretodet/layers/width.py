"""How a width multiplier thins a network: small nets for small machines and for tests."""

NARROWEST = 8  # channels a layer keeps however thin the network, as TF-slim's `min_depth`


def scaled(channels: int, width: float) -> int:
    """max(8, floor(channels * width)); at width 1 the paper's own number, whatever it is."""
    return channels if width == 1.0 else max(NARROWEST, int(channels * width))


def check_width(width: float) -> None:
    """Raises ValueError outside 0 < width <= 8 (nan included)."""
    if not 0 < width <= 8:
        raise ValueError(f"width: got {width}, allowed more than 0 and up to 8")
