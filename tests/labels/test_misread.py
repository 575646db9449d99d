"""A mistake that all boxes of a file have is one fault, and what is no such mistake is none."""

import numpy as np
import pytest

from labeled_sets import SOUND, truth_of, write_truth
from paretodet.labels.lint.clean import write_clean
from paretodet.labels.lint.examine import examine
from paretodet.labels.misread import find_misreading
from paretodet.labels.read import read_labels
from paretodet.report.examined import caution, next_steps

HEIGHT, WIDTH = 480, 640


def boxes(count=40, *, large=0.4):
    """Corners inside of the image, of sides up to `large` of it."""
    chance = np.random.default_rng(count)
    sides = chance.uniform(0.05, large, (count, 2)) * (WIDTH, HEIGHT)
    low = chance.uniform(0, 1, (count, 2)) * ((WIDTH, HEIGHT) - sides)
    return np.hstack([low, low + sides])


def sides(corners):
    return np.hstack([corners[:, :2], corners[:, 2:] - corners[:, :2]])


def centers(corners):
    return np.hstack([(corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]])


def read(numbers, form):
    a, b = numbers[:, :2], numbers[:, 2:]
    return {"xyxy": numbers, "xywh": np.hstack([a, a + b]), "cxcywh": np.hstack([a - b / 2, a + b / 2])}[form]


WRITE = {"xyxy": lambda corners: corners, "xywh": sides, "cxcywh": centers}


def found(numbers, form, **more):
    return find_misreading(read(numbers, form), np.tile([HEIGHT, WIDTH], (len(numbers), 1)), form, **more)


@pytest.mark.parametrize("form", WRITE)
@pytest.mark.parametrize("seed", [4, 10, 40, 500])
def test_what_is_written_as_the_format_says_is_no_mistake(form, seed):
    assert found(WRITE[form](boxes(seed)), form) is None


@pytest.mark.parametrize("form", WRITE)
@pytest.mark.parametrize("other", WRITE)
@pytest.mark.parametrize("count", [12, 200])
def test_another_form_is_found(form, other, count):
    mistake = found(WRITE[other](boxes(count)), form)
    named = {"xyxy": "two corners", "xywh": "a corner, width", "cxcywh": "a center, width"}[other]
    assert mistake is None if form == other else mistake.meaning.startswith(named)


@pytest.mark.parametrize("form", WRITE)
def test_exchanged_axes_are_found(form):
    numbers = WRITE[form](boxes(60))[:, [1, 0, 3, 2]]
    assert "y before x" in found(numbers, form).meaning


@pytest.mark.parametrize(("scale", "meaning"), [(1, "fractions"), (100, "percent")])
@pytest.mark.parametrize("form", ["xywh", "xyxy"])
def test_another_unit_is_found(scale, meaning, form):
    numbers = WRITE[form](boxes(60) / (WIDTH, HEIGHT, WIDTH, HEIGHT)) * scale
    assert found(numbers, form).meaning.startswith(meaning)
    assert found(numbers, form, fractions=True) is None


