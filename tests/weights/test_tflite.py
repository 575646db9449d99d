"""LiteRT files as weights: every number as the file means it, and one error for what cannot be read."""

import struct
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import strategies as st

from fuzzing import LONG_S, SHORT_S, damaged, fuzz
from made_tflite import Made, write_tflite
from paretodet.weights.files import file_format
from paretodet.weights.formats import tflite
from paretodet.weights.safe import WeightsError

BYTES = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
WHOLE = Made(values=np.array([[1.5, -2.0]], np.float32))


def test_a_file_is_recognized_by_its_content(tmp_path):
    assert file_format(write_tflite(tmp_path / "a.bin", {"a": WHOLE})).name == "tflite"


def test_numbers_without_scale_are_as_stored(tmp_path):
    kinds = ("float32", "float16", "int32", "uint8", "int64", "bool", "int16", "int8", "float64")
    values = {kind: np.array([[1, 0, 1]]).astype(kind) for kind in kinds}
    found = tflite.read(write_tflite(tmp_path / "a.tflite", {kind: Made(values=v) for kind, v in values.items()}))
    assert list(found) == list(kinds)
    assert all(torch.equal(found[kind], torch.from_numpy(values[kind])) for kind in kinds)


def test_quantized_numbers_are_what_they_stand_for(tmp_path):
    made = {
        "one": Made(values=BYTES, scale=(0.5,), zero=(3,)),
        "channels": Made(values=BYTES.view(np.int8), scale=(0.5, 0.25, 2.0), zero=(0, 1, -7), dimension=1),
        "symmetric": Made(values=np.array([-5, 2**31 - 1], np.int32), scale=(0.125,)),
    }
    found = tflite.read(write_tflite(tmp_path / "a.tflite", made))
    scale, zero = np.array([0.5, 0.25, 2.0]).reshape(3, 1), np.array([0, 1, -7]).reshape(3, 1)
    assert np.array_equal(found["one"].numpy(), (BYTES.astype(np.float32) - 3) * np.float32(0.5))
    assert np.array_equal(found["channels"].numpy(), ((BYTES.astype(float) - zero) * scale).astype(np.float32))
    assert found["symmetric"].tolist() == [-0.625, 268435456.0]
    assert {tensor.dtype for tensor in found.values()} == {torch.float32}


def test_tensors_without_numbers_are_left_out(tmp_path):
    empty = Made(values=np.zeros(0, np.float32), shape=(1, 5))
    assert list(tflite.read(write_tflite(tmp_path / "a.tflite", {"a": WHOLE, "map": empty}))) == ["a"]


def test_numbers_among_the_options_of_custom_operators_are_read(tmp_path):
    path = write_tflite(tmp_path / "a.tflite", {"a": WHOLE}, operators={"Mine": {"scale": 0.5, "count": 3}})
    found = tflite.read(path)
    assert {name: float(found[name]) for name in found if name != "a"} == {"Mine/scale": 0.5, "Mine/count": 3.0}


@pytest.mark.parametrize(
    ("shape", "kind", "found"),
    [
        ((1, 30, 40, 3), 14, {"input:pixels": (0, 30, 40, 3), f"{tflite.POSTPROCESS}/scores:Sigmoid": (0,)}),
        ((30, 40, 3), 25, {f"{tflite.POSTPROCESS}/scores:Softmax": (0,)}),
        ((1, 1, 1, 3), 2, {}),
        ((1, 2**20, 40, 3), 2, {}),
    ],
)
def test_the_input_and_the_operator_of_scores_are_tensors_without_numbers(tmp_path, shape, kind, found):
    image, empty = (Made(values=np.zeros(0, np.float32), shape=each) for each in (shape, (1, 5)))
    tensors = {"image": image, "logits": empty, "scores": empty, "a": WHOLE}
    more = {"operators": {tflite.POSTPROCESS: {}}, "reads": (3, 2, 3), "builtin": [(kind, (1,), (2,))]}
    read = tflite.read(write_tflite(tmp_path / "a.tflite", tensors, inputs=(0,), **more))
    assert {name: tuple(values.shape) for name, values in read.items() if name != "a"} == found


