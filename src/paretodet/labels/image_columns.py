"""The images of labels that are being read: names, keys and sizes as columns, which may change until all are known."""

import os
from array import array
from collections.abc import Collection

from paretodet.errors import InputError
from paretodet.labels.rle import Size

DEEPEST = 20  # folders that names have and the set may lack


class ImageColumns:
    """Images by their numbers, 0, 1, ..."""

    def __init__(self) -> None:
        self.names, self.name_ends = bytearray(), array("q")
        self.keys, self.sizes = array("q"), array("i")
        self._seen = set[int]()

    def __len__(self) -> int:
        return len(self.name_ends)

    def check_new(self, key: int) -> None:
        """Raises InputError if another image has the key."""
        if key in self._seen:
            raise InputError(f"id {key} is another image's already", "image-id-repeated")

    def add(self, key: int, name: str, size: Size) -> None:
        self._seen.add(key)
        self.names += os.fsencode(name)
        self.name_ends.append(len(self.names))
        self.keys.append(key)
        self.sizes.extend(size)

    def name(self, number: int) -> str:
        start = self.name_ends[number - 1] if number else 0
        return os.fsdecode(bytes(self.names[start : self.name_ends[number]]))

    def resize(self, number: int, size: Size) -> None:
        self.sizes[2 * number : 2 * number + 2] = array("i", size)

    def drop_folders(self, count: int) -> bool:
        """Calls every image by its path without its first `count` folders, or all of fewer, unless two would be called
        alike; returns whether it did.
        """
        ends = [without_folders(self.name(number), count) for number in range(len(self))]
        if len(set(ends)) < len(ends):
            return False
        self._fill(ends, self.keys, self.sizes)
        return True

    def remove(self, numbers: Collection[int]) -> None:
        """Forgets these images; their keys stay taken."""
        kept = [number for number in range(len(self)) if number not in numbers]
        keys = array("q", (self.keys[number] for number in kept))
        sizes = array("i", (self.sizes[2 * number + side] for number in kept for side in (0, 1)))
        self._fill([self.name(number) for number in kept], keys, sizes)

    def _fill(self, names: list[str], keys: "array[int]", sizes: "array[int]") -> None:
        self.names, self.name_ends, self.keys, self.sizes = bytearray(), array("q"), keys, sizes
        for name in names:
            self.names += os.fsencode(name)
            self.name_ends.append(len(self.names))


def without_folders(name: str, count: int) -> str:
    """A path without its first `count` folders; its last part if it has fewer."""
    return name.split("/", count)[-1]
