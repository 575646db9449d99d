"""Training through the public function: the run folder, validation, resuming, and what is refused."""

import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from failing_tracker import FailingTracker
from paretodet.bench.accuracy import accuracy
from paretodet.errors import InputError
from paretodet.evaluation.ground_truth import read_ground_truth
from paretodet.extras import MissingExtra
from paretodet.images import DRAWINGS
from paretodet.labels.image_index import images_below
from paretodet.loader.shapes import Shapes
from paretodet.media import fonts
from paretodet.opening import CandidateConfig, job, open_candidate
from paretodet.reading import sha256
from paretodet.scoring import evaluate_candidate
from paretodet.training import tracking
from paretodet.training.checkpoint import CheckpointError, latest, load
from paretodet.training.config import RunOptions, TrainConfig
from paretodet.training.distributed import ProcessGroup
from paretodet.training.ema import Ema
from paretodet.training.log import read_lines
from paretodet.training.loop import Saved, Started, Updated
from paretodet.training.recipes import make_recipe
from paretodet.training.tensorboard import TensorBoard
from paretodet.training.validator import sample_name
from paretodet.training_run import BEST, LOG, NEWEST, TrainingRun, _initial_metadata, train
from paretodet.weights import files, safe
from train_subject import run_training, shapes

NAME = "ssd-mobilenet_v1-300"
ANNOTATION = (
    "<annotation><filename>{name}.jpg</filename><size><width>60</width><height>40</height></size><object><name>cat</name>"
    "<bndbox><xmin>5</xmin><ymin>5</ymin><xmax>30</xmax><ymax>30</ymax></bndbox></object></annotation>"
)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Training and validation labels."""
    folder = tmp_path_factory.mktemp("drawn")
    return tuple(Shapes(count=8, height=64, width=96, seed=s).write(folder / str(s)) for s in (1, 2))


def config(drawn, steps=4, **changes):
    given = {"name": NAME, "data": drawn[0], "val": drawn[1], "width": 0.125}
    return TrainConfig(**given | {"recipe": make_recipe("quick", NAME, steps=steps, batch=2)} | changes)


def run_train(drawn, folder, options=None, **changes):
    messages, events = [], []
    options = options or RunOptions(every=2)
    result = train(config(drawn, **changes), folder, options, notify=messages.append, listener=events.append)
    return result, messages, events


@pytest.fixture(scope="module")
def trained(drawn, tmp_path_factory):
    return run_train(drawn, tmp_path_factory.mktemp("run"))


def test_the_run_folder_has_what_repeating_the_training_needs(trained, drawn):
    folder = trained[0].folder
    kept = json.loads((folder / "run.json").read_text())
    assert {each.name for each in folder.iterdir() if not each.name.startswith("events")} == {
        "run.json", LOG, NEWEST, BEST, "checkpoints", "samples",
    }  # fmt: skip
    assert kept["data"]["images"] == 8 and kept["recipe"]["batch"] == 2 and kept["options"]["every"] == 2
    assert kept["val"] == {
        "name": "instances.json",
        "sha256": read_ground_truth(drawn[1]).sha256,
        "split": None,
        "since": 0,
    }
    assert kept["processes"] == 1 and list(folder.glob("events.out.tfevents.*"))
    assert str(drawn[0].parent) not in (folder / "run.json").read_text()
    assert len(list((folder / "samples" / "step-00000004").glob("*.jpg"))) == 6
    assert list(images_below(folder)) == []  # none of the drawings is data


def test_the_weights_open_like_a_name_and_are_those_that_were_validated(trained, drawn):
    found = trained[0]
    candidate = open_candidate(str(found.weights))
    assert candidate.name == f"{NAME} at width 0.125" and candidate.labels == ("disc", "rectangle", "triangle")
    assert safe.read(found.weights).keys() == safe.read(found.checkpoint / "weights.safetensors").keys()
    labels = read_ground_truth(drawn[1])
    again = accuracy(candidate, labels.labels)
    assert again == found.validations[-1].accuracy and again.images == 8 and again.boxes.ar100 is not None


def test_the_weights_file_alone_and_name_with_weights_are_equal(trained):
    path = trained[0].weights
    image = np.random.default_rng(0).integers(0, 255, (50, 70, 3), np.uint8)
    both = [open_candidate(str(path)), open_candidate(NAME, weights=path)]
    one, other = (each.infer(each.prepare([image])) for each in both)
    assert torch.equal(one.boxes, other.boxes) and both[0].facts().artefact == both[1].facts().artefact
    with pytest.raises(ValueError, match="weights: .* is a file of weights itself"):
        open_candidate(str(path), weights=path)


def test_a_training_keeps_what_its_initial_weights_say_of_their_detector(tmp_path):
    form = {"width": 0.5, "norm_eps": 1e-3, "released": True, "sampling": "opencv"}
    path = tmp_path / "w.safetensors"
    files.save({"x": torch.zeros(1)}, path, files.WeightsMetadata(name=NAME, **form, license="MIT", ap=30.0))
    found = _initial_metadata(config((tmp_path, tmp_path), weights=path, width=1.0))
    assert found == files.WeightsMetadata(name=NAME, **form)


def test_the_weights_of_a_checkpoint_open_and_start_a_training(trained, drawn, tmp_path):
    path = trained[0].checkpoint / "weights.safetensors"
    assert open_candidate(str(path)).name == open_candidate(str(trained[0].weights)).name
    _, messages, _ = run_train(drawn, tmp_path / "run", weights=path, steps=1)
    assert messages[0] == f"Initialized from {path}, all tensors."
    with pytest.raises(CheckpointError) as error:
        run_train(drawn, tmp_path / "run", weights=trained[0].weights, steps=1)
    assert str(latest(tmp_path / "run/checkpoints") / "weights.safetensors") in error.value.message


@pytest.mark.parametrize("name", [NEWEST, BEST])
def test_a_training_does_not_replace_its_initial_weights(trained, drawn, tmp_path, name):
    """Without them it could not be resumed. The checkpoints may have been removed, as they are large."""
    folder = shutil.copytree(trained[0].folder, tmp_path / "run", ignore=shutil.ignore_patterns("checkpoints"))
    before = sha256(folder / name)
    with pytest.raises(InputError, match="--out") as error:
        run_train(drawn, folder, weights=folder / name)
    assert error.value.id == "output-is-input" and sha256(folder / name) == before


def test_a_file_for_a_name_is_refused_with_the_name_of_its_detector(trained, drawn, tmp_path):
    for path, way in ((trained[0].weights, f"{NAME} with --weights {trained[0].weights}"), (drawn[0], "its NAME")):
        with pytest.raises(InputError, match=re.escape(way)) as error:
            run_train(drawn, tmp_path / "run", name=str(path))
        assert error.value.id == "name-unknown" and not (tmp_path / "run").exists()


def test_a_folder_of_weights_is_refused_with_its_file(trained, drawn, tmp_path):
    for folder in (trained[0].folder, trained[0].checkpoint):
        with pytest.raises(InputError) as error:
            run_train(drawn, tmp_path / "run", weights=folder)
        assert error.value.id == "file-missing" and str(folder / "weights.safetensors") in error.value.message
    with pytest.raises(InputError) as error:
        run_train(drawn, tmp_path / "run", weights=Path())
    assert error.value.id == "file-missing"


def test_weights_of_another_detector_are_refused(trained):
    with pytest.raises(safe.WeightsError, match=f"weights.safetensors: weights of {NAME}, not of yolo_v3_tiny-416"):
        open_candidate("yolo_v3_tiny-416", weights=trained[0].weights)
    assert open_candidate("ssd-mobilenet_v1-320", weights=trained[0].weights).spec.height == 320


def test_a_job_of_a_weights_file_is_that_of_its_detector(trained):
    path = trained[0].weights
    made = job(CandidateConfig(name=str(path)))
    assert made.name == f"{NAME} at width 0.125"
    assert made.recipe["name"] == NAME and made.recipe["weights"] == sha256(path) and not made.about


def test_weights_without_metadata_do_not_open_alone(tmp_path):
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


def test_each_checkpoint_is_validated_logged_and_reported_once(trained):
    found, messages, events = trained
    assert [each.step for each in found.validations] == [2, 4]
    assert [type(event) for event in events].count(Saved) == 2
    validated = [line for line in read_lines(found.folder / LOG) if "val/ap" in line]
    assert [line["step"] for line in validated] == [2, 4] and validated[-1]["val/ap"] == found.validations[
        -1
    ].accuracy.boxes.ap
    assert [sentence[:15] for sentence in messages] == ["memory: a pass ", "After 2 updates", "After 4 updates"]
    assert re.fullmatch(
        r"memory: a pass of 2 images needs about .* GiB; .* are available, enough for \d+\.", messages[0]
    )


def test_best_is_of_the_highest_ap(trained):
    found = trained[0]
    best = max(found.validations, key=lambda each: (each.accuracy.boxes.ap, each.step))
    assert files.read_metadata(found.folder / BEST).file == f"step-{best.step:08d}/weights.safetensors"
    newest = files.read_metadata(found.folder / NEWEST)
    assert (newest.file, newest.sampling) == ("step-00000004/weights.safetensors", "tf1")


def test_best_compares_only_ap_of_the_same_validation_labels(trained, drawn, tmp_path):
    """After a resume with other validation labels earlier AP does not count, nor after a second resume."""
    folder = shutil.copytree(trained[0].folder, tmp_path / "run")
    others = Shapes(count=2, height=64, width=96, seed=9).write(tmp_path / "others")
    shutil.rmtree(folder / "checkpoints" / "step-00000004")
    (folder / LOG).write_text(json.dumps({"step": 2, "val/ap": 100.0}) + "\n")
    found, _, _ = run_train(drawn, folder, val=others)
    assert [each.step for each in found.validations] == [4]
    assert files.read_metadata(folder / BEST).file == "step-00000004/weights.safetensors"
    run_train(drawn, folder, val=others)
    assert json.loads((folder / "run.json").read_text())["val"]["since"] == 3


def test_the_same_call_resumes_and_another_recipe_is_refused(trained, drawn):
    _, messages, events = run_train(drawn, trained[0].folder)
    assert [type(event) for event in events] == [Started] and messages == []
    with pytest.raises(CheckpointError, match="recipe.batch: saved 2, requested 4"):
        run_train(drawn, trained[0].folder, recipe=make_recipe("quick", NAME, steps=4, batch=4))


def test_a_checkpoint_states_the_learning_rate_and_a_resume_with_another_one_is_refused(trained, drawn):
    state = json.loads((trained[0].checkpoint / "state.json").read_text())
    assert state["recipe"]["optimizer"]["lr"] == 1e-3
    with pytest.raises(CheckpointError, match=r"recipe.optimizer.lr: saved 0.001, requested 0.01") as error:
        run_train(drawn, trained[0].folder, recipe=make_recipe("quick", NAME, steps=4, batch=2, learning_rate=0.01))
    assert error.value.id == "checkpoint-other" and str(trained[0].checkpoint) in error.value.message


def test_a_checkpoint_not_validated_before_a_crash_is_validated_after_it(drawn, tmp_path):
    class Crash(Exception):
        pass

    def crash(event):
        if isinstance(event, Saved):
            raise Crash

    options = RunOptions(every=2)
    with pytest.raises(Crash):
        train(config(drawn), tmp_path, options, notify=lambda sentence: None, listener=crash)
    log = tmp_path / LOG
    log.write_text("")  # as after a crash before the validation
    found, _, events = run_train(drawn, tmp_path)
    assert events[0].step == 2 and [each.step for each in found.validations] == [2, 4]


def test_after_a_crash_the_copies_of_a_checkpoint_are_written(trained, drawn, tmp_path):
    folder = shutil.copytree(trained[0].folder, tmp_path / "run")
    best = files.read_metadata(folder / BEST)
    for name in (NEWEST, BEST):
        (folder / name).unlink()
    lines = [
        line for line in read_lines(folder / LOG) if line["step"] < 4
    ]  # the result is logged after the weights are copied
    (folder / LOG).write_text("".join(json.dumps(line) + "\n" for line in lines))
    found, _, events = run_train(drawn, folder)
    assert events[0].step == 4 and [each.step for each in found.validations] == [4]
    assert files.read_metadata(folder / NEWEST) == files.read_metadata(trained[0].weights)
    assert best.file != "step-00000004/weights.safetensors" or files.read_metadata(folder / BEST) == best


def test_updates_after_the_checkpoint_are_validated_again(trained, drawn, tmp_path):
    folder = shutil.copytree(trained[0].folder, tmp_path / "run")
    shutil.rmtree(folder / "checkpoints" / "step-00000004")  # as a user does if it is damaged
    found, _, events = run_train(drawn, folder)
    assert events[0].step == 2 and found.validations == (trained[0].validations[-1]._replace(path=found.checkpoint),)
    assert [line["step"] for line in read_lines(folder / LOG) if "val/ap" in line] == [2, 4]


def test_another_training_in_the_folder_is_refused_and_changes_no_file(trained, drawn, tmp_path):
    folder = shutil.copytree(trained[0].folder, tmp_path / "run")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(CheckpointError, match="recipe.batch: saved 2, requested 4"):
        run_train(drawn, folder, recipe=make_recipe("quick", NAME, steps=4, batch=4))
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_training_starts_from_weights(trained, drawn, tmp_path):
    found, messages, _ = run_train(drawn, tmp_path, weights=trained[0].weights, width=1.0, steps=1)
    assert messages[0].startswith(f"Initialized from {trained[0].weights} ({NAME} of step-")
    assert messages[0].endswith("), all tensors.")
    assert files.read_metadata(found.weights).width == 0.125 and files.read_metadata(found.weights).scratch


def test_a_training_without_validation_labels_says_so(drawn, tmp_path):
    found, messages, _ = run_train(drawn, tmp_path, val=None, steps=1)
    assert messages[0].startswith("No validation: ") and not found.validations
    assert found.weights.is_file() and not (tmp_path / BEST).exists()


def test_without_validation_labels_training_images_are_drawn(drawn, tmp_path):
    """An unreadable image is left out; after an interruption, samples are not drawn again."""
    folder = shutil.copytree(drawn[0].parent, tmp_path / "some")
    first = json.loads((folder / drawn[0].name).read_text())["images"][0]["file_name"]
    next(folder.rglob(first)).write_bytes(b"nothing")
    run = tmp_path / "run"
    run_train(drawn, run, data=folder / drawn[0].name, val=None, steps=4)
    samples = sorted((run / "samples").glob("*/*.jpg"))
    assert [path.parent.name for path in samples] == ["step-00000002"] * 5 + ["step-00000004"] * 5
    assert Path(first).stem not in {path.stem for path in samples}
    shutil.rmtree(run / "samples" / "step-00000004")
    (run / "samples" / "step-00000002.zip").touch()  # of the user
    before = samples[0].stat().st_mtime_ns
    run_train(drawn, run, data=folder / drawn[0].name, val=None, steps=4)
    assert len(list((run / "samples").glob("*/*.jpg"))) == 10 and samples[0].stat().st_mtime_ns == before


def test_layers_with_random_weights_are_not_frozen(trained, drawn, tmp_path):
    made = replace(make_recipe("quick", NAME, steps=1, batch=2), frozen=("backbone.",), assumption="an example")
    _, messages, _ = run_train(drawn, tmp_path / "random", recipe=made)
    assert messages[0].startswith("No layer is frozen") and messages[1] == "Recipe assumption: an example."
    assert json.loads((tmp_path / "random" / "run.json").read_text())["recipe"]["frozen"] == []
    start = trained[0].weights
    found, messages, _ = run_train(drawn, tmp_path / "initialized", recipe=made, weights=start, width=1.0)
    before, after = safe.read(start), safe.read(found.weights)
    same = {name for name, tensor in before.items() if torch.equal(after[name], tensor)}
    trainable = {name for name in before if name.rpartition(".")[2] in ("weight", "bias")}
    assert (
        "frozen" not in messages[0] and trainable - same and {n for n in trainable if n.startswith("backbone.")} <= same
    )


REFUSED = [
    ({"name": "ssd-mobilenet_v9-300"}, ValueError, "mobilenet_v9"),
    ({"name": "mask_rcnn-resnet50-800x1024", "masks": False}, ValueError, "data: .* has no masks"),
    ({"split": "nowhere"}, ValueError, "split: got 'nowhere'"),
    ({"width": 0.0}, ValueError, "0.0"),
    ({"options": RunOptions(device="gpu")}, ValueError, "device: got 'gpu', allowed cpu, cuda or cuda:N"),
]


@pytest.mark.parametrize(("changes", "kind", "message"), REFUSED, ids=[message for *_, message in REFUSED])
def test_a_bad_configuration_is_refused_before_a_folder_is_made(drawn, tmp_path, changes, kind, message):
    if not changes.pop("masks", True):
        truth = json.loads(drawn[0].read_text())
        bare = [{key: v for key, v in each.items() if key != "segmentation"} for each in truth["annotations"]]
        changes["data"] = drawn[0].with_name("bare.json")
        changes["data"].write_text(json.dumps(truth | {"annotations": bare}))
    with pytest.raises(kind, match=message):
        run_train(drawn, tmp_path / "run", **changes)
    assert not (tmp_path / "run").exists()


def test_labels_of_other_classes_are_refused(drawn, tmp_path):
    truth = json.loads(drawn[1].read_text())
    truth["categories"][0]["name"] = "ball"
    other = drawn[1].with_name("other.json")
    other.write_text(json.dumps(truth))
    with pytest.raises(ValueError, match="val: .*other.json has objects of the unknown classes ball"):
        run_train(drawn, tmp_path, val=other)


def test_unreadable_validation_images_are_refused_before_the_training(drawn, tmp_path):
    alone = tmp_path / "alone.json"
    alone.write_text(drawn[1].read_text())
    with pytest.raises(
        ValueError, match="val: none of the 8 images of alone.json can be used: .*000000.png: no such file"
    ):
        run_train(drawn, tmp_path / "run", val=alone)
    assert not (tmp_path / "run").exists()


def test_validation_images_of_other_sizes_are_refused_before_the_training(drawn, tmp_path):
    """The images were made smaller after they were labeled, so every validation would fail."""
    truth = json.loads(drawn[1].read_text())
    other = drawn[1].with_name("larger.json")
    other.write_text(json.dumps(truth | {"images": [each | {"height": 128} for each in truth["images"]]}))
    with pytest.raises(ValueError, match="val: none of the 8 images .* can be used: .* 64x96, its labels say 128x96"):
        run_train(drawn, tmp_path / "run", val=other)
    assert not (tmp_path / "run").exists()


def test_initial_weights_identify_a_training(trained, drawn, tmp_path):
    """They are loaded in the first call only, and a call with other ones is refused."""
    begin, other = (shutil.copy(trained[0].folder / name, tmp_path / name) for name in (NEWEST, BEST))
    files.save({name: t + 1 for name, t in safe.read(other).items()}, other, files.read_metadata(begin))
    _, messages, _ = run_train(drawn, tmp_path / "run", weights=begin, steps=2)
    assert messages[0].startswith(f"Initialized from {begin} (") and messages[0].endswith(", all tensors.")
    _, messages, _ = run_train(drawn, tmp_path / "run", weights=begin, steps=2)
    assert messages == []
    for weights in (other, None):
        with pytest.raises(CheckpointError, match="data.weights"):
            run_train(drawn, tmp_path / "run", weights=weights, steps=2)


def test_a_training_shorter_than_an_epoch_reports_what_it_left_out(drawn, tmp_path):
    truth = json.loads(drawn[0].read_text())
    other = drawn[0].with_name("odd.json")
    other.write_text(
        json.dumps(truth | {"images": [each | {"height": 128} for each in truth["images"][1:]] + truth["images"][:1]})
    )
    _, messages, _ = run_train(drawn, tmp_path / "run", data=other, steps=2)
    assert messages[-1].startswith("Training: left out") and "paretodet doctor" in messages[-1]


def test_a_process_that_fails_does_not_wait_for_the_others(drawn, tmp_path):
    training = TrainingRun(config(drawn), tmp_path, RunOptions(), print, ProcessGroup(processes=2))
    with pytest.raises(KeyError), training._closing([]):
        raise KeyError
    with pytest.raises(ValueError, match="process group"), training._closing([]):
        pass


def test_only_checkpoints_that_are_due_are_validated(drawn, tmp_path):
    recipe = make_recipe("quick", NAME, steps=15_000, batch=2)
    training = TrainingRun(config(drawn, recipe=recipe), tmp_path, RunOptions(), print, ProcessGroup())
    validator = training._validator([], print)
    opened = []
    validator._validate = lambda step, path: opened.append(step)
    for step in range(750, 3001, 750):
        validator(Saved(step=step, path=tmp_path))
    assert opened == [1500, 3000]


def test_paths_may_be_text(drawn, tmp_path):
    given = config(drawn, data="a", val="b", images="c", weights="d")
    assert (given.data, given.val, given.images, given.weights) == tuple(map(Path, "abcd"))
    with pytest.raises(InputError, match=r"nowhere.*no such file"):
        train(config(drawn, data="nowhere.json", val=None), str(tmp_path / "run"))


def test_a_training_split_must_be_chosen_if_none_is_named_train(tmp_path):
    """Pascal VOC's sets overlap: images in both the training and the validation split are reported."""
    data, messages = voc(tmp_path / "voc", trainval="a b c d", val="c d"), []
    unclear = TrainConfig(name=NAME, data=data, recipe=make_recipe("quick", NAME, steps=1, batch=2), width=0.125)
    with pytest.raises(ValueError, match=r"data: .*voc has the splits trainval, val, none named train"):
        TrainingRun(unclear, tmp_path / "run", RunOptions(), messages.append, ProcessGroup())
    TrainingRun(replace(unclear, split="trainval"), tmp_path / "run", RunOptions(), messages.append, ProcessGroup())
    assert len(messages) == 1 and messages[0].startswith("Validation: 2 of 2 images are also training images")
    apart = replace(unclear, data=voc(tmp_path / "apart", train="a b", val="c d"))
    TrainingRun(apart, tmp_path / "run", RunOptions(), messages.append, ProcessGroup())
    assert len(messages) == 1


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


