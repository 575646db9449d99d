import argparse
import os
import pickle
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from paretodet.detectors.detector import build
from paretodet.detectors.families import Override, spec
from paretodet.weights import darknet, files, safe
from paretodet.weights.files import WeightsMetadata, file_format, load, read_metadata, save
from paretodet.weights.formats import torch_file
from paretodet.weights.safe import WeightsError

MADE = spec("yolo_v3_tiny-416", Override(labels=("a", "b")))
METADATA = WeightsMetadata(
    name="yolo_v3_tiny-416", file="x.weights", sha256="0" * 64, license="MIT", labels=("a", None), fit="letterbox",
    score=0.2, nms=0.4, ap=16.0, ap50=33.0, split="val2014-5k", source="somebody",
)  # fmt: skip


def same(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs if a.is_floating_point())


@pytest.mark.parametrize("suffix", [".safetensors", ".weights", ".pt", ".pth"])
def test_every_format_gives_the_same_detector(tmp_path, suffix):
    first, path = build(MADE, seed=1), tmp_path / f"w{suffix}"
    if suffix == ".safetensors":
        safe.save(first.state_dict(), path)
    elif suffix == ".weights":
        darknet.save(first, path)
    else:
        torch.save(first.state_dict() if suffix == ".pt" else {"state_dict": first.state_dict()}, path)
    second = build(MADE, seed=2)
    assert not same(first, second)
    load(second, path)
    assert same(first, second)


def test_metadata_are_saved_in_the_file(tmp_path):
    path = tmp_path / "w.safetensors"
    save(build(MADE).state_dict(), path, METADATA)
    assert read_metadata(path) == METADATA


def test_other_files_have_no_metadata(tmp_path):
    path = tmp_path / "w.safetensors"
    safe.save({"a": torch.zeros(1)}, path)
    assert read_metadata(path) is None
    assert read_metadata(tmp_path / "w.weights") is None


DAMAGED = [
    "[]", "{", "[" * 100_000, '{"name": "a", "strange": 2}', '{"name": 1}', '{"name": "a", "labels": 3}',
    '{"name": "a", "labels": "abc"}', '{"name": "a", "labels": [1]}', '{"name": "a", "score": "high"}',
    '{"name": "a", "width": "half"}', '{"name": "a", "width": NaN}', '{"name": "a", "width": true}',
    '{"name": "a", "scratch": 1}', '{"name": "a", "fit": []}',
]  # fmt: skip


@pytest.mark.parametrize("text", DAMAGED, ids=[text[:30] for text in DAMAGED])
def test_damaged_metadata_are_refused(tmp_path, text):
    path = tmp_path / "w.safetensors"
    safe.save({"a": torch.zeros(1)}, path, {"paretodet": text})
    with pytest.raises(WeightsError, match="metadata"):
        read_metadata(path)


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("bombed",)


def test_code_is_never_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, value in (("bare.pt", Bomb()), ("inside.pt", {"state_dict": {"a": Bomb()}})):
        torch.save(value, name)
        with pytest.raises(WeightsError, match="not a torch file of tensors only") as refused:
            torch_file.read(tmp_path / name)
        assert "weights_only" not in str(refused.value)  # no instructions to run code
    (tmp_path / "old.pt").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(WeightsError, match="not a torch file of tensors only"):
        torch_file.read(tmp_path / "old.pt")
    assert not (tmp_path / "bombed").exists()


@pytest.mark.parametrize("wrapper", [None, *torch_file.WRAPPERS])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod."])
def test_checkpoints_are_unwrapped(tmp_path, wrapper, prefix):
    state = {f"{prefix}{name}": torch.ones(2) for name in ("a.weight", "module.bias")}
    options = argparse.Namespace(lr=0.1)  # as torchvision's training script saves them
    torch.save({wrapper: state, "epoch": 3, "args": options} if wrapper else state, tmp_path / "w.pth")
    assert sorted(torch_file.read(tmp_path / "w.pth")) == ["a.weight", "module.bias"]


RAW, AVERAGE = {"a.weight": torch.zeros(2)}, {"a.weight": torch.ones(2)}
IN_MODULE = {f"module.{name}": value for name, value in AVERAGE.items()}


