"""Rows get the categories that they mean, or are refused where the labeled objects contradict how they number them."""

import pytest
from evaluation_sets import known, perfect, spread

from labeled_sets import write_image
from paretodet.evaluation.numbering import AS_COCO, AS_NAMES, FROM_ONE, FROM_ZERO, with_categories
from paretodet.labels.coco_names import COCO_IDS, SYNONYMS
from paretodet.labels.read import read_labels

FRUIT = ("apple", "banana", "cherry")
COCO_80 = dict(enumerate(COCO_IDS.values()))


def numbers(rows, truth):
    """The categories that rows get, and what is told."""
    found, notes = with_categories(rows, known(truth))
    return [row["category_id"] for row in found], notes


def right(truth):
    return [row["category_id"] for row in truth["annotations"]]


def refused(rows, truth):
    with pytest.raises(ValueError, match="write category_name into every row") as error:
        with_categories(rows, known(truth))
    assert error.value.id == "label-unknown"
    return str(error.value)


@pytest.mark.parametrize("ids", [(0, 1, 2), (1, 2, 3), (5, 9, 70)])
@pytest.mark.parametrize("images", [8, 30])
def test_a_number_that_agrees_does_not_hide_two_that_are_exchanged(ids, images):
    truth = spread(dict(zip(ids, FRUIT, strict=True)), images=images)
    exchanged = {ids[1]: ids[2], ids[2]: ids[1]}
    message = refused(perfect(truth, number=lambda key: exchanged.get(key, key)), truth)
    assert f"{ids[1]} lies on 'cherry', {ids[2]} lies on 'banana'" in message and "lies on 'apple'" not in message
    assert numbers(perfect(truth), truth) == (right(truth), ())


def test_one_number_alone_is_checked():
    """As an export of Roboflow has them, whose category 0 has no object, and a detector of one class counts from 0."""
    truth = spread({1: "fish"})
    truth["categories"].insert(0, {"id": 0, "name": "fishes"})
    assert "0 lies on 'fish' in 40 of 40" in refused(perfect(truth, number=lambda key: 0), truth)
    assert numbers(perfect(truth), truth) == (right(truth), ())
    more = spread({1: "fish", 2: "crab"})
    more["categories"].insert(0, {"id": 0, "name": "animals"})
    assert "0 lies on 'fish', 1 lies on 'crab'" in refused(perfect(more, number=lambda key: key - 1), more)


@pytest.mark.parametrize("low", [0.01, 0.89])
def test_of_several_rows_on_an_object_the_best_counts(low):
    truth = spread({0: "cat", 1: "dog"})
    own, other = perfect(truth), perfect(truth, number=lambda key: 1 - key)
    refused([row | {"score": low} for row in own] + other, truth)
    rows = own + [row | {"score": low} for row in other]
    assert numbers(rows, truth) == ([row["category_id"] for row in rows], ())


def test_a_poor_detector_is_scored():
    """It takes nearly all for one class, or most of a class for another; it may find objects of two classes at once."""
    truth = spread({0: "person", 1: "dog", 2: "car", 3: "truck"})
    for row in truth["annotations"][8:]:
        row["category_id"] = 0
    for number in (2, 3):
        rows = perfect(truth, number=lambda key, number=number: number)
        assert numbers(rows, truth) == ([number] * 40, ())
    cars = spread({2: "car"})
    cars["categories"] = truth["categories"]
    rows = [row | {"category_id": 2 + (n % 5 < 3)} for n, row in enumerate(perfect(cars))]
    assert numbers(rows, cars)[1] == ()
    twice = spread({0: "person"})
    twice["categories"] = truth["categories"]
    twice["annotations"] += [row | {"id": 100 + n, "category_id": 3} for n, row in enumerate(twice["annotations"])]
    rows = perfect(twice)
    assert numbers(rows, twice) == ([row["category_id"] for row in rows], ())


def test_rare_classes_that_are_confused_are_no_other_numbering():
    truth = spread(dict(enumerate("abcdefgh")), images=1000)
    rare = [row for row in truth["annotations"] if row["category_id"] in (6, 7)]
    for row in rare[8:]:
        row["category_id"] = 0
    rows = perfect(truth, number=lambda key: {6: 7, 7: 6}.get(key, key))
    assert numbers(rows, truth)[1] == ()


