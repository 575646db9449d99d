"""Heads of MMDetection as maps: read by the names of their layers, decoded as its documentation defines them."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from made_onnx import ANSWER, SIDE
from opened_files import best, opened
from paretodet.config import CandidateConfig
from paretodet.errors import InputError
from paretodet.inspecting import inspect
from paretodet.layouts.decode import decode, to_detections
from paretodet.layouts.files import from_data, read_layout, to_data
from paretodet.layouts.layout import FileLayout

LAYOUTS = Path(__file__).parents[2] / "docs/layouts"
STRIDES = (8, 16, 32, 64, 128)
CLASSES = 3
HEADS = {  # of each: the layers of its maps with their channels, the strides, and whether classes are logits
    "RetinaNet": ({"retina_cls": 9 * CLASSES, "retina_reg": 36}, STRIDES),
    "FCOS": ({"conv_cls": CLASSES, "conv_reg": 4, "conv_centerness": 1}, STRIDES),
    "ATSS": ({"atss_cls": CLASSES, "atss_reg": 4, "atss_centerness": 1}, STRIDES),
    "GFL": ({"gfl_cls": CLASSES, "gfl_reg": 68}, STRIDES),
    "RTMDet": ({"rtm_cls.0": CLASSES, "rtm_reg.0": 4}, (8, 16, 32)),
    "YOLOX": (
        {"multi_level_conv_cls.0": CLASSES, "multi_level_conv_reg.0": 4, "multi_level_conv_obj.0": 1},
        (8, 16, 32),
    ),
    "CenterNet": ({"heatmap_head.2": CLASSES, "wh_head.2": 2, "offset_head.2": 2}, (4,)),
}
Maps = dict[str, np.ndarray]


def made(family: str, seed: int = 0) -> dict[str, list[np.ndarray]]:
    """The maps of every layer of a head, by stride: scores are low, codes are those of plausible boxes."""
    layers, strides = HEADS[family]
    random = np.random.default_rng(seed)
    found: dict[str, list[np.ndarray]] = {}
    for index, (layer, channels) in enumerate(layers.items()):
        for stride in strides:
            side = -(-SIDE // stride)
            codes = random.normal(0, 0.3, (1, channels, side, side)).astype(np.float32)
            codes = codes - 5 if index == 0 or layer.endswith(("obj.0",)) else codes
            codes = np.abs(codes) * 60 if family in ("FCOS", "RTMDet") and index == 1 else codes
            codes = np.abs(codes) * 20 if layer == "wh_head.2" else codes
            codes = 1 / (1 + np.exp(-codes)) if layer == "heatmap_head.2" else codes
            found.setdefault(layer, []).append(codes)
    return found


def by_name(maps: dict[str, list[np.ndarray]]) -> Maps:
    return {f"out_{layer}_{level}": part for layer, parts in maps.items() for level, part in enumerate(parts)}


def written(path: Path, maps: dict[str, list[np.ndarray]], *, named: bool = True, order: int = 1) -> Path:
    """A file whose maps come from layers of these names; with `named` False their weights have numbers."""
    tensors, nodes, infos = [], [helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=0)], []
    for number, (layer, parts) in enumerate(maps.items()):
        weights = f"bbox_head.{layer}.weight" if named else str(number)
        tensors.append(numpy_helper.from_array(np.zeros((parts[0].shape[1], 1, 1, 1), np.float32), weights))
        for level, part in enumerate(parts):
            name = f"out_{layer}_{level}" if named else f"cls_score_{number}_{level}"
            tensors.append(numpy_helper.from_array(np.zeros((1, 1, *part.shape[2:]), np.float32), f"{name}_blank"))
            tensors.append(numpy_helper.from_array(part, f"{name}_c"))
            nodes.append(helper.make_node("Mul", ["mean", f"{name}_blank"], [f"{name}_in"]))
            nodes.append(helper.make_node("Conv", [f"{name}_in", weights], [f"{name}_conv"]))
            last = f"{name}_conv"
            if layer == "heatmap_head.2":
                nodes.append(helper.make_node("Sigmoid", [last], [f"{name}_s"]))
                nodes.append(helper.make_node("Sub", [f"{name}_s", f"{name}_s"], [f"{name}_zero"]))
                last = f"{name}_zero"
            nodes.append(helper.make_node("Add", [last, f"{name}_c"], [name]))
            infos.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, part.shape))
    image = helper.make_tensor_value_info("images", TensorProto.FLOAT, (1, 3, SIDE, SIDE))
    graph = helper.make_graph(nodes, "head", [image], infos[::order], tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))


def reference(family: str, maps: dict[str, list[np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Boxes and scores of every row, one by one, as MMDetection's documentation defines the head."""
    rows = list(_rows(family, list(maps.values())))
    return np.array([box for box, _ in rows]), np.array([scores for _, scores in rows])