@pytest.mark.parametrize("val", ["", "c d"])
def test_classes_that_the_samples_show_as_numbers_are_named(tmp_path, monkeypatch, val):
    monkeypatch.setattr(fonts, "_others", lambda: ())
    fonts._font.cache_clear()
    data, messages = voc(tmp_path / "set", train="a b", **({"val": val} if val else {})), []
    for file in (data / "Annotations").iterdir():
        file.write_text(file.read_text().replace("cat", "猫"), encoding="utf-8")
    run = TrainingRun(config((data, None)), tmp_path / "run", RunOptions(), messages.append, ProcessGroup())
    run._validator([], lambda event: None)
    fonts._font.cache_clear()
    assert sum("0 = 猫" in each for each in messages) == 1


def test_validation_labels_may_lack_a_class_and_have_other_ids(drawn, tmp_path):
    truth = json.loads(drawn[1].read_text())
    new = {each["id"]: 90 - each["id"] for each in truth["categories"]}
    fewer = drawn[1].with_name("fewer.json")
    named = [each | {"id": new[each["id"]]} for each in truth["categories"] if each["name"] != "disc"]
    renumbered = [each | {"category_id": new[each["category_id"]]} for each in truth["annotations"]]
    kept = [each for each in renumbered if each["category_id"] in {each["id"] for each in named}]
    fewer.write_text(json.dumps(truth | {"categories": named, "annotations": kept}))
    again, _, _ = run_train(drawn, tmp_path / "run", val=fewer, steps=1)
    labels = read_ground_truth(fewer)
    assert again.validations[-1].accuracy == accuracy(open_candidate(str(again.weights)), labels.labels)