@pytest.mark.parametrize(("most", "meaning"), [(100, "percent"), (1000, "thousandths")])
@pytest.mark.parametrize("form", ["xywh", "xyxy"])
@pytest.mark.parametrize("other", ["xywh", "xyxy"])
def test_a_unit_that_leads_out_of_the_images_is_found(most, meaning, form, other):
    """Percent of images below 100 px, and thousandths of usual ones, as models of language write boxes."""
    height, width = (most // 2, most * 3 // 5)
    numbers = WRITE[other](boxes(60) / (WIDTH, HEIGHT, WIDTH, HEIGHT)) * most
    sizes = np.tile([height, width], (60, 1))
    for scales in (True, False):
        mistake = find_misreading(read(numbers, form), sizes, form, scales=scales)
        assert mistake.meaning.startswith(f"{meaning} of the image's sides")
        assert mistake.meaning.endswith("sides") is (form == other)
    larger = WRITE[form](boxes(60)) * most / WIDTH  # pixels of larger images, which are no square
    mistake = find_misreading(read(larger, form), sizes, form)
    assert mistake is None or meaning not in mistake.meaning


def test_a_few_slips_are_no_mistake_of_all():
    numbers = sides(boxes(100))
    numbers[:10] = boxes(100)[:10]
    assert found(numbers, "xywh") is None
    small = boxes(60) / (WIDTH, HEIGHT, WIDTH, HEIGHT) * 100  # all in the corner
    assert found(sides(small)[:9], "xywh") is None and found(sides(small), "xywh", scales=False) is None
    assert found(sides(small / 5 + 20), "xywh") is None  # at one place of it, as an emblem is
    assert found(sides(boxes(60)[:2] / WIDTH), "xywh") is None  # of two boxes nothing is said


def corners_in_a_file(folder, **change):
    SOUND["coco"](folder)
    truth = truth_of(folder)
    for each in truth["annotations"]:
        x, y, w, h = each["bbox"]
        each["bbox"] = change["of"](x, y, w, h)
    write_truth(folder, truth)
    return folder


@pytest.mark.parametrize(
    ("of", "meaning"),
    [
        (lambda x, y, w, h: [x / 64, y / 48, w / 64, h / 48], "fractions"),
        (lambda x, y, w, h: [x, y, x + w, y + h], "two corners"),
    ],
)
def test_doctor_reports_one_fault_and_training_hears_of_it(tmp_path, of, meaning):
    folder = corners_in_a_file(tmp_path / "set", of=of)
    done = examine(folder)
    assert [(each.check, each.level) for each in done.findings] == [("boxes-misread", "fault")] and done.status == 1
    assert next_steps(done, None) == [] and "first" in caution(done, None)
    assert meaning in done.findings[0].places[0].text
    data = read_labels(folder, split="train")
    assert meaning in data.left_out(folder)[0]
    assert read_labels(folder, split="val").misreading is None


def test_a_mistake_of_all_boxes_is_not_copied(tmp_path):
    folder = corners_in_a_file(tmp_path / "set", of=lambda x, y, w, h: [x, y, x + w, y + h])
    with pytest.raises(ValueError, match="fix: .* are two corners"):
        write_clean(examine(folder), tmp_path / "clean")
    assert not (tmp_path / "clean").exists()


def test_yolo_boxes_written_as_corners(tmp_path):
    folder = SOUND["yolo"](tmp_path / "set")
    for number in range(6):
        path = folder / f"labels/train/{number}.txt"
        rows = [list(map(float, line.split())) for line in path.read_text().splitlines()]
        corners = ([label, x - w / 2, y - h / 2, x + w / 2, y + h / 2] for label, x, y, w, h in rows)
        path.write_text("\n".join(f"{int(row[0])} {' '.join(map(str, row[1:]))}" for row in corners))
    (fault,) = [each for each in examine(folder).findings if each.level == "fault"]
    assert fault.check == "boxes-misread" and "two corners" in fault.places[0].text


def test_voc_boxes_written_with_width_and_height(tmp_path):
    folder = SOUND["voc"](tmp_path / "set")
    for path in (folder / "Annotations").glob("train*.xml"):
        text = path.read_text().replace("<xmax>20</xmax><ymax>20</ymax>", "<xmax>16</xmax><ymax>16</ymax>")
        text = text.replace("<xmax>50</xmax><ymax>20</ymax>", "<xmax>20</xmax><ymax>16</ymax>")
        text = text.replace("<xmax>20</xmax><ymax>44</ymax>", "<xmax>16</xmax><ymax>20</ymax>")
        path.write_text(text.replace("<xmax>56</xmax><ymax>44</ymax>", "<xmax>26</xmax><ymax>20</ymax>"))
    (fault,) = [each for each in examine(folder).findings if each.level == "fault"]
    assert fault.check == "boxes-misread" and "a corner, width and height" in fault.places[0].text
