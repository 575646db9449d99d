"""From labels to weights that open like any other name: what is kept, judged, gone on with and refused."""

import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from paretodet.bench.accuracy import accuracy
from paretodet.evaluate import evaluate_candidate
from paretodet.evaluation.ground_truth import read_ground_truth
from paretodet.loader.shapes import Shapes
from paretodet.open import CandidateConfig, job, open_candidate
from paretodet.reading import sha256
from paretodet.train import BEST, LOG, NEWEST, RunOptions, TrainConfig, TrainingRun, recipe_of, train
from paretodet.training import tracking
from paretodet.training.checkpoint import CheckpointError, latest, load
from paretodet.training.distributed import ProcessGroup
from paretodet.training.ema import Average
from paretodet.training.log import read_lines
from paretodet.training.loop import Saved, Started
from paretodet.training.tensorboard import TensorBoard
from paretodet.training.validator import drawn_as
from paretodet.weights import files, safe
from taught_subject import shapes
from taught_subject import taught as run_taught

NAME = "ssd-mobilenet_v1-300"
ANNOTATION = (
    "<annotation><filename>{name}.jpg</filename><size><width>60</width><height>40</height></size><object><name>cat</name>"
    "<bndbox><xmin>5</xmin><ymin>5</ymin><xmax>30</xmax><ymax>30</ymax></bndbox></object></annotation>"
)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Labels to learn and to judge by."""
    folder = tmp_path_factory.mktemp("drawn")
    return tuple(Shapes(count=8, height=64, width=96, seed=s).write(folder / str(s)) for s in (1, 2))


def lesson(drawn, steps=4, **changes):
    given = {"name": NAME, "data": drawn[0], "val": drawn[1], "width": 0.125}
    return TrainConfig(**given | {"recipe": recipe_of("quick", NAME, steps=steps, batch=2)} | changes)


def teach(drawn, folder, how=None, **changes):
    told, events = [], []
    taught = train(
        lesson(drawn, **changes), folder, how or RunOptions(every=2), tell=told.append, listener=events.append
    )
    return taught, told, events


@pytest.fixture(scope="module")
def taught(drawn, tmp_path_factory):
    return teach(drawn, tmp_path_factory.mktemp("run"))


def test_the_folder_holds_what_repeating_takes(taught, drawn):
    folder = taught[0].folder
    kept = json.loads((folder / "run.json").read_text())
    assert {each.name for each in folder.iterdir() if not each.name.startswith("events")} == {
        "run.json", LOG, NEWEST, BEST, "checkpoints", "samples",
    }  # fmt: skip
    assert kept["data"]["images"] == 8 and kept["recipe"]["batch"] == 2 and kept["how"]["every"] == 2
    assert kept["val"] == {
        "name": "instances.json",
        "sha256": read_ground_truth(drawn[1]).sha256,
        "split": None,
        "since": 0,
    }
    assert kept["processes"] == 1 and list(folder.glob("events.out.tfevents.*"))
    assert str(drawn[0].parent) not in (folder / "run.json").read_text()
    assert len(list((folder / "samples" / "step-00000004").glob("*.jpg"))) == 6


def test_the_weights_open_as_a_name_and_are_what_was_judged(taught, drawn):
    found = taught[0]
    candidate = open_candidate(str(found.weights))
    assert candidate.name == f"{NAME} at width 0.125" and candidate.labels == ("disc", "rectangle", "triangle")
    assert safe.read(found.weights).keys() == safe.read(found.last / "weights.safetensors").keys()
    labels = read_ground_truth(drawn[1])
    again = accuracy(candidate, labels.labels)
    assert again == found.judged[-1].accuracy and again.images == 8 and again.boxes.ar100 is not None


def test_name_and_weights_say_the_same(taught):
    path = taught[0].weights
    image = np.random.default_rng(0).integers(0, 255, (50, 70, 3), np.uint8)
    both = [open_candidate(str(path)), open_candidate(NAME, weights=path)]
    one, other = (each.infer(each.prepare([image])) for each in both)
    assert torch.equal(one.boxes, other.boxes) and both[0].facts().artefact == both[1].facts().artefact
    with pytest.raises(ValueError, match="weights: .* is a file of weights itself"):
        open_candidate(str(path), weights=path)


def test_weights_of_another_detector_are_named(taught):
    with pytest.raises(safe.WeightsError, match=f"weights.safetensors: is of {NAME}, not of yolo_v3_tiny-416"):
        open_candidate("yolo_v3_tiny-416", weights=taught[0].weights)
    assert open_candidate("ssd-mobilenet_v1-320", weights=taught[0].weights).spec.height == 320


def test_a_job_of_a_file_is_the_detectors_with_these_weights(taught):
    path = taught[0].weights
    made = job(CandidateConfig(name=str(path)))
    assert made.name == f"{NAME} at width 0.125"
    assert made.recipe["name"] == NAME and made.recipe["weights"] == sha256(path) and not made.about


def test_weights_of_nobody_are_no_name(tmp_path):
    path = tmp_path / "bare.safetensors"
    safe.save({"a": torch.zeros(1)}, path)
    with pytest.raises(safe.WeightsError, match="does not say which detector it belongs to: give its NAME"):
        open_candidate(str(path))
    with pytest.raises(safe.WeightsError, match="no such file"):
        open_candidate(str(tmp_path / "none.safetensors"))


@pytest.mark.parametrize("name", ["os:abort", "other.safetensors", "net.onnx", "hf:x", "ssd-nothing-300"])
def test_weights_name_a_detector_of_the_catalogue_and_nothing_else(tmp_path, name):
    path = tmp_path / "w.safetensors"
    files.save({"a": torch.zeros(1)}, path, files.WeightsMetadata(name=name))
    for use in (lambda: open_candidate(str(path)), lambda: job(CandidateConfig(name=str(path)))):
        with pytest.raises(safe.WeightsError, match=f"w.safetensors: '{name}'"):
            use()


def test_each_checkpoint_is_judged_logged_and_told_once(taught):
    found, told, events = taught
    assert [each.step for each in found.judged] == [2, 4]
    assert [type(event) for event in events].count(Saved) == 2
    judged = [line for line in read_lines(found.folder / LOG) if "val/ap" in line]
    assert [line["step"] for line in judged] == [2, 4] and judged[-1]["val/ap"] == found.judged[-1].accuracy.boxes.ap
    assert [sentence[:15] for sentence in told] == ["memory: a pass ", "After 2 updates", "After 4 updates"]
    assert re.fullmatch(r"memory: a pass of 2 images needs about .* GiB, .* are there, enough for \d+\.", told[0])


def test_best_is_of_the_highest_ap(taught):
    found = taught[0]
    best = max(found.judged, key=lambda each: (each.accuracy.boxes.ap, each.step))
    assert files.origin(found.folder / BEST).file == f"step-{best.step:08d}/weights.safetensors"
    assert files.origin(found.folder / NEWEST).file == "step-00000004/weights.safetensors"


def test_best_forgets_what_other_labels_said(taught, drawn, tmp_path):
    """AP on other labels is another number: a resumed training compares only those of the labels it is judged by now,
    and one resumed again remembers from where on they are.
    """
    folder = shutil.copytree(taught[0].folder, tmp_path / "run")
    others = Shapes(count=2, height=64, width=96, seed=9).write(tmp_path / "others")
    shutil.rmtree(folder / "checkpoints" / "step-00000004")
    (folder / LOG).write_text(json.dumps({"step": 2, "val/ap": 100.0}) + "\n")
    found, _, _ = teach(drawn, folder, val=others)
    assert [each.step for each in found.judged] == [4]
    assert files.origin(folder / BEST).file == "step-00000004/weights.safetensors"
    teach(drawn, folder, val=others)
    assert json.loads((folder / "run.json").read_text())["val"]["since"] == 3


def test_the_same_call_goes_on_and_longer(taught, drawn):
    _, told, events = teach(drawn, taught[0].folder)
    assert [type(event) for event in events] == [Started] and told == []
    with pytest.raises(CheckpointError, match="recipe.batch: kept 2, wanted 4"):
        teach(drawn, taught[0].folder, recipe=recipe_of("quick", NAME, steps=4, batch=4))


def test_a_checkpoint_not_judged_before_a_crash_is_judged_then(drawn, tmp_path):
    class Crash(Exception):
        pass

    def crash(event):
        if isinstance(event, Saved):
            raise Crash

    how = RunOptions(every=2)
    with pytest.raises(Crash):
        train(lesson(drawn), tmp_path, how, tell=lambda sentence: None, listener=crash)
    log = tmp_path / LOG
    log.write_text("")  # as if the crash had come before the judgement
    found, _, events = teach(drawn, tmp_path)
    assert events[0].step == 2 and [each.step for each in found.judged] == [2, 4]


def test_what_a_crash_left_between_a_checkpoint_and_its_copies_is_made_up_for(taught, drawn, tmp_path):
    folder = shutil.copytree(taught[0].folder, tmp_path / "run")
    best = files.origin(folder / BEST)
    for name in (NEWEST, BEST):
        (folder / name).unlink()
    lines = [line for line in read_lines(folder / LOG) if line["step"] < 4]  # the judgement is told after its copy
    (folder / LOG).write_text("".join(json.dumps(line) + "\n" for line in lines))
    found, _, events = teach(drawn, folder)
    assert events[0].step == 4 and [each.step for each in found.judged] == [4]
    assert files.origin(folder / NEWEST) == files.origin(taught[0].weights)
    assert best.file != "step-00000004/weights.safetensors" or files.origin(folder / BEST) == best


def test_what_came_after_the_checkpoint_is_judged_again(taught, drawn, tmp_path):
    folder = shutil.copytree(taught[0].folder, tmp_path / "run")
    shutil.rmtree(folder / "checkpoints" / "step-00000004")  # as one does where it is damaged
    found, _, events = teach(drawn, folder)
    assert events[0].step == 2 and found.judged == (taught[0].judged[-1]._replace(path=found.last),)
    assert [line["step"] for line in read_lines(folder / LOG) if "val/ap" in line] == [2, 4]


def test_another_training_in_the_folder_is_refused_and_changes_nothing(taught, drawn, tmp_path):
    folder = shutil.copytree(taught[0].folder, tmp_path / "run")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(CheckpointError, match="recipe.batch: kept 2, wanted 4"):
        teach(drawn, folder, recipe=recipe_of("quick", NAME, steps=4, batch=4))
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_learning_begins_from_weights(taught, drawn, tmp_path):
    found, told, _ = teach(drawn, tmp_path, weights=taught[0].weights, width=1.0, steps=1)
    assert told[0].startswith(f"Begins from {taught[0].weights}; nothing begins anew")
    assert files.origin(found.weights).width == 0.125 and files.origin(found.weights).scratch


def test_nothing_to_judge_by_is_said(drawn, tmp_path):
    found, told, _ = teach(drawn, tmp_path, val=None, steps=1)
    assert "nothing is judged: give --val LABELS" in told[0] and not found.judged
    assert found.weights.is_file() and not (tmp_path / BEST).exists()


def test_what_is_not_judged_is_drawn_from_what_is_learned(drawn, tmp_path):
    """An image that cannot be read is passed over; what was drawn before an interruption is not drawn again."""
    folder = shutil.copytree(drawn[0].parent, tmp_path / "some")
    first = json.loads((folder / drawn[0].name).read_text())["images"][0]["file_name"]
    next(folder.rglob(first)).write_bytes(b"nothing")
    run = tmp_path / "run"
    teach(drawn, run, data=folder / drawn[0].name, val=None, steps=4)
    pictures = sorted((run / "samples").glob("*/*.jpg"))
    assert [path.parent.name for path in pictures] == ["step-00000002"] * 5 + ["step-00000004"] * 5
    assert Path(first).stem not in {path.stem for path in pictures}
    shutil.rmtree(run / "samples" / "step-00000004")
    before = pictures[0].stat().st_mtime_ns
    teach(drawn, run, data=folder / drawn[0].name, val=None, steps=4)
    assert len(list((run / "samples").glob("*/*.jpg"))) == 10 and pictures[0].stat().st_mtime_ns == before


def test_what_begins_at_random_is_not_frozen(taught, drawn, tmp_path):
    made = replace(recipe_of("quick", NAME, steps=1, batch=2), frozen=("backbone.",), assumption="said so")
    _, told, _ = teach(drawn, tmp_path / "random", recipe=made)
    assert told[:2] == ["Nothing is frozen: what begins at random must learn.", "Of the recipe: said so."]
    assert json.loads((tmp_path / "random" / "run.json").read_text())["recipe"]["frozen"] == []
    start = taught[0].weights
    found, told, _ = teach(drawn, tmp_path / "begun", recipe=made, weights=start, width=1.0)
    before, after = safe.read(start), safe.read(found.weights)
    same = {name for name, tensor in before.items() if torch.equal(after[name], tensor)}
    learned = {name for name in before if name.rpartition(".")[2] in ("weight", "bias")}
    assert "frozen" not in told[0] and learned - same and {n for n in learned if n.startswith("backbone.")} <= same


REFUSED = [
    ({"name": "ssd-mobilenet_v9-300"}, ValueError, "mobilenet_v9"),
    ({"name": "mask_rcnn-resnet50-800x1024", "masks": False}, ValueError, "learns masks, and .* has none"),
    ({"split": "nowhere"}, ValueError, "split: got 'nowhere'"),
    ({"width": 0.0}, ValueError, "0.0"),
    ({"how": RunOptions(device="gpu")}, ValueError, "device: got 'gpu', allowed cpu, cuda or cuda:N"),
]


@pytest.mark.parametrize(("changes", "kind", "said"), REFUSED, ids=[said for *_, said in REFUSED])
def test_what_cannot_be_learned_is_refused_before_a_folder_is_made(drawn, tmp_path, changes, kind, said):
    if not changes.pop("masks", True):
        truth = json.loads(drawn[0].read_text())
        bare = [{key: v for key, v in each.items() if key != "segmentation"} for each in truth["annotations"]]
        changes["data"] = drawn[0].with_name("bare.json")
        changes["data"].write_text(json.dumps(truth | {"annotations": bare}))
    with pytest.raises(kind, match=said):
        teach(drawn, tmp_path / "run", **changes)
    assert not (tmp_path / "run").exists()


def test_labels_of_other_classes_are_refused(drawn, tmp_path):
    truth = json.loads(drawn[1].read_text())
    truth["categories"][0]["name"] = "ball"
    other = drawn[1].with_name("other.json")
    other.write_text(json.dumps(truth))
    with pytest.raises(
        ValueError, match="val: .*other.json has objects of ball, which are not learned: .* has the cla"
    ):
        teach(drawn, tmp_path, val=other)


def test_labels_whose_images_cannot_be_read_are_refused_before_anything_is_learned(drawn, tmp_path):
    alone = tmp_path / "alone.json"
    alone.write_text(drawn[1].read_text())
    with pytest.raises(
        ValueError, match="val: none of 8 images of alone.json can be judged: .*000000.png: no such file"
    ):
        teach(drawn, tmp_path / "run", val=alone)
    assert not (tmp_path / "run").exists()


def test_labels_whose_sizes_are_all_others_are_refused_before_anything_is_learned(drawn, tmp_path):
    """As where pictures were made smaller after they were labeled: every checkpoint would fail."""
    truth = json.loads(drawn[1].read_text())
    other = drawn[1].with_name("larger.json")
    other.write_text(json.dumps(truth | {"images": [each | {"height": 128} for each in truth["images"]]}))
    with pytest.raises(ValueError, match="val: none of 8 images .* can be judged: .* 64x96, its labels say 128x96"):
        teach(drawn, tmp_path / "run", val=other)
    assert not (tmp_path / "run").exists()


def test_weights_begun_from_are_part_of_a_training(taught, drawn, tmp_path):
    """Only its first call begins from them, and others do not go on with it."""
    begin, other = (shutil.copy(taught[0].folder / name, tmp_path / name) for name in (NEWEST, BEST))
    files.save({name: t + 1 for name, t in safe.read(other).items()}, other, files.origin(begin))
    _, told, _ = teach(drawn, tmp_path / "run", weights=begin, steps=2)
    assert told[0] == f"Begins from {begin}; nothing begins anew."
    _, told, _ = teach(drawn, tmp_path / "run", weights=begin, steps=2)
    assert told == []
    for weights in (other, None):
        with pytest.raises(CheckpointError, match="data.weights"):
            teach(drawn, tmp_path / "run", weights=weights, steps=2)


def test_a_training_shorter_than_an_epoch_tells_what_it_left_out(drawn, tmp_path):
    truth = json.loads(drawn[0].read_text())
    other = drawn[0].with_name("odd.json")
    other.write_text(
        json.dumps(truth | {"images": [each | {"height": 128} for each in truth["images"][1:]] + truth["images"][:1]})
    )
    _, told, _ = teach(drawn, tmp_path / "run", data=other, steps=2)
    assert "While learning, left out" in told[-1] and "paretodet doctor" in told[-1]


def test_one_of_several_processes_that_fails_does_not_wait_for_the_others(drawn, tmp_path):
    school = TrainingRun(lesson(drawn), tmp_path, RunOptions(), print, ProcessGroup(processes=2))
    with pytest.raises(KeyError), school._ended([]):
        raise KeyError
    with pytest.raises(ValueError, match="process group"), school._ended([]):
        pass


@pytest.mark.parametrize(
    ("steps", "asked", "kept", "judged"),
    [
        (600, None, 60, 60),
        (15_000, None, 750, 1500),
        (500_200, None, 980, 49_980),
        (20_000, 500, 500, 500),
        (3, None, 1, 1),
    ],
)
def test_a_crash_costs_a_thousand_updates_at_most_and_ten_checkpoints_are_judged(
    drawn, tmp_path, steps, asked, kept, judged
):
    recipe = recipe_of("quick", NAME, steps=steps, batch=2)
    school = TrainingRun(lesson(drawn, recipe=recipe), tmp_path, RunOptions(every=asked), print, ProcessGroup())
    assert school._every == kept and judged % kept == 0
    due = [step for step in range(kept, min(steps, 4 * judged) + 1, kept) if school._due(step)]
    assert due == list(range(judged, min(steps, 4 * judged) + 1, judged)) and school._due(steps)
    (judge,) = school._judges([], print)
    opened = []
    judge._judge = lambda step, path: opened.append(step)
    for step in range(kept, 2 * judged + 1, kept):
        judge(Saved(step=min(step, steps), path=tmp_path))
    assert opened == [judged, min(2 * judged, steps)]


def test_images_that_are_judged_are_not_learned_unless_asked_for(tmp_path):
    """Pascal VOC's sets overlap: the one to learn from is named, and what is in both is told."""
    data, told = voc(tmp_path / "voc", trainval="a b c d", val="c d"), []
    asked = TrainConfig(name=NAME, data=data, recipe=recipe_of("quick", NAME, steps=1, batch=2), width=0.125)
    with pytest.raises(ValueError, match=r"data: .*voc has trainval, val, and none is called train: give --data-split"):
        TrainingRun(asked, tmp_path / "run", RunOptions(), told.append, ProcessGroup())
    TrainingRun(replace(asked, split="trainval"), tmp_path / "run", RunOptions(), told.append, ProcessGroup())
    assert told == ["Judging: 2 of 2 images are learned from too, so their AP flatters."]
    apart = replace(asked, data=voc(tmp_path / "apart", train="a b", val="c d"))
    TrainingRun(apart, tmp_path / "run", RunOptions(), told.append, ProcessGroup())
    assert len(told) == 1


