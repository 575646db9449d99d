#!/usr/bin/env bash
# Expect:   RoiAlign with mode "max" gives the largest of the bilinear samples in a bin.
# Happens:  ONNX Runtime and ONNX's reference implementation take the largest of the weighted corners instead: each of the
#           four neighbors of a sample times its weight, without adding them up. On a constant map of 1 the result is
#           below 1. ONNX Runtime warns of it when it loads the file, as something that release 1.13 would change.
# Versions: onnx 1.23.2, onnxruntime 1.32.0
# Seen:     2026-11-29
set -euo pipefail
packages="onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6"
[ -z "${FINDINGS_NEWEST-}" ] || packages=$(sed 's/==[^ ]*//g' <<<"$packages")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
# shellcheck disable=SC2086 # a list of packages
{ python3 -m venv venv && venv/bin/pip install --quiet --disable-pip-version-check $packages; } || exit 2
status=0
venv/bin/python - <<'PY' || status=$?
import sys

import numpy as np
import onnx
import onnx.reference
import onnxruntime
from onnx import TensorProto, helper

SAMPLES = 2  # a side of the bin
BOX = np.array([[0, 0, 3, 3]], np.float32)
MAPS = {"ones": np.ones((4, 4), np.float32), "0 to 15": np.arange(16, dtype=np.float32).reshape(4, 4)}


def model(mode):
    node = helper.make_node(
        "RoiAlign", ["map", "boxes", "images"], ["crop"], mode=mode, output_height=1, output_width=1,
        sampling_ratio=SAMPLES, spatial_scale=1.0, coordinate_transformation_mode="half_pixel",
    )
    graph = helper.make_graph(
        [node],
        "crop",
        [
            helper.make_tensor_value_info("map", TensorProto.FLOAT, [1, 1, 4, 4]),
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [1, 4]),
            helper.make_tensor_value_info("images", TensorProto.INT64, [1]),
        ],
        [helper.make_tensor_value_info("crop", TensorProto.FLOAT, [1, 1, 1, 1])],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 16)], ir_version=8)
    onnx.checker.check_model(made, full_check=True)
    return made


def samples(values):
    """The bilinear samples of the one bin, by the definition."""
    places = -0.5 + (np.arange(SAMPLES) + 0.5) * 3 / SAMPLES  # half_pixel moves the box by half a pixel
    low = np.floor(places).astype(int)
    share = places - low
    weights = np.zeros((SAMPLES, 4))
    weights[np.arange(SAMPLES), low] = 1 - share
    weights[np.arange(SAMPLES), low + 1] = share
    return weights @ values @ weights.T


def crops(mode, values):
    made = model(mode)
    feed = {"map": values[None, None], "boxes": BOX, "images": np.zeros(1, np.int64)}
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    return {
        "definition": float({"max": np.max, "avg": np.mean}[mode](samples(values))),
        "onnxruntime": float(session.run(None, feed)[0].item()),
        "reference": float(onnx.reference.ReferenceEvaluator(made).run(None, feed)[0].item()),
    }


print("versions:", {each.__name__: each.__version__ for each in (onnx, onnxruntime)})
found = {(mode, name): crops(mode, values) for mode in ("avg", "max") for name, values in MAPS.items()}
for (mode, name), values in found.items():
    print(f"mode {mode}, map of {name}:", values)
expected = {("avg", "ones"): (1, 1, 1), ("avg", "0 to 15"): (5, 5, 5), ("max", "ones"): (1, 0.5625, 0.5625),
            ("max", "0 to 15"): (8.75, 5.625, 5.625)}  # fmt: skip
sys.exit(0 if {key: tuple(values.values()) for key, values in found.items()} == expected else 10)
PY
case $status in 0) exit 0 ;; 10) exit 1 ;; *) exit 2 ;; esac # an exception is no answer
