"""TensorFlow's files: those that TensorFlow wrote, those written here, and damaged and hostile ones."""

import json
import shutil
import struct

import numpy as np
import pytest
import torch

from paretodet.weights import files
from paretodet.weights.files import file_format
from paretodet.weights.formats import tensorflow_checkpoint, tensorflow_graph, tfjs
from paretodet.weights.safe import WeightsError
from record_tensorflow_files import CONSTANTS, FOLDER, TENSORS
from tensorflow_files import SOME, checkpoint, field, graph, node, table
from tensorflow_files import tfjs as write_tfjs

ANCHORS = {name: value for name, value in CONSTANTS.items() if "Anchor" in name}  # the other is stored in one value
HEADER = (b"", field(1, 1))


def same(found, wanted):
    assert found.keys() >= wanted.keys()
    for name, value in wanted.items():
        assert found[name].dtype == torch.from_numpy(np.asarray(value)).dtype
        assert np.array_equal(found[name].numpy(), np.asarray(value)), name


@pytest.mark.parametrize(
    ("file", "name", "wanted"),
    [
        ("v2.ckpt.index", "tensorflow", TENSORS | ANCHORS),
        ("v1.ckpt", "tensorflow", TENSORS),
        ("frozen.pb", "tensorflow-graph", TENSORS | CONSTANTS),
    ],
)  # fmt: skip
def test_files_of_tensorflow_are_read(file, name, wanted):
    found = file_format(FOLDER / file)
    assert found.name == name
    same(found.read(FOLDER / file), wanted)


def test_a_text_is_no_weight():
    assert "text" not in tensorflow_checkpoint.read(FOLDER / "v2.ckpt.index")


@pytest.mark.parametrize("shards", [1, 2])
def test_written_checkpoints_are_read(tmp_path, shards):
    checkpoint(SOME, path := tmp_path / "c.index", shards)
    same(tensorflow_checkpoint.read(path), SOME)


@pytest.mark.parametrize("shards", [1, 3])
def test_written_manifests_are_read(tmp_path, shards):
    write_tfjs(SOME, path := tmp_path / "model.json", shards)
    assert file_format(path).name == "tfjs"
    same(tfjs.read(path), SOME)


def test_a_manifest_alone_is_read(tmp_path):
    write_tfjs(SOME, path := tmp_path / "model.json")
    path.write_text(json.dumps(json.loads(path.read_text())["weightsManifest"]))
    assert file_format(path).name == "tfjs"
    same(tfjs.read(path), SOME)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_quantized_weights_are_the_nearest_steps(tmp_path, dtype):
    tensors = {"w": torch.linspace(-1, 1, 7), "n": torch.tensor([1, 5, 9], dtype=torch.int32)}
    how = {"w": {"dtype": dtype, "scale": 2 / 255, "min": -1.0}, "n": {"dtype": dtype, "scale": 4, "min": 1}}
    write_tfjs(tensors, path := tmp_path / "model.json", **how)
    found = tfjs.read(path)
    assert (found["w"] - tensors["w"]).abs().max() <= 1 / 255 + 1e-6
    assert found["w"][0] == -1
    assert found["n"].tolist() == [1, 5, 9]
    assert found["w"].dtype == torch.float32


def test_whole_numbers_are_rounded_as_javascript_does(tmp_path):
    stored = {"n": torch.tensor([0, 3, 5, 7], dtype=torch.int32)}
    write_tfjs(stored, path := tmp_path / "model.json", n={"dtype": "uint8", "scale": 1, "min": 0})
    model = json.loads(path.read_text())
    model["weightsManifest"][0]["weights"][0]["quantization"] |= {"scale": 0.3, "min": -1.5}
    path.write_text(json.dumps(model))
    assert tfjs.read(path)["n"].tolist() == [-1, -1, 0, 1]  # of -1.5, -0.6, 0 and 0.6


def test_half_precision_weights_are_read(tmp_path):
    write_tfjs(
        {"w": torch.tensor([0.5, 2.0])}, path := tmp_path / "model.json", w={"dtype": "float16", "scale": 1, "min": 0}
    )
    assert tfjs.read(path)["w"].tolist() == [0.5, 2.0]


