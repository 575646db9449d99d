"""What the name of a configuration says about it, as numbers and words that costs and accuracies are learned from.

No table of known names is read: `yolo5d33w25_320`, `rtdetr_r50-640` and `faster_rcnn-resnet101-600-s16-p300` are read
alike.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from paretodet.frontier.values import Floats

SIZE, NETWORK = "size", "network"
# A letter for the size of a network stands for its depth and width relative to the large one, as YOLO's code has it.
SCALES = {
    "n": (0.33, 0.25), "t": (0.33, 0.375), "s": (0.33, 0.5), "m": (0.67, 0.75), "l": (1.0, 1.0), "x": (1.33, 1.25),
}  # fmt: skip
MULTIPLIERS = ("d", "w")  # the letters of depth and width: d33 is 0.33
PART = re.compile(r"[^-/\s]+")
LETTER_NUMBER = re.compile(r"(?<![a-z])(?!v\d)([a-z])(\d+(?:\.\d+)?)")
SIDE = r"(0*[1-9]\d{0,8})"  # of an image: above 0
BARE_NUMBER = re.compile(rf"(?:(?<=[-_/\s])|^){SIDE}(?:x{SIDE})?(?=[-_/\s]|$)")
SCALE_LETTER = re.compile(r"(?:(?<=[-_/\s])|(?<=\d))([ntsmlx])(?=[-_/\s]|$)")
MAX_WORDS = 4


class Features(NamedTuple):
    """N configurations as numbers and categories.

    `numbers` [N, F] are logarithms in a column whose stated numbers are all above 0, NaN where a name states none;
    `categories` [N, C] are codes of words, equal for equal words in any call.
    """

    numbers: Floats
    number_names: tuple[str, ...]
    categories: NDArray[np.int64]
    category_names: tuple[str, ...]

    def where(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> "Features":
        """Some of the configurations."""
        return self._replace(numbers=self.numbers[rows], categories=self.categories[rows])


def of_names(
    names: Sequence[str], *, known: Mapping[str, Sequence[float] | Sequence[str] | Sequence[float | str | None]] = {}
) -> Features:
    """The features of N configurations.

    Numbers: the last one above 0 that stands alone is the `size` of the image (of 600x850 the geometric mean); a letter
    with a number is a column of that letter (d and w, if a name has both, are depth and width as digits after the
    point; a letter n, t, s, m, l or x states the two where they are missing). The rest are words, split at "-".
    `network` is the whole name without the size, if several names share one. `known` adds columns of N numbers or N
    words each.
    """
    sizes, networks = zip(*(_size(name.lower()) for name in names), strict=True) if names else ((), ())
    read = [_read(network) for network in networks]
    numbers = _transposed([{**size, **rest} for size, (rest, _) in zip(sizes, read, strict=True)])
    words = {NETWORK: list(networks)} | _words([words for _, words in read])
    for name, column in known.items():
        stated = [content for content in column if content is not None]
        if stated and all(isinstance(content, str) for content in stated):
            words[name] = ["" if content is None else str(content) for content in column]
        elif stated:
            numbers[name] = [math.nan if content is None else float(content) for content in column]
    words = _distinct(words)
    return Features(
        np.array([_logarithms(column) for column in numbers.values()]).reshape(len(numbers), len(names)).T,
        tuple(numbers),
        np.array([_codes(column) for column in words.values()], dtype=np.int64).reshape(len(words), len(names)).T,
        tuple(words),
    )


def _read(network: str) -> tuple[dict[str, float], list[str]]:
    """The numbers of a name without its size by column, and its words without these numbers."""
    numbers: dict[str, float] = {}
    stated = dict(LETTER_NUMBER.findall(network))
    rest = LETTER_NUMBER.sub("", network)
    both = all(letter in stated for letter in MULTIPLIERS)
    for letter, number in stated.items():
        numbers[letter] = _multiplier(number) if both and letter in MULTIPLIERS else float(number)
    if not both and (scale := SCALE_LETTER.search(rest)):
        numbers.update(zip(MULTIPLIERS, SCALES[scale[1]], strict=True))
        rest = rest[: scale.start()] + rest[scale.end() :]
    return numbers, [word for part in PART.findall(rest) if (word := part.strip("_"))]


def _size(name: str) -> tuple[dict[str, float], str]:
    """The last number that stands alone, and the name without it."""
    *_, last = (None, *BARE_NUMBER.finditer(name))
    if last is None:
        return {}, name
    return {SIZE: math.sqrt(int(last[1]) * int(last[2] or last[1]))}, name[: last.start()] + name[last.end() :]


def _multiplier(digits: str) -> float:
    """The digits of d33, w5 or w1: 0.33, 0.5, 1."""
    number = float(digits)
    return number if "." in digits or number <= 1 else number / 10 if number < 10 else number / 100


def _transposed(read: Sequence[Mapping[str, float]]) -> dict[str, list[float]]:
    columns = dict.fromkeys(name for numbers in read for name in numbers)
    return {name: [numbers.get(name, math.nan) for numbers in read] for name in columns}


def _words(read: Sequence[Sequence[str]]) -> dict[str, list[str]]:
    """A column of each word's place, and one of the first words without what follows their last digit."""
    count = min(max(map(len, read), default=0), MAX_WORDS)
    columns = {f"word {place + 1}": [_word(words, place) for words in read] for place in range(count)}
    series = [re.sub(r"(?<=\d)[a-z]+$", "", _word(words, 0)) for words in read]
    return {"series": series} | columns


def _word(words: Sequence[str], place: int) -> str:
    last = place == MAX_WORDS - 1
    return "-".join(words[place:] if last else words[place : place + 1])


def _distinct(words: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """The columns that distinguish something, without those that divide the names as a later one does."""
    kept = set({tuple(_ranks(column)): name for name, column in words.items()}.values())
    if len(set(words[NETWORK])) == len(words[NETWORK]):
        kept.discard(NETWORK)
    return {name: column for name, column in words.items() if name in kept and len(set(column)) > 1}


def _ranks(column: Sequence[str]) -> Iterator[int]:
    """Equal words as equal numbers, in the order of their first occurrence."""
    seen: dict[str, int] = {}
    return (seen.setdefault(word, len(seen)) for word in column)


def _logarithms(column: Sequence[float]) -> Floats:
    numbers = np.array(column, dtype=np.float64)
    return np.log(numbers) if np.nanmin(numbers, initial=np.inf) > 0 else numbers


def _codes(column: Sequence[str]) -> NDArray[np.int64]:
    return np.array([crc32(word.encode()) for word in column], dtype=np.int64)
