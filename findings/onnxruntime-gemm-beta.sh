#!/usr/bin/env bash
# Expect:   ONNX Runtime's quantize_static of a Gemm whose beta is not 1 gives the numbers of before, up to a rounding.
# Happens:  with beta 0.5 or 2 the bias counts once in the quantized file, as if there were no beta. Once the file is optimized,
#           as a session does by default, beta divides the bias: 2 in place of 0.5, and 0.5 in place of 2.
# Versions: onnx 1.23.2, onnxruntime 1.32.0
# Seen:     2026-12-01
set -euo pipefail
packages="onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6"
[ -z "${FINDINGS_NEWEST-}" ] || packages=$(sed 's/==[^ ]*//g' <<<"$packages")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
# shellcheck disable=SC2086 # a list of packages
{ python3 -m venv venv && venv/bin/pip install --quiet --disable-pip-version-check $packages; } || exit 2
status=0
venv/bin/python -W ignore - <<'PY' || status=$?
import logging
import sys
from importlib.metadata import version

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, quantize_static

logging.disable(logging.WARNING)  # a suggestion to optimize the file first
INPUTS = np.concatenate([np.zeros((1, 8)), np.linspace(-6, 6, 504).reshape(63, 8)]).astype(np.float32)
WEIGHTS = np.linspace(-1, 1, 32, dtype=np.float32).reshape(8, 4)
BIAS = np.array([3, -2, 1, 2], np.float32)
EXPECTED = {1.0: (1, 1, 1), 0.5: (0.5, 1, 2), 2.0: (2, 1, 0.5)}


class Samples(CalibrationDataReader):
    def __init__(self):
        self.rest = iter([{"features": INPUTS}])

    def get_next(self):
        return next(self.rest, None)


def made(beta):
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["features", "weights", "bias"], ["out"], beta=beta)],
        "layer",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, list(INPUTS.shape))],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [64, 4])],
        [numpy_helper.from_array(WEIGHTS, "weights"), numpy_helper.from_array(BIAS, "bias")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return model


def factor(model, level):
    """What the bias is multiplied by: the first of the inputs is 0."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = level
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return round(float(np.mean(session.run(None, {"features": INPUTS})[0][0] / BIAS)), 2)


def factors(beta):
    """Before, and after quantizing: as the file says, and optimized."""
    model = made(beta)
    quantize_static(model, "quantized.onnx", Samples())
    plain, full = (getattr(onnxruntime.GraphOptimizationLevel, f"ORT_{name}_ALL") for name in ("DISABLE", "ENABLE"))
    quantized = onnx.load("quantized.onnx")
    return factor(model, plain), factor(quantized, plain), factor(quantized, full)


print("versions:", {name: version(name) for name in ("onnx", "onnxruntime")})
seen = {beta: factors(beta) for beta in EXPECTED}
for beta, found in seen.items():
    print(f"factor of the bias with beta {beta}, in float, quantized, quantized and optimized:", found)
sys.exit(0 if all(np.allclose(seen[beta], EXPECTED[beta], atol=0.1) for beta in EXPECTED) else 10)
PY
case $status in 0) exit 0 ;; 10) exit 1 ;; *) exit 2 ;; esac # an exception is no answer
