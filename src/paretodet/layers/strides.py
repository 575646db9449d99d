"""A check that the strides with which a part is configured are those of the maps it gets."""

from collections.abc import Sequence


def check_strides(part: str, configured: Sequence[int | None], maps: Sequence[int]) -> None:
    """`configured` has one stride for each map, None if the part computes it from the map.

    Raises ValueError that names the part if a stride differs, or if their number does.
    """
    agree = len(configured) == len(maps) and all(c in (None, m) for c, m in zip(configured, maps, strict=True))
    if not agree:
        raise ValueError(f"{part}: got strides {_listed(configured)}, allowed {_listed(maps)}, those of the maps")


def _listed(strides: Sequence[int | None]) -> str:
    return ", ".join("any" if stride is None else str(stride) for stride in strides) or "none"