def test_bad_validation_labels_are_left_out_and_reported(drawn, tmp_path):
    """A missing area, a negative width and a missing image: each is reported once, and the training goes on."""
    truth = json.loads(drawn[1].read_text())
    first, second, third = truth["annotations"][:3]
    rows = [first | {"bbox": [5, 5, -3, 4]}, {key: value for key, value in second.items() if key != "area"}]
    images = [each | {"file_name": "gone.png"} if number > 5 else each for number, each in enumerate(truth["images"])]
    odd = drawn[1].with_name("odd.json")
    odd.write_text(json.dumps(truth | {"images": images, "annotations": [*rows, third, *truth["annotations"][3:]]}))
    found, messages, _ = run_train(drawn, tmp_path / "run", val=odd)
    messages = [sentence for sentence in messages if not sentence.startswith("memory: ")]
    doctor = f"(`paretodet doctor {odd}` lists all)."
    assert [sentence.split(", the first: ")[0] for sentence in messages[:3]] == [
        f"Validation: 1 annotations of {odd} cannot be used",
        f"Validation: 1 annotations of {odd} have no area, their outline's or box's is taken",
        f"Validation: 2 images of {odd} cannot be used",
    ]
    assert (
        all(sentence.endswith(doctor) for sentence in messages[:3])
        and "annotations[0]: the box has swapped" in messages[0]
    )
    assert "gone.png: no such file" in messages[2] and messages[3].startswith("After 2") and len(messages) == 5
    again = evaluate_candidate(open_candidate(str(found.weights)), odd)
    assert again.boxes.whole == found.validations[-1].accuracy.boxes and again.labels["images"] == 6


