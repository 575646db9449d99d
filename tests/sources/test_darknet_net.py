"""Darknet's layers against naive arithmetic, the network against the tables, its weights file, and its export."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from paretodet.bench.flops import count
from paretodet.darknet_file import DarknetFileError, Header, write
from paretodet.layers.reorg import Reorg
from paretodet.rules.select import PostProcess
from paretodet.runtimes.eager import fast
from paretodet.sources.darknet_cfg import read_plan
from paretodet.sources.darknet_layers import Convolution
from paretodet.sources.darknet_modules import ACTIVATIONS, DarknetMaxPool, DarknetSoftmax, Route, Shortcut, Upsample
from paretodet.sources.darknet_net import Darknet, load, stored, untrained
from paretodet.types import Images

SELECT = PostProcess(threshold=0.005, overlap=0.45, keep=20)
EVERY = """[net]
width=32
height=32
[convolutional]
filters=8
size=3
pad=1
stride=2
batch_normalize=1
activation=leaky
[convolutional]
filters=8
size=3
groups=4
padding=1
batch_normalize=1
activation=mish
[shortcut]
from=-2
activation=relu
[maxpool]
size=2
stride=1
[dropout]
probability=.5
[route]
layers=-1,0
groups=2
group_id=1
[reorg]
stride=2
[convolutional]
filters=14
activation=linear
[region]
anchors=1,2,.5,.5
num=2
classes=2
softmax=1
[route]
layers=6
[upsample]
stride=2
[convolutional]
filters=7
activation=linear
[softmax]
groups=1
[route]
layers=-2
[yolo]
anchors=5,6,7,8
num=2
mask=1
classes=2
scale_x_y=1.1
"""


def every(folder, size=None):
    (folder / "every.cfg").write_text(EVERY)
    return read_plan(folder / "every.cfg", size)


def canvases(plan, count=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (count, 3, plan.height, plan.width), generator=generator, dtype=torch.uint8)
    return Images(pixels, torch.tensor([[float(plan.height), float(plan.width)]]).expand(count, 2))


def lively(network, seed=0):
    """Weights and statistics that are all different from their starts; maps of about unit scale."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            fan = module.weight[0].numel()
            module.weight.data = torch.randn(module.weight.shape, generator=generator) * math.sqrt(2 / fan)
            if module.bias is not None:
                module.bias.data = torch.randn(module.bias.shape, generator=generator) * 0.5
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight.data, module.running_var):
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
            for tensor in (module.bias.data, module.running_mean):
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.3)
    return network


def tensors(network):
    """Everything a weights file stores, in its order."""
    pairs = zip(network.plan.steps, network.layers, strict=True)
    return [tensor for step, module in pairs if isinstance(step.layer, Convolution) for _, tensor in stored(module)]


