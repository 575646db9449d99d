#!/usr/bin/env bash
# Expect:   a detector that AOTInductor compiled loads, whatever the threshold of its custom suppression operator is.
# Happens:  if a custom operator has an infinite float argument (minus infinity: keep every box), the package is written
#           without a complaint, and torch raises an error of its JSON reader when it is loaded: the argument is stored as
#           a string, and a number is read. A finite threshold, even -1e30, works.
# Versions: torch 2.13.0, with a C++ compiler on the PATH
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
TORCHINDUCTOR_CACHE_DIR=$folder/cache venv/bin/python - <<'PY' || status=$?
import math, sys, tempfile
from importlib.metadata import version
from pathlib import Path

import torch
from torch import nn


@torch.library.custom_op("boxes::above", mutates_args=())
def above(scores: torch.Tensor, threshold: float) -> torch.Tensor:
    return torch.where(scores > threshold, scores, torch.zeros_like(scores))


@above.register_fake
def _(scores, threshold):
    return torch.empty_like(scores)


class Selection(nn.Module):
    """Scores above a threshold; without one, all."""

    def __init__(self, threshold):
        super().__init__()
        self.threshold = threshold

    def forward(self, logits):
        return above(logits.sigmoid(), self.threshold)


def outcome(threshold):
    """Whether the compiled package loads and equals the module, or the first line of the error."""
    module, logits = Selection(threshold).eval(), torch.linspace(-3, 3, 8)
    with torch.no_grad(), tempfile.TemporaryDirectory() as folder:
        program = torch.export.export(module, (logits,))
        path = torch._inductor.aoti_compile_and_package(program, package_path=str(Path(folder) / "selection.pt2"))
        try:
            found = torch._inductor.aoti_load_package(path)(logits)
        except Exception as error:
            return (str(error).strip().splitlines() or [type(error).__name__])[0]
        return "equal" if torch.allclose(found, module(logits)) else "another result"


print("versions:", {"torch": version("torch")})
results = {threshold: outcome(threshold) for threshold in (0.5, -1e30, -math.inf)}
for threshold, found in results.items():
    print(f"threshold {threshold}: {found}")
works = results[0.5] == results[-1e30] == "equal"
sys.exit(0 if works and "type must be number" in results[-math.inf] else 10)
PY
case $status in 0) exit 0 ;; 10) exit 1 ;; *) exit 2 ;; esac # an exception elsewhere is no answer