def voc(folder, **sets):
    """A box in every image of the sets."""
    for part in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (folder / part).mkdir(parents=True)
    for split, names in sets.items():
        (folder / "ImageSets" / "Main" / f"{split}.txt").write_text(names.replace(" ", "\n"))
        for name in names.split():
            Image.new("RGB", (60, 40)).save(folder / "JPEGImages" / f"{name}.jpg")
            (folder / "Annotations" / f"{name}.xml").write_text(ANNOTATION.format(name=name))
    return folder


def test_labels_to_judge_by_may_lack_a_class_and_number_them_anew(drawn, tmp_path):
    truth = json.loads(drawn[1].read_text())
    new = {each["id"]: 90 - each["id"] for each in truth["categories"]}
    fewer = drawn[1].with_name("fewer.json")
    named = [each | {"id": new[each["id"]]} for each in truth["categories"] if each["name"] != "disc"]
    renumbered = [each | {"category_id": new[each["category_id"]]} for each in truth["annotations"]]
    kept = [each for each in renumbered if each["category_id"] in {each["id"] for each in named}]
    fewer.write_text(json.dumps(truth | {"categories": named, "annotations": kept}))
    again, _, _ = teach(drawn, tmp_path / "run", val=fewer, steps=1)
    labels = read_ground_truth(fewer)
    assert again.judged[-1].accuracy == accuracy(open_candidate(str(again.weights)), labels.labels)


