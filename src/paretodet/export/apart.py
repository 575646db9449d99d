"""Work that takes much memory, or changes its process, in a process of its own."""

import os
import pickle
import subprocess
import sys
from collections.abc import Callable

from paretodet.errors import InputError, words

_COMMAND = "import pickle, sys; pickle.load(sys.stdin.buffer)()"


def run_apart(call: Callable[[], object]) -> None:
    """Calls a picklable function in a new Python process.

    Raises InputError with the last line that the process wrote to its standard error if it fails.
    """
    variables = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", _COMMAND]
    done = subprocess.run(command, input=pickle.dumps(call), env=variables, capture_output=True)
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        cause = words(lines[-1]) if lines else f"the process ended with status {done.returncode}"
        raise InputError(cause, "export-failed")