ODD = {
    "bytes and the shape": replace(WHOLE, shape=(3, 2)),
    "bytes and the shape ": replace(WHOLE, shape=(-1, -2)),
    "bytes and the shape  ": replace(WHOLE, shape=(2**31 - 1,) * 8),
    "9 elements": replace(WHOLE, shape=(1,) * 9),
    "type that is not read": replace(WHOLE, type=8),
    "sparse": replace(WHOLE, sparse=True),
    "2 scales": replace(WHOLE, scale=(1.0, 1.0), zero=(0,), dimension=1),
    "2 scales ": replace(WHOLE, scale=(1.0, 1.0), zero=(0, 0), dimension=0),
    "2 scales  ": replace(WHOLE, scale=(1.0, 1.0), zero=(0, 0), dimension=-1),
    "3 elements": replace(WHOLE, scale=(1.0, 1.0, 1.0), zero=(0, 0, 0), dimension=1),
    "2,000 elements": replace(WHOLE, name="b" * 2000),
    "the name a": replace(WHOLE, name="a"),
    "not in its tables": replace(WHOLE, elsewhere=8),
    "index": replace(WHOLE, buffer=2**31),
}


@pytest.mark.parametrize("reason", ODD)
def test_what_is_not_read_is_refused(tmp_path, reason):
    path = write_tflite(tmp_path / "a.tflite", {"a": WHOLE, "b": ODD[reason]})
    with pytest.raises(WeightsError, match=rf"a\.tflite.*{reason.strip()}.*weights-format"):
        tflite.read(path)


def test_two_graphs_are_refused(tmp_path):
    with pytest.raises(WeightsError, match="2 graphs"):
        tflite.read(write_tflite(tmp_path / "a.tflite", {"a": WHOLE}, graphs=2))


def test_bytes_that_many_tensors_share_are_read_once_at_most(tmp_path):
    million = Made(values=np.zeros(2**20, np.uint8), scale=(1.0,), zero=(0,))
    shared = {str(i): replace(million, values=np.zeros(0, np.uint8), shape=(2**20,), buffer=1) for i in range(1000)}
    with pytest.raises(WeightsError, match="more bytes than the file"):
        tflite.read(write_tflite(tmp_path / "a.tflite", {"whole": million} | shared))


@pytest.mark.parametrize("size", [0, 3, 8, 20, 60, 200])
def test_a_file_that_is_cut_is_refused(tmp_path, size):
    path = write_tflite(tmp_path / "a.tflite", {"a": WHOLE, "b": replace(WHOLE, scale=(1.0,))})
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(WeightsError, match=r"a\.tflite"):
        tflite.read(path)


@pytest.mark.parametrize(
    ("inside", "beside", "labels"),
    [
        ("cat\n???\ndog\n", None, ("cat", None, "dog")),
        (None, "???\r\ncat\r\n\r\ndog\r\n", ("cat", None, "dog")),
        ("cat", "dog", ("cat",)),
        (None, None, None),
        ("", None, None),
    ],
)
def test_labels_are_in_the_file_or_beside_it(tmp_path, inside, beside, labels):
    path = write_tflite(tmp_path / "a.tflite", {"a": WHOLE}, labels=inside)
    if beside is not None:
        (tmp_path / "labelmap.txt").write_bytes(beside.encode())
    assert tflite.metadata(path).get("labels") == labels
    assert tflite.read(path)["a"].tolist() == [[1.5, -2.0]]


def test_the_license_is_read(tmp_path):
    path = write_tflite(tmp_path / "a.tflite", {"a": WHOLE}, license="Apache License. Version 2.0\0")
    assert tflite.metadata(path) == {"license": "Apache License. Version 2.0"}


def with_words(content, words):
    changed = bytearray(content)
    for place, word in words:
        struct.pack_into("<I", changed, 4 * place, word)
    return bytes(changed)


def files_read(folder, seconds):
    """How many files were read in this time."""
    path = folder / "a.tflite"
    tensors = {"a": WHOLE, "b": Made(values=BYTES, scale=(0.5, 0.25), zero=(1, 2)), "c": replace(WHOLE, scale=(0.1,))}
    write_tflite(path, tensors, license="MIT", labels="cat\ndog", operators={"Mine": {"a": 1}})
    whole = path.read_bytes()
    words = st.lists(st.tuples(st.integers(0, len(whole) // 4 - 1), st.integers(0, 2**32 - 1)), min_size=1, max_size=3)

    def read(content):
        path.write_bytes(content)
        for reader in (tflite.read, tflite.metadata):
            try:
                reader(path)
            except WeightsError as error:
                assert path.name in str(error)

    return len(fuzz(st.one_of(damaged(whole), words.map(lambda some: with_words(whole, some))), read, seconds))


@pytest.mark.usefixtures("half")
def test_no_file_breaks_the_reader(tmp_path):
    assert files_read(tmp_path, SHORT_S) > 20


@pytest.mark.full
def test_no_file_breaks_the_reader_for_long(tmp_path):
    assert files_read(tmp_path, LONG_S) > 200