def test_labels_to_judge_by_are_judged_by_what_is_sound_of_them(drawn, tmp_path):
    """No area, a negative width and a picture that is missing: each told once, and what is told next does not stop."""
    truth = json.loads(drawn[1].read_text())
    first, second, third = truth["annotations"][:3]
    rows = [first | {"bbox": [5, 5, -3, 4]}, {key: value for key, value in second.items() if key != "area"}]
    images = [each | {"file_name": "gone.png"} if number > 5 else each for number, each in enumerate(truth["images"])]
    odd = drawn[1].with_name("odd.json")
    odd.write_text(json.dumps(truth | {"images": images, "annotations": [*rows, third, *truth["annotations"][3:]]}))
    found, told, _ = teach(drawn, tmp_path / "run", val=odd)
    told = [sentence for sentence in told if not sentence.startswith("memory: ")]
    doctor = f"(`paretodet doctor {odd}` lists all)."
    assert [sentence.split(", the first: ")[0] for sentence in told[:3]] == [
        f"Judging: 1 annotations of {odd} cannot be used",
        f"Judging: 1 annotations of {odd} have no area, their outline's or box's is taken",
        f"Judging: 2 images of {odd} cannot be judged",
    ]
    assert all(sentence.endswith(doctor) for sentence in told[:3]) and "annotations[0]: the box has swapped" in told[0]
    assert "gone.png: no such file" in told[2] and told[3].startswith("After 2") and len(told) == 5
    again = evaluate_candidate(open_candidate(str(found.weights)), odd)
    assert again.boxes.whole == found.judged[-1].accuracy.boxes and again.labels["images"] == 6