def test_images_are_read_from_the_given_folder(drawn, tmp_path):
    """The folder is used for validation labels too, unless their images are found near them."""
    for number, path in enumerate(drawn):
        shutil.copy(path, tmp_path / f"{number}.json")
    given = {"data": tmp_path / "0.json", "images": drawn[0].parent / "images", "steps": 1}
    with pytest.raises(ValueError, match="data: none of 8 images can be used; .*: no such file"):
        run_train(drawn, tmp_path / "none", **given | {"images": None})
    found, _, _ = run_train(
        drawn, tmp_path / "near", **given
    )  # the validation images have the names of the training images
    assert found.val_images is None and found.validations[-1].accuracy.images == 8
    found, _, _ = run_train(drawn, tmp_path / "both", **given, val=tmp_path / "0.json")
    assert found.val_images == given["images"] and found.validations[-1].accuracy.images == 8


def test_labels_without_a_box_are_refused(drawn, tmp_path):
    truth = json.loads(drawn[0].read_text()) | {"annotations": []}
    empty = drawn[0].with_name("empty.json")
    empty.write_text(json.dumps(truth))
    with pytest.raises(ValueError, match="data: got no usable box in 8 images"):
        run_train(drawn, tmp_path / "run", data=empty)
    assert not (tmp_path / "run").exists()


