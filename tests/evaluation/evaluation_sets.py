"""Small sets of labels and results that hypothesis makes, and the official evaluator on them."""

import contextlib
import copy
import io

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
