#!/usr/bin/env bash
# Expect:   XNNPACKQuantizer annotates nothing where its filter function refuses every node.
# Happens:  it annotates `cat`, without asking the filter: values that join there are rounded to 8 bits. In a detector
#           these are the boxes and scores of all levels, which were meant to stay in float.
# Versions: executorch 1.5.1, torch 2.13.0, torchao 0.18.0
# Seen:     2026-11-29
set -euo pipefail
packages="executorch==1.5.1 torch==2.13.0 torchao==0.18.0"
[ -z "${FINDINGS_NEWEST-}" ] || packages=$(sed 's/==[^ ]*//g' <<<"$packages")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
# shellcheck disable=SC2086 # a list of packages
{ python3 -m venv venv && venv/bin/pip install --quiet --disable-pip-version-check $packages; } || exit 2
status=0
venv/bin/python - <<'PY' || status=$?
import sys
from importlib.metadata import version

import torch
from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
    XNNPACKQuantizer,
    get_symmetric_quantization_config,
)
from torch import nn
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e


class Levels(nn.Module):
    """Two heads of a detector, joined."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 2, 1), nn.Conv2d(3, 2, 1)

    def forward(self, image):
        return torch.cat([self.first(image) * 8, self.second(image).exp()], 1)


def rounded(accepts):
    """The operators that read rounded values, after quantization with a filter."""
    image = torch.linspace(-1, 1, 192).view(1, 3, 8, 8)
    graph = torch.export.export(Levels().eval(), (image,), strict=True).module()
    quantizer = XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))
    prepared = prepare_pt2e(graph, quantizer.set_filter_function(accepts))
    prepared(image)
    nodes = [node for node in convert_pt2e(prepared).graph.nodes if node.op == "call_function"]
    readers = [node for node in nodes if any("dequantize" in str(each.target) for each in node.all_input_nodes)]
    return sorted({str(node.target).split(".")[1] for node in readers if "quantize" not in str(node.target)})


print("versions:", {name: version(name) for name in ("executorch", "torch", "torchao")})
every, nothing = rounded(lambda node: True), rounded(lambda node: False)
print("operators of rounded values if the filter accepts every node:", every)
print("operators of rounded values if it refuses every node:", nothing)
sys.exit(0 if "conv2d" in every and nothing == ["cat"] else 10)
PY
case $status in 0) exit 0 ;; 10) exit 1 ;; *) exit 2 ;; esac # an exception is no answer