@pytest.mark.full
def test_blood_cells_are_learned(data_folder, tmp_path):
    """BCCD in minutes of two cores, at half the width; a full training of three times as many updates gives AP50 81."""
    trained, messages, _ = run_train(
        (data_folder / "bccd", None),
        tmp_path,
        RunOptions(every=300),
        name="yolo_v3_tiny-416",
        width=0.5,
        recipe=make_recipe("quick", "yolo_v3_tiny-416", steps=300),
    )
    assert trained.validations[-1].accuracy.boxes.ap50 > 50
    assert "the box has no area" in messages[0] and (trained.split, trained.val_split) == ("train", "val")


def test_recipes_by_kind():
    assert make_recipe("quick", NAME, steps=100).schedule.then.steps == 100
    whole = make_recipe("published", NAME)
    small = make_recipe("published", NAME, batch=4)
    assert small == replace(whole, batch=4, assumption=small.assumption) and whole.batch == 32
    assert small.assumption.startswith(f"{whole.assumption}; its learning rate is that of updates of 32 images")
    assert make_recipe("published", NAME, batch=32) == whole
    cut = make_recipe("published", NAME, steps=500)
    assert cut.ema == Ema(decay=0.9999, ramp=True) and whole.ema == Ema(decay=0.9999)
    assert (
        cut.assumption == f"{whole.assumption}; its schedule is that of 800,000 updates, not scaled to another length"
    )
    assert cut == replace(whole, steps=500, ema=cut.ema, assumption=cut.assumption)
    assert make_recipe("published", NAME, steps=800_000) == whole
    assert make_recipe("published", "ssd_liu-vgg16-300", steps=9).ema is None
    with pytest.raises(ValueError, match="recipe: got 'fast', allowed quick, published"):
        make_recipe("fast", NAME)


