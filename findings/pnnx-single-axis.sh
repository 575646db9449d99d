#!/usr/bin/env bash
# Expect:   pnnx converts a sum over channels in an ONNX file to a sum over channels in ncnn, whether the axis is an
#           attribute (opset 11) or an input (opset 13 and later).
# Happens:  a list of one axis that is an input is lost. The converted layer has an empty list of axes and returns its
#           input as it is, three channels in place of one; a list of two axes is kept. Nothing is reported. An SSD whose
#           conv4_3 is normalized by the sum over channels predicts something else.
# Versions: onnx 1.23.2, onnxruntime 1.32.0, ncnn 1.0.20261020, pnnx 20261020
# Seen:     2026-11-29
set -euo pipefail
packages="onnx==1.23.2 onnxruntime==1.32.0 ncnn==1.0.20261020 numpy==2.4.6"
converter="pnnx==20261020" # without torch, which its Python functions need and its program does not
if [ -n "${FINDINGS_NEWEST-}" ]; then
    packages=$(sed 's/==[^ ]*//g' <<<"$packages")
    converter=pnnx
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
# shellcheck disable=SC2086 # a list of packages
{ python3 -m venv venv && venv/bin/pip install --quiet --disable-pip-version-check $packages &&
    venv/bin/pip install --quiet --disable-pip-version-check --no-deps "$converter"; } || exit 2
status=0
venv/bin/python - <<'PY' || status=$?
import importlib.metadata
import importlib.util
import pathlib
import subprocess
import sys

import ncnn
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

MAP = np.arange(12, dtype=np.float32).reshape(1, 3, 2, 2)
PROGRAM = pathlib.Path(importlib.util.find_spec("pnnx").submodule_search_locations[0]) / "pnnx"


def model(axes, opset):
    """A convolution that changes nothing, and the sum over axes."""
    as_input = opset >= 13
    given = helper.make_tensor("axes", TensorProto.INT64, [len(axes)], axes)
    weights = helper.make_tensor("weights", TensorProto.FLOAT, [3, 3, 1, 1], np.eye(3, dtype=np.float32).ravel())
    attributes = {} if as_input else {"axes": axes}
    nodes = [
        helper.make_node("Conv", ["map", "weights"], ["same"], kernel_shape=[1, 1]),
        helper.make_node("ReduceSum", ["same", "axes"][: 1 + as_input], ["sum"], keepdims=1, **attributes),
    ]
    shape = [1 if axis in axes else size for axis, size in enumerate(MAP.shape)]
    graph = helper.make_graph(
        nodes,
        "sum",
        [helper.make_tensor_value_info("map", TensorProto.FLOAT, MAP.shape)],
        [helper.make_tensor_value_info("sum", TensorProto.FLOAT, shape)],
        [weights, given] if as_input else [weights],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(made, full_check=True)
    return made


def sums(axes, opset):
    made = model(axes, opset)
    onnx.save(made, "model.onnx")
    subprocess.run([PROGRAM, "model.onnx", "inputshape=[1,3,2,2]", "fp16=0"], check=True, capture_output=True)
    net = ncnn.Net()
    net.load_param("model.ncnn.param")
    net.load_model("model.ncnn.bin")
    image = MAP[0].copy()
    extractor = net.create_extractor()
    extractor.input("in0", ncnn.Mat(image))
    converted = np.array(extractor.extract("out0")[1])
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    return {"onnxruntime": session.run(None, {"map": MAP})[0][0].ravel().tolist(), "ncnn": converted.ravel().tolist()}


print("versions:", {name: importlib.metadata.version(name) for name in ("onnx", "onnxruntime", "ncnn", "pnnx")})
cases = [([1], 11), ([1], 18), ([2, 3], 11), ([2, 3], 18)]
found = [sums(*case) for case in cases]
for (axes, opset), values in zip(cases, found):
    print(f"axes {axes}, opset {opset}:", values)
lost = found[1]["ncnn"] == MAP.ravel().tolist()
kept = all(each["onnxruntime"] == each["ncnn"] for each in (found[0], found[2], found[3]))
sys.exit(0 if lost and kept else 10)
PY
case $status in 0) exit 0 ;; 10) exit 1 ;; *) exit 2 ;; esac # an exception is no answer
