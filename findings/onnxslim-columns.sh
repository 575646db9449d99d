#!/usr/bin/env bash
# Expect:   OnnxSlim folds a product behind a convolution into its weights only if the factors belong to channels.
# Happens:  it asks only for as many factors as output channels. Factors for the columns of the map, whose number is the same,
#           are folded as if they were those of the channels, without a message: the output changes by two thirds of its
#           largest value. With as many factors as columns but fewer channels, it leaves the product as it is.
# Versions: onnx 1.23.2, onnxslim 0.1.98, onnxruntime 1.32.0
# Seen:     2026-12-01
set -euo pipefail
packages="onnx==1.23.2 onnxslim==0.1.98 onnxruntime==1.32.0 numpy==2.4.6"
[ -z "${FINDINGS_NEWEST-}" ] || packages=$(sed 's/==[^ ]*//g' <<<"$packages")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
# shellcheck disable=SC2086 # a list of packages
{ python3 -m venv venv && venv/bin/pip install --quiet --disable-pip-version-check $packages; } || exit 2
status=0
venv/bin/python -W ignore - <<'PY' || status=$?
import sys
from importlib.metadata import version

import numpy as np
import onnx
import onnxruntime
import onnxslim
from onnx import TensorProto, helper, numpy_helper

COLUMNS = 6
IMAGE = np.linspace(-1, 1, 2 * 8 * 8, dtype=np.float32).reshape(1, 2, 8, 8)


def made(channels):
    """A convolution to `channels` channels of 6 by 6, times one factor for each column."""
    weights = np.linspace(-1, 1, channels * 2 * 3 * 3, dtype=np.float32).reshape(channels, 2, 3, 3)
    factors = np.arange(1, COLUMNS + 1, dtype=np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["image", "weights"], ["map"]), helper.make_node("Mul", ["map", "factors"], ["out"])],
        "product",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, list(IMAGE.shape))],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, channels, 6, COLUMNS])],
        [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(factors, "factors")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return model


def run(model):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"image": IMAGE})[0]


def change(channels):
    before, after = run(made(channels)), run(onnxslim.slim(made(channels)))
    return float(np.abs(before - after).max() / np.abs(before).max())


print("versions:", {name: version(name) for name in ("onnx", "onnxslim", "onnxruntime")})
seen = {channels: change(channels) for channels in (COLUMNS - 1, COLUMNS)}
print(f"largest change, as a share of the largest value, by the number of channels, with {COLUMNS} columns:", seen)
sys.exit(0 if seen[COLUMNS - 1] < 1e-5 and seen[COLUMNS] > 0.1 else 10)
PY
case $status in 0) exit 0 ;; 10) exit 1 ;; *) exit 2 ;; esac # an exception is no answer