def test_images_may_lie_where_the_user_says(drawn, tmp_path):
    """Those of the labels to judge by too, or near them."""
    for number, path in enumerate(drawn):
        shutil.copy(path, tmp_path / f"{number}.json")
    learned = {"data": tmp_path / "0.json", "images": drawn[0].parent / "images", "steps": 1}
    with pytest.raises(ValueError, match="data: none of 8 images can be used; .*: no such file"):
        teach(drawn, tmp_path / "none", **learned | {"images": None})
    found, _, _ = teach(drawn, tmp_path / "near", **learned)  # where files are called as those learned from
    assert found.val_images is None and found.judged[-1].accuracy.images == 8
    found, _, _ = teach(drawn, tmp_path / "both", **learned, val=tmp_path / "0.json")
    assert found.val_images == learned["images"] and found.judged[-1].accuracy.images == 8


def test_what_has_no_box_is_refused(drawn, tmp_path):
    truth = json.loads(drawn[0].read_text()) | {"annotations": []}
    empty = drawn[0].with_name("empty.json")
    empty.write_text(json.dumps(truth))
    with pytest.raises(ValueError, match="data: got no usable box in 8 images"):
        teach(drawn, tmp_path / "run", data=empty)
    assert not (tmp_path / "run").exists()


@pytest.mark.full
def test_red_cells_white_cells_and_platelets_are_learned(data_folder, tmp_path):
    """BCCD in minutes of two cores, at half the width; a full training of three times as many updates gives AP50 81."""
    taught, told, _ = teach(
        (data_folder / "bccd", None),
        tmp_path,
        RunOptions(every=300),
        name="yolo_v3_tiny-416",
        width=0.5,
        recipe=recipe_of("quick", "yolo_v3_tiny-416", steps=300),
    )
    assert taught.judged[-1].accuracy.boxes.ap50 > 50
    assert "the box has no area" in told[0] and (taught.split, taught.val_split) == ("train", "val")


