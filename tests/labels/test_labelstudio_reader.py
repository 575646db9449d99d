"""Label Studio's exports: both forms, turned regions, several annotations, and how images are called."""

import json
import math

import numpy as np
import pytest

from labeled_sets import SIZE, studio_region, write_image
from paretodet.labels.formats.labelstudio import read_label_studio
from paretodet.labels.read import format_of

HEIGHT, WIDTH = SIZE


def write(folder, *tasks):
    folder.mkdir(exist_ok=True)
    write_image(folder / "a.jpg", 1)
    (folder / "project.json").write_text(json.dumps(list(tasks)))
    return folder / "project.json"


def task(*results, image="a.jpg", **more):
    return {"id": 1, "data": {"image": image}, "annotations": [{"result": list(results)}]} | more


def region(kind, label="dog", **value):
    size = {"original_width": WIDTH, "original_height": HEIGHT}
    return size | {"type": kind, "value": value | {kind: [label]}}


def boxes(path):
    return read_label_studio(path).boxes


def test_percent_become_pixels(tmp_path):
    path = write(tmp_path, task(studio_region("dog", (4, 8, 20, 30))))
    assert format_of(path).name == "labelstudio" and np.allclose(boxes(path), [[4, 8, 20, 30]], atol=1e-4)


def test_json_min_has_regions_in_the_task(tmp_path):
    value = region("rectanglelabels", x=25, y=50, width=25, height=25)
    least = {
        "image": "/data/upload/3/a.jpg",
        "id": 7,
        "label": [value["value"] | {"original_width": WIDTH, "original_height": HEIGHT}],
    }
    path = write(tmp_path, least)
    assert format_of(path).name == "labelstudio" and boxes(path).tolist() == [[16, 24, 32, 36]]


@pytest.mark.parametrize("angle", [0, 30, 90, 200])
def test_a_turned_box_is_the_upright_one_around_it(tmp_path, angle):
    """It turns about its first corner, clockwise."""
    side = 100 * 8 / WIDTH, 100 * 4 / HEIGHT
    path = write(tmp_path, task(region("rectanglelabels", x=50, y=50, width=side[0], height=side[1], rotation=angle)))
    turn = complex(math.cos(math.radians(angle)), math.sin(math.radians(angle)))
    corners = [complex(32, 24) + turn * complex(x, y) for x in (0, 8) for y in (0, 4)]
    across, down = [each.real for each in corners], [each.imag for each in corners]
    assert np.allclose(boxes(path), [[min(across), min(down), max(across), max(down)]], atol=1e-4)


def test_polygons_and_ellipses(tmp_path):
    polygon = region("polygonlabels", points=[[25, 25], [50, 25], [50, 50]], closed=True)
    path = write(tmp_path, task(polygon, region("ellipselabels", x=50, y=50, radiusX=25, radiusY=12.5, rotation=90)))
    found = read_label_studio(path)
    assert found.boxes.tolist() == [[16, 12, 32, 24], [26, 8, 38, 40]] and found.outlined.tolist() == [True, False]


def test_a_class_may_stand_apart_from_its_region(tmp_path):
    sides = {"x": 25, "y": 50, "width": 25, "height": 25, "rotation": 0}
    parts = [{"id": "r", "type": "rectangle", "value": sides, "original_width": WIDTH, "original_height": HEIGHT},
             {"id": "r", "type": "labels", "value": sides | {"labels": ["cat"]}}]  # fmt: skip
    found = read_label_studio(write(tmp_path, task(*parts)))
    assert (found.labels, found.boxes.tolist()) == (("cat",), [[16, 24, 32, 36]])


@pytest.mark.parametrize(
    "image",
    [
        "/data/upload/1/0a1b2c3d-a.jpg",
        "/data/local-files/?d=sets/a.jpg",
        "s3://bucket/sets/a.jpg",
        "C:\\sets\\a.jpg",
        "https://example.org/x/a.jpg?token=3",
        "/data/upload/1/%61.jpg",
    ],
)
def test_what_a_task_calls_its_image(tmp_path, image):
    (sample,) = read_label_studio(write(tmp_path, task(studio_region("dog", (4, 8, 20, 30)), image=image)))
    assert sample.image == tmp_path / "a.jpg"


def test_of_several_annotations_one_is_read(tmp_path):
    results = [{"result": [studio_region(name, (4, 8, 20, 30))]} for name in ("cancelled", "first", "truth")]
    results[0]["was_cancelled"] = True
    path = write(tmp_path, task(annotations=results))
    assert read_label_studio(path).labels == ("first",)
    results[2]["ground_truth"] = True
    assert read_label_studio(write(tmp_path, task(annotations=results))).labels == ("truth",)