def naive_reorg(x, stride):
    """Darknet's reorg_cpu, index by index, for one image [C, H, W]."""
    channels, height, width = x.shape
    flat, out, out_channels = x.ravel(), np.empty_like(x).ravel(), channels // stride**2
    for k in range(channels):
        for j in range(height):
            for i in range(width):
                offset, plane = divmod(k, out_channels)
                row, column = j * stride + offset // stride, i * stride + offset % stride
                out[i + width * (j + height * k)] = flat[column + width * stride * (row + height * stride * plane)]
    return out.reshape(channels * stride**2, height // stride, width // stride)


def naive_maxpool(x, size, stride, padding):
    """Darknet's forward_maxpool_layer, window by window, for one map [H, W]."""
    height, width = ((side + padding - size) // stride + 1 for side in x.shape)
    out = np.full((height, width), -np.inf, x.dtype)
    for row, column in np.ndindex(height, width):
        for n, m in np.ndindex(size, size):
            i, j = row * stride + n - padding // 2, column * stride + m - padding // 2
            if 0 <= i < x.shape[0] and 0 <= j < x.shape[1]:
                out[row, column] = max(out[row, column], x[i, j])
    return out


def naive_shortcut(x, other):
    """Darknet's shortcut_cpu for an `other` at least as wide, one image [C, H, W]."""
    step, out = other.shape[1] // x.shape[1], x.copy()
    for k, j, i in np.ndindex(min(len(x), len(other)), *x.shape[1:]):
        out[k, j, i] += other[k, j * step, i * step]
    return out


@pytest.mark.parametrize(("stride", "shape"), [(2, (8, 4, 6)), (3, (9, 3, 6)), (1, (3, 2, 2))])
def test_reorg_is_darknets(stride, shape):
    x = np.arange(math.prod(shape), dtype=np.float32).reshape(shape)
    found = Reorg(stride)(torch.from_numpy(x)[None])[0].numpy()
    assert np.array_equal(found, naive_reorg(x, stride))
    same = np.array_equal(found, nn.functional.pixel_unshuffle(torch.from_numpy(x), stride).numpy())
    assert same == (stride == 1)


@settings(max_examples=60)
@given(
    size=st.integers(1, 5),
    stride=st.integers(1, 4),
    more=st.integers(0, 8),
    sides=st.tuples(st.integers(5, 12), st.integers(5, 12)),
    seed=st.integers(0, 99),
)
def test_maxpool_is_darknets(size, stride, more, sides, seed):
    padding = min(more, 2 * size - 2)
    x = np.random.default_rng(seed).normal(size=sides).astype(np.float32) - 3
    found = DarknetMaxPool(size, stride, padding)(torch.from_numpy(x)[None, None])[0, 0].numpy()
    assert np.array_equal(found, naive_maxpool(x, size, stride, padding))


@pytest.mark.parametrize("shape", [(4, 3, 5), (2, 3, 5), (6, 3, 5), (2, 6, 10), (6, 9, 15)])
def test_shortcut_is_darknets(shape):
    x, other = (np.random.default_rng(0).normal(size=s).astype(np.float32) for s in ((4, 3, 5), shape))
    found = Shortcut("linear")(torch.from_numpy(x)[None], torch.from_numpy(other)[None])[0].numpy()
    assert np.array_equal(found, naive_shortcut(x, other))


def test_route_upsample_and_softmax():
    x = torch.arange(8.0).view(1, 4, 1, 2)
    assert Route(2, 1)(x, -x).flatten().tolist() == [4, 5, 6, 7, -4, -5, -6, -7]
    assert Upsample(2, 3.0)(x)[0, 1].tolist() == [[6, 6, 9, 9]] * 2
    found = DarknetSoftmax(2, 0.5)(x).view(2, 4)
    torch.testing.assert_close(found[1], torch.tensor([8.0, 10, 12, 14]).softmax(0))


@pytest.mark.parametrize(
    ("name", "function"),
    [  # darknet's activations.h, and its fork's for the last four
        ("leaky", lambda x: x if x > 0 else 0.1 * x),
        ("relie", lambda x: x if x > 0 else 0.01 * x),
        ("logistic", lambda x: 1 / (1 + math.exp(-x))),
        ("hardtan", lambda x: min(max(x, -1), 1)),
        ("elu", lambda x: x if x >= 0 else math.exp(x) - 1),
        ("selu", lambda x: 1.0507 * x if x >= 0 else 1.0507 * 1.6732 * (math.exp(x) - 1)),
        ("relu6", lambda x: min(max(x, 0), 6)),
        ("swish", lambda x: x / (1 + math.exp(-x))),
        ("mish", lambda x: x * math.tanh(math.log1p(math.exp(x)))),
        ("gelu", lambda x: 0.5 * x * (1 + math.tanh(0.797885 * x + 0.035677 * x**3))),
    ],
)
def test_activations_are_darknets(name, function):
    x = torch.linspace(-4, 8, 49)
    wanted = torch.tensor([function(value) for value in x.tolist()])
    torch.testing.assert_close(ACTIVATIONS[name]()(x.clone()), wanted, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "side", "parameters", "gflops"),
    [  # systems.md 1: learnable parameters, 2 per multiply-add
        ("yolov2", 416, 50_962_889, 29.464),
        ("yolov2", 608, 50_962_889, 62.938),
        ("yolov3", 320, 61_949_149, 38.973),
        ("yolov3", 416, 61_949_149, 65.864),
        ("yolov3", 608, 61_949_149, 140.692),
        ("yolov3-tiny", 416, 8_852_366, 5.565),
    ],
)
def test_work_of_the_published_cfgs(data_folder, name, side, parameters, gflops):
    plan = read_plan(data_folder / "darknet" / "cfg" / f"{name}.cfg", (side, side))
    with torch.device("meta"):
        work = count(Darknet(plan, SELECT).eval(), canvases_on_meta(plan))
    assert work.parameters == parameters and work.parameters + work.buffers == plan.floats
    assert round(2 * work.macs / 1e9, 3) == gflops


def canvases_on_meta(plan):
    return Images(torch.zeros(1, 3, plan.height, plan.width, dtype=torch.uint8), torch.zeros(1, 2))


def test_boxes_are_darknets_arithmetic(tmp_path):
    """systems.md 3.3 and 5.1, written out for one cell: priors in cells for region, in pixels for yolo."""
    plan = every(tmp_path)
    network = Darknet(plan, SELECT).eval()
    region, yolo = (torch.randn(1, head.shape.channels, *head.shape[1:]) for head in plan.heads)
    boxes, scores = network.boxes((region, yolo), (32, 32))
    cells, row, column, anchor = plan.heads[0].shape.width, 2, 1, 1
    tx, ty, tw, th, obj, *classes = region[0, 7 * anchor : 7 * anchor + 7, row, column].tolist()
    side = 32 / cells
    middle = (column + 1 / (1 + math.exp(-tx))) * side, (row + 1 / (1 + math.exp(-ty))) * side
    half = math.exp(tw) * 0.5 * side / 2, math.exp(th) * 0.5 * side / 2
    wanted = [middle[0] - half[0], middle[1] - half[1], middle[0] + half[0], middle[1] + half[1]]
    index = (row * cells + column) * 2 + anchor
    assert boxes[0, index].tolist() == pytest.approx(wanted, rel=1e-4)
    total = sum(map(math.exp, classes))
    assert scores[0, index].tolist() == pytest.approx([math.exp(c) / total / (1 + math.exp(-obj)) for c in classes])

    cells = plan.heads[1].shape.width
    tx, _, tw, _, obj, first, _ = yolo[0, :, row, column].tolist()
    place = 1.1 / (1 + math.exp(-tx)) - 0.5 * (1.1 - 1)  # scale_x_y
    left = (column + place) * 32 / cells - math.exp(tw) * 7 / 2
    index = plan.heads[0].shape.height * plan.heads[0].shape.width * 2 + row * cells + column
    assert boxes[0, index, 0].item() == pytest.approx(left, rel=1e-4)
    assert scores[0, index, 0].item() == pytest.approx(1 / (1 + math.exp(-obj)) / (1 + math.exp(-first)))


def test_folding_and_channels_last_change_no_map(tmp_path):
    plan = every(tmp_path)
    network = lively(Darknet(plan, SELECT).eval())
    images = canvases(plan)
    with torch.no_grad():
        pairs = zip(network.features(images), fast(network).features(images), strict=True)
        for plain, quick in pairs:
            torch.testing.assert_close(quick, plain, atol=1e-4 * plain.abs().max().item(), rtol=0)
        low = fast(network, precision="bf16").features(images)
    assert all(x.dtype == torch.bfloat16 for x in low)


@pytest.mark.parametrize("size", [None, (64, 64), (32, 64)])
def test_any_network_exports_strictly(tmp_path, size):
    plan = every(tmp_path, size)
    network = lively(Darknet(plan, SELECT).eval())
    program = torch.export.export(network, (canvases(plan),), strict=True)
    fresh = canvases(plan, seed=1)
    for found, wanted in zip(program.module()(fresh), network(fresh), strict=True):
        assert found is wanted is None or torch.equal(found, wanted)


def test_a_batch_of_two_is_two_of_one(tmp_path):
    plan = every(tmp_path)
    network, images = lively(Darknet(plan, SELECT).eval()), canvases(plan)
    both = network(images)
    for index in range(2):
        one = network(Images(*(part[index : index + 1] for part in images)))
        torch.testing.assert_close(both.boxes[index], one.boxes[0], atol=1e-3, rtol=1e-4)


def test_untrained_is_at_capacity_and_leaves_the_callers_state(tmp_path):
    plan = every(tmp_path)
    select = PostProcess(threshold=-math.inf, overlap=0.45, keep=20)
    before = torch.get_rng_state()
    first, again, other = untrained(plan, select, 0), untrained(plan, select, 0), untrained(plan, select, 1)
    assert torch.equal(torch.get_rng_state(), before)
    found = [network(canvases(plan)).scores for network in (first, again, other)]
    assert (found[0] > 0).all() and torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])


