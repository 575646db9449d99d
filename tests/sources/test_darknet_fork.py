"""What darknet's later fork added, beside OpenCV's reader of the same files, else beside its own arithmetic."""

import math

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from paretodet.darknet_file import DarknetFileError, Header, write
from paretodet.rules.select import PostProcess
from paretodet.sources.darknet_cfg import read_plan
from paretodet.sources.darknet_net import Darknet, load, stored
from paretodet.types import Images

SELECT = PostProcess(threshold=0.005, overlap=0.45, keep=20)
NET = "[net]\nwidth=32\nheight=32\nchannels=3\n"
CONV = "[convolutional]\nfilters={}\nsize=3\npad=1\nstride={}\nbatch_normalize=1\nactivation=leaky\n"
BODY = NET + CONV.format(8, 2) + CONV.format(8, 2)
LAST = "[convolutional]\nfilters=14\nsize=1\nstride=1\npad=1\nactivation={}\n"
HEAD = "[yolo]\nmask=0,1\nanchors=5,6,7,8\nclasses=2\nnum=2\nthresh=0\n"
POOLED = "[avgpool]\n[convolutional]\nfilters=8\nsize=1\nstride=1\nactivation=logistic\n"
SAM = "[convolutional]\nfilters=8\nsize=1\nstride=1\nactivation=logistic\n"
BESIDE_OPENCV = {
    "scale_channels": BODY + POOLED + "[scale_channels]\nfrom=-3\n" + LAST.format("linear") + HEAD,
    "sam": BODY + SAM + "[sam]\nfrom=-2\n" + LAST.format("linear") + HEAD,
    "scale_x_y": BODY + LAST.format("linear") + HEAD + "scale_x_y=1.05\n",
    "new_coords": BODY + LAST.format("logistic") + HEAD + "scale_x_y=2.0\nnew_coords=1\n",
    "groups": BODY + "[route]\nlayers=-1\ngroups=2\ngroup_id=1\n" + LAST.format("linear") + HEAD,
    "swish": BODY.replace("leaky", "swish") + LAST.format("linear") + HEAD,
    "mish": BODY.replace("leaky", "mish") + LAST.format("linear") + HEAD,
}


def network(folder, text, seed=0):
    """Weights of about unit scale from a file, and the network that reads it."""
    (folder / "some.cfg").write_text(text)
    plan = read_plan(folder / "some.cfg")
    generator, tensors = torch.Generator().manual_seed(seed), []
    for module in Darknet(plan, SELECT).layers:
        for name, tensor in stored(module) if list(module.parameters()) else ():
            drawn = torch.randn(tensor.shape, generator=generator)
            scale = math.sqrt(2 / tensor[0].numel()) if name == "weights" else 0.3
            tensors.append(drawn.abs() + 0.5 if name in ("variance", "scales") else drawn * scale)
    write(folder / "some.weights", Header(), tensors)
    return load(plan, SELECT, folder / "some.weights")


def image(side=32):
    return np.random.default_rng(3).integers(0, 256, (side, side, 3), dtype=np.uint8)


@torch.no_grad()
def ours(found, pixels):
    maps = found.features(Images(torch.from_numpy(pixels).permute(2, 0, 1)[None], torch.tensor([[32.0, 32.0]])))
    boxes, scores = found.boxes(maps, (32, 32))
    return boxes[0].numpy(), scores[0].numpy()


def opencvs(folder, pixels):
    """Boxes as corners in pixels, and scores."""
    net = cv2.dnn.readNetFromDarknet(str(folder / "some.cfg"), str(folder / "some.weights"))
    net.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
    net.setInput(cv2.dnn.blobFromImage(pixels, 1 / 255, (32, 32), swapRB=False))
    (rows,) = net.forward(net.getUnconnectedOutLayersNames())
    center, size = rows[:, :2] * 32, rows[:, 2:4] * 32
    return np.hstack([center - size / 2, center + size / 2]), rows[:, 5:]


@pytest.mark.parametrize("feature", BESIDE_OPENCV)
def test_boxes_and_scores_are_opencvs(tmp_path, feature):
    found = network(tmp_path, BESIDE_OPENCV[feature])
    boxes, scores = ours(found, image())
    wanted, wanted_scores = opencvs(tmp_path, image())
    assert boxes.shape == wanted.shape == (128, 4)
    np.testing.assert_allclose(boxes, wanted, atol=1e-2, rtol=1e-4)  # its norms have another epsilon
    np.testing.assert_allclose(scores, wanted_scores, atol=1e-4, rtol=1e-4)
    assert np.ptp(scores) > 0.01 and np.ptp(boxes) > 10


def values(found, layer, pixels):
    """What a layer reads and gives, [C, H, W] each."""
    seen = []
    hook = found.layers[layer].register_forward_hook(lambda module, given, made: seen.append((*given, made)))
    ours(found, pixels)
    hook.remove()
    return [each[0].numpy() for each in seen[0]]