def test_recipes_by_kind():
    assert recipe_of("quick", NAME, steps=100).schedule.then.steps == 100
    whole = recipe_of("published", NAME)
    assert recipe_of("published", NAME, batch=4) == replace(whole, batch=4) and whole.batch == 32
    cut = recipe_of("published", NAME, steps=500)
    assert cut.average == Average(decay=0.9999, ramp=True) and whole.average == Average(decay=0.9999)
    assert (
        cut.assumption == f"{whole.assumption}; its schedule is that of 800,000 updates, not scaled to another length"
    )
    assert cut == replace(whole, steps=500, average=cut.average, assumption=cut.assumption)
    assert recipe_of("published", NAME, steps=800_000) == whole
    assert recipe_of("published", "ssd_liu-vgg16-300", steps=9).average is None
    with pytest.raises(ValueError, match="recipe: got 'fast', allowed quick, published"):
        recipe_of("fast", NAME)


def test_a_full_disk_is_told_with_its_place_and_hides_nothing(drawn, tmp_path, monkeypatch):
    """Numbers find no room, nor does the end of their file: other trackers end well, and the first error is told."""

    def full(*_):
        raise OSError(28, "No space left on device")

    closed = []
    for name in ("numbers", "close"):
        monkeypatch.setattr(TensorBoard, name, full)
    monkeypatch.setattr(tracking, "TRACKERS", {"wandb": lambda folder: Ended(closed)})
    told = []
    with pytest.raises(
        OSError, match=r"run: not written \(No space left on device\); its checkpoints are as they were"
    ):
        train(lesson(drawn), tmp_path / "run", RunOptions(every=2, track=("wandb",)), tell=told.append)
    assert closed == [True] and any("TensorBoard did not end well" in sentence for sentence in told)


