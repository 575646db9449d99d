import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch

from paretodet.bench.memory import MIB, Peak, release_freed_memory, resident_mib
from paretodet.config import CandidateConfig
from paretodet.detectors.detector import build
from paretodet.detectors.families import Override, spec
from paretodet.importing import import_weights
from paretodet.measuring import _scored
from paretodet.opening import job, open_candidate
from paretodet.reading import sha256
from paretodet.sources.table import check
from paretodet.weights import darknet, files, published, safe
from paretodet.weights.files import WeightsMetadata, read_metadata
from paretodet.weights.safe import WeightsError
from tensorflow_files import graph

NAME = "yolo_v3_tiny-416"
LABELS = ("cell", None, "dog")


@pytest.fixture
def source(tmp_path):
    detector = build(spec(NAME, Override(labels=LABELS)), seed=3)
    darknet.save(detector, tmp_path / "theirs.weights")
    return tmp_path / "theirs.weights"


def metadata(**more):
    return WeightsMetadata(name=NAME, file="", sha256="", labels=LABELS, **more)


def test_what_was_read_is_what_was_written(source, tmp_path):
    done = import_weights(source, metadata(license="MIT", fit="stretch", score=0.25), tmp_path / "ours.safetensors")
    kept = read_metadata(tmp_path / "ours.safetensors")
    assert done.values * 4 + 20 == source.stat().st_size
    assert (kept.file, kept.sha256, kept.license) == ("theirs.weights", sha256(source), "MIT")
    wanted = build(spec(NAME, Override(labels=LABELS)), seed=3).state_dict()
    found = safe.read(tmp_path / "ours.safetensors")
    assert all(torch.equal(found[name], value) for name, value in wanted.items())


def test_a_file_opens_as_it_wants_to_be_used(source, tmp_path):
    import_weights(source, metadata(fit="stretch", score=0.25, nms=0.3), tmp_path / "ours.safetensors")
    made = open_candidate(NAME, weights=tmp_path / "ours.safetensors").spec
    assert made.labels == LABELS
    assert (made.fit.canvas((100, 300)), type(made.fit).__name__) == ((416, 416), "Stretch")
    assert (made.stages[-1].select.threshold, made.stages[-1].select.overlap) == (0.25, 0.3)
    assert (
        open_candidate(NAME, weights=tmp_path / "ours.safetensors", score=0.6).spec.stages[-1].select.threshold == 0.6
    )


def test_our_own_file_keeps_its_width_and_its_learned_norms(tmp_path):
    taught = WeightsMetadata(name="ssd-mobilenet_v1-300", labels=LABELS, scratch=True, width=0.25)
    detector = build(taught.apply_to(spec(taught.name, Override(labels=LABELS))), seed=3)
    files.save(detector.state_dict(), tmp_path / "taught.safetensors", taught)
    import_weights(
        tmp_path / "taught.safetensors", WeightsMetadata(name=taught.name, score=0.4), tmp_path / "ours.safetensors"
    )
    made = open_candidate(str(tmp_path / "ours.safetensors"))
    assert made.name == "ssd-mobilenet_v1-300 at width 0.25" and made.labels == LABELS
    assert made.spec.stages[-1].select.threshold == 0.4


def test_a_file_of_darknet_says_nothing_of_its_anchors(source, tmp_path):
    (sentence,) = import_weights(source, metadata(), tmp_path / "ours.safetensors").unproved
    assert "anchors" in sentence and NAME in sentence


def test_another_detectors_file_is_refused(source, tmp_path):
    with pytest.raises(ValueError, match=r"theirs\.weights"):
        import_weights(
            source, WeightsMetadata(name="yolo_v3-darknet53-416", file="", sha256=""), tmp_path / "o.safetensors"
        )
    assert not (tmp_path / "o.safetensors").exists()


def test_values_that_are_no_numbers_are_refused(tmp_path):
    state = dict(build(spec(NAME, Override(labels=LABELS))).state_dict())
    state["backbone.stem.conv.weight" if "backbone.stem.conv.weight" in state else next(iter(state))] *= float("nan")
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(ValueError, match="not finite"):
        import_weights(tmp_path / "w.pt", metadata(), tmp_path / "o.safetensors")


