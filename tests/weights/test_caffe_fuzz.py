"""Random, truncated and bit-flipped `.caffemodel` files: an error that names the file, or tensors; then a detector."""

import numpy as np
import pytest
from hypothesis import strategies as st

from caffe_networks import COCO_300, draw, encoded, ssd, write
from fuzzing import LONG_S, SHORT_S, damaged, fuzz
from paretodet.weights import files
from paretodet.weights.formats import caffe
from paretodet.weights.namings.caffe import NAMING
from paretodet.weights.safe import WeightsError
from record_caffe_golden import detector

NETWORK = ssd(300, classes=2, sizes=COCO_300, width=0.125)
LAYERS = ("conv1_1", "fc7", "fc7_mbox_loc", "fc7_mbox_conf", "conv4_3_norm")
NUMBERS = st.sampled_from((0, 1, 2, 3, 5, 7, 100, 203, 2**31 - 1, 2**63))
MESSAGES = st.recursive(
    st.one_of(NUMBERS, st.floats(width=32), st.binary(max_size=12), st.sampled_from(LAYERS)),
    lambda values: st.lists(st.tuples(st.sampled_from((1, 2, 3, 4, 5, 6, 7, 8, 100, 203)), values), max_size=6),
    max_leaves=30,
)
CONTENTS = st.lists(st.tuples(st.sampled_from((1, 2, 5, 6, 7, 8, 100)), MESSAGES), max_size=6)


def survives(path, module):
    try:
        tensors = caffe.read(path)
    except WeightsError as error:
        assert str(error).startswith(f"{path}: ")
        return 0
    assert all(values.numel() for values in tensors.values())
    for use in (lambda: NAMING.metadata(tensors, module.spec), lambda: files.load(module, path)):
        try:
            use()
        except WeightsError:
            continue
    return 1


def counts(folder, seconds):
    """How many files were read in this time, and how many of them as tensors."""
    path, module = folder / "some.caffemodel", detector(NETWORK, classes=1, width=0.125)
    drawn = {name: blobs for name, blobs in draw(NETWORK, {}).items() if name in LAYERS}
    drawn["fc7"] = [np.ones((1, 2, 2), np.float32)]
    write(path, NETWORK, drawn)

    def read(content):
        path.write_bytes(content)
        return survives(path, module)

    made = st.one_of(st.binary(max_size=200), CONTENTS.map(encoded))
    blobs = made.map(lambda content: encoded([(100, [(1, "conv1_1"), (7, content)])]))
    found = fuzz(st.one_of(made, blobs, damaged(path.read_bytes())), read, seconds)
    return len(found), sum(found)


@pytest.mark.usefixtures("half")
def test_no_caffe_file_breaks_the_reader(tmp_path):
    made, read = counts(tmp_path, SHORT_S)
    assert made > 10 and read


@pytest.mark.full
def test_no_caffe_file_breaks_the_reader_for_long(tmp_path):
    assert counts(tmp_path, LONG_S)[0] > 200


def test_a_list_of_no_numbers_is_absent(tmp_path):
    path = tmp_path / "some.caffemodel"
    path.write_bytes(encoded([(100, [(1, "prior"), (203, [(1, b"")])])]))
    with pytest.raises(WeightsError, match="no layer with weights"):
        caffe.read(path)


def test_a_blob_of_one_number_that_is_not_packed_is_read(tmp_path):
    path = tmp_path / "some.caffemodel"
    path.write_bytes(encoded([(100, [(1, "scale"), (7, [(5, 3.0)])])]))
    assert {name: values.tolist() for name, values in caffe.read(path).items()} == {"scale.0": 3.0}