class Ended:
    """A tracker that says when it is closed."""

    def __init__(self, closed):
        self.closed = closed

    def close(self):
        self.closed.append(True)

    def __getattr__(self, name):
        return lambda *_: None


def test_a_tracker_that_nobody_knows_is_refused(drawn, tmp_path):
    with pytest.raises(ValueError, match="track: got 'comet', allowed mlflow, wandb"):
        teach(drawn, tmp_path / "run", how=RunOptions(track=("comet",)))


def test_a_drawing_lies_in_the_samples_wherever_its_image_does():
    """YOLO's lists may name images by their whole path, and so deep that one name could not hold it."""
    assert drawn_as("/data/val/x.y.png") == "data-val-x.y" and drawn_as("val/x.png") == "val-x"
    assert len(drawn_as("/".join(["folder"] * 60) + "/x.png")) == 200


def test_a_drawings_name_fits_a_file_system_whatever_it_is_written_in():
    """File systems count bytes: 255."""
    folder = "图" * 80
    one, other = (drawn_as(f"{top}{folder}/{folder}.jpg") for top in ("a", "b"))
    assert one != other and one[:-8].endswith("图-")
    assert all(150 < len(os.fsencode(f"{name}.jpg")) <= 255 for name in (one, other))
    os.fsencode(drawn_as("\udce9" * 300 + ".jpg"))  # a name that is no text


