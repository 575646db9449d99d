"""Writes labels in COCO's format: annotations/instances_<split>.json, and images/<split>."""

from collections.abc import Iterator, Sequence

from paretodet.labels.coco_rows import MergedCategories, Row, box_fields, outline_field, write_lists
from paretodet.labels.lint.subject import LabeledSplit
from paretodet.labels.model import NO_ID
from paretodet.labels.target import ConversionTarget, ImageNames


def write_coco(parts: Sequence[LabeledSplit], target: ConversionTarget) -> None:
    """Ids of images, categories and annotations are kept, if the labels have them; else they are counted from 1."""
    categories = MergedCategories(parts, count_from_one=any(part.data.named for part in parts))
    for part in parts:
        _CocoWriter(part, categories, target).write()


class _CocoWriter:
    def __init__(self, part: LabeledSplit, categories: MergedCategories, target: ConversionTarget) -> None:
        self.part, self.categories, self.target = part, categories, target
        data = part.data
        ids = map(data.image_id, data.keys.tolist())
        self._keys: list[int | str] = [*range(1, len(data) + 1)] if data.named else [*ids]
        own = data.ids.tolist() if data.ids is not None else []
        self._ids = own if own and NO_ID not in own and len(set(own)) == len(own) else range(1, len(data.boxes) + 1)
        self._of = [categories.key(part, label) for label in range(len(data.labels))]

    def write(self) -> None:
        path = self.target.folder / "annotations" / f"instances_{self.part.split}.json"
        rows = {"categories": iter(self.categories.rows), "images": self._images(), "annotations": self._annotations()}
        write_lists(path, rows)

    def _images(self) -> Iterator[Row]:
        names, data = ImageNames(self.target, flat=False).of(self.part), self.part.data
        for index, (key, file, name) in enumerate(zip(self._keys, self.part.files, names, strict=True)):
            self.target.place(file, f"images/{self.part.split}/{name}")
            height, width = data.sizes[index].tolist()
            about = {"id": key, "file_name": name, "height": height, "width": width}
            yield about | (data.federated.to_json(index, self._of) if data.federated else {})

    def _annotations(self) -> Iterator[Row]:
        data = self.part.data
        for row, owner in enumerate(self.part.owners.tolist()):
            mask = data.mask(row)
            about = {"id": self._ids[row], "image_id": self._keys[owner], "category_id": self._of[data.classes[row]]}
            yield about | box_fields(self.part, row, mask) | outline_field(mask)
