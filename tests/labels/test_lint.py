"""Every check finds its fault, names the place, and finds nothing in a set without faults in any format."""

import json
import os
import shutil

import numpy as np
import pytest
from damaged_sets import CASES, a_copy, a_truncated_image
from PIL import Image

from labeled_sets import SIZE, SOUND, truth_of, write_truth
from paretodet.images import FORMATS
from paretodet.labels.lint.check import KEPT, Check, run
from paretodet.labels.lint.examine import CHECKS, GENERAL, examine
from paretodet.labels.lint.finding import Place
from paretodet.labels.lint.image_files import SUFFIX_OF


@pytest.mark.parametrize(("checks", "form", "damage", "at"), CASES, ids=[case[2].__name__ for case in CASES])
def test_damage_is_found_and_nothing_else_is(tmp_path, monkeypatch, checks, form, damage, at):
    folder = SOUND[form](tmp_path / "set")
    if patch := damage(folder):
        monkeypatch.setattr(*patch)
    found = {each.check: each for each in examine(folder).findings}
    assert set(found) == set(checks)
    assert str(found[checks[0]].places[0]).removeprefix(f"{folder}{os.sep}").startswith(at)


def test_a_byte_order_mark_is_reported(tmp_path):
    folder = SOUND["yolo"](tmp_path / "set")
    path = folder / "labels/train/0.txt"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    found = {each.check: each for each in examine(folder).findings}
    assert [place.file for place in found["byte-order-mark"].places] == [path]


@pytest.mark.parametrize("form", SOUND)
def test_a_set_without_faults_has_no_finding(tmp_path, form):
    found = examine(SOUND[form](tmp_path / "set"))
    assert (found.findings, found.status, found.left_out) == ((), 0, ())
    assert len(found.ran) == len(GENERAL) + len(found.form.checks) > 50


def test_every_check_has_its_damage():
    tested = {check for checks, *_ in CASES for check in checks} | {"byte-order-mark"}
    assert {check.name for check in CHECKS} == tested
    assert len({check.name for check in CHECKS}) == len(CHECKS)


def test_fixes_are_one_sentence():
    assert all(check.fix[0].isupper() and check.fix.endswith(".") and ". " not in check.fix for check in CHECKS)


def test_every_format_that_is_read_has_its_suffixes():
    assert set(SUFFIX_OF) == set(FORMATS)


def test_heads_alone_leave_truncation_and_copies_unseen_and_say_so(tmp_path):
    folder = SOUND["yolo"](tmp_path / "set")
    a_truncated_image(folder)
    a_copy(folder)
    found = examine(folder, decode=False)
    assert (found.status, found.findings) == (0, ())
    assert found.left_out == ("image-copied-to-another-split", "image-copied")


def test_the_folder_of_images_can_be_given(tmp_path):
    folder = SOUND["coco"](tmp_path / "set")
    (folder / "images/train").rename(tmp_path / "elsewhere")
    file = folder / "annotations/instances_train.json"
    assert [each.count for each in examine(file).findings] == [6]
    assert [part.split for part in examine(file).subject.parts] == ["train"]
    assert examine(file, images=tmp_path / "elsewhere").findings == ()


@pytest.mark.parametrize(("most", "found"), [((16000, 12000), True), ((16000, 16384), False), ((0, 0), False)])
def test_images_of_sixteen_bits_are_dim_if_all_are(tmp_path, most, found):
    folder = SOUND["voc"](tmp_path / "set")
    for number, value in enumerate(most):
        values = np.zeros(SIZE, np.uint16)
        values[:20] = value
        Image.fromarray(values).save(folder / f"JPEGImages/train{number}.jpg", format="PNG")
    assert ("image-dim" in {each.check for each in examine(folder).findings}) is found


def test_progress_is_reported_once_per_image(tmp_path):
    progress = []
    examine(SOUND["coco"](tmp_path / "set"), on_image=lambda done, total: progress.append((done, total)))
    assert progress == [(number, 12) for number in range(1, 13)]


@pytest.mark.parametrize("check", CHECKS, ids=[check.name for check in CHECKS])
def test_a_check_that_raises_is_an_error(tmp_path, check):
    class Hostile:
        path = tmp_path

        def __getattr__(self, name):
            raise ZeroDivisionError(name)

    found = run(check, Hostile())
    assert (found.check, found.level, found.count) == (check.name, "error", 1)
    assert "ZeroDivisionError" in found.places[0].text


def test_a_check_that_raises_late_is_an_error_too(tmp_path):
    def look(subject):
        yield Place(tmp_path, "", "fine so far")
        raise RuntimeError("not any more")

    assert run(Check("late", "note", "None.", look), _Nobody(tmp_path)).level == "error"