def test_no_drawing_takes_the_place_of_another():
    files = ["x.jpg", "x.png", "a/b.jpg", "a-b.jpg", "c.jpg"]
    found = [drawn_as(file, files) for file in files]
    assert len(set(found)) == len(files) and found[-1] == "c" and found[0].startswith("x-")


def process(folder, steps, every, workers):
    """The subject in a process of its own, which says each checkpoint's step and its memory after it."""
    command = [sys.executable, str(Path(__file__).with_name("taught_subject.py")), str(folder)]
    command += [str(number) for number in (steps, every, workers)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def test_a_second_training_in_the_folder_is_refused_at_its_start_and_goes_on_when_the_first_is_killed(tmp_path):
    shapes(tmp_path)
    folder = tmp_path / "run"
    with process(folder, 30, 1, 1) as first:
        next(first.stdout)
        with pytest.raises(ValueError, match="out: another training is in .*run; wait until it has ended"):
            run_taught(folder, 30, 1, 0)
        first.send_signal(signal.SIGKILL)
    assert first.returncode == -signal.SIGKILL
    assert run_taught(folder, 30, 30, 0).last.name == "step-00000030" and not list(folder.rglob(".*"))
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*") if path.is_file()} == {plain_mode(tmp_path)}


def plain_mode(folder):
    """Of a file that is made in the usual way."""
    (folder / "plain").touch()
    return stat.S_IMODE((folder / "plain").stat().st_mode)


@pytest.mark.full
def test_a_killed_training_with_workers_and_augmentation_goes_on_to_the_bit(tmp_path):
    shapes(tmp_path)
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    with process(straight, 8, 2, 2) as whole:
        whole.communicate()
    with process(killed, 8, 2, 2) as run:
        next(line for line in run.stdout if line.startswith("4 "))
        run.send_signal(signal.SIGKILL)
    assert (whole.returncode, run.returncode) == (0, -signal.SIGKILL)
    left = latest(killed / "checkpoints").name
    with process(killed, 8, 2, 0) as again:
        steps = [line.split()[0] for line in again.stdout]
    assert again.returncode == 0 and left in ("step-00000004", "step-00000006") and steps[-1] == "8"
    one, other = (load(latest(folder / "checkpoints")) for folder in (straight, killed))
    assert one.position == other.position == 8
    kept = [name for name in one.training if not name.startswith("random/")]  # of torch's own numbers nothing is drawn
    assert one.weights.keys() == other.weights.keys() and one.training.keys() == other.training.keys()
    assert all(torch.equal(tensor, other.weights[name]) for name, tensor in one.weights.items())
    assert all(torch.equal(one.training[name], other.training[name]) for name in kept)
    lines = [[line for line in read_lines(folder / LOG) if "val/ap" in line] for folder in (straight, killed)]
    assert lines[0] == lines[1] and len(lines[0]) == 4


@pytest.mark.full
def test_a_long_training_takes_no_more_memory_at_its_end(tmp_path):
    shapes(tmp_path)
    with process(tmp_path / "run", 150, 15, 0) as run:
        told = [line.split() for line in run.stdout]
    taken = {int(step): float(mib) for step, mib in told}
    assert run.returncode == 0 and len(taken) == 10
    assert taken[150] - taken[45] < 8, taken  # seven copies of all that learns would be 11 MiB
