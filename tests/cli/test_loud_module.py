"""Modules of users that print or exit while a command runs them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def loud(tmp_path: Path) -> str:
    """A candidate that prints in every call; `leave` exits instead of making one."""
    (tmp_path / "loud_guest.py").write_text(
        "import sys, torch\n"
        "from paretodet.transforms.resize_policy import Stretch\n"
        "from paretodet.sources.function import FunctionAdapter\n"
        "print('imported')\n"
        "def find(batch):\n"
        "    print('detecting')\n"
        "    n = len(batch.pixels)\n"
        "    return torch.tensor([[[0., 0., 16., 32.]]]).expand(n, 1, 4), torch.full((n, 1), 0.5), torch.zeros(n, 1)\n"
        "def make():\n"
        "    return FunctionAdapter('loud', find, fit=Stretch(height=32, width=32))\n"
        "def leave():\n"
        "    sys.exit(0)\n"
        "def breaks():\n"
        "    return FunctionAdapter('leaves', lambda batch: sys.exit(0), fit=Stretch(height=32, width=32))\n"
    )
    (tmp_path / "exiting_guest.py").write_text("raise SystemExit(0)\n")
    return "loud_guest"


def test_what_a_candidate_prints_is_not_in_the_json(run: Run, loud: str) -> None:
    code, out, err = run("doctor", f"{loud}:make", "--trust", "--json")
    assert code == 0 and len(json.loads(out)) > 5 and "detecting" in err


@pytest.mark.parametrize("name", ["loud_guest:leave", "exiting_guest:make"])
def test_a_module_that_exits_is_not_without_faults(run: Run, loud: str, name: str) -> None:
    code, out, err = run("doctor", name, "--trust")
    assert code == 2 and out == "" and err.strip().endswith("[module-failed]")


def test_a_candidate_that_exits_breaks_a_rule(run: Run, loud: str) -> None:
    code, out, _ = run("doctor", f"{loud}:breaks", "--trust")
    assert code == 1 and "infer raised SystemExit" in out