def test_all_are_counted_though_not_all_are_kept(tmp_path):
    check = Check("many", "note", "None.", lambda subject: (Place(tmp_path, "", str(n)) for n in range(KEPT + 5)))
    found = run(check, _Nobody(tmp_path))
    assert (found.count, len(found.places), found.places[-1].text) == (KEPT + 5, KEPT, str(KEPT - 1))


def test_one_split_that_cannot_be_read_is_an_error_and_the_rest_is_examined(tmp_path):
    folder = SOUND["coco"](tmp_path / "set")
    (folder / "annotations/instances_val.json").write_text("[]")
    found = examine(folder)
    assert found.status == 2
    assert found.findings[0].check == "labels-unreadable" and found.findings[0].places[0].place == "val"
    assert [part.split for part in found.subject.parts] == ["train"]


def test_nothing_that_can_be_read_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no such file or folder"):
        examine(tmp_path / "nowhere")
    (tmp_path / "instances.json").write_text("{}")
    with pytest.raises(ValueError, match="has no list of images"):
        examine(tmp_path / "instances.json")


def test_the_examination_is_ready_for_json_with_any_file_name(tmp_path):
    folder = SOUND["yolo"](tmp_path / "set")
    odd = os.fsdecode(b"odd\xff.jpg")
    shutil.copy(folder / "images/train/0.jpg", folder / "images/train" / odd)
    text = json.dumps(examine(folder).to_json(), ensure_ascii=False, allow_nan=False).encode()
    assert b"odd?.jpg" in text


@pytest.mark.parametrize(
    ("name", "status", "faults"),
    [
        ("bccd", 1, {"box-empty"}),
        ("coco_val2017_44", 0, set()),
        ("coco_eval_fixture/instances_val2014_100.json", 1, {"image-missing"}),
    ],
)
def test_real_sets(data_folder, name, status, faults):
    found = examine(data_folder / name)
    assert found.status == status
    assert {each.check for each in found.findings if each.level in ("fault", "error")} == faults
    if name == "bccd":
        (finding,) = found.findings
        places = {place.file.stem: place.place for place in finding.places}
        assert places == {"BloodImage_00338": "object[12]", "BloodImage_00343": "object[3]"}


class _Nobody:
    def __init__(self, path):
        self.path = path


def test_one_annotation_without_an_id_is_reported(tmp_path):
    """Evaluators refuse it, though no other has none."""
    SOUND["coco"](tmp_path)
    truth = truth_of(tmp_path)
    del truth["annotations"][2]["id"]
    write_truth(tmp_path, truth)
    found = {each.check: each for each in examine(tmp_path).findings}
    assert found.keys() == {"annotation-id-repeated"}
    assert [each.place for each in found["annotation-id-repeated"].places] == ["annotations[2]"]


def test_one_file_has_one_path_however_the_yaml_writes_it(tmp_path):
    """A YAML file in a separate folder, and one image that the reader leaves out."""
    SOUND["yolo"](tmp_path)
    text = next(tmp_path.glob("*.yaml")).read_text()
    (tmp_path / "cfg").mkdir()
    lines = [line for line in text.splitlines() if not line.startswith("path")]
    lines = [line.replace(": images", ": ../images") for line in lines]
    (tmp_path / "cfg" / "data.yaml").write_text("\n".join(lines))
    (tmp_path / "images/train/0.jpg").write_bytes(b"no image")
    assert {each.check for each in examine(tmp_path / "cfg" / "data.yaml").findings} == {"image-unreadable"}


@pytest.mark.parametrize(
    ("name", "what"),
    [("0.JPG", "case"), ("0.png", "suffix"), ("e\u0301 0.jpg", "accents"), ("1%20.jpg", None)],
)
def test_a_missing_image_is_named_with_the_one_that_is_nearly_called_so(tmp_path, name, what):
    SOUND["coco"](tmp_path)
    truth = truth_of(tmp_path)
    truth["images"][0]["file_name"] = "\u00e9%200.jpg" if what == "accents" else "0.jpg"
    write_truth(tmp_path, truth)
    (tmp_path / "images/train/0.jpg").rename(tmp_path / "images/train" / name)
    found = {each.check: each for each in examine(tmp_path).findings}["image-missing"]
    (place,) = found.places
    assert place.text == "no such file" if what is None else f"{name!r}: mind the {what}" in place.text


def test_a_split_that_is_not_there_is_reported_once(tmp_path):
    SOUND["yolo"](tmp_path)
    text = (tmp_path / "data.yaml").read_text()
    (tmp_path / "data.yaml").write_text(f"{text}test: images/tset\nmini: images/mini\n")
    found = {each.check: each for each in examine(tmp_path).findings}
    assert found.keys() == {"labels-unreadable", "split-missing"}
    assert [place.place for each in found.values() for place in each.places] == ["test", "mini"]