def test_a_full_disk_is_reported_with_its_folder(drawn, tmp_path, monkeypatch):
    """Writing metrics and closing the file fail: other trackers are closed, and the first error is raised."""

    def full(*_):
        raise OSError(28, "No space left on device")

    closed = []
    for name in ("scalars", "close"):
        monkeypatch.setattr(TensorBoard, name, full)
    monkeypatch.setattr(tracking, "TRACKERS", {"wandb": lambda folder: ClosingTracker(closed)})
    messages = []
    with pytest.raises(OSError, match=r"run: not written \(No space left on device\); its checkpoints are unchanged"):
        train(config(drawn), tmp_path / "run", RunOptions(every=2, track=("wandb",)), notify=messages.append)
    assert closed == [True] and any(sentence.startswith("TensorBoard was not closed") for sentence in messages)


class ClosingTracker:
    """A tracker that records that it is closed."""

    def __init__(self, closed):
        self.closed = closed

    def close(self):
        self.closed.append(True)

    def __getattr__(self, name):
        return lambda *_: None


def test_a_tracker_that_fails_does_not_end_the_training(drawn, tmp_path, monkeypatch):
    made = FailingTracker("scalars")
    monkeypatch.setattr(tracking, "TRACKERS", {"mlflow": lambda folder: made})
    found, messages, _ = run_train(drawn, tmp_path / "run", RunOptions(every=2, track=("mlflow",)))
    assert made.calls.count("scalars") == 1 and len([each for each in messages if "mlflow" in each]) == 1
    lines = read_lines(found.folder / LOG)
    assert {line["step"] for line in lines if "loss" in line} == {4}
    assert [line["step"] for line in lines if "val/ap" in line] == [2, 4]


