"""The bars and lines of the chart agree with the numbers."""

import pytest

from paretodet.evaluation.errors import CAUSES, errors
from paretodet.labels.formats.coco import from_json
from paretodet.report.evaluated import BARS, LINES, _lines, _parts, captions, lost_table, plot_errors

BOX = [10, 10, 40, 40]


def sets(kinds):
    truth = {
        "images": [{"id": 1, "width": 200, "height": 200}],
        "categories": [{"id": k, "name": f"kind {k}"} for k in range(kinds)],
        "annotations": [
            {"id": k, "image_id": 1, "category_id": k, "bbox": [k, k, 50, 50], "area": 2500, "iscrowd": 0}
            for k in range(kinds)
        ],
    }
    found = [
        {"image_id": 1, "category_id": k, "bbox": [k + 9 * (k % 3), k, 50, 50], "score": 0.5} for k in range(kinds)
    ]
    return errors(from_json(truth), found), {k: f"kind {k}" for k in range(kinds)}


def test_segments_of_a_bar_join_and_the_longest_bar_fills_the_width():
    found, names = sets(6)
    bars = {}
    for part in _parts(found, names):
        bars.setdefault(part.key, []).append(part)
    assert [bar[0].label for bar in bars.values()][:4] == ["all sizes", "small", "medium", "large"]
    for bar in bars.values():
        assert bar[0].start == 0 and [part.end for part in bar[:-1]] == [part.start for part in bar[1:]]
    assert max(bar[-1].end for bar in bars.values()) == pytest.approx(1)
    _, lost = found.mean()
    assert {part.stage for part in bars["000"]} <= set(CAUSES)
    assert len(bars["000"]) == max(1, sum(each > 0 for each in lost.values()))


def test_many_categories_leave_some_out_and_say_so():
    found, names = sets(30)
    assert len({part.key for part in _parts(found, names)}) == 4 + BARS
    assert [line.name for line in _lines(found, names)][0] == "mean of categories"
    assert len(_lines(found, names)) == 1 + LINES
    assert "Of 30 categories" in captions(found)[1] and len(captions(sets(2)[0])) == 1


def test_a_line_ends_where_recall_ends():
    found, names = sets(1)
    (line,) = _lines(found, names)
    assert line.points[0] == (0, 100) and line.points[-1] == (100, 100)


def test_the_table_has_a_line_for_every_size_and_category():
    found, names = sets(5)
    assert lost_table(found, names).row_count == 4 + 5


def test_nothing_to_draw(tmp_path):
    truth = from_json({"images": [{"id": 1}], "categories": [{"id": 1, "name": "kind"}], "annotations": []})
    with pytest.raises(ValueError, match="nothing to draw"):
        plot_errors(errors(truth, []), {}, tmp_path / "a.png", title="", subtitle=[])
