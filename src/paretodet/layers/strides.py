"""Whether strides that a part was told are those of the maps it will get."""

from collections.abc import Sequence


def check_strides(part: str, told: Sequence[int | None], maps: Sequence[int]) -> None:
    """`told` holds one stride a map, None where the part asks the map itself.

    Raises ValueError that names the part where one differs, or there are not as many.
    """
    agree = len(told) == len(maps) and all(mine in (None, real) for mine, real in zip(told, maps, strict=True))
    if not agree:
        raise ValueError(f"{part}: got strides {_listed(told)}, allowed {_listed(maps)}, those of the maps")


def _listed(strides: Sequence[int | None]) -> str:
    return ", ".join("any" if stride is None else str(stride) for stride in strides) or "none"