def _rows(family: str, maps: list[list[np.ndarray]]) -> Iterator[tuple[list[float], np.ndarray]]:
    for level, stride in enumerate(HEADS[family][1]):
        first, *rest = (parts[level][0] for parts in maps)
        for y, x in np.ndindex(first.shape[1:]):
            scores, codes = first[:, y, x], [part[:, y, x].astype(np.float64) for part in rest]
            if family == "RetinaNet":
                for index, (ratio, octave) in enumerate(np.ndindex(3, 3)):
                    side, slim = 4 * stride * 2 ** (octave / 3), np.sqrt((0.5, 1, 2)[ratio])
                    code = codes[0][4 * index : 4 * index + 4]
                    box = delta(x * stride, y * stride, side / slim, side * slim, code)
                    yield box, sigmoid(scores[CLASSES * index : CLASSES * (index + 1)])
            elif family == "ATSS":
                code = codes[0] * [0.1, 0.1, 0.2, 0.2]
                box = delta(x * stride, y * stride, 8 * stride, 8 * stride, code)
                yield box, sigmoid(scores) * sigmoid(codes[1])
            elif family == "FCOS":
                yield sides((x + 0.5) * stride, (y + 0.5) * stride, codes[0]), sigmoid(scores) * sigmoid(codes[1])
            elif family == "RTMDet":
                yield sides(x * stride, y * stride, codes[0]), sigmoid(scores)
            elif family == "GFL":
                bins = np.exp(codes[0].reshape(4, 17))
                distances = (bins / bins.sum(axis=1, keepdims=True)) @ np.arange(17) * stride
                yield sides(x * stride, y * stride, distances), sigmoid(scores)
            elif family == "YOLOX":
                center = (codes[0][0] + x) * stride, (codes[0][1] + y) * stride
                yield around(*center, *np.exp(codes[0][2:]) * stride), sigmoid(scores) * sigmoid(codes[1])
            else:
                width, height = codes[0] * stride
                near = first[:, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].max(axis=(1, 2))
                peaks = np.where(scores == near, scores, 0)
                yield around((x + codes[1][0]) * stride, (y + codes[1][1]) * stride, width, height), peaks


def delta(x: float, y: float, width: float, height: float, code: np.ndarray) -> list[float]:
    return around(x + code[0] * width, y + code[1] * height, width * np.exp(code[2]), height * np.exp(code[3]))


def around(x: float, y: float, width: float, height: float) -> list[float]:
    return [x - width / 2, y - height / 2, x + width / 2, y + height / 2]


def sides(x: float, y: float, distances: np.ndarray) -> list[float]:
    left, top, right, bottom = distances
    return [x - left, y - top, x + right, y + bottom]


def layout_of(path: Path) -> FileLayout:
    """The layout that `inspect` writes for a file, which is refused as its scaling of pixels is unknown."""
    with pytest.raises(InputError, match="pixels-unknown"):
        opened(path)
    return inspect(CandidateConfig(name=str(path))).layout


@pytest.mark.parametrize("family", HEADS)
def test_every_row_is_as_the_documentation_defines_it(family: str, tmp_path: Path) -> None:
    maps = made(family)
    layout = layout_of(written(tmp_path / "raw.onnx", maps, order=-1))
    assert layout.family == f"{family} of MMDetection" and from_data(to_data(layout)) == layout
    outputs = {name: torch.from_numpy(part) for name, part in by_name(maps).items()}
    found = decode(outputs, layout.outputs, (SIDE, SIDE))
    boxes, scores = reference(family, maps)
    np.testing.assert_allclose(found.boxes[0].numpy(), boxes, atol=2e-3)
    np.testing.assert_allclose(found.scores[0].numpy(), scores, atol=1e-6)


