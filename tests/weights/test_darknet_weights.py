"""Darknet's files in our detectors: outputs equal OpenCV's with the same floats, and files are written back bit for
bit.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from paretodet.backbones.darknet19 import Darknet19
from paretodet.backbones.darknet53 import Darknet53
from paretodet.backbones.darknet_tiny import DarknetTiny
from paretodet.darknet_file import DarknetFileError, Header, write
from paretodet.detectors.detector import Detector
from paretodet.detectors.families import spec
from paretodet.layers.fold import fold_norms
from paretodet.weights import darknet
from record_darknet_golden import SIZES, Layer, calibrated, cfg, detector, draw, input_image, layers, opencv, ours

GOLDEN = Path(__file__).parent / "golden"
FLOATS = {  # published files: 203,934,260 - 16, 35,434,956 - 20 and 248,007,048 - 20 bytes, of 4 each
    "yolo_v2-darknet19-416": 50_983_561,
    "yolo_v2_2016-darknet19-416": 67_465_609,
    "yolo_v3_tiny-416": 8_858_734,
    "yolo_v3-darknet53-416": 62_001_757,
}
EACH = pytest.mark.parametrize("name", SIZES)


@pytest.fixture
def path(tmp_path):
    """A temporary file that is removed: some have 250 MB."""
    found = tmp_path / "drawn.weights"
    yield found
    found.unlink(missing_ok=True)


def golden(name):
    return np.load(GOLDEN / f"{name}.npz")


def drawn(name, path):
    kept = golden(name)
    write(path, Header(), draw([Layer(*each) for each in kept["layers"].tolist()], kept["gains"]))
    return kept


def assert_near(found, wanted, tolerance):
    """Every difference at most `tolerance` of the largest magnitude, without zeros of `wanted`."""
    nonzero = wanted != 0
    assert found.shape == wanted.shape and nonzero.mean() > 0.2
    assert np.abs(found - wanted)[nonzero].max() <= tolerance * np.abs(wanted).max()


def assert_same(found, maps, rows, tolerance):
    for one, other in zip(found.maps, maps, strict=True):
        assert 0.5 < other.std() < 2 and (other != 0).all()
        assert_near(one, other, tolerance)
    for part in (slice(0, 2), slice(2, 4), slice(4, 5), slice(5, None)):  # centers, sides, objectness, scores
        assert_near(found.rows[:, part], rows[:, part], tolerance)


@EACH
def test_outputs_are_those_of_opencv_and_the_file_is_written_back(name, path):
    kept = drawn(name, path)
    size = tuple(kept["size"].tolist())
    found = detector(name, size, path)
    maps = [kept[f"map{index}"] for index in range(len(kept.files) - 4)]
    assert_same(ours(found, input_image(size)), maps, kept["rows"], 1e-4)
    before = path.read_bytes()
    darknet.save(found, path)
    assert path.read_bytes() == before
    assert len(before) == 20 + 4 * FLOATS[name]


@EACH
def test_the_golden_layers_are_those_of_the_published_cfg(name, data_folder):
    assert golden(name)["layers"].tolist() == [list(layer) for layer in layers(cfg(name, data_folder, (416, 416)))]


@pytest.mark.full
@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("yolo_v2-darknet19-416", (416, 416)),
        ("yolo_v2-darknet19-416", (608, 608)),
        ("yolo_v2-darknet19-416", (224, 352)),
        ("yolo_v2_2016-darknet19-416", (416, 416)),
        ("yolo_v2_2016-darknet19-416", (352, 224)),
        ("yolo_v3_tiny-416", (416, 416)),
        ("yolo_v3_tiny-416", (320, 192)),
        ("yolo_v3-darknet53-416", (320, 320)),
        ("yolo_v3-darknet53-416", (416, 416)),
        ("yolo_v3-darknet53-416", (608, 608)),
        ("yolo_v3-darknet53-416", (160, 288)),
    ],
)
def test_outputs_are_those_of_opencv_at_other_sizes(name, size, path, data_folder):
    version = pytest.importorskip("cv2", reason="OpenCV 4 is not installed").__version__
    if not version.startswith("4."):
        pytest.skip(f"OpenCV {version} does not read darknet's files, 4 does")
    text = cfg(name, data_folder, size)
    found = layers(text)
    write(path, Header(), draw(found, calibrated(name, size, found, path)))
    theirs = opencv(text, path, input_image(size))
    assert_same(ours(detector(name, size, path), input_image(size)), theirs.maps, theirs.rows, 1e-4)


@pytest.mark.parametrize("build", [Darknet19().build, Darknet53().build, DarknetTiny().build])
def test_a_backbone_is_written_back_bit_for_bit(build, path):
    torch.manual_seed(0)
    one, other = build(), build()
    for norm in (each for each in one.modules() if isinstance(each, torch.nn.BatchNorm2d)):
        torch.nn.init.normal_(norm.running_mean)
        torch.nn.init.uniform_(norm.running_var)
    darknet.save(one, path, Header(0, 1))
    darknet.load(other, path)
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def test_a_classifier_fills_a_backbone(path):
    """darknet19.weights has a 1x1 convolution of 1000 classes after the backbone's 18."""
    net = Darknet19().build()
    count = sum(n * c * k * k + 4 * n for n, c, k, _ in golden("yolo_v2-darknet19-416")["layers"].tolist()[:18])
    write(path, Header(), [torch.full((count,), 0.5), torch.full((1_025_000,), 2.0)])
    darknet.load(net, path)
    assert all((t == 0.5).all() for t in net.state_dict().values() if t.is_floating_point())


@pytest.mark.parametrize(("change", "fault"), [(-1, "truncated"), (1, "too long"), (1_025_000, "too long")])
def test_a_file_of_another_length_is_refused_before_it_is_read(change, fault, path):
    with torch.device("meta"):
        net = Detector(spec("yolo_v3_tiny-416"))
    write(path, Header(), [torch.zeros(8_858_734 + change)])
    with pytest.raises(DarknetFileError, match=f"{fault}, expected 8858734 floats, found {8_858_734 + change}"):
        darknet.load(net, path)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [(0, float("nan"), "convs.0.norm.bias has values that are not finite"),
     (48, -1.0, "convs.0.norm.running_var has negative values"),
     (-1, float("inf"), "convs.6.conv.weight has values that are not finite")],
)  # fmt: skip
def test_invalid_values_are_refused(place, value, message, path):
    values = torch.full((6_298_480,), 0.5)
    values[place] = value
    write(path, Header(), [values])
    with pytest.raises(DarknetFileError, match=message):
        darknet.load(DarknetTiny().build(), path)


@settings(max_examples=50)
@given(content=st.binary(max_size=200))
def test_any_bytes_give_one_error(content, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "fuzzed.weights"
    path.write_bytes(content)
    with torch.device("meta"):
        net = DarknetTiny().build()
    with pytest.raises(DarknetFileError, match="fuzzed.weights: "):
        darknet.load(net, path)


def test_networks_that_darknet_does_not_have_are_refused(path):
    with torch.device("meta"):
        net = Detector(spec("ssd-mobilenet_v1-300"))
    with pytest.raises(ValueError, match="ssd-mobilenet_v1-300: .* YOLO v2"):
        darknet.save(net, path)
    with pytest.raises(ValueError, match="convs.0.norm: folded"):
        darknet.save(fold_norms(DarknetTiny().build()), path)
    assert not path.exists()
