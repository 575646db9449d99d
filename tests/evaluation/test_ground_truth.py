"""Labels as they are scored: boxes and areas of COCO's files as written, those of others computed."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from pycocotools import mask as reference

from labeled_sets import SOUND
from paretodet.evaluation.dictionary import coco_dictionary
from paretodet.evaluation.ground_truth import read_ground_truth
from paretodet.labels.model import Purpose
from paretodet.scoring import evaluate_file

TRUTH: dict[str, Any] = {
    "info": {"year": 2030},
    "images": [
        {"id": 900, "file_name": "a.png", "width": 40, "height": 30, "license": 3},
        {"id": 7, "file_name": "b.png", "width": 50, "height": 60},
    ],
    "categories": [{"id": 90, "name": "car"}, {"id": 1, "name": "tv"}],
    "annotations": [
        {"id": 55, "image_id": 900, "category_id": 90, "bbox": [2.5, 3, 20, 10], "area": 77.5, "iscrowd": 0,
         "segmentation": [[2.5, 3, 22.5, 3, 22.5, 13]]},
        {"id": 8, "image_id": 7, "category_id": 1, "bbox": [0, 0, 50, 60], "area": 2900, "iscrowd": 1,
         "segmentation": {"size": [60, 50], "counts": [100, 2900]}},
    ],
}  # fmt: skip


def for_evaluator(found: Any) -> dict[str, Any]:
    """What the evaluator gets."""
    return coco_dictionary(found.labels, outlines=True)


def instances(path: Path, **more: Any) -> Any:
    return read_ground_truth(path, purpose=Purpose.SCORE, **more)


def coco(folder: Path, truth: Any = TRUTH, name: str = "annotations/instances_val2030.json") -> Path:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / "val2030").mkdir(exist_ok=True)
    Image.new("RGB", (40, 30)).save(folder / "val2030" / "a.png")
    (folder / name).write_text(json.dumps(truth))
    return folder


def test_a_coco_folder_is_its_file(tmp_path: Path) -> None:
    found = read_ground_truth(coco(tmp_path))
    first, second = (each | {"area": float(each["area"])} for each in TRUTH["annotations"])
    expected = [first | {"id": 1}, second | {"id": 2}]
    rows = for_evaluator(found)
    assert rows["annotations"][0] == expected[0] and found.skipped == ()
    assert rows["annotations"][1]["area"] == 2900 and rows["annotations"][1]["bbox"] == [0, 0, 50, 60]
    assert rows["images"] == [{"id": 900, "width": 40, "height": 30}, {"id": 7, "width": 50, "height": 60}]
    assert rows["categories"] == [{"id": 1, "name": "tv"}, {"id": 90, "name": "car"}]
    again = read_ground_truth(tmp_path / "annotations" / "instances_val2030.json")
    assert for_evaluator(again) == rows and (again.name, again.sha256) == (found.name, found.sha256)
    assert found.name == "instances_val2030.json" and found.files[0].is_file()
    assert instances(coco(tmp_path / "elsewhere")).sha256 == found.sha256
    assert read_ground_truth(tmp_path, images=tmp_path).files[0] == tmp_path / "a.png"


def test_a_split_of_several_is_named(tmp_path: Path) -> None:
    coco(tmp_path, TRUTH | {"annotations": TRUTH["annotations"][:1]}, "annotations/instances_train2030.json")
    assert len(instances(coco(tmp_path), split="val").labels.boxes) == 2
    with pytest.raises(ValueError, match="several files and no split named"):
        instances(tmp_path)


def yolo(folder: Path, lines: str) -> Path:
    for name in ("images", "labels"):
        (folder / name).mkdir(exist_ok=True)
    Image.new("RGB", (60, 40)).save(folder / "images" / "a.png")
    (folder / "labels" / "a.txt").write_text(lines)
    (folder / "data.yaml").write_text("val: images\nnames: [dog, cat]\n")
    return folder


CORNER = "1 0.25 0.25 0.75 0.25 0.75 0.75\n"


def test_yolos_polygons_are_outlines_with_their_area(tmp_path: Path) -> None:
    found = instances(yolo(tmp_path, CORNER + "2 0 0 0 0\n2 0 0 0 0\n"), split="val")
    corner = [15.0, 10.0, 45.0, 10.0, 45.0, 30.0]
    (outlined,) = for_evaluator(found)["annotations"]
    assert outlined["segmentation"] == [corner] and (outlined["category_id"], outlined["image_id"]) == (1, 0)
    assert outlined["area"] == reference.area(reference.merge(reference.frPyObjects([corner], 40, 60)))
    assert outlined["bbox"] == [15, 10, 30, 20] and found.name == f"{tmp_path.name}/val"
    (sentence,) = found.skipped
    assert sentence.startswith(f"2 annotations of {tmp_path} cannot be used, the first: {tmp_path}/labels/")
    assert "line 2: class 2" in sentence and sentence.endswith(f" (`paretodet doctor {tmp_path}` lists all)")
    assert found.files == (tmp_path / "images" / "a.png",)
    with pytest.raises(ValueError, match="image-root: .* states where its images are"):
        read_ground_truth(tmp_path, images=tmp_path)


def test_a_box_among_yolos_polygons_has_the_area_of_its_box_and_masks_are_not_scored(tmp_path: Path) -> None:
    found = instances(yolo(tmp_path, CORNER + "0 0.5 0.5 0.5 0.5\n"))
    _, boxed = for_evaluator(found)["annotations"]
    assert (boxed["bbox"], boxed["area"], boxed["category_id"]) == ([15, 10, 30, 20], 600, 0)
    assert not any("segmentation" in each for each in for_evaluator(found)["annotations"])
    assert found.skipped == (f"1 of 2 objects of {tmp_path.name} have no outline, so masks are not scored",)


@pytest.mark.parametrize(
    ("where", "value", "says"),
    [
        ("file_name", 5, r"file_name is 5, a name is needed"),
        ("file_name", "", "file_name is '', a name is needed"),
        ("file_name", "../b.png", "file name '../b.png' leaves the folder of the images"),
        ("file_name", "/etc/b.png", "file name '/etc/b.png' leaves the folder of the images"),
        ("width", "wide", "width is 'wide', a whole number is needed"),
        ("height", -4, "height is -4, 1 to 1048576 px are needed"),
        ("id", 900, "id 900 is another image's already"),
    ],
)
def test_an_unusable_image_is_left_out_with_its_objects_and_reported(
    tmp_path: Path, where: str, value: Any, says: str
) -> None:
    truth = json.loads(json.dumps(TRUTH))
    truth["images"][1][where] = value
    found = read_ground_truth(coco(tmp_path, truth))
    assert found.labels.keys.tolist() == [900] and found.labels.written.tolist() == [[2.5, 3, 20, 10]]
    images, objects = found.skipped
    assert images.startswith("1 images of ") and f", the first: images[1]: {says} (" in images
    assert "1 annotations of " in objects and "annotations[1]: its image is not among the images" in objects


@pytest.mark.parametrize(
    ("number", "value", "says"),
    [
        (1, None, r"categories\[1\]: name is None, a name is needed"),
        (0, ["car"], r"categories\[0\]: name is \['car'\]"),
    ],
)
def test_a_category_that_is_none_is_refused(tmp_path: Path, number: int, value: Any, says: str) -> None:
    truth = json.loads(json.dumps(TRUTH))
    truth["categories"][number]["name"] = value
    with pytest.raises(ValueError, match=rf"labels: .*val2030\.json {says}"):
        read_ground_truth(coco(tmp_path, truth))


def test_finished_results_need_neither_images_nor_names(tmp_path: Path) -> None:
    truth = json.loads(json.dumps(TRUTH))
    del truth["images"][0]["file_name"], truth["categories"][0]["name"]
    truth["images"][1]["file_name"] = "/home/someone/b.png"
    found = instances(coco(tmp_path, truth)).labels
    assert found.categories == {1: "tv", 90: "90"} and len(found.boxes) == 2
    truth["categories"][0]["name"] = "car"
    with pytest.raises(ValueError, match=r"has no usable image; .*json images\[0\]: file_name is None"):
        read_ground_truth(coco(tmp_path, truth))


def test_there_is_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"labels: .*no\.json: no such file"):
        instances(tmp_path / "no.json")
    with pytest.raises(ValueError, match="labels: .* is none of the known formats"):
        instances(tmp_path)


def test_outlines_that_not_all_objects_have_are_left_out_and_reported(tmp_path: Path) -> None:
    """Masks are scored where every object has one; a crowd may go without."""
    bare = {"id": 3, "image_id": 7, "category_id": 1, "bbox": [1, 1, 5, 5], "area": 25, "iscrowd": 0}
    path = coco(tmp_path, TRUTH | {"annotations": [*TRUTH["annotations"], bare | {"segmentation": []}]})
    found = read_ground_truth(path)
    assert not any("segmentation" in each for each in for_evaluator(found)["annotations"])
    assert found.skipped == ("1 of 2 objects of instances_val2030.json have no outline, so masks are not scored",)
    crowd = coco(tmp_path, TRUTH | {"annotations": [*TRUTH["annotations"], bare | {"iscrowd": 1}]})
    assert read_ground_truth(crowd).skipped == ()
    alone = coco(tmp_path, TRUTH | {"annotations": [TRUTH["annotations"][1], bare]})  # the crowd alone has one
    assert "1 of 1 objects" in read_ground_truth(alone).skipped[0]
    assert not any("segmentation" in each for each in for_evaluator(instances(alone))["annotations"])


def test_the_first_image_may_be_missing(tmp_path: Path) -> None:
    coco(tmp_path)
    (tmp_path / "val2030" / "a.png").rename(tmp_path / "val2030" / "b.png")
    assert [file.is_file() for file in read_ground_truth(tmp_path).files] == [False, True]


def test_files_beside_a_split_do_not_change_it(tmp_path: Path) -> None:
    folder = SOUND["voc"](tmp_path / "set")
    before = read_ground_truth(folder, split="val")
    for kind, suffix in (("Annotations", ".xml"), ("JPEGImages", ".jpg")):
        first = sorted((folder / kind).iterdir())[0]
        (folder / kind / f"0{suffix}").write_bytes(first.read_bytes())
    names = folder / "ImageSets/Main/train.txt"
    names.write_text("0\n" + names.read_text())
    after = read_ground_truth(folder, split="val")
    assert after.sha256 == before.sha256
    assert after.labels.keys.tolist() != before.labels.keys.tolist()


def test_an_image_has_one_id_in_all_splits(tmp_path: Path) -> None:
    """Results of one split, scored against the whole set, are of the same images."""
    yolo(tmp_path, CORNER)
    (tmp_path / "more").mkdir()
    Image.new("RGB", (60, 40)).save(tmp_path / "more" / "b.png")
    (tmp_path / "more" / "b.txt").write_text(CORNER)
    (tmp_path / "data.yaml").write_text("train: images\nval: more\nnames: [dog, cat]\n")
    whole, val = instances(tmp_path), instances(tmp_path, split="val")
    ids = {whole.labels.name(index): int(key) for index, key in enumerate(whole.labels.keys)}
    assert (val.labels.name(0), val.labels.keys.tolist()) == ("more/b.png", [ids["more/b.png"]])
    assert [each["image_id"] for each in for_evaluator(val)["annotations"]] == [ids["more/b.png"]] == [1]


@pytest.mark.parametrize("image", [0, 1])
def test_outlines_of_images_without_a_size_are_left_out_and_reported(tmp_path: Path, image: int) -> None:
    """What scores masks draws them; boxes are scored all the same, of results with run lengths too."""
    images = [{k: v for k, v in each.items() if n != image or k != "width"} for n, each in enumerate(TRUTH["images"])]
    path = coco(tmp_path, TRUTH | {"images": images})
    found = read_ground_truth(path)
    assert not any("segmentation" in row for row in for_evaluator(found)["annotations"])
    assert found.skipped == (
        "1 of 2 images of instances_val2030.json have no height and width, so masks are not scored",
    )
    outline = {"size": [30, 40], "counts": [100, 1100]}
    result = {"image_id": 900, "category_id": 90, "bbox": [2.5, 3, 20, 10], "score": 1.0, "segmentation": outline}
    (tmp_path / "results.json").write_text(json.dumps([result]))
    scored = evaluate_file(tmp_path / "results.json", path)
    assert scored.boxes.whole.ap == pytest.approx(100) and scored.masks is None


def test_a_name_too_long_for_the_disk_is_a_missing_image(tmp_path: Path) -> None:
    images = [TRUTH["images"][0] | {"file_name": "x" * 300}, TRUTH["images"][1]]
    found = read_ground_truth(coco(tmp_path, TRUTH | {"images": images[::-1]}))
    assert len(found.labels) == 2


@pytest.mark.parametrize("area", [0, -1, "0"])
def test_areas_of_nothing_are_stated(tmp_path: Path, area: Any) -> None:
    """COCO's evaluators count such objects as small."""
    truth = json.loads(json.dumps(TRUTH))
    truth["annotations"][1]["area"] = area
    found = read_ground_truth(coco(tmp_path, truth))
    (sentence,) = found.skipped
    assert sentence.startswith("1 annotations of ") and "annotations[1] (" in sentence
    assert found.labels.areas.tolist() == [77.5, float(area)]


def test_labels_without_a_box_name_the_command_that_says_why(tmp_path: Path) -> None:
    SOUND["yolo"](tmp_path / "set")
    (tmp_path / "set/labels").rename(tmp_path / "set/annotations")
    with pytest.raises(ValueError, match=rf"no usable box.*`paretodet doctor {tmp_path / 'set'}`") as refused:
        read_ground_truth(tmp_path / "set", split="val")
    assert refused.value.id == "labels-none"