@pytest.mark.parametrize(
    ("checkpoint", "item"),
    [
        ({"state_dict": RAW, "state_dict_ema": AVERAGE}, "state_dict_ema"),  # timm's
        ({"model": RAW, "model_ema": {"n_averaged": torch.tensor(7)} | IN_MODULE}, "model_ema"),  # torchvision's
        ({"model": RAW, "ema": {"module": AVERAGE, "updates": 7}}, "ema"),
    ],
)
def test_averages_of_weights_come_first(tmp_path, checkpoint, item):
    torch.save(checkpoint | {"epoch": 3}, tmp_path / "w.pth")
    found = torch_file.read(tmp_path / "w.pth")
    assert {name: value.tolist() for name, value in found.items()} == {"a.weight": [1.0, 1.0]}
    assert files.read(tmp_path / "w.pth").item == item


@pytest.mark.parametrize("checkpoint", [{"model": RAW, "model_ema": None}, {"model": RAW, "ema": {"decay": 0.9}}])
def test_an_item_without_averages_is_passed_over(tmp_path, checkpoint):
    torch.save(checkpoint, tmp_path / "w.pth")
    file = files.read(tmp_path / "w.pth")
    assert (file.item, file.tensors["a.weight"].tolist()) == ("model", [0.0, 0.0])


def test_averages_in_an_unknown_item_are_not_dropped_in_silence(tmp_path):
    torch.save({"model": RAW, "swa_model": AVERAGE}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"w\.pth: its item swa_model .*\[weights-format\]"):
        torch_file.read(tmp_path / "w.pth")


def test_a_bare_dictionary_is_no_item(tmp_path):
    torch.save(RAW, tmp_path / "w.pth")
    assert files.read(tmp_path / "w.pth").item is None


@pytest.mark.parametrize("archive", [True, False])
def test_numbers_of_numpy_beside_the_weights_are_no_hindrance(tmp_path, archive):
    numbers = {"best_map": np.float64(0.41), "epoch": np.int64(3), "ok": np.bool_(True), "loss": [np.float32(2.5)] * 3}
    options = argparse.Namespace(lr=np.float64(0.1), name=b"bytes")
    checkpoint = {"model": AVERAGE, "args": options} | numbers
    torch.save(checkpoint, tmp_path / "w.pth", _use_new_zipfile_serialization=archive)
    assert torch_file.read(tmp_path / "w.pth")["a.weight"].tolist() == [1.0, 1.0]


def test_what_hinders_is_named(tmp_path):
    torch.save({"model": AVERAGE, "curve": np.arange(3.0)}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"w\.pth: .*it uses numpy\.\w+\.multiarray\._reconstruct") as refused:
        torch_file.read(tmp_path / "w.pth")
    assert refused.value.id == "weights-format" and "weights_only" not in str(refused.value)


def test_a_prefix_that_some_names_have_is_kept(tmp_path):
    torch.save({"module.a": torch.ones(1), "b": torch.ones(1)}, tmp_path / "w.pt")
    assert set(torch_file.read(tmp_path / "w.pt")) == {"module.a", "b"}


@pytest.mark.parametrize("archive", [True, False])
def test_a_torch_file_is_known_by_its_first_bytes(tmp_path, archive):
    torch.save({"a": torch.ones(1)}, tmp_path / "w.bin", _use_new_zipfile_serialization=archive)
    assert file_format(tmp_path / "w.bin") is torch_file.FORMAT
    (tmp_path / "other.bin").write_bytes(pickle.dumps({"a": 1}, protocol=2))
    assert not torch_file.FORMAT.matches(tmp_path / "other.bin")


