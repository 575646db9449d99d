#!/usr/bin/env bash
# Expect:   ONNX's Resize with keep_aspect_ratio_policy "not_larger" keeps the shape of objects: 9 by 7 in 6 by 6 is 6 by 5, and
#           a runtime that does not know the attribute refuses the file.
# Happens:  OpenVINO ignores it and returns 6 by 6, whatever the file declares for its output. "not_smaller" likewise.
#           Objects are stretched, and a decoder's boxes with them.
# Versions: onnx 1.23.2, onnxruntime 1.32.0, openvino 2026.4.1
# Seen:     2026-12-01
set -euo pipefail
packages="onnx==1.23.2 onnxruntime==1.32.0 openvino==2026.4.1 numpy==2.4.6"
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
import onnx.reference
import onnxruntime
import openvino
from onnx import TensorProto, helper

IMAGE = np.linspace(0, 1, 63, dtype=np.float32).reshape(1, 1, 9, 7)
DECLARED = {"stretch": [6, 6], "not_larger": [6, 5], "not_smaller": [8, 6]}


def made(policy):
    resize = helper.make_node(
        "Resize", ["image", "", "", "sizes"], ["out"], mode="linear", axes=[2, 3], keep_aspect_ratio_policy=policy
    )
    graph = helper.make_graph(
        [resize],
        "resize",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, list(IMAGE.shape))],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 1, *DECLARED[policy]])],
        [helper.make_tensor("sizes", TensorProto.INT64, [2], [6, 6])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return model


def shapes(model):
    content = model.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    core = openvino.Core()
    found = {
        "reference": onnx.reference.ReferenceEvaluator(model).run(None, {"image": IMAGE})[0],
        "onnxruntime": session.run(None, {"image": IMAGE})[0],
        "openvino": core.compile_model(core.read_model(content), "CPU")(IMAGE)[0],
    }
    return {name: list(each.shape[2:]) for name, each in found.items()}


print("versions:", {name: version(name) for name in ("onnx", "onnxruntime", "openvino")})
seen = {policy: shapes(made(policy)) for policy in DECLARED}
for policy, found in seen.items():
    print(f"9 by 7 in 6 by 6, {policy}, declared as {DECLARED[policy]}:", found)
others = all(seen[policy][name] == DECLARED[policy] for policy in DECLARED for name in ("reference", "onnxruntime"))
sys.exit(0 if others and all(found["openvino"] == [6, 6] for found in seen.values()) else 10)
PY
case $status in 0) exit 0 ;; 10) exit 1 ;; *) exit 2 ;; esac # an exception is no answer
