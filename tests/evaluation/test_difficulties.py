"""Cases in which evaluators differ, each constructed on purpose and compared with pycocotools number by number."""

from typing import Any

import pytest
from evaluation_sets import BOX, CATEGORIES, IMAGES, known, labels, official, results
from hypothesis import given, settings
from hypothesis import strategies as st

from paretodet.evaluation.coco import evaluate, score

Row = dict[str, Any]
PLACES = st.tuples(st.sampled_from(IMAGES), st.sampled_from(CATEGORIES), BOX)
SCORES = st.sampled_from((0.25, 0.5, 1.0))


def same(truth: Row, found: list[Row]) -> bool:
    """All twelve numbers, and each category's AP."""
    ours, run = evaluate(known(truth), found), official(truth, found)
    assert list(ours.whole) == pytest.approx([None if each < 0 else 100 * each for each in run.stats], abs=1e-10)
    for place, key in enumerate(run.params.catIds):
        kept = run.eval["precision"][:, :, place, 0, 2]
        expected = 100 * kept[kept > -1].mean() if (kept > -1).any() else None
        assert ours.categories[key].ap == pytest.approx(expected, abs=1e-10)
    return True


def truths(rows: list[Any], crowds: list[bool]) -> Row:
    return labels([(*row, crowd) for row, crowd in zip(rows, crowds, strict=True)])


@settings(max_examples=40)
@given(st.lists(PLACES, min_size=1, max_size=6), st.lists(PLACES, min_size=2, max_size=20))
def test_ties_of_score_and_of_overlap(rows, finds):
    """Every score is the same, and every truth stands there twice."""
    truth = truths(rows + rows, [False] * (2 * len(rows)))
    assert same(truth, results([(*row, 0.5) for row in finds]))
    assert same(truth, results([(*row, 0.5) for row in rows + finds + rows]))


@settings(max_examples=40)
@given(
    st.lists(st.tuples(PLACES, st.booleans()), min_size=1, max_size=6),
    st.lists(st.tuples(PLACES, SCORES), max_size=10),
)
def test_crowds(rows, finds):
    """At least one truth in two is a crowd; inside of each lie several detections, and one object."""
    crowds = [(place, True) for place, _ in rows] + rows
    truth = truths([place for place, _ in crowds], [crowd for _, crowd in crowds])
    inside = [((image, key, [x, y, 8, 8]), 0.5) for (image, key, (x, y, _, _)), _ in rows] * 2
    assert same(truth, results([(*place, score) for place, score in finds + inside]))


AREAS = st.sampled_from((0, 1, 1023, 1024, 1025, 1024.0000001, 9215.5, 9216, 9217, 1e5))
EDGES = st.sampled_from((31.9999999, 32, 32.0000001, 95.9999999, 96, 96.0000001))


@settings(max_examples=60)
@given(
    st.lists(st.tuples(PLACES, AREAS), min_size=1, max_size=8),
    st.lists(st.tuples(PLACES, EDGES, EDGES, SCORES), min_size=1, max_size=12),
)
def test_areas_at_the_edges_of_the_sizes(rows, finds):
    """The truths' area is what the file says, whatever the box; that of a detection is its box's."""
    truth = truths([place for place, _ in rows], [False] * len(rows))
    for annotation, (_, area) in zip(truth["annotations"], rows, strict=True):
        annotation["area"] = area
    found = [((image, key, [x, y, w, h]), points) for (image, key, (x, y, _, _)), w, h, points in finds]
    found += [(place, points) for place, _, _, points in finds]
    assert same(truth, results([(*place, points) for place, points in found]))


@settings(max_examples=25)
@given(st.lists(PLACES, min_size=1, max_size=4), st.integers(95, 130), st.lists(SCORES, min_size=130, max_size=130))
def test_the_most_of_an_image_and_category(rows, count, scores):
    """More detections than count, of one image and category; the right ones behind, before, or among equals."""
    image, key, _ = rows[0]
    truth = truths(rows, [False] * len(rows))
    noise = [(image, key, [150 + n % 7, 150, 9, 9], scores[n]) for n in range(count)]
    right = [(*row, 0.5) for row in rows]
    assert same(truth, results(noise + right)) and same(truth, results(right + noise))
    assert score(known(truth), results(noise + right)).ar1 <= score(known(truth), results(noise + right)).ar100


@settings(max_examples=40)
@given(
    st.lists(PLACES, min_size=1, max_size=4),
    st.lists(st.tuples(PLACES, SCORES), max_size=8),
    st.sampled_from(IMAGES),
    st.sampled_from(CATEGORIES),
)
def test_images_and_categories_with_nothing(rows, finds, image, key):
    """One image has detections alone, one nothing at all; one category has no truth."""
    kept = [row for row in rows if row[0] != image and row[1] != key] or [(IMAGES[0], CATEGORIES[0], [0, 0, 8, 8])]
    truth = truths(kept, [False] * len(kept))
    truth["images"] += [{"id": 5000, "width": 9, "height": 9}]
    truth["categories"] += [{"id": 77, "name": "never"}]
    found = [(*place, points) for place, points in finds] + [
        (image, key, [0, 0, 8, 8], 0.9),
        (image, 77, [0, 0, 9, 9], 1.0),
    ]
    assert same(truth, results(found))
    assert evaluate(known(truth), results(found)).categories[77].ap is None


IDS = st.lists(st.integers(1, 10**12), min_size=8, max_size=8, unique=True)


@settings(max_examples=40)
@given(st.lists(PLACES, min_size=1, max_size=6), st.lists(st.tuples(PLACES, SCORES), min_size=1, max_size=10), IDS)
def test_sparse_ids_in_any_order_change_nothing_but_names(rows, finds, ids):
    truth = truths(rows, [False] * len(rows))
    found = results([(*place, points) for place, points in finds])
    images = dict(zip(IMAGES, ids, strict=False))
    categories = dict(zip(CATEGORIES, ids[3:], strict=False))
    renamed = {
        "images": [each | {"id": images[each["id"]]} for each in reversed(truth["images"])],
        "categories": [each | {"id": categories[each["id"]]} for each in reversed(truth["categories"])],
        "annotations": [moved(each, images, categories) | {"id": ids[5] + each["id"]} for each in truth["annotations"]],
    }
    assert same(renamed, [moved(each, images, categories) for each in found])


def moved(row: Row, images: dict[int, int], categories: dict[int, int]) -> Row:
    return row | {"image_id": images[row["image_id"]], "category_id": categories[row["category_id"]]}


def test_an_annotation_of_id_0_counts():
    """The official evaluator takes id 0 for "nothing matched"; files that count from 0 are scored as those from 1."""
    found = results([(7, 1, [0, 0, 40, 40], 0.5)])
    truth = labels([(7, 1, [0, 0, 40, 40], False)])
    other = truth | {"annotations": [truth["annotations"][0] | {"id": 0}]}
    assert score(known(other), found) == score(known(truth), found) and score(known(other), found).ap == pytest.approx(
        100
    )