@pytest.mark.parametrize(("family", "row", "column"), [("FCOS", 7, 5), ("RTMDet", 7, 5)])
def test_an_object_is_found_with_the_layout_that_inspect_writes(
    family: str, row: int, column: int, tmp_path: Path
) -> None:
    maps = made(family)
    classes, boxes, *objectness = maps.values()
    center = (column + 0.5 * (family == "FCOS")) * 16, (row + 0.5 * (family == "FCOS")) * 16
    classes[1][0, 2, row, column] = 4
    boxes[1][0, :, row, column] = [center[0] - 60, center[1] - 90, 120 - center[0], 150 - center[1]]
    for part in objectness:
        part[1][0, 0, row, column] = 4
    path = written(tmp_path / "raw.onnx", maps)
    box, score, label = best(opened(path, layout=layout_of(path)))
    assert (box, label) == (ANSWER, 2) and score == pytest.approx(sigmoid(np.array(4.0)) ** (1 + len(objectness)))


def test_centernet_keeps_peaks_alone(tmp_path: Path) -> None:
    maps = made("CenterNet")
    heat, size, _ = maps.values()
    heat[0][0, 1, 20:23, 30:33] = 0.5
    heat[0][0, 1, 21, 31] = 0.9
    size[0][:, :, 21, 31] = [[10, 5]]
    layout = layout_of(written(tmp_path / "raw.onnx", maps))
    outputs = {name: torch.from_numpy(part) for name, part in by_name(maps).items()}
    found = to_detections(outputs, layout.outputs, (SIDE, SIDE))
    assert found.scores[0, 0] == pytest.approx(0.9) and found.scores[0, 1] < 0.2 and found.labels[0, 0] == 1
    x1, y1, x2, y2 = found.boxes[0, 0].tolist()
    assert (x2 - x1, y2 - y1) == pytest.approx((40, 20), abs=1e-3)


def test_maps_whose_layers_have_no_names_are_refused_with_a_layout_to_start_from(tmp_path: Path) -> None:
    maps = made("RetinaNet")
    path = written(tmp_path / "bare.onnx", maps, named=False)
    with pytest.raises(InputError, match=r"which head and anchors.*mmdet_retinanet\.toml.*onnx-layout"):
        opened(path)
    layout = read_layout(LAYOUTS / "mmdet_retinanet.toml")
    names = [f"cls_score_{number}_{level}" for number in range(2) for level in range(5)]
    columns = [
        {"name": name, "columns": each["columns"]} for name, each in zip(names, to_data(layout)["outputs"], strict=True)
    ]
    given = from_data(to_data(layout) | {"outputs": columns})
    found = decode(
        {name: torch.from_numpy(part) for name, part in zip(names, by_name(maps).values(), strict=True)},
        given.outputs,
        (SIDE, SIDE),
    )
    np.testing.assert_allclose(found.boxes[0].numpy(), reference("RetinaNet", maps)[0], atol=2e-3)


@pytest.mark.parametrize("family", ["RetinaNet", "FCOS", "CenterNet"])
def test_the_worked_layouts_are_what_inspect_writes(family: str, tmp_path: Path) -> None:
    given = read_layout(LAYOUTS / f"mmdet_{family.lower()}.toml")
    found = layout_of(written(tmp_path / "raw.onnx", made(family)))
    pairs = zip(found.outputs.columns, given.outputs.columns, strict=True)
    columns = tuple((name, words) for (name, _), (_, words) in pairs)
    assert replace(given.outputs, columns=columns) == found.outputs and given.family == found.family


@pytest.mark.parametrize("change", ["channels", "stride", "missing"])
def test_maps_that_are_no_pyramid_are_no_head(change: str, tmp_path: Path) -> None:
    maps = made("FCOS")
    if change == "channels":
        maps["conv_reg"] = [np.zeros((1, 8, *part.shape[2:]), np.float32) for part in maps["conv_reg"]]
    elif change == "stride":
        maps["conv_reg"][0] = np.zeros((1, 4, 23, 23), np.float32)
    else:
        maps.pop("conv_centerness")
    with pytest.raises(InputError, match="onnx-layout"):
        opened(written(tmp_path / "odd.onnx", maps))