@pytest.mark.parametrize(
    ("wrong", "id"),
    [
        (region("keypointlabels", x=1, y=2, width=1), "shape-unread"),
        (region("brushlabels", rle=[1]), "shape-unread"),
        (region("polygonlabels", points=[[1, 2]]), "mask-malformed"),
        (region("polygonlabels", points=3), "mask-malformed"),
        ({"type": "rectangle", "value": {"x": 1, "y": 2, "width": 3, "height": 4}}, "field-malformed"),
        (region("rectanglelabels", x=1, y=2, width=3, height="x"), "box-malformed"),
        (region("rectanglelabels", label=[], x=1, y=2, width=3, height=4), "field-malformed"),
    ],
)
def test_what_is_no_box_is_left_out(tmp_path, wrong, id):
    found = read_label_studio(write(tmp_path, task(studio_region("dog", (4, 8, 20, 30)), wrong)))
    assert len(found.boxes) == 1 and [(each.id, each.place) for each in found.skipped] == [(id, "region[1]")]


@pytest.mark.parametrize(
    "odd", [{}, 3, {"data": 3}, {"data": {"text": "a"}}, {"data": {"image": "b.jpg"}, "annotations": 3}]
)
def test_a_task_without_an_image_is_left_out(tmp_path, odd):
    found = read_label_studio(write(tmp_path, task(studio_region("dog", (4, 8, 20, 30))), odd))
    assert len(found) == 1 and found.skipped[0].place == "task[1]"


def test_choices_of_the_image_are_no_regions(tmp_path):
    choice = {"type": "choices", "value": {"choices": ["indoors"]}}
    assert read_label_studio(write(tmp_path, task(studio_region("dog", (4, 8, 20, 30)), choice))).skips == 0


@pytest.mark.parametrize("bare", [1, 5])
def test_the_first_tasks_of_json_min_may_have_no_regions(tmp_path, bare):
    value = region("rectanglelabels", x=25, y=50, width=25, height=25)
    listed = [value["value"] | {"original_width": WIDTH, "original_height": HEIGHT}]
    empty = {"image": "/data/upload/3/b.jpg", "id": 7, "annotation_id": 1}
    write_image(tmp_path / "b.jpg", 2)
    path = write(tmp_path, *[empty] * bare, {"image": "/data/upload/3/a.jpg", "id": 9, "label": listed})
    assert format_of(path).name == "labelstudio" and boxes(path).tolist() == [[16, 24, 32, 36]]


def test_the_size_that_a_task_states_is_that_of_its_labels(tmp_path):
    path = write(tmp_path, task(studio_region("dog", (4, 8, 20, 30))))
    (tmp_path / "a.jpg").unlink()
    (sample,) = read_label_studio(path)
    assert sample.size == SIZE and np.allclose(sample.boxes, [[4, 8, 20, 30]], atol=1e-4)


@pytest.mark.parametrize("given", [[], [{"result": [], "was_cancelled": True}]])
def test_what_nobody_has_labeled_is_left_out(tmp_path, given):
    """It is no image without objects; that has an empty result."""
    write_image(tmp_path / "b.jpg", 2)
    sound = task(studio_region("dog", (4, 8, 20, 30)))
    found = read_label_studio(write(tmp_path, sound, task(image="b.jpg", annotations=given)))
    assert [each.image.name for each in found] == ["a.jpg"]
    assert [(each.place, each.id) for each in found.skipped] == [("task[1]", "entry-unusable")]
    assert len(read_label_studio(write(tmp_path, sound, task(image="b.jpg")))) == 2


def test_regions_of_several_images_are_not_put_on_one(tmp_path):
    first, second = (studio_region("dog", (4, 8, 20, 30)) | {"to_name": name} for name in ("left", "right"))
    found = read_label_studio(write(tmp_path, task(first, first), task(first, second)))
    assert len(found) == 1 and [(each.place, each.id) for each in found.skipped] == [("task[1]", "entry-unusable")]


def test_fractions_in_place_of_percent_are_refused(tmp_path):
    regions = [region("rectanglelabels", x=x, y=0.5, width=0.2, height=0.5) for x in (0.1, 0.5, 0.8)]
    with pytest.raises(ValueError, match="regions lie in 0..1") as refused:
        read_label_studio(write(tmp_path, task(*regions)))
    assert refused.value.id == "labels-malformed"
    assert len(boxes(write(tmp_path, task(*regions, region("rectanglelabels", x=10, y=10, width=9, height=9))))) == 4
