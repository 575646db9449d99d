#!/usr/bin/env bash
# Expect:   the maximum of minus infinities is minus infinity, as in ONNX's reference and in ONNX Runtime.
# Happens:  OpenVINO's ReduceMax returns the lowest finite float32 for them. A test `> -inf` behind it is true, so that
#           slots that a detector marks as empty by minus infinity hold boxes that it had suppressed.
# Versions: onnx 1.23.2, onnxruntime 1.31.1, openvino 2026.4.1
# Seen:     2026-11-29
set -euo pipefail
packages="onnx==1.23.2 onnxruntime==1.31.1 openvino==2026.4.1 numpy==2.4.6"
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
import openvino
from onnx import TensorProto, helper

SCORES = np.array([[[0.5, -np.inf], [-np.inf, -np.inf]]], dtype=np.float32)
EXACT = [0.5, -np.inf]

made = helper.make_model(
    helper.make_graph(
        [helper.make_node("ReduceMax", ["scores", "axis"], ["best"], keepdims=0)],
        "maximum",
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, SCORES.shape)],
        [helper.make_tensor_value_info("best", TensorProto.FLOAT, [1, 2])],
        [helper.make_tensor("axis", TensorProto.INT64, [1], [1])],
    ),
    opset_imports=[helper.make_opsetid("", 20)],
    ir_version=9,
)
onnx.checker.check_model(made, full_check=True)
core = openvino.Core()
model = core.read_model(made.SerializeToString())
compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
found = {
    "reference": onnx.reference.ReferenceEvaluator(made).run(None, {"scores": SCORES})[0][0].tolist(),
    "onnxruntime": session.run(None, {"scores": SCORES})[0][0].tolist(),
    "openvino": compiled(SCORES)[0][0].tolist(),
}
print("versions:", {each.__name__: each.__version__ for each in (onnx, onnxruntime, openvino)})
for name, values in found.items():
    print(f"maxima over the rows of {SCORES[0].tolist()}, {name}:", values)
lowest = [0.5, float(np.finfo(np.float32).min)]
sys.exit(0 if found == {"reference": EXACT, "onnxruntime": EXACT, "openvino": lowest} else 10)
PY
case $status in 0) exit 0 ;; 10) exit 1 ;; *) exit 2 ;; esac # an exception is no answer