@pytest.mark.parametrize(("error", "how"), [(ValueError, ["failed"]), (KeyboardInterrupt, ["interrupted"]), (None, [])])
def test_a_tracker_is_told_how_the_training_ended(drawn, tmp_path, monkeypatch, error, how):
    made = StoppedTracker()
    monkeypatch.setattr(tracking, "TRACKERS", {"mlflow": lambda folder: made})

    def end(event):
        if error and isinstance(event, Updated):
            raise error

    options = RunOptions(track=("mlflow",))
    with pytest.raises(error) if error else nullcontext():
        train(config(drawn, steps=1), tmp_path / "run", options, notify=lambda sentence: None, listener=end)
    assert made.told == how and made.closed == [True]


class StoppedTracker(ClosingTracker):
    """A tracker that records how it is stopped, before it is closed."""

    def __init__(self):
        super().__init__([])
        self.told = []

    def stop(self, how):
        assert not self.closed
        self.told.append(how)


def test_a_tracker_that_cannot_start_is_refused_before_the_first_update(drawn, tmp_path, monkeypatch):
    monkeypatch.setattr(tracking, "TRACKERS", {"wandb": lambda folder: FailingTracker("begin")})
    with pytest.raises(InputError) as error:
        run_train(drawn, tmp_path / "run", RunOptions(every=1, track=("wandb",)))
    assert error.value.id == "tracker-failed" and latest(tmp_path / "run" / "checkpoints") is None


