"""Small sets of labels and results that hypothesis makes, and the official evaluator on them."""

import contextlib
import copy
import io

import numpy as np
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from paretodet.labels.formats.coco import from_json as known  # noqa: F401

IMAGES, CATEGORIES = (900, 7, 12), (90, 1)  # sparse, not sorted
SIDE = 200


def labels(rows, images=IMAGES, categories=CATEGORIES):
    """rows: image, category, bbox, crowd and, if there is one, the outline."""
    return {
        "images": [{"id": i, "width": SIDE, "height": SIDE} for i in images],
        "categories": [{"id": c, "name": f"name {c}"} for c in categories],
        "annotations": [
            {"id": n, "image_id": i, "category_id": c, "bbox": box, "area": box[2] * box[3], "iscrowd": int(crowd)}
            for n, (i, c, box, crowd) in enumerate(rows, 1)
        ],
    }


def results(rows):
    return [{"image_id": i, "category_id": c, "bbox": list(box), "score": s} for i, c, box, s in rows]


def official(truth, found, kind="bbox"):
    with contextlib.redirect_stdout(io.StringIO()):
        labeled = COCO()
        labeled.dataset = copy.deepcopy(truth)
        labeled.createIndex()
        run = COCOeval(labeled, labeled.loadRes(copy.deepcopy(found)), kind)
        run.evaluate()
        run.accumulate()
        run.summarize()
    return run


# Sides up to 120 px meet the area edges 32² and 96² exactly; few places and scores make ties; images may be empty.
PLACE, LENGTH = st.sampled_from((0, 8, 40)), st.sampled_from((8, 32, 96, 120))
BOX = st.builds(lambda x, y, w, h: [x, y, w, h], PLACE, PLACE, LENGTH, LENGTH)
IMAGE, CATEGORY = st.sampled_from(IMAGES), st.sampled_from(CATEGORIES)
LABELS = st.lists(st.tuples(IMAGE, CATEGORY, BOX, st.booleans()), min_size=1, max_size=8).map(labels)
FOUND = st.lists(st.tuples(IMAGE, CATEGORY, BOX, st.sampled_from((0.25, 0.5, 1.0))), min_size=1, max_size=14)
RESULTS = FOUND.map(results)
# The same without ties, anywhere: for what leaves their order open.
FREE = st.builds(lambda *sides: list(sides), *[st.floats(0, 60)] * 2, *[st.floats(4, 130)] * 2)
FREE_LABELS = st.lists(st.tuples(IMAGE, CATEGORY, FREE, st.booleans()), min_size=1, max_size=8).map(labels)
FREE_RESULTS = st.lists(
    st.tuples(IMAGE, CATEGORY, FREE, st.floats(0.01, 1)), min_size=1, max_size=14, unique_by=lambda row: row[3]
).map(results)


def spread(categories, *, size=(1920, 1080), sides=(20, 40), images=20, seed=0):
    """COCO's labels with an object of each of these (id -> name), one after another, in `images` images, and another of
    the next: places and sides are random; `size` is width and height, `sides` are the least and the most.
    """
    chance, (width, height) = np.random.default_rng(seed), size
    ids, rows = list(categories), []
    for n in range(2 * images):
        w, h = chance.uniform(*sides, 2)
        box = [chance.uniform(0, width / 2 - w) + width / 2 * (n % 2), chance.uniform(0, height - h), w, h]
        rows.append((n // 2, ids[n % len(ids)], [round(float(each), 2) for each in box]))
    return {
        "images": [{"id": i, "file_name": f"{i}.jpg", "width": width, "height": height} for i in range(images)],
        "categories": [{"id": key, "name": name} for key, name in categories.items()],
        "annotations": [
            {"id": n, "image_id": i, "category_id": c, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
            for n, (i, c, box) in enumerate(rows, 1)
        ],
    }


def perfect(truth, *, number=lambda key: key, box=lambda x, y, w, h: [x, y, w, h], score=0.9):
    """A row for every object; `number` of its category's id, and what `box` makes of its box."""
    return [
        {"image_id": row["image_id"], "category_id": number(row["category_id"]), "bbox": box(*row["bbox"])}
        | {"score": score}
        for row in truth["annotations"]
    ]
