"""Bundles without a detector, for tests of what is read and refused."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from paretodet.export.bundle import Counts, Manifest, entries, fit_to_json, write_manifest
from paretodet.export.proof import Proof, SizeRatio
from paretodet.transforms.resize_policy import Letterbox, ResizePolicy

ARTIFACT, WEIGHTS = "detector.onnx", "parts/weights.bin"
PROOF = Proof(
    verdict="passed",
    criterion="ap-ratio",
    reason="it holds",
    precision="int8",
    runtime="onnxruntime 1.0",
    images=3,
    source="three",
    images_sha256=None,
    detections=40,
    missing=1,
    extra=0,
    at_cutoff=2,
    max_box=1e-4,
    max_score=0.1,
    labels="labels.json",
    labels_sha256="2" * 64,
    boxes=600,
    ap=31.25,
    ratios={"all": SizeRatio(ratio=0.99, lower=0.98, upper=1.0)},
)


def manifest(folder: Path, **changed: Any) -> Manifest:
    fields: dict[str, Any] = {
        "name": "yolo_v3_tiny-96",
        "target": "onnx",
        "artifact": ARTIFACT,
        "files": changed.get("files") or entries(folder, (ARTIFACT, WEIGHTS)),
        "inputs": (),
        "outputs": (),
        "height": 96,
        "width": 128,
        "batch": 2,
        "fit": fit_to_json(Letterbox(height=96, width=128, sampling="opencv")),
        "labels": ("a", None, "naïve"),
        "score": 0.05,
        "nms": 0.45,
        "keep": 100,
        "proposals": None,
        "precision": "int8",
        "precision_layers": {"int8": 20, "fp32": 2},
        "weights": "1" * 64,
        "load": "data",
        "published": False,
        "counts": Counts(parameters=5, uncounted=("aten::roll",)),
        "spec": "{}",
        "versions": {"torch": "2"},
        "proof": PROOF,
    }
    return Manifest(**fields | changed)


CELL, KEEP = 8, 40  # px, boxes


def write_grid(folder: Path, fit: ResizePolicy, *, side: int = 96) -> None:
    """A bundle that detects the brightest cells of each color channel: its boxes depend on how an image is resized."""
    folder.mkdir()
    onnx.save(
        helper.make_model(_grid(side), opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / ARTIFACT
    )
    changed = {"files": entries(folder, (ARTIFACT,)), "height": side, "width": side, "batch": 1, "keep": KEEP}
    described = {"fit": fit_to_json(fit), "precision": "fp32", "precision_layers": None, "score": None}
    write_manifest(folder, manifest(folder, **changed | described, labels=("a", "b", "c")))


def _grid(side: int) -> onnx.GraphProto:
    cells = side // CELL
    top, left = np.indices((cells, cells), np.float32).reshape(2, -1) * CELL
    boxes = np.tile(np.stack([left, top, left + CELL, top + CELL], 1), (3, 1))
    constants = {
        "white": np.float32(255),
        "flat": np.array([1, -1], np.int64),
        "keep": np.array([KEEP], np.int64),
        "grid": boxes,
        "cells": np.array(cells**2, np.int64),
    }
    nodes = [
        helper.make_node("Cast", ["pixels"], ["values"], to=TensorProto.FLOAT),
        helper.make_node("AveragePool", ["values"], ["means"], kernel_shape=[CELL] * 2, strides=[CELL] * 2),
        helper.make_node("Div", ["means", "white"], ["shares"]),
        helper.make_node("Reshape", ["shares", "flat"], ["all"]),
        helper.make_node("TopK", ["all", "keep"], ["scores", "index"]),
        helper.make_node("Gather", ["grid", "index"], ["boxes"]),
        helper.make_node("Div", ["index", "cells"], ["labels"]),
    ]
    inputs = [("pixels", TensorProto.UINT8, [1, 3, side, side]), ("sizes", TensorProto.FLOAT, [1, 2])]
    outputs = [
        ("boxes", TensorProto.FLOAT, [1, KEEP, 4]),
        ("scores", TensorProto.FLOAT, [1, KEEP]),
        ("labels", TensorProto.INT64, [1, KEEP]),
    ]
    infos = [[helper.make_tensor_value_info(*each) for each in ports] for ports in (inputs, outputs)]
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    return helper.make_graph(nodes, "grid", *infos, tensors)