def test_values_beyond_float32_are_refused(tmp_path):
    state = dict(build(spec(NAME, Override(labels=LABELS))).state_dict())
    name = next(iter(state))
    torch.save(state | {name: torch.full(state[name].shape, 1e300, dtype=torch.float64)}, tmp_path / "w.pt")
    with pytest.raises(ValueError, match="not finite"):
        import_weights(tmp_path / "w.pt", metadata(), tmp_path / "o.safetensors")


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_every_value_is_checked(tmp_path, dtype, bad):
    state = dict(build(spec(NAME, Override(labels=LABELS))).state_dict())
    name = max(state, key=lambda key: state[key].numel())
    changed = state[name].to(dtype)
    changed.view(-1)[-7] = bad
    torch.save(state | {name: changed}, tmp_path / "w.pt")
    with pytest.raises(ValueError, match=f"{re.escape(name)} has values that are not finite"):
        import_weights(tmp_path / "w.pt", metadata(), tmp_path / "o.safetensors")


IMPORTED = (
    "ssd-mobilenet_v1-300", "ssd-inception_v2-300", "faster_rcnn-inception_v2-600-s16-p300",
    "faster_rcnn-inception_resnet_v2-600-s8-p300", "rfcn-resnet101-600-s16-p300", "ssd_tv-vgg16-300",
    "ssdlite-mobilenet_v2-300",
    "faster_rcnn_ren-vgg16-600x850-p300", "retinanet-resnet101-800", "mask_rcnn-resnet101-800x1024",
    "ssd_liu-vgg16-512", "retinanet_tv-resnet50-800", "faster_rcnn_tv-resnet50-800x1344", "yolo_v2-darknet19-608",
    "yolo_v3-darknet53-608",
)  # fmt: skip


@pytest.mark.parametrize("name", IMPORTED)
def test_a_detector_for_an_import_has_no_memory(name):
    with torch.device("meta"):
        state = build(spec(name)).state_dict()
    assert {tensor.device.type for tensor in state.values()} == {"meta"}


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("axes", [(0, 1, 2, 3), (3, 2, 0, 1), (1, 0, 3, 2)])
def test_every_value_of_a_transposed_tensor_is_checked(tmp_path, axes, bad):
    state = dict(build(spec(NAME, Override(labels=LABELS))).state_dict())
    name = next(key for key, value in state.items() if value.dim() == 4)
    for place in (0, -1):
        changed = state[name].permute(axes).contiguous()  # in this order in the file
        changed.view(-1)[place] = bad
        back = changed.permute([axes.index(axis) for axis in range(4)])
        torch.save(state | {name: back}, tmp_path / "w.pt")
        with pytest.raises(ValueError, match=f"{re.escape(name)} has values that are not finite"):
            import_weights(tmp_path / "w.pt", metadata(), tmp_path / "o.safetensors")


@pytest.mark.full
@pytest.mark.parametrize("ending", [".safetensors", ".pt", ".weights"])
def test_an_import_takes_little_more_memory_than_its_file_has(tmp_path, ending):
    """248 MB: the pages of the mapped file, or its values, and one tensor at a time."""
    name, source = "yolo_v3-darknet53-416", tmp_path / f"w{ending}"
    write = {".safetensors": safe.save, ".pt": torch.save, ".weights": darknet.save}[ending]
    made = build(spec(name))
    write(made if ending == ".weights" else made.state_dict(), source)
    del made
    release_freed_memory()
    before = resident_mib()
    with Peak() as peak:
        import_weights(source, WeightsMetadata(name=name), tmp_path / "o.safetensors")
        assert (peak.mib() - before) * MIB < 2.2 * source.stat().st_size


@pytest.mark.full
@pytest.mark.parametrize("form", ["caffe", "detectron", "tensorflow", "tensorflow-graph", "tfjs", "tflite"])
def test_an_import_of_other_formats_takes_little_memory(form):
    """Files of 253 to 548 MB. Each is imported in its own process, whose other memory is known."""
    script = Path(__file__).resolve().parents[1] / "benchmarks/importing.py"
    with TemporaryDirectory() as folder:
        for step in ("--write", "--measure"):
            command = [sys.executable, str(script), step, folder, form]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found = json.loads(done.stdout)
    assert found["bytes"] > 250e6
    assert found["peak_bytes"] < 2.2 * found["bytes"]


def test_only_safetensors_are_written(source, tmp_path):
    with pytest.raises(ValueError, match="out: "):
        import_weights(source, metadata(), tmp_path / "o.pt")


