"""The list of published weights: its file is as declared, its names are those of the catalogue, its facts agree."""

import subprocess
import sys

import pytest

from paretodet.detectors import catalogue, families
from paretodet.errors import InputError
from paretodet.schema import SchemaError
from paretodet.weights import published
from paretodet.weights.published import entries, find, of_detector

EVERY = [pytest.param(each, id=each.name) for each in entries()]


def test_names_and_files_are_unique() -> None:
    for names in ([each.name for each in entries()], [each.file for each in entries()]):
        assert len(set(names)) == len(names) > 30
    assert {each.name for each in entries()}.isdisjoint(catalogue.names())


@pytest.mark.parametrize("weights", EVERY)
def test_an_entry_is_whole(weights: published.PublishedWeights) -> None:
    for name in weights.detectors:
        assert families.spec(name).name == name
    assert {known.detector for known in weights.accuracy} <= {*weights.detectors, None}
    assert weights.detectors or weights.note, "why no detector takes them"
    assert weights.url or weights.note, "where a person finds the file"
    assert bool(weights.sha256) == bool(weights.sha256_note)
    assert weights.size is None or weights.size_mib is None
    assert all(known.ap or known.ap50 or known.mask_ap for known in weights.accuracy)
    assert bool(weights.member) == weights.file.endswith((".tar.gz", ".tgz"))
    keys = [(known.detector, known.split) for known in weights.accuracy]
    assert len(set(keys)) == len(keys)


def test_darknets_accuracy_is_that_of_the_catalogue() -> None:
    for weights in entries():
        for known in weights.accuracy if weights.origin.title == "darknet" else ():
            (same,) = (each for each in catalogue.published(str(known.detector)) if each.split == known.split)
            assert (known.ap, known.ap50, known.source) == (same.ap, same.ap50, same.source)


def test_what_darknet_trained_on_is_said() -> None:
    leaks = {each.name: each.origin.leak for each in entries()}
    assert "val2017" in str(leaks["yolov3"]) and leaks["retinanet_R-101-FPN_2x"] is None


def test_as_json_the_origin_is_spelled_out() -> None:
    shown = find("yolov3")[0].to_json()
    assert shown["origin"] == "darknet" and shown["license"] and shown["leak"] and shown["size"] == 248_007_048
    assert {"name", "page", "url", "file", "sha256", "detectors", "accuracy", "trained_on", "member"} <= shown.keys()
    assert len({tuple(each.to_json()) for each in entries()}) == 1


def test_the_limit_is_the_size_or_what_rounding_leaves() -> None:
    exact, rounded, unknown = (find(name)[0] for name in ("yolov3", "ssd300_vgg16", "retinanet_R-50-FPN_2x"))
    assert exact.limit == exact.size and unknown.limit == published.UNKNOWN_SIZE
    assert rounded.size_mib and rounded.size_mib * 2**20 < rounded.limit < 1.02 * rounded.size_mib * 2**20


def test_weights_are_found_by_their_name_or_by_the_only_detector() -> None:
    assert find("yolov3")[1] == "yolo_v3-darknet53-416"
    weights, detector = find("yolo_v3-darknet53-608")
    assert weights.name == "yolov3" and detector == "yolo_v3-darknet53-608"
    assert find("yolo_v3-darknet53-512")[0].name == "yolov3"  # another canvas of the same network
    assert find("faster_rcnn_resnet50_coco")[1] == "faster_rcnn-resnet50-600-s16-p300"


def test_a_file_is_known_by_its_hash() -> None:
    whole, short, archive = (find(name)[0].sha256 for name in ("yolov3", "ssd300_vgg16", "ssd_mobilenet_v1_coco"))
    known = published.stated_of(str(whole), "yolo_v3-darknet53-416")
    assert (known["license"], known["ap50"], known["split"]) == ("public domain", 55.4, "val2014-5k")
    assert published.stated_of(str(whole), "yolo_v3-darknet53-96") == {"license": "public domain"}
    assert published.stated_of(str(short).ljust(64, "0"), "ssd_tv-vgg16-300")["ap"] == 25.1
    assert published.stated_of(str(archive), "ssd-mobilenet_v1-300") == {} == published.stated_of("0" * 64, "x")


def test_several_sets_of_weights_and_none_are_refused_with_names() -> None:
    several = of_detector("ssd-mobilenet_v1-300")
    assert len(several) > 1 and of_detector("hf:d_fine-s") == () == of_detector("module:make")
    with pytest.raises(InputError, match=f"{several[0].name}.*{several[1].name}.*name-unknown"):
        find("ssd-mobilenet_v1-300")
    with pytest.raises(InputError, match=r"yolov3\b.*name-unknown"):
        find("yolo3")
    with pytest.raises(InputError, match="name-unknown"):
        find("")


@pytest.mark.parametrize(
    "fields",
    [
        {"origin": "nobody"},
        {"url": "http://example.com/w"},
        {"file": "../w"},
        {"file": ".w"},
        {"sha256": "abc"},
        {"sha256": "G" * 64},
        {"size": -1},
        {"size": "1"},
        {"more": 1},
        {"accuracy": [{"split": "val2017", "ap": 101.0, "source": "x"}]},
        {"accuracy": [{"split": "val2017", "ap": 1.0}]},
    ],
    ids=str,
)
def test_a_field_that_is_not_as_declared_is_refused(fields: dict[str, object]) -> None:
    origins = {"darknet": entries()[0].origin}
    good = {"name": "w", "origin": "darknet", "file": "w.bin"}
    assert published._entry(good, origins, "x").name == "w"
    with pytest.raises(SchemaError):
        published._entry(good | fields, origins, "x")


def test_the_list_needs_neither_torch_nor_a_network() -> None:
    modules = {"torch", "urllib.request", "http.client", "ssl"}
    code = "import sys; from paretodet.weights import published; published.entries(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert modules.isdisjoint(done.stdout.split())


@pytest.mark.parametrize(
    ("texts", "rounding"),
    [(("37", None), 0.5), (("37.0", None), 0.05), (("37.04", "59"), 0.5), ((None, "59.1"), 0.05), ((None, None), None)],
)
def test_a_number_is_rounded_to_its_last_printed_digit(texts: tuple[str | None, ...], rounding: float | None) -> None:
    read = published.as_printed(dict(zip(("ap", "ap50"), texts, strict=True)))
    assert read.pop("rounding", None) == rounding
    assert read == {name: float(text) for name, text in zip(("ap", "ap50"), texts, strict=True) if text is not None}


def test_what_the_zoo_printed_without_a_digit_is_rounded_to_whole_percents() -> None:
    """Only its source says so: 37.0 of torchvision has a digit more than 37 of the zoo."""
    known = {entry.name: accuracy.rounding for entry in entries() for accuracy in entry.accuracy}
    assert known["fasterrcnn_resnet50_fpn"] == 0.05 and known["faster_rcnn_inception_resnet_v2_atrous_coco"] == 0.5
    for entry in entries():
        for accuracy in entry.accuracy:
            assert (accuracy.rounding == 0.5) == ("rounded to 1" in accuracy.source)