@pytest.mark.parametrize("counts", [{"person": 10, "cat": 3, "dog": 3}, {"person": 10, "cat": 2, "dog": 2}])
@pytest.mark.parametrize("names", [COCO_80, {key: SYNONYMS.get(name, name) for key, name in COCO_80.items()}])
def test_cocos_own_ids_are_seen_on_labels_with_its_names(counts, names):
    found = {name: key for key, name in names.items()}
    truth = spread(names, images=sum(counts.values()) // 2)
    order = [found[name] for name, count in counts.items() for _ in range(count)]
    for row, key in zip(truth["annotations"], order, strict=True):
        row["category_id"] = key
    published = list(COCO_IDS)
    assert numbers(perfect(truth, number=lambda key: published[key]), truth) == (order, (AS_COCO,))


def test_all_eighty_of_cocos_ids():
    truth, published = spread(COCO_80, images=120), list(COCO_IDS)
    assert numbers(perfect(truth, number=lambda key: published[key]), truth) == (right(truth), (AS_COCO,))
    assert numbers(perfect(truth, number=lambda key: key + 1), truth) == (right(truth), (FROM_ONE,))
    own = spread(COCO_IDS, images=120)
    assert numbers(perfect(own), own) == (right(own), ())
    assert numbers(perfect(own, number=published.index), own) == (right(own), (FROM_ZERO,))


def test_two_numberings_that_fit_alike_are_refused():
    """17 is the cat of COCO's files and, counted from 1, a dog: the boxes of 17 lie on no object."""
    truth = spread(COCO_80, images=8)
    for row in truth["annotations"]:
        row["category_id"] = 0
    rows = perfect(truth, number=lambda key: 1)
    refused([*rows, rows[0] | {"category_id": 17, "bbox": [0, 0, 1, 1], "score": 0.1}], truth)


def test_counting_from_one_must_agree_with_every_number():
    truth = spread({0: "a", 1: "b", 2: "c"})
    refused(perfect(truth, number=lambda key: {0: 1, 1: 3, 2: 2}[key]), truth)
    assert numbers(perfect(truth, number=lambda key: key + 1), truth) == (right(truth), (FROM_ONE,))


@pytest.mark.parametrize("ids", [(0,), (0, 1), (0, 1, 2)])
def test_coco_labels_with_ids_from_zero_are_counted_from_one_too(ids):
    truth = spread(dict(zip(ids, FRUIT, strict=False)))
    assert numbers(perfect(truth, number=lambda key: key + 1), truth) == (right(truth), (FROM_ONE,))
    assert numbers(perfect(truth), truth) == (right(truth), ())


def test_names_decide_even_against_the_boxes():
    truth = spread({0: "cat", 1: "dog"})
    rows = [row | {"category_name": ("dog", "cat")[row["category_id"]]} for row in perfect(truth)]
    assert numbers(rows, truth)[0] == [1 - key for key in right(truth)]
    rows = [row | {"category_id": ("dog", "cat")[row["category_id"]]} for row in perfect(truth)]
    assert numbers(rows, truth)[0] == [1 - key for key in right(truth)]


@pytest.mark.parametrize("unknown", ["bird", "", None])
def test_a_name_that_contradicts_its_number_is_refused_where_numbers_decide(unknown):
    """As of a detector of more classes than the labels have."""
    truth = spread({0: "cat", 1: "dog", 2: "cow"}, images=2)
    rows = [row | {"category_name": FRUIT[0]} for row in perfect(truth)]
    assert numbers(rows, truth) == (right(truth), ())
    rows[0] |= {"category_id": 1, "category_name": "cat"}
    rows[1]["category_name"] = unknown
    assert "category_id 1 is 'cat', and in the labels 'dog'" in refused(rows, truth)


def test_every_row_of_one_number_has_its_own_name():
    truth = spread({1: "cat", 2: "dog"})
    names = {1: "cat", 2: "dog"}
    rows = [row | {"category_id": 1, "category_name": names[row["category_id"]]} for row in perfect(truth)]
    assert numbers(rows, truth)[0] == right(truth)


def test_a_name_of_two_categories_decides_nothing():
    truth = spread({1: "cat", 2: "dog"})
    truth["categories"].append({"id": 3, "name": "cat"})
    rows = [row | {"category_name": {1: "cat", 2: "dog"}[row["category_id"]]} for row in perfect(truth)]
    assert numbers(rows, truth) == (right(truth), ())


@pytest.mark.parametrize("images", [1, 2])
def test_a_few_boxes_of_other_categories_are_told(images):
    truth = spread({1: "cat", 2: "dog"}, images=images)
    found, (note,) = numbers(perfect(truth, number=lambda key: 3 - key), truth)
    assert found == [3 - key for key in right(truth)] and note.startswith(f"none of the {2 * images} boxes")


@pytest.mark.parametrize("names", [("3", "7", "10"), ("1", "2", "10")])
def test_categories_are_numbered_as_tables_name_them(tmp_path, names):
    rows, lines = [], ["image,x,y,w,h,class_id"]
    for number, name in enumerate(names * 4):
        lines.append(f"{number}.jpg,4,8,16,22,{name}")
        write_image(tmp_path / f"{number}.jpg", number)
        rows.append({"image_id": number, "category_id": int(name), "bbox": [4, 8, 16, 22], "score": 0.9})
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    labels = read_labels(tmp_path / "labels.csv")
    found, notes = with_categories(rows, labels)
    assert [row["category_id"] for row in found] == [0, 1, 2] * 4 and notes == (AS_NAMES,)


@pytest.mark.parametrize("write", [str.upper, str.title, lambda name: name.replace(" ", "_"), lambda name: f" {name} "])
@pytest.mark.parametrize("field", ["category_id", "category_name"])
def test_names_of_other_capitals_and_dashes_are_the_same(write, field):
    truth = spread({3: "traffic light", 7: "dog"})
    names = {3: "traffic light", 7: "dog"}
    rows = [row | {field: write(names[row["category_id"]])} for row in perfect(truth)]
    rows = [row | {"category_id": 10 - row["category_id"]} if field == "category_name" else row for row in rows]
    assert numbers(rows, truth)[0] == right(truth)


def test_names_that_would_be_one_category_are_refused():
    truth = spread({3: "dog", 7: "cat"})
    rows = [row | {"category_id": {3: "Dog", 7: "DOG"}[row["category_id"]]} for row in perfect(truth)]
    with pytest.raises(ValueError, match="'DOG' is no category of the labels, which have dog, cat") as error:
        with_categories(rows, known(truth))
    assert error.value.id == "label-unknown"
    same = spread({3: "dog", 7: "Dog"})
    assert numbers([row | {"category_id": {3: "dog", 7: "Dog"}[row["category_id"]]} for row in perfect(same)], same)[
        0
    ] == right(same)


def test_a_name_of_no_category_is_refused_with_those_there_are():
    truth = spread({3: "dog", 7: "cat"})
    rows = [row | {"category_id": {3: "dog", 7: "horse"}[row["category_id"]]} for row in perfect(truth)]
    with pytest.raises(ValueError, match="'horse' is no category .*leave out the rows of other categories") as error:
        with_categories(rows, known(truth))
    assert error.value.id == "label-unknown"