def test_weights_come_back_bit_for_bit(tmp_path):
    plan = every(tmp_path)
    network = lively(Darknet(plan, SELECT).eval())
    write(tmp_path / "w", Header(), tensors(network))
    assert sum(tensor.numel() for tensor in tensors(network)) == plan.floats
    back = load(plan, SELECT, tmp_path / "w")
    for name, tensor in network.state_dict().items():
        assert torch.equal(back.state_dict()[name], tensor), name


def test_the_order_within_a_convolution(tmp_path):
    """systems.md 6.5: biases, scales, means, variances, weights."""
    plan = every(tmp_path)
    write(tmp_path / "w", Header(), [torch.arange(plan.floats, dtype=torch.float32)])
    brick = load(plan, SELECT, tmp_path / "w").layers[0]
    found = (brick.norm.bias, brick.norm.weight, brick.norm.running_mean, brick.norm.running_var, brick.conv.weight)
    assert [tensor.flatten()[0].item() for tensor in found] == [0, 8, 16, 24, 32]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda values: values[:-1], "truncated, expected 1"),
        (lambda values: torch.cat([values, values[:1]]), "too long, expected 1"),
        (
            lambda values: values.index_fill(0, torch.tensor([40]), math.nan),
            "layer 0 has impossible numbers in its w",
        ),
        (
            lambda values: values.index_fill(0, torch.tensor([26]), -0.5),
            "layer 0 has impossible numbers in its v",
        ),
    ],
)
def test_weights_that_cannot_be_used(tmp_path, change, fault):
    plan = every(tmp_path)
    write(tmp_path / "w", Header(), [change(torch.ones(plan.floats))])
    with pytest.raises(DarknetFileError, match=fault):
        load(plan, SELECT, tmp_path / "w")


def test_a_huge_file_is_refused_by_its_size(tmp_path):
    with (tmp_path / "w").open("wb") as file:
        file.truncate(10**11)  # sparse: it takes no room on the disk
    with pytest.raises(DarknetFileError, match="too long, expected"):
        load(every(tmp_path), SELECT, tmp_path / "w")
    with pytest.raises(DarknetFileError, match="no such file"):
        load(every(tmp_path), SELECT, tmp_path / "none")


@settings(max_examples=50)
@given(flips=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 7)), min_size=1, max_size=40))
def test_bit_flipped_weights_load_or_are_named(tmp_path_factory, flips):
    folder = tmp_path_factory.mktemp("flips")
    plan = every(folder)
    write(folder / "w", Header(), tensors(lively(Darknet(plan, SELECT).eval())))
    content = bytearray((folder / "w").read_bytes())
    for place, bit in flips:
        content[place % len(content)] ^= 1 << bit
    (folder / "w").write_bytes(content)
    try:
        network = load(plan, SELECT, folder / "w")
    except DarknetFileError as error:
        assert str(folder / "w") in str(error)
    else:
        scores = network(canvases(plan)).scores
        assert (scores >= 0).all() and (scores <= 1).all()