def test_other_files_are_refused_as_torch_files(tmp_path):
    for name, content in (("empty.pt", b""), ("noise.pt", b"\x80\x02noise"), ("text.pt", b"hello")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(WeightsError, match=name):
            torch_file.read(tmp_path / name)
    with zipfile.ZipFile(tmp_path / "zip.pt", "w") as archive:
        archive.writestr("data.pkl", b"x")
    for value, name in (([1], "list.pt"), ({"a": 1}, "number.pt"), ({}, "nothing.pt")):
        torch.save(value, tmp_path / name)
        with pytest.raises(WeightsError, match=name):
            torch_file.read(tmp_path / name)
    with pytest.raises(WeightsError, match=r"zip\.pt"):
        torch_file.read(tmp_path / "zip.pt")


def test_a_compressed_archive_is_refused(tmp_path):
    """Torch writes none; a small one can have very large tensors."""
    torch.save({"a": torch.zeros(1000)}, tmp_path / "whole.pt")
    with zipfile.ZipFile(tmp_path / "whole.pt") as whole, zipfile.ZipFile(tmp_path / "w.pt", "w", 8) as archive:
        for entry in whole.namelist():
            archive.writestr(entry, whole.read(entry))
    with pytest.raises(WeightsError, match=r"w\.pt: .*compressed"):
        torch_file.read(tmp_path / "w.pt")


@pytest.mark.filterwarnings("ignore")  # torch warns of quantized and sparse tensors
@pytest.mark.parametrize(
    ("kind", "named"),
    [
        (lambda made: made.to("meta"), "float32 on meta"),
        (lambda made: made.to_sparse(), "sparse_coo"),
        (lambda made: made.to(torch.complex64), "complex64"),
        (lambda made: made.to(torch.uint16), "uint16"),
        (lambda made: torch.quantize_per_tensor(made, 0.1, 0, torch.quint8), "quint8"),
        (lambda made: torch.nested.nested_tensor([made[0]]), "nested"),
        (lambda made: made[0, 0].clone().expand(4, 4), "16 numbers"),
    ],
)
def test_a_tensor_that_is_no_array_of_numbers_is_refused_and_named(tmp_path, kind, named):
    torch.save({"a": torch.ones(2), "b": kind(torch.ones(4, 4))}, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=rf"w\.pt: b (is|has) .*{named}"):
        torch_file.read(tmp_path / "w.pt")


def test_views_of_a_torch_file_are_read(tmp_path):
    whole = torch.arange(12.0).view(3, 4)
    torch.save({"a": whole.T, "b": whole[1:, ::2], "c": whole, "d": torch.ones(0, 3)}, tmp_path / "w.pt")
    found = torch_file.read(tmp_path / "w.pt")
    assert found["b"].tolist() == [[4, 6], [8, 10]] and found["a"].shape == (4, 3) and found["d"].numel() == 0


def test_tensors_that_all_share_their_numbers_are_refused(tmp_path):
    """They could fill the memory before their shapes are compared. A few that share theirs are usual."""
    shared = torch.ones(2**14)
    torch.save({"a": shared, "b": shared[:4], "c": shared}, tmp_path / "w.pt")
    assert set(torch_file.read(tmp_path / "w.pt")) == {"a", "b", "c"}
    torch.save({f"n{i}": shared for i in range(1000)}, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=r"w\.pt: its tensors have 65,536,000 bytes, of which the file holds 65,536"):
        torch_file.read(tmp_path / "w.pt")


def test_tensors_of_a_torch_file_stay_in_the_file(tmp_path):
    torch.save({"a": torch.ones(1000)}, path := tmp_path / "w.pt")
    found = torch_file.read(path)["a"]
    found.zero_()
    assert torch_file.read(path)["a"].sum() == 1000  # the file did not change


def test_an_unknown_format_is_refused(tmp_path):
    (tmp_path / "w.unknown").write_bytes(b"unknown")
    with pytest.raises(WeightsError, match=r"w\.unknown: .*allowed safetensors"):
        load(build(MADE), tmp_path / "w.unknown")


@pytest.mark.parametrize("content", [b"a", b"b\n", b"t", b"\x80\x02.", b"\x80\x02}q\x00."])
def test_a_damaged_torch_file_is_refused_by_name(tmp_path, content):
    path = tmp_path / "w.pt"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"w\.pt: "):
        torch_file.read(path)


@pytest.mark.parametrize("state", [[torch.ones(2)], torch.ones(3), {"a": 1}, {}])
def test_a_state_dict_without_tensors_is_refused(tmp_path, state):
    torch.save({"state_dict": state}, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match="not a dictionary of named tensors"):
        torch_file.read(tmp_path / "w.pt")


SSD = "ssd-mobilenet_v1-300"


def reread(path, text: str) -> WeightsMetadata:
    safe.save({}, path, {"paretodet": text})
    metadata = read_metadata(path)
    assert metadata is not None
    return metadata


def test_files_without_a_sampling_are_used_as_they_were_made(tmp_path):
    """Trainings resized as Pillow does before files stated it; imported weights are those of their system."""
    path = tmp_path / "w.safetensors"
    scratch = reread(path, f'{{"name": "{SSD}", "scratch": true}}')
    tuned = reread(path, f'{{"name": "{SSD}", "file": "step-0000003000/weights.safetensors"}}')
    imported = reread(path, f'{{"name": "{SSD}", "file": "frozen_inference_graph.pb"}}')
    assert [metadata.sampling for metadata in (scratch, tuned, imported)] == ["antialiased", "antialiased", None]
    used = [metadata.apply_to(spec(SSD)).fit.sampling for metadata in (scratch, tuned, imported)]
    assert used == ["antialiased", "antialiased", "tf1"]