def naive_dilated(x, kernel, dilation):
    """im2col of the fork: a padding of the dilation times half the kernel on every side, stride 1."""
    size, reach = kernel.shape[2], dilation * (kernel.shape[2] // 2)
    padded = np.pad(x, ((0, 0), (reach, reach), (reach, reach)))
    out = np.zeros((len(kernel), *x.shape[1:]), np.float64)
    for row, column in np.ndindex(size, size):
        part = padded[:, row * dilation :, column * dilation :][:, : x.shape[1], : x.shape[2]]
        out += np.einsum("oc,chw->ohw", kernel[:, :, row, column].astype(np.float64), part)
    return out


@pytest.mark.parametrize(("size", "dilation"), [(3, 2), (3, 5), (5, 2), (1, 4)])
def test_dilation(tmp_path, size, dilation):
    conv = f"[convolutional]\nfilters=4\nsize={size}\nstride=1\npad=1\ndilation={dilation}\nactivation=linear\n"
    found = network(tmp_path, BODY + conv + LAST.format("linear") + HEAD)
    x, made = values(found, 2, image())
    bias, kernel = (tensor.detach().numpy() for _, tensor in stored(found.layers[2]))
    np.testing.assert_allclose(made, naive_dilated(x, kernel, dilation) + bias[:, None, None], atol=1e-5)


def test_a_norm_that_is_a_layer(tmp_path):
    found = network(tmp_path, BODY + "[batchnorm]\n" + LAST.format("linear") + HEAD)
    x, made = values(found, 2, image())
    bias, scale, mean, variance = (tensor.detach().numpy()[:, None, None] for _, tensor in stored(found.layers[2]))
    np.testing.assert_allclose(made, (x - mean) / np.sqrt(variance + 1e-5) * scale + bias, atol=1e-5)


def test_the_first_darknet_stores_no_bias_of_such_a_norm(tmp_path):
    found = network(tmp_path, BODY + "[batchnorm]\n" + LAST.format("linear") + HEAD)
    tensors = [
        (name, tensor) for module in found.layers if list(module.parameters()) for name, tensor in stored(module)
    ]
    kept = [tensor for name, tensor in tensors if tensor is not found.layers[2].bias]
    write(tmp_path / "old.weights", Header(), kept)
    old = load(found.plan, SELECT, tmp_path / "old.weights").layers
    assert not old[2].bias.any() and torch.equal(old[2].running_var, found.layers[2].running_var)
    assert torch.equal(old[3].conv.weight, found.layers[3].conv.weight)
    write(tmp_path / "cut.weights", Header(), kept[:-1])
    with pytest.raises(DarknetFileError, match="truncated"):
        load(found.plan, SELECT, tmp_path / "cut.weights")


def test_a_scale_of_every_place(tmp_path):
    one = "[convolutional]\nfilters=1\nsize=1\nstride=1\nactivation=logistic\n[scale_channels]\nfrom=-2\nscale_wh=1\n"
    found = network(tmp_path, BODY + one + "activation=relu\n" + LAST.format("linear") + HEAD)
    factors, other, made = values(found, 3, image())
    assert factors.shape == (1, 8, 8)
    np.testing.assert_allclose(made, np.maximum(other * factors, 0), atol=1e-6)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("point", ["center", "left_top", "right_bottom"])
def test_a_gaussian_head_weighs_scores_by_its_uncertainty(tmp_path, point):
    head = HEAD.replace("yolo", "Gaussian_yolo") + f"yolo_point={point}\nscale_x_y=1.1\n"
    found = network(tmp_path, BODY + LAST.format("linear").replace("14", "22") + head)
    boxes, scores = ours(found, image())
    x, _ = values(found, 3, image())
    for row, column, anchor in ((0, 0, 0), (3, 5, 1), (7, 7, 0)):
        mean_x, doubt_x, mean_y, doubt_y, mean_w, doubt_w, mean_h, doubt_h, objectness, *classes = x.reshape(
            2, 11, 8, 8
        )[anchor, :, row, column].astype(np.float64)
        wide, high = math.exp(mean_w) * (5, 7)[anchor], math.exp(mean_h) * (6, 8)[anchor]
        shift = {"center": 0, "left_top": 0.5, "right_bottom": -0.5}[point]
        center_x = (column + sigmoid(mean_x) * 1.1 - 0.05) * 4 + shift * wide
        center_y = (row + sigmoid(mean_y) * 1.1 - 0.05) * 4 + shift * high
        index = (row * 8 + column) * 2 + anchor
        wanted = [center_x - wide / 2, center_y - high / 2, center_x + wide / 2, center_y + high / 2]
        np.testing.assert_allclose(boxes[index], wanted, atol=1e-3)
        sure = 1 - np.mean([sigmoid(each) for each in (doubt_x, doubt_y, doubt_w, doubt_h)])
        np.testing.assert_allclose(scores[index], sigmoid(objectness) * sigmoid(np.array(classes)) * sure, atol=1e-6)


@pytest.mark.parametrize("feature", BESIDE_OPENCV)
def test_they_export_strictly_and_fold(tmp_path, feature):
    from paretodet.runtimes.eager import fast

    found = network(tmp_path, BESIDE_OPENCV[feature])
    images = Images(torch.from_numpy(image()).permute(2, 0, 1)[None], torch.tensor([[32.0, 32.0]]))
    program = torch.export.export(found, (images,), strict=True)
    with torch.no_grad():
        for made, wanted in zip(program.module()(images), found(images), strict=True):
            assert made is wanted is None or torch.equal(made, wanted)
        for quick, plain in zip(fast(found).features(images), found.features(images), strict=True):
            torch.testing.assert_close(quick, plain, atol=1e-4 * plain.abs().max().item(), rtol=0)


def test_no_layer_hides_a_norm(tmp_path):
    """A norm of its own is not folded into anything."""
    from paretodet.runtimes.eager import fast

    found = fast(network(tmp_path, BODY + "[batchnorm]\n" + LAST.format("linear") + HEAD))
    assert [type(module) for module in found.modules() if isinstance(module, nn.BatchNorm2d)] == [nn.BatchNorm2d]