# Damaged and hostile files


def changed(tmp_path, change):
    write_tfjs(SOME, path := tmp_path / "model.json")
    model = json.loads(path.read_text())
    change(model["weightsManifest"])
    path.write_text(json.dumps(model))
    return path


@pytest.mark.parametrize(
    "change",
    [
        lambda groups: groups[0]["weights"][0]["shape"].append(2**40),
        lambda groups: groups[0]["weights"][0]["shape"].append(-1),
        lambda groups: groups[0]["weights"].pop(),
        lambda groups: groups[0]["weights"][0].update(dtype="complex64"),
        lambda groups: groups[0]["weights"][0].update(quantization={"dtype": "uint8", "scale": "x"}),
        lambda groups: groups[0]["paths"].append(groups[0]["paths"][0]),
        lambda groups: groups[0]["weights"].append({"name": "z", "shape": [0, 2**62, 2**62], "dtype": "float32"}),
        lambda groups: groups[0]["weights"].append({"name": "b", "shape": [0], "dtype": "float32"}),
        lambda groups: groups.append("text"),
    ],
)
def test_damaged_manifests_are_refused(tmp_path, change):
    with pytest.raises(WeightsError, match=r"model\.json: .*\[weights-format\]"):
        tfjs.read(changed(tmp_path, change))


@pytest.mark.parametrize("name", ["../other.bin", "/etc/hostname", "sub/../../other.bin", "link.bin"])
def test_shards_outside_the_folder_are_refused(tmp_path, name):
    (tmp_path / "other.bin").write_bytes(b"\0" * 32)
    (folder := tmp_path / "model").mkdir()
    (folder / "link.bin").symlink_to(tmp_path / "other.bin")
    path = changed(folder, lambda groups: groups[0].update(paths=[name]))
    with pytest.raises(WeightsError, match="outside of its folder"):
        tfjs.read(path)


def test_a_missing_shard_is_named(tmp_path):
    write_tfjs(SOME, path := tmp_path / "model.json", 2)
    (tmp_path / "group1-shard2of2.bin").unlink()
    with pytest.raises(WeightsError, match=r"shard2of2\.bin: no such file.*file-missing"):
        tfjs.read(path)


def test_missing_values_of_a_checkpoint_are_named(tmp_path):
    shutil.copy(FOLDER / "v2.ckpt.index", tmp_path)
    with pytest.raises(WeightsError, match=r"data-00000-of-00001: no such file.*file-missing"):
        tensorflow_checkpoint.read(tmp_path / "v2.ckpt.index")


def entry(**fields):
    """An entry of a tensor of 3 numbers, with other values."""
    base = {1: 1, 2: field(2, field(1, 3)), 4: 0, 5: 12} | {int(key[1:]): value for key, value in fields.items()}
    return b"".join(field(number, value) for number, value in base.items())


@pytest.mark.parametrize(
    "entries",
    [
        [],
        [(b"a", entry())],  # no header
        [(b"", field(1, 2**40)), (b"a", entry())],
        [(b"", field(1, 0)), (b"a", entry())],
        [HEADER, (b"a", entry(f5=2**62))],
        [HEADER, (b"a", entry(f4=2**62))],
        [HEADER, (b"a", entry(f5=8))],
        [HEADER, (b"a", entry(f3=1))],
        [HEADER, (b"a", entry(f2=field(2, field(1, 2**62)) * 3))],
        [HEADER, (b"a", entry(f2=field(2, field(1, 0)) + field(2, field(1, 2**62)) * 2, f5=0))],
        [HEADER, (b"a", entry(f2=field(2, field(1, 2**64 - 1))))],
        [HEADER, (b"a", entry(f2=3))],
        [HEADER, (b"a", entry(f7=b""))],  # slices
        [HEADER, *((f"{i:03}".encode(), entry()) for i in range(3))],  # overlapping: together longer than the file
        [HEADER, (b"b", entry()), (b"a", entry())],
        [HEADER, (b"k" * 5000, entry())],
        [HEADER, (b"\xff", entry())],
        [HEADER, (b"a", b"\x0f")],
    ],
)  # fmt: skip
def test_hostile_checkpoints_are_refused(tmp_path, entries):
    (path := tmp_path / "c.index").write_bytes(table(entries))
    (tmp_path / "c.data-00000-of-00001").write_bytes(b"\0" * 12)
    with pytest.raises(WeightsError, match=r"c\.index: .*\[weights-format\]"):
        tensorflow_checkpoint.read(path)


