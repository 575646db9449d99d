"""Hostile graphs of TensorFlow with names of real layers: each ends in one error, in little time and memory."""

import resource
import struct
import time

import pytest
import torch

from paretodet.importing import import_weights
from paretodet.weights.files import WeightsMetadata
from paretodet.weights.safe import WeightsError
from tensorflow_files import field, graph, node

NAME, STEM, GRID = "ssd-mobilenet_v1-300", "FeatureExtractor/MobilenetV1/Conv2d_0", "MultipleGridAnchorGenerator"
NETWORK = node(f"{STEM}/weights", torch.zeros(3, 3, 3, 32))  # so that the file is one of the detection API's


def one(name, *sides):
    """A constant of any shape, of which the file has one number."""
    shape = b"".join(field(2, field(1, side)) for side in sides)
    tensor = field(1, 1) + field(2, shape) + field(5, struct.pack("<f", 0.5))
    attribute = field(1, "value") + field(2, field(8, tensor))
    return field(1, field(1, name) + field(2, "Const") + field(5, attribute))


HOSTILE = {
    "a list of ratios of 2^28 numbers": one(f"{GRID}/Sqrt/x", 2**28),
    "a list of scales of 100,000 numbers": node(f"{GRID}/mul/x", torch.arange(1e5)),
    "a layer of 2^31 boxes": one("BoxPredictor_0/BoxEncodingPredictor/weights", 1, 1, 2**31, 12),
    "the offset of 2^31 channels": one(f"{STEM}/Conv2D_bn_offset", 2**31),
    "a long name": node("FeatureExtractor/MobilenetV1/" + "_1_Conv2d_1_" * 50_000 + "/a/weights", torch.ones(2)),
    "20,000 layers": b"".join(node(f"MobilenetV1/{i}/weights", torch.ones(1)) for i in range(20_000)),
    "2,000 tables of anchors": b"".join(one(f"t{i}", 1917, 4) for i in range(2_000)),
    "a digit that is no number": node(f"{STEM}/1²2/weights", torch.ones(2)),
}


@pytest.fixture(scope="module", autouse=True)
def imported_before(tmp_path_factory):
    """What the first import of a process loads is not the file's."""
    folder = tmp_path_factory.mktemp("first")
    graph({f"{STEM}/weights": torch.zeros(3, 3, 3, 32)}, folder / "g.pb")
    with pytest.raises(WeightsError):
        import_weights(folder / "g.pb", WeightsMetadata(name=NAME), folder / "o.safetensors")


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_graph_is_refused(tmp_path, kind):
    path = tmp_path / "hostile.pb"
    path.write_bytes(NETWORK + HOSTILE[kind])
    before, begun = peak(), time.process_time()
    with pytest.raises(WeightsError) as error:
        import_weights(path, WeightsMetadata(name=NAME), tmp_path / "o.safetensors")
    assert time.process_time() - begun < 2 and peak() - before < 500 * 2**20
    assert str(path) in str(error.value) and len(str(error.value)) < 1000
