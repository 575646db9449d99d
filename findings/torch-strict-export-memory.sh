#!/usr/bin/env bash
# Expect:   nothing is left of an export by torch.export once its program is deleted.
# Happens:  with strict=True everything that Dynamo captured is left, some 5,000 objects for 30 layers: the globals of
#           torch._dynamo.functional_export refer to it, and torch._dynamo.reset() does not clear them. A process that
#           exports many detectors grows by gigabytes. With strict=False nothing is left.
# Versions: torch 2.13.0
# Seen:     2026-11-30
set -euo pipefail
packages="torch==2.13.0 numpy==2.4.6"
[ -z "${FINDINGS_NEWEST-}" ] || packages=$(sed 's/==[^ ]*//g' <<<"$packages")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
# shellcheck disable=SC2086 # a list of packages
{ python3 -m venv venv && venv/bin/pip install --quiet --disable-pip-version-check $packages; } || exit 2
status=0
venv/bin/python - <<'PY' || status=$?
import gc
import sys
from importlib.metadata import version

import torch

LAYERS, EXPORTS = 30, 4


def left(strict):
    """How many objects an export leaves, of those after the first."""
    counts = []
    for _ in range(EXPORTS):
        network = torch.nn.Sequential(*[torch.nn.Conv2d(3, 3, 3) for _ in range(LAYERS)])
        torch.export.export(network, (torch.zeros(1, 3, 96, 96),), strict=strict)
        del network
        torch._dynamo.reset()
        gc.collect()
        counts.append(len(gc.get_objects()))
    return (counts[-1] - counts[0]) // (EXPORTS - 1)


print("versions:", {"torch": version("torch")})
loose, strict = left(False), left(True)
print(f"objects left by an export of {LAYERS} layers: strict=False {loose}, strict=True {strict}")
sys.exit(0 if loose < LAYERS and strict > 10 * LAYERS else 10)
PY
case $status in 0) exit 0 ;; 10) exit 1 ;; *) exit 2 ;; esac # an exception is no answer
