"""Files of labels that would be one split: none is dropped."""

import json
from pathlib import Path

import pytest

from labeled_sets import write_image
from paretodet.errors import InputError
from paretodet.labels.read import read_labels, splits
from paretodet.labels.splits import distinct

LINE = "a.jpg,1,1,9,9,cat\n"
HEADER = "filename,xmin,ymin,xmax,ymax,class\n"
COCO = {
    "images": [{"id": 1, "file_name": "a.jpg", "width": 16, "height": 16}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 8, 8], "area": 64, "iscrowd": 0}],
    "categories": [{"id": 1, "name": "cat"}],
}


def write(folder: Path, *names: str) -> None:
    write_image(folder / "a.jpg", 1, size=(16, 16))
    for name in names:
        write_image((folder / name).with_name("a.jpg"), 1, size=(16, 16))
        (folder / name).write_text(json.dumps(COCO) if name.endswith(".json") else HEADER + LINE)


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (("train.csv", "train_labels.csv"), {"train", "train_labels"}),
        (("labels_train.csv", "val_annotations.csv"), {"train", "val"}),
        (("boxes-train.csv", "train.csv", "valid.csv"), {"boxes-train", "train", "valid"}),
        (("one/annotations.json", "two/annotations.json"), {"one-annotations", "two-annotations"}),
        (("train/some.json", "train/others.json"), {"some", "others"}),
        (("train/train.csv", "train/train_labels.csv", "val/a.csv"), {"train", "train_labels", "val"}),
        (("instances_train.json", "val.json", "coco_val.json"), {"train", "val", "coco_val"}),
        (("instances_train.json", "val.json", "annotations/val.json"), {"train", "val", "annotations-val"}),
        (
            ("instances_val.json", "annotations/instances_val.json"),
            {"instances_val", "annotations-instances_val"},
        ),
    ],
    ids=lambda value: " ".join(sorted(value)),
)
def test_two_files_of_one_split_are_two_splits(tmp_path: Path, names: tuple[str, ...], found: set[str]) -> None:
    write(tmp_path, *names)
    assert set(splits(tmp_path)) == found
    assert all(len(read_labels(tmp_path, split=split)) == 1 for split in found)
    with pytest.raises(InputError) as refused:
        read_labels(tmp_path, split="test")
    assert refused.value.id == "split-unknown"


def test_names_that_differ_stay_as_they_are() -> None:
    base = Path("data")
    files = [base / "a" / "x.json", base / "b" / "x.json", base / "c" / "y.json"]
    assert distinct(["train", "val", "y"], files, base) == dict(zip(["train", "val", "y"], files, strict=True))
    assert list(distinct(["train", "train", "y"], files, base)) == ["a-x", "b-x", "y"]