def test_a_compressed_table_is_refused(tmp_path):
    content = bytearray(table([HEADER]))
    content[content.index(b"\0\0\0\0\1\0\0\0") + 8] = 1
    (path := tmp_path / "c.index").write_bytes(content)
    with pytest.raises(WeightsError, match="compressed"):
        tensorflow_checkpoint.read(path)


def const(name, *fields):
    attribute = field(1, "value") + field(2, field(8, b"".join(fields)))
    return field(1, field(1, name) + field(2, "Const") + field(5, attribute))


THREE = field(2, field(2, field(1, 3)))


@pytest.mark.parametrize(
    "content",
    [
        node("a", torch.ones(3))[:-1],
        const("a", field(1, 1), THREE, field(4, b"\0" * 8)),
        const("a", field(1, 1), THREE, field(5, struct.pack("<2f", 1, 2))),
        const("a", field(1, 1), THREE, field(5, b"\0" * 5)),
        const("a", field(1, 3), THREE, field(7, 2**40)),
        const("a", field(1, 1), field(2, field(2, field(1, 2**62)) * 2)),
        const("a", field(1, 1), field(2, field(2, field(1, 0)) + field(2, field(1, 2**62)) * 2)),
        field(1, field(1, "a") + field(2, "Placeholder")),
        node("a", torch.ones(3)) + b"\x0b",
        node("a", torch.ones(3)) * 2,
        node("a", torch.ones(3)) + field(1, 0) * 2**21,
    ],
)
def test_hostile_graphs_are_refused(tmp_path, content):
    (path := tmp_path / "g.pb").write_bytes(content)
    with pytest.raises(WeightsError, match=r"g\.pb: .*\[weights-format\]"):
        tensorflow_graph.read(path)


def test_a_huge_constant_takes_no_memory(tmp_path):
    """One value stands for all: a shape of 2^39 values is read, and refused by the detector that does not have it."""
    sides = field(2, field(2, field(1, 2**20)) + field(2, field(1, 2**19)))
    (path := tmp_path / "g.pb").write_bytes(const("a", field(1, 1), sides, field(5, struct.pack("<f", 1))))
    found = tensorflow_graph.read(path)["a"]
    assert tuple(found.shape) == (2**20, 2**19)
    assert found.untyped_storage().nbytes() == 4


def test_other_files_are_not_taken_for_graphs(tmp_path):
    for content in (b"", b"\x0a", field(1, "VGG_ILSVRC_16_layers") + field(2, "x"), b"\x08\x07" + field(7, b"graph")):
        (path := tmp_path / "f").write_bytes(content)
        with pytest.raises(WeightsError, match="not a weights file of a known format"):
            file_format(path)
    graph(SOME, path)
    assert file_format(path).name == "tensorflow-graph"


def test_data_of_a_checkpoint_is_not_copied(tmp_path):
    checkpoint({"w": torch.ones(1000)}, path := tmp_path / "c.index")
    found = tensorflow_checkpoint.read(path)["w"]
    found.zero_()
    assert tensorflow_checkpoint.read(path)["w"].sum() == 1000  # the file did not change


@pytest.mark.parametrize("averaged", [True, False])
def test_a_checkpoint_says_whether_it_has_averages(tmp_path, averaged):
    end = "/ExponentialMovingAverage" if averaged else "/RMSProp"
    checkpoint({"a/weights": torch.ones(2), f"a/weights{end}": torch.zeros(2)}, path := tmp_path / "c.index")
    assert files.read(path).item == ("ExponentialMovingAverage" if averaged else None)


def test_a_name_without_end_is_refused(tmp_path):
    graph({"a" * 2000: torch.ones(2)}, path := tmp_path / "g.pb")
    with pytest.raises(WeightsError, match=r"g\.pb: .*2,000 characters.*weights-format"):
        tensorflow_graph.read(path)
