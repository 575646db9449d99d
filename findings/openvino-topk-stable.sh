#!/usr/bin/env bash
# Expect:   TopK takes about the same time with the attribute `stable` as without: a sort by value and place.
# Happens:  with it, OpenVINO compares every number with all that are kept: the time grows with n times k. For the 400
#           best of 8,732 scores in each of 20 classes (an SSD300) it takes tens of times as long.
# Versions: openvino 2026.4.1
# Seen:     2026-11-29
set -euo pipefail
packages="openvino==2026.4.1 numpy==2.4.6"
[ -z "${FINDINGS_NEWEST-}" ] || packages=$(sed 's/==[^ ]*//g' <<<"$packages")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
# shellcheck disable=SC2086 # a list of packages
{ python3 -m venv venv && venv/bin/pip install --quiet --disable-pip-version-check $packages; } || exit 2
status=0
venv/bin/python - <<'PY' || status=$?
import sys
import time

import numpy as np
import openvino
from openvino import opset11

random = np.random.default_rng(0)
scores = random.permuted(np.tile(np.arange(8732, dtype=np.float32), (20, 1)), axis=1)  # none are equal


def best(count, stable):
    """The places of the best, and the least CPU time of five calls."""
    parameter = opset11.parameter(scores.shape, np.float32)
    top = opset11.topk(parameter, np.int64(count), 1, "max", "value", "i32", stable=stable)
    settings = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(openvino.Model([top.output(1)], [parameter]), "CPU", settings)
    request, times = compiled.create_infer_request(), []
    for _ in range(5):
        start = time.process_time()
        places = request.infer([scores])[0].copy()
        times.append(time.process_time() - start)
    return places, min(times)


(plain, quick), (ordered, slow) = best(400, False), best(400, True)
_, few = best(40, True)
print("versions:", {"openvino": openvino.__version__})
print("the same places:", bool((plain == ordered).all()))
print(f"400 of 8,732: {slow / quick:.0f} times as long with `stable`; with it, 40 of them take {few / slow:.2f} of that")
sys.exit(0 if (plain == ordered).all() and slow > 10 * quick and few < slow / 3 else 10)
PY
case $status in 0) exit 0 ;; 10) exit 1 ;; *) exit 2 ;; esac # an exception is no answer
