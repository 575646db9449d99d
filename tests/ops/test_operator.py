"""Operators of ours load nothing when they are first called, so that a first detection is not late."""

import subprocess
import sys

CODE = """
import sys, torch
from paretodet.ops.nms import nms
from paretodet.ops.roi import roi_pool
assert nms(torch.rand(1, 8, 4), torch.rand(1, 8), overlap=0.5, keep=3).shape == (1, 3)
assert roi_pool(torch.rand(1, 2, 4, 4), torch.rand(1, 3, 4), stride=1).shape == (1, 3, 2, 7, 7)
sys.exit(f"imported {loaded}" if (loaded := sys.modules.keys() & {"torch._dynamo", "torch._inductor"}) else 0)
"""


def test_the_first_call_does_not_import_the_compiler():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
