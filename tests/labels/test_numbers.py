"""Boxes that number their categories otherwise than the names do are one fault, in every format that has numbers."""

import pytest

from labeled_sets import SOUND, truth_of, write_truth
from paretodet.labels.numbers import check_numbers
from paretodet.labels.read import read_labels


@pytest.mark.parametrize(
    ("used", "known", "wrong"),
    [
        ({1: 9, 2: 9}, (0, 1), True),
        ({0: 9, 1: 9}, (1, 2), True),
        ({1: 9, 2: 2}, (0, 1), False),  # slips
        ({0: 1, 1: 9, 2: 9}, (0, 1), False),
        ({1: 9, 2: 9, 3: 9}, (0, 1), False),
        ({1: 9, 2: 9}, (0, 1, 2), False),
        ({1: 9, 4: 9}, (0, 1, 3), False),  # ids with gaps
        ({-1: 9, 0: 9}, (0, 1), False),  # in place of a name that is not known
        ({3: 9}, (0, 1, 2), False),  # too few to tell
        ({2: 9}, (1,), True),
        ({}, (0,), False),
        ({0: 9}, (), False),
    ],
)
def test_numbers_that_are_shifted_by_one(tmp_path, used, known, wrong):
    if not wrong:
        return check_numbers(used, known, tmp_path)
    with pytest.raises(ValueError, match="correct one of them") as refused:
        check_numbers(used, known, tmp_path)
    assert refused.value.id == "category-unknown"


@pytest.mark.parametrize("shift", [1, -1])
def test_coco_files_whose_annotations_count_otherwise(tmp_path, shift):
    SOUND["coco"](tmp_path)
    truth = truth_of(tmp_path)
    for each in truth["categories"]:
        each["id"] += 1
    for each in truth["annotations"]:
        each["category_id"] += 1 + shift
    write_truth(tmp_path, truth)
    with pytest.raises(ValueError, match="so that every box would get the name of another") as refused:
        read_labels(tmp_path, split="train")
    assert refused.value.id == "category-unknown"