def test_a_compiler_is_needed_before_labels_are_read(drawn, tmp_path, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(MissingExtra) as error:
        run_train(drawn, tmp_path / "run", RunOptions(compiled=True), data=tmp_path / "none.json")
    assert error.value.id == "extra-missing"


def test_an_unknown_tracker_is_refused(drawn, tmp_path):
    with pytest.raises(ValueError, match="track: got 'comet', allowed mlflow, wandb"):
        run_train(drawn, tmp_path / "run", options=RunOptions(track=("comet",)))


def test_a_sample_is_in_the_samples_folder_wherever_its_image_is():
    """YOLO's lists may name images by absolute paths, which may be longer than a file name."""
    assert sample_name("/data/val/x.y.png") == "data-val-x.y" and sample_name("val/x.png") == "val-x"
    assert len(sample_name("/".join(["folder"] * 60) + "/x.png")) == 200


def test_a_sample_name_fits_a_file_system_in_any_script():
    """File systems count bytes: 255."""
    folder = "图" * 80
    one, other = (sample_name(f"{top}{folder}/{folder}.jpg") for top in ("a", "b"))
    assert one != other and one[:-8].endswith("图-")
    assert all(150 < len(os.fsencode(f"{name}.jpg")) <= 255 for name in (one, other))
    os.fsencode(sample_name("\udce9" * 300 + ".jpg"))  # a name that is not valid Unicode


def test_sample_names_are_unique():
    files = ["x.jpg", "x.png", "a/b.jpg", "a-b.jpg", "c.jpg"]
    found = [sample_name(file, files) for file in files]
    assert len(set(found)) == len(files) and found[-1] == "c" and found[0].startswith("x-")


def process(folder, steps, every, workers):
    """`train_subject.py` in a separate process, which prints the update of each checkpoint and its memory."""
    command = [sys.executable, str(Path(__file__).with_name("train_subject.py")), str(folder)]
    command += [str(number) for number in (steps, every, workers)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


@pytest.mark.full
def test_a_second_training_in_the_folder_is_refused_and_resumes_once_the_first_is_killed(tmp_path):
    shapes(tmp_path)
    folder = tmp_path / "run"
    with process(folder, 30, 1, 1) as first:
        next(first.stdout)
        with pytest.raises(ValueError, match="out: another training is running in .*run; "):
            run_training(folder, 30, 1, 0)
        first.send_signal(signal.SIGKILL)
    assert first.returncode == -signal.SIGKILL
    assert run_training(folder, 30, 30, 0).checkpoint.name == "step-00000030"
    assert {path.name for path in folder.rglob(".*")} <= {DRAWINGS}
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*") if path.is_file()} == {plain_mode(tmp_path)}


def plain_mode(folder):
    """The mode of a file that is created in the usual way."""
    (folder / "plain").touch()
    return stat.S_IMODE((folder / "plain").stat().st_mode)


@pytest.mark.full
def test_a_killed_training_with_workers_and_augmentation_resumes_bit_exactly(tmp_path):
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
    kept = [name for name in one.training if not name.startswith("random/")]  # torch's own generator is not used
    assert one.weights.keys() == other.weights.keys() and one.training.keys() == other.training.keys()
    assert all(torch.equal(tensor, other.weights[name]) for name, tensor in one.weights.items())
    assert all(torch.equal(one.training[name], other.training[name]) for name in kept)
    lines = [[line for line in read_lines(folder / LOG) if "val/ap" in line] for folder in (straight, killed)]
    assert lines[0] == lines[1] and len(lines[0]) == 4


@pytest.mark.full
def test_memory_does_not_grow_during_a_long_training(tmp_path):
    shapes(tmp_path)
    with process(tmp_path / "run", 150, 15, 0) as run:
        lines = [line.split() for line in run.stdout]
    taken = {int(step): float(mib) for step, mib in lines}
    assert run.returncode == 0 and len(taken) == 10
    assert taken[150] - taken[45] < 8, taken  # seven copies of the weights would be 11 MiB
