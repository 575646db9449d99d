"""Labels as the rows of a COCO instances file."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from paretodet import writing
from paretodet.labels.lint.subject import LabeledSplit
from paretodet.labels.rle import Polygons, Runs

Row = dict[str, Any]


class MergedCategories:
    """The categories of all splits: as they are if the splits agree, else by name with new ids."""

    def __init__(self, parts: Sequence[LabeledSplit], *, count_from_one: bool = False) -> None:
        pairs = [list(zip(part.data.category_ids, part.data.labels, strict=True)) for part in parts]
        self._agree = all(each == pairs[0] for each in pairs) and not count_from_one
        names = dict.fromkeys(name for each in pairs for _, name in each)
        self._ids = {name: number for number, name in enumerate(names, 1)}
        chosen = pairs[0] if self._agree else [(number, name) for name, number in self._ids.items()]
        self.rows: list[Row] = [{"id": key, "name": name} for key, name in chosen]
        known = parts[0].data.federated
        for row, frequency in zip(self.rows, known.frequency if known and self._agree else (), strict=False):
            row["frequency"] = frequency

    def key(self, part: LabeledSplit, label: int) -> int:
        return part.data.category_ids[label] if self._agree else self._ids[part.data.labels[label]]


def box_fields(part: LabeledSplit, row: int, mask: Polygons | Runs | None) -> Row:
    x1, y1, x2, y2 = part.data.boxes[row].tolist()
    box = [x1, y1, x2 - x1, y2 - y1]
    return {"bbox": box, "area": box_area(part, row, mask), "iscrowd": int(part.data.crowd[row])}


def box_area(part: LabeledSplit, row: int, mask: Polygons | Runs | None) -> float:
    """px² as in the labels if that is possible, else of the outline, else of the box: as scoring takes it."""
    x1, y1, x2, y2 = part.data.boxes[row].tolist()
    whole: float = (x2 - x1) * (y2 - y1)
    if part.data.areas is not None and 0 < (stated := float(part.data.areas[row])) <= whole:
        return stated
    height, width = part.data.sizes[part.owners[row]].tolist()
    return mask.area((height, width)) if mask is not None else whole


def outline_field(mask: Polygons | Runs | None) -> Row:
    return {} if mask is None else {"segmentation": mask.to_json()}


def write_lists(path: Path, lists: dict[str, Iterator[Row]]) -> None:
    """One JSON object of lists, a row a line, whole or not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with writing.written(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for name, rows in lists.items():
            file.write(f"{'{' if name == next(iter(lists)) else ','}{json.dumps(name)}: [")
            file.writelines(f"{',' * (at > 0)}\n{json.dumps(row)}" for at, row in enumerate(rows))
            file.write("]\n")
        file.write("}\n")
