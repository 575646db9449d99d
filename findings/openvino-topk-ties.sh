#!/usr/bin/env bash
# Expect:   of equal numbers, ONNX's TopK returns those of the lowest indices, as its definition says, in every runtime.
# Happens:  OpenVINO returns any of them in any order: its importer leaves the attribute `stable` of its own TopK unset.
#           Of 4,000 numbers, half of them equal and largest, ONNX's reference implementation and ONNX Runtime take the
#           first ten, OpenVINO ten others. Set on the imported model, `stable` gives the first ten. Equal scores are
#           common in int8, in bf16 and where a sigmoid saturates; the boxes of an answer then differ.
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

COUNT = 10
SCORES = np.tile(np.array([0.5, 0.9, 0.1, 0.9], np.float32), 1000)[None]
FIRST = [*range(1, 2 * COUNT, 2)]

graph = helper.make_graph(
    [helper.make_node("TopK", ["scores", "count"], ["values", "indices"], axis=-1)],
    "top",
    [helper.make_tensor_value_info("scores", TensorProto.FLOAT, list(SCORES.shape))],
    [
        helper.make_tensor_value_info("values", TensorProto.FLOAT, [1, COUNT]),
        helper.make_tensor_value_info("indices", TensorProto.INT64, [1, COUNT]),
    ],
    [helper.make_tensor("count", TensorProto.INT64, [1], [COUNT])],
)
made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
onnx.checker.check_model(made, full_check=True)


def under_openvino(stable):
    core = openvino.Core()
    model = core.read_model(made.SerializeToString())
    if stable:
        for node in model.get_ops():
            if node.get_type_name() == "TopK":
                node.set_attribute("stable", True)
        model.validate_nodes_and_infer_types()
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return compiled(SCORES)[1][0].tolist()


session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
found = {
    "reference": onnx.reference.ReferenceEvaluator(made).run(None, {"scores": SCORES})[1][0].tolist(),
    "onnxruntime": session.run(None, {"scores": SCORES})[1][0].tolist(),
    "openvino": under_openvino(stable=False),
    "openvino, stable": under_openvino(stable=True),
}
print("versions:", {each.__name__: each.__version__ for each in (onnx, onnxruntime, openvino)})
for name, indices in found.items():
    print(f"indices of the largest {COUNT} of {SCORES.size} numbers, {name}:", indices)
same = {name for name, indices in found.items() if indices == FIRST}
sys.exit(0 if same == {"reference", "onnxruntime", "openvino, stable"} else 10)
PY
case $status in 0) exit 0 ;; 10) exit 1 ;; *) exit 2 ;; esac # an exception is no answer
