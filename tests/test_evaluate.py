"""Scores of a file or a candidate, what they belong to, and the causes of lost AP."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from labeled_sets import BOXES, SOUND
from paretodet import scoring
from paretodet.bench.candidate import ModelInfo
from paretodet.evaluation.errors import CAUSES
from paretodet.labels.rle import encode
from paretodet.scoring import evaluate, evaluate_candidate, evaluate_file, evaluation_json
from paretodet.types import Detections

TRUTH = {
    "images": [
        {"id": 5, "file_name": "a.png", "width": 40, "height": 30},
        {"id": 9, "file_name": "b.png", "width": 50, "height": 60},
    ],
    "categories": [{"id": 3, "name": "car"}, {"id": 1, "name": "tv"}],
    "annotations": [
        {"id": 1, "image_id": 5, "category_id": 3, "bbox": [2, 3, 20, 10], "area": 200, "iscrowd": 0},
        {"id": 2, "image_id": 9, "category_id": 1, "bbox": [10, 10, 30, 40], "area": 1200, "iscrowd": 0},
    ],
}
FOUND = [
    {"image_id": 5, "category_id": 3, "bbox": [2, 3, 20, 10], "score": 0.5},
    {"image_id": 9, "category_id": 3, "bbox": [10, 10, 30, 40], "score": 0.5},
]


SIZES = ((30, 40), (60, 50))


def write(path, value):
    path.write_text(json.dumps(value))
    return path


@pytest.fixture
def labels(tmp_path):
    return write(tmp_path / "labels.json", TRUTH)


class Sure:
    """Finds one box an image, always a car."""

    name, labels = "sure", ("car", "tv")

    def prepare(self, images):
        return images[0].shape

    def infer(self, batch):
        return batch

    def finish(self, outputs, sizes):
        box = [2.0, 3.0, 22.0, 13.0] if outputs[0] == 30 else [10.0, 10.0, 40.0, 50.0]
        return Detections(torch.tensor([[box]]), torch.tensor([[0.5]]), torch.tensor([[0]]))

    def facts(self):
        return ModelInfo(weights="w" * 64, artefact="a" * 64, precision="bf16", spec=json.dumps({"fit": "stretch"}))


@pytest.fixture
def folder(tmp_path):
    for image in TRUTH["images"]:
        Image.fromarray(np.zeros((image["height"], image["width"], 3), np.uint8)).save(tmp_path / image["file_name"])
    return tmp_path


def test_a_file_and_the_candidate_that_wrote_it_score_the_same(labels, folder):
    progress = []
    one = evaluate_candidate(
        Sure(), labels, folder, out=folder / "r.json", with_errors=True, on_progress=progress.append
    )
    two = evaluate_file(folder / "r.json", labels, with_errors=True)
    document = evaluation_json(one)
    assert one.boxes == two.boxes and document["lost"] == evaluation_json(two)["lost"]
    assert [(each.done, each.total) for each in progress] == [(0, 2), (1, 2)]
    assert document["subject"] == {
        "name": "sure", "artefact": "a" * 64, "weights": "w" * 64, "runtime": "eager", "precision": "bf16",
        "device": "cpu", "load": "data", "spec": {"fit": "stretch"}, "options": {},
    }  # fmt: skip
    assert evaluation_json(two)["subject"]["file"] == "r.json" and len(evaluation_json(two)["subject"]["sha256"]) == 64


def test_classes_that_the_detector_does_not_have_are_named(labels, folder):
    """Their AP of 0 is in the mean."""

    class CarsAlone(Sure):
        labels = ("car", "bicycle")

    found = evaluate_candidate(CarsAlone(), labels, folder)
    (note,) = found.subject["paired"]
    assert "(tv)" in note and found.boxes.whole.ap == pytest.approx(50)
    assert "paired" not in evaluate_candidate(Sure(), labels, folder).subject
    crowd = [TRUTH["annotations"][0], TRUTH["annotations"][1] | {"iscrowd": 1}]
    write(labels, TRUTH | {"annotations": crowd})
    assert "paired" not in evaluate_candidate(CarsAlone(), labels, folder).subject


OBJECT = "<object><name>{}</name><bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox></object>"
SIZE = "<size><width>{}</width><height>{}</height><depth>3</depth></size>"
PAGE = "<annotation><filename>{}.png</filename>" + SIZE + "{}</annotation>"


def test_voc_s_folder_scores_as_coco_s_file(labels, folder):
    """VOC counts pixels from 1 and both ends belong to a box: x 2..22 is 3 to 22 there."""
    for name in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (folder / "voc" / name).mkdir(parents=True)
    for name, kind, size, box in (("a", "car", (40, 30), (3, 4, 22, 13)), ("b", "tv", (50, 60), (11, 11, 40, 50))):
        (folder / "voc" / "Annotations" / f"{name}.xml").write_text(PAGE.format(name, *size, OBJECT.format(kind, *box)))
        (folder / "voc" / "JPEGImages" / f"{name}.png").write_bytes((folder / f"{name}.png").read_bytes())
    (folder / "voc" / "ImageSets" / "Main" / "val.txt").write_text("a\nb\n")
    found = evaluate_candidate(Sure(), folder / "voc", split="val", with_errors=True)
    assert found.boxes.whole == evaluate_candidate(Sure(), labels, folder).boxes.whole
    assert found.labels["images"] == 2 and evaluation_json(found)["lost"]["all"]["classification"]["count"] == 1
    with pytest.raises(ValueError, match="split"):
        evaluate_candidate(Sure(), folder / "voc", split="nowhere")


def test_the_json_by_hand(labels, tmp_path):
    document = evaluation_json(evaluate_file(write(tmp_path / "r.json", FOUND), labels, with_errors=True))
    assert [document[key] for key in ("ap", "ap50", "ar1")] == pytest.approx([50, 50, 50])
    assert document["ap_large"] is None and "mask_ap" not in document
    assert document["labels"]["images"] == 2
    tv, car = document["categories"]
    assert (tv["name"], tv["ap"]) == ("tv", 0) and (car["name"], car["ap"]) == ("car", pytest.approx(100))
    assert tv["lost"]["all"]["classification"] == {"ap": pytest.approx(100), "count": 0}
    assert car["lost"]["medium"]["classification"] == {"ap": None, "count": 1}  # no car of that size is there
    assert document["lost"]["all"]["classification"] == {"ap": pytest.approx(50), "count": 1}
    assert [document["lost"]["all"][cause]["count"] for cause in CAUSES] == [1, 0, 0, 0, 0, 0]
    assert tv["best_threshold"] is None and car["best_threshold"]["score"] == 0.25
    json.dumps(document, allow_nan=False)


def test_masks_where_both_sides_have_them(tmp_path, labels):
    lines = ([[2, 3, 22, 3, 22, 13, 2, 13]], [[10, 10, 40, 10, 40, 50, 10, 50]])
    pairs = list(zip(TRUTH["annotations"], lines, strict=True))
    outlined = TRUTH | {"annotations": [row | {"segmentation": line} for row, line in pairs]}
    found = [row | {"segmentation": line} for row, line in zip(FOUND, lines, strict=True)]
    results = write(tmp_path / "r.json", found)
    document = evaluation_json(evaluate_file(results, write(tmp_path / "outlined.json", outlined)))
    assert document["mask_ap"] == pytest.approx(50) and document["categories"][1]["mask_ap75"] == pytest.approx(100)
    assert "mask_ap" not in evaluation_json(evaluate_file(results, labels))
    del outlined["annotations"][1]["segmentation"]
    some = evaluate_file(results, write(tmp_path / "some.json", outlined))
    assert some.masks is None and some.boxes.whole.ap == pytest.approx(50)
    assert some.labels["skipped"] == ["1 of 2 objects of some.json have no outline, so masks are not scored"]
    outlined["annotations"][1]["iscrowd"] = 1
    document = evaluation_json(evaluate_file(results, write(tmp_path / "crowd.json", outlined)))
    assert document["mask_ap"] == pytest.approx(100) and document["labels"]["skipped"] == []


def _outline(form, box, size):
    x, y, w, h = box
    if form == "polygons":
        return [[x, y, x + w, y, x + w, y + h]]
    mask = np.zeros(size, bool)
    mask[y : y + h, x : x + w] = True
    if form == "text":
        return encode(mask)
    edges = np.flatnonzero(np.diff(mask.T.ravel(), prepend=False)).tolist()  # columns, zeros first
    return {"size": list(size), "counts": np.diff([0, *edges, mask.size]).tolist()}


@pytest.mark.parametrize("form", ["polygons", "text", "lengths"])
def test_losses_of_results_without_boxes_are_those_of_the_boxes_around_the_outlines(tmp_path, labels, form):
    rows = [row | {"segmentation": _outline(form, row["bbox"], size)} for row, size in zip(FOUND, SIZES, strict=True)]
    rows = [{key: value for key, value in row.items() if key != "bbox"} for row in rows]
    options = {"with_errors": True, "voc_ap": True}
    one = evaluation_json(evaluate_file(write(tmp_path / "boxes.json", FOUND), labels, **options))
    two = evaluation_json(evaluate_file(write(tmp_path / "outlines.json", rows), labels, **options))
    assert one["lost"] == two["lost"] and one["voc_ap50"] == two["voc_ap50"] == pytest.approx(50)


def test_a_coco_folder_scores_as_its_file_sizes_and_masks_and_all(labels, folder):
    """The area in the file decides the size class: by its box the second object would be medium."""
    lines = ([[2, 3, 22, 3, 22, 13, 2, 13]], [[10, 10, 40, 10, 40, 50, 10, 50]])
    annotations = [row | {"segmentation": line} for row, line in zip(TRUTH["annotations"], lines, strict=True)]
    annotations[1]["area"] = 500
    path = write(folder / "set.json", TRUTH | {"annotations": annotations})
    labels.unlink()
    one, two = evaluate_candidate(Shaped(), folder), evaluate_candidate(Shaped(), path, folder)
    assert one.boxes == two.boxes and one.masks == two.masks and one.labels == two.labels
    assert one.masks is not None and one.masks.whole.ap50 == pytest.approx(50)
    assert one.boxes.whole.ap_medium is None and one.boxes.whole.ap_small == pytest.approx(50)
    assert set(one.names) == {1, 3}


class Shaped(Sure):
    """As `Sure`, with a full mask."""

    def finish(self, outputs, sizes):
        return super().finish(outputs, sizes)._replace(masks=torch.ones(1, 1, 28, 28))


def test_an_image_of_another_size_is_left_out_and_reported(labels, folder):
    Image.fromarray(np.zeros((50, 60, 3), np.uint8)).save(folder / "b.png")
    found = evaluate_candidate(Sure(), labels, folder, out=folder / "r.json", voc_ap=True, with_errors=True)
    assert (found.labels["images"], found.labels["left_out"]) == (1, 1)
    assert found.labels["skipped"] == [
        f"{folder / 'b.png'}: 50x60, its labels say 60x50 (height x width, px) [image-size]"
    ]
    assert {row["image_id"] for row in json.loads((folder / "r.json").read_text())} == {5}
    assert found.boxes.whole.ap == pytest.approx(100)  # of the one car; no tv is looked for
    Image.fromarray(np.zeros((50, 60, 3), np.uint8)).save(folder / "a.png")
    with pytest.raises(ValueError, match=r"images: 2 were left out .*.*a\.png: 50x60"):
        evaluate_candidate(Sure(), labels, folder)


def test_pascal_vocs_ap_and_the_precision_at_each_recall(labels, tmp_path):
    rows = [FOUND[1], FOUND[0] | {"score": 0.25}]  # of two cars claimed, the second is one
    document = evaluation_json(evaluate_file(write(tmp_path / "r.json", rows), labels, voc_ap=True, with_errors=True))
    tv, car = document["categories"]
    assert (car["voc_ap50_11"], car["voc_ap50"]) == (pytest.approx(50), pytest.approx(50))
    assert (document["voc_ap50_11"], document["voc_ap50"]) == (pytest.approx(25), pytest.approx(25))
    assert tv["voc_ap50"] == 0
    assert document["recalls"] == [float(n) for n in range(101)] and car["precisions"] == [50.0] * 101
    assert tv["precisions"] == [0.0] * 101
    assert "voc_ap50" not in evaluation_json(evaluate_file(tmp_path / "r.json", labels))
    assert list(document)[12:14] == ["voc_ap50_11", "voc_ap50"]


def test_an_output_that_cannot_be_written_is_refused_before_anything_runs(labels, folder):
    with pytest.raises(ValueError, match=r"\[output-folder\]"):
        evaluate_candidate(None, labels, folder, out=folder / "nowhere" / "r.json")


def test_evaluate_takes_a_candidate_or_a_file(labels, folder, tmp_path):
    by_candidate = evaluate(Sure(), str(labels), image_root=folder, out=tmp_path / "r.json")
    by_file = evaluate(tmp_path / "r.json", labels, voc_ap=True)
    assert by_candidate.boxes == by_file.boxes and by_candidate.voc is None and by_file.voc is not None
    assert evaluate(str(tmp_path / "r.json"), labels, image_root=folder).boxes == by_file.boxes
    with pytest.raises(ValueError, match=r"\[option-conflict\]"):
        evaluate(str(tmp_path / "r.json"), labels, names=("car",))


def test_given_class_names_are_part_of_what_was_scored(labels, folder):
    for names in (("car", "tv"), ("tv", None)):
        found = evaluate(Sure(), labels, image_root=folder, names=names)
        assert evaluation_json(found)["subject"]["classes"] == list(names)
    assert "classes" not in evaluate(Sure(), labels, image_root=folder).subject


def test_paths_may_be_text(labels, folder, tmp_path):
    scored = evaluate(Sure(), str(labels), image_root=str(folder), out=str(tmp_path / "r.json"))
    assert evaluate(str(tmp_path / "r.json"), str(labels), image_root=str(folder)).boxes == scored.boxes


@pytest.mark.parametrize("form", ["openimages", "csv", "fiftyone"])
def test_labels_without_sizes_find_the_images_of_results_in_a_given_folder(tmp_path, form):
    """The sizes of the images are those of their files."""
    SOUND[form](tmp_path / "set")
    pictures = {"openimages": "val", "csv": "images", "fiftyone": "data"}[form]
    (tmp_path / "photos").mkdir()
    (tmp_path / "set" / pictures).rename(tmp_path / "photos" / pictures)
    without_sizes(tmp_path / "set")
    found = [
        {"file_name": f"val{n}.jpg", "category_id": label, "bbox": [x, y, x2 - x, y2 - y], "score": 0.9}
        for n in range(6)
        for label, (x, y, x2, y2) in BOXES
    ]
    if form != "openimages":  # their classes are in alphabetical order
        found = [row | {"category_id": 1 - row["category_id"]} for row in found]
    results = write(tmp_path / "r.json", found)
    with pytest.raises(ValueError, match=r"\[labels-none\]"):
        evaluate(results, tmp_path / "set", split="val")
    scored = evaluate(results, tmp_path / "set", image_root=tmp_path / "photos", split="val")
    assert scored.boxes.whole.ap == pytest.approx(100) and scored.labels["images"] == 6


def without_sizes(folder):
    """Of a table and of samples, if there are any."""
    for path in folder.glob("*_labels.csv"):
        lines = [line.split(",") for line in path.read_text().splitlines()]
        path.write_text("\n".join(",".join([line[0], *line[3:]]) for line in lines))
    for path in folder.glob("samples.json"):
        samples = json.loads(path.read_text())["samples"]
        path.write_text(json.dumps({"samples": [each | {"metadata": None} for each in samples]}))


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interruption_loses_no_detections(labels, tmp_path, error):
    for place, name in enumerate("ab"):
        Image.fromarray(np.zeros((*SIZES[place], 3), np.uint8)).save(tmp_path / f"{name}.png")

    class Stopped(Sure):
        def infer(self, batch):
            if batch[0] == SIZES[1][0]:
                raise error
            return batch

    out, sentences = tmp_path / "r.json", []
    with pytest.raises(error):
        evaluate_candidate(Stopped(), labels, out=out, notify=sentences.append)
    assert [(row["image_id"], row["category_id"]) for row in json.loads(out.read_text())] == [(5, 3)]
    assert len(sentences) == 1 and "r.json" in sentences[0] and "1 of 2" in sentences[0]


def test_results_that_cannot_be_written_hide_no_interruption(labels, tmp_path, monkeypatch):
    for place, name in enumerate("ab"):
        Image.fromarray(np.zeros((*SIZES[place], 3), np.uint8)).save(tmp_path / f"{name}.png")

    class Stopped(Sure):
        def infer(self, batch):
            if batch[0] == SIZES[1][0]:
                raise KeyboardInterrupt
            return batch

    def full(path, text):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("paretodet.scoring.write_text", full)
    sentences = []
    with pytest.raises(KeyboardInterrupt):
        evaluate_candidate(Stopped(), labels, out=tmp_path / "r.json", notify=sentences.append)
    assert len(sentences) == 1 and "No space left" in sentences[0] and not (tmp_path / "r.json").exists()


def test_an_interruption_while_the_results_are_written_loses_none(labels, tmp_path, monkeypatch):
    for place, name in enumerate("ab"):
        Image.fromarray(np.zeros((*SIZES[place], 3), np.uint8)).save(tmp_path / f"{name}.png")
    write, errors = scoring.write_text, [KeyboardInterrupt()]

    def interrupted(path, text):
        if errors:
            raise errors.pop()
        write(path, text)

    monkeypatch.setattr(scoring, "write_text", interrupted)
    out = tmp_path / "r.json"
    with pytest.raises(KeyboardInterrupt):
        evaluate_candidate(Sure(), labels, out=out)
    assert {row["image_id"] for row in json.loads(out.read_text())} == {5, 9}