def test_a_file_states_its_sampling(tmp_path):
    path = tmp_path / "w.safetensors"
    for stated in ("opencv", "antialiased"):
        save({}, path, WeightsMetadata(name=SSD, scratch=True, sampling=stated))
        metadata = read_metadata(path)
        assert metadata is not None and metadata.apply_to(spec(SSD)).fit.sampling == stated
    with pytest.raises(WeightsError, match="sampling"):
        reread(path, f'{{"name": "{SSD}", "sampling": "cubic"}}')


@pytest.mark.parametrize("option", [{"fit": "stretch"}, {"score": 0.5}, {"nms": 0.5}])
def test_an_option_of_the_import_leaves_rows_without_published_accuracy(option):
    known = {"ap": 37.0, "split": "val2017", "source": "a table"}
    assert WeightsMetadata(name=SSD, **known).accuracy["ap"] == 37.0
    assert WeightsMetadata(name=SSD, **known, **option).accuracy == {}


def test_a_field_that_was_added_later_is_in_a_file_only_if_it_is_set():
    assert "stated" not in files.header(METADATA)[files.KEY]
    assert '"stated": ["nms"]' in files.header(replace(METADATA, stated=("nms",)))[files.KEY]


def test_an_option_of_the_original_leaves_it():
    known = {"ap": 37.0, "fit": "stretch", "nms": 0.5, "stated": ("fit", "nms")}
    assert WeightsMetadata(name=SSD, **known).accuracy["ap"] == 37.0
    assert WeightsMetadata(name=SSD, **known, score=0.5).accuracy == {}
    assert WeightsMetadata(name=SSD, **known | {"stated": ("fit",)}).accuracy == {}


@pytest.mark.parametrize(("rounding", "wanted"), [(0.05, 0.05), (0.5, 0.5), (None, 0.5)])
def test_the_rounding_of_a_row_is_that_of_the_printed_number(rounding, wanted):
    assert WeightsMetadata(name=SSD, ap=37.0, rounding=rounding).accuracy["ap_rounding"] == wanted


def test_the_form_of_a_detector_is_all_that_a_training_from_its_weights_keeps():
    form = {"scratch": True, "width": 0.5, "norm_eps": 1e-3, "released": True, "sampling": "opencv"}
    kept = WeightsMetadata(name="x", **form, file="f", license="MIT", labels=("a",), score=0.1, ap=30.0).of_detector()
    assert kept == WeightsMetadata(name="x", **form)
    assert "as released" in kept.apply_to(spec("rfcn-resnet101-600-s16-p300")).name


@pytest.mark.parametrize("around", ["model.", "net.detector.", "module.model."])
def test_names_of_modules_around_a_network_are_taken_off(tmp_path, around):
    own = ("backbone.body.conv1.weight", "rpn.head.conv.weight")
    torch.save({"state_dict": {f"{around}{name}": torch.ones(2) for name in own}}, tmp_path / "w.ckpt")
    file = files.read(tmp_path / "w.ckpt")
    assert (file.item, file.naming and file.naming.name, set(file.tensors)) == ("state_dict", "torchvision", set(own))


@pytest.mark.parametrize(
    "names", [("model.backbone.body.conv1.weight", "loss.weight"), ("model.0.weight", "model.0.bias")]
)
def test_names_of_no_code_base_are_kept_and_shown(tmp_path, names):
    torch.save({name: torch.ones(2) for name in names}, tmp_path / "w.pt")
    assert set(files.read(tmp_path / "w.pt").tensors) == set(names)
    with pytest.raises(WeightsError, match=f"w.pt: none of its tensors, such as '{min(names)}'") as error:
        load(build(MADE), tmp_path / "w.pt")
    assert error.value.id == "weights-shape"
    assert all(part in error.value.message for part in (MADE.name, "torchvision", "Detectron2"))


def test_a_folder_is_refused_as_one(tmp_path):
    with pytest.raises(WeightsError, match="is a folder") as error:
        files.read(tmp_path)
    assert error.value.id == "file-missing"
