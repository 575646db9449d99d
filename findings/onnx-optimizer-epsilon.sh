#!/usr/bin/env bash
# Expect:   an optimizer of ONNX files removes `x + 0`, and keeps `x + 1e-10`, the epsilon under a root.
# Happens:  the optimizer of ONNX Script, which PyTorch's exporter runs, takes every constant below 1e-8 for 0 and removes
#           the addition. A normalization of channels, x / sqrt(sum(x^2) + 1e-10) as in SSD's conv4_3, then divides 0 by 0
#           where all channels are 0: the optimized file gives NaN, the original 0.
# Versions: onnx 1.23.2, onnxscript 0.7.2, onnxruntime 1.32.0
# Seen:     2026-11-29
set -euo pipefail
packages="onnx==1.23.2 onnxscript==0.7.2 onnxruntime==1.32.0 numpy==2.4.6"
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
import onnxruntime
import onnxscript.optimizer
from onnx import TensorProto, helper

SHAPE = [1, 2, 1, 2]  # two channels at two positions, the second of them all zero
MAP = np.array([[[[3, 0]], [[4, 0]]]], np.float32)


def model(epsilon):
    nodes = [
        helper.make_node("Mul", ["map", "map"], ["squares"]),
        helper.make_node("ReduceSum", ["squares", "axes"], ["sum"], keepdims=1),
        helper.make_node("Add", ["sum", "epsilon"], ["safe"]),
        helper.make_node("Sqrt", ["safe"], ["length"]),
        helper.make_node("Div", ["map", "length"], ["normalized"]),
    ]
    graph = helper.make_graph(
        nodes,
        "normalization",
        [helper.make_tensor_value_info("map", TensorProto.FLOAT, SHAPE)],
        [helper.make_tensor_value_info("normalized", TensorProto.FLOAT, SHAPE)],
        [
            helper.make_tensor("axes", TensorProto.INT64, [1], [1]),
            helper.make_tensor("epsilon", TensorProto.FLOAT, [], [epsilon]),
        ],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(made, full_check=True)
    return made


def normalized(made):
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"map": MAP})[0][0, :, 0].T.tolist()


print("versions:", {each.__name__: each.__version__ for each in (onnx, onnxscript, onnxruntime)})
found = {}
for epsilon in (1e-10, 1e-7):
    original = model(epsilon)
    optimized = onnxscript.optimizer.optimize(original)
    found[epsilon] = normalized(original), normalized(optimized)
    print(f"epsilon {epsilon:g}, operators:", [node.op_type for node in optimized.graph.node])
    print(f"epsilon {epsilon:g}, original and optimized:", *found[epsilon])
lost = {epsilon: bool(np.isnan(optimized).any()) for epsilon, (_, optimized) in found.items()}
sys.exit(0 if lost == {1e-10: True, 1e-7: False} and not np.isnan([each for each, _ in found.values()]).any() else 10)
PY
case $status in 0) exit 0 ;; 10) exit 1 ;; *) exit 2 ;; esac # an exception is no answer