def test_the_command(source, tmp_path, monkeypatch, capsys):
    from paretodet.cli import main

    names = tmp_path / "names"
    names.write_text("cell\n\ndog\n")
    argv = [
        "import",
        source,
        "--as",
        NAME,
        "--out",
        tmp_path / "o.safetensors",
        "--classes",
        names,
        "--ap",
        16,
        "--json",
    ]
    monkeypatch.setattr("sys.argv", ["paretodet", *map(str, argv)])
    with pytest.raises(SystemExit) as left:
        main()
        raise SystemExit(0)
    done = json.loads(capsys.readouterr().out)
    assert left.value.code in (0, None) and done["name"] == NAME
    assert read_metadata(tmp_path / "o.safetensors").ap == 16


STATED = {"ap": 16.0, "ap50": 33.0, "split": "val2014-5k", "source": "a paper"}
IN_A_ROW = {"ap": 16.0, "ap50": 33.0, "ap_split": "val2014-5k", "ap_source": "a paper", "ap_rounding": 0.5}


def test_a_row_has_the_accuracy_of_its_weights(source, tmp_path):
    """Not that of the name, which others have, and only as long as they are used as published."""
    import_weights(source, metadata(**STATED), out := tmp_path / "ours.safetensors")
    for config in (CandidateConfig(name=str(out)), CandidateConfig(name=NAME, weights=out)):
        assert job(config).about == IN_A_ROW
    for change in ({"height": 320}, {"score": 0.5}, {"fit": "stretch"}, {"labels": ("a", "b", "c")}):
        assert job(CandidateConfig(name=str(out), **change)).about == {}, change
    import_weights(source, metadata(), unknown := tmp_path / "unknown.safetensors")
    assert job(CandidateConfig(name=str(unknown))).about == {}


def test_the_accuracy_of_weights_stands_beside_that_of_the_quantized_network(source, tmp_path):
    import_weights(source, metadata(**STATED), out := tmp_path / "ours.safetensors")
    (tmp_path / "1.png").touch()
    config = CandidateConfig(name=str(out), runtime="onnxruntime", precision="int8", calibration=tmp_path)
    wanted = {"published_ap": 16.0, "published_ap50": 33.0, "published_split": "val2014-5k"}
    assert job(config).about == wanted


def test_the_accuracy_of_weights_stands_beside_a_measured_one(source, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr("paretodet.measuring.score_job", lambda *_, published, **__: seen.append(published))
    import_weights(source, metadata(**STATED), out := tmp_path / "ours.safetensors")
    for name in (str(out), NAME):
        made = job(CandidateConfig(name=name))
        _scored(object(), replace(made, recipe=made.recipe | {"scored_on": "some@1"}))
    assert seen[0] == IN_A_ROW and seen[1]["ap_source"] != "a paper"


def test_a_published_file_is_known_by_its_hash(source, tmp_path, monkeypatch):
    known = published.WeightsAccuracy(detector=NAME, **STATED)
    origin = published.entries()[0].origin
    listed = published.PublishedWeights(
        name="w", origin=origin, file="w", sha256=sha256(source)[:8], accuracy=(known,), trained_on="COCO"
    )
    monkeypatch.setattr(published, "entries", lambda: (listed,))
    done = import_weights(source, metadata(), tmp_path / "a.safetensors")
    assert (done.license, done.ap, done.ap_split) == (origin.license, 16.0, "val2014-5k")
    assert done.unproved == ()
    done = import_weights(source, metadata(license="MIT", ap=20.0), tmp_path / "b.safetensors")
    assert (done.license, done.ap, done.ap50, done.ap_split) == ("MIT", 20.0, None, None)


@pytest.mark.parametrize("as_name", [False, True])
def test_weights_of_others_are_not_used_before_they_are_imported(tmp_path, as_name):
    """Their detector may have another width, other crops or epsilons than the catalogue's: the import reads them."""
    graph({"FeatureExtractor/MobilenetV1/Conv2d_0/weights": torch.ones(3, 3, 3, 16)}, path := tmp_path / "frozen.pb")
    with pytest.raises(WeightsError, match=r"`paretodet import .*frozen\.pb --as .*\[weights-format\]"):
        check(str(path)) if as_name else open_candidate("ssd-mobilenet_v1-300", weights=path)


def test_a_file_without_weights_is_no_name(tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\xff\xe0 a photograph")
    with pytest.raises(ValueError, match=r"photo\.jpg.*\[name-unknown\]"):
        check(str(tmp_path / "photo.jpg"))
