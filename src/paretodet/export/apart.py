"""Work that takes much memory, or changes its process, in a process of its own."""

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from paretodet.errors import InputError, words
from paretodet.reports import listening, report

_COMMAND = "import pickle, sys; pickle.load(sys.stdin.buffer)()"
_REPORT = "\x1ereport: "  # begins the lines of standard error that are reports


def run_apart(call: Callable[[], object]) -> None:
    """Calls a picklable function in a new Python process, whose reports (`reports`) become this one's.

    Raises InputError with the last other line that the process wrote to its standard error if it fails.
    """
    variables = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    last = ""
    with subprocess.Popen([sys.executable, "-c", _COMMAND], env=variables, **pipes) as process:  # type: ignore[call-overload]
        with suppress(BrokenPipeError), process.stdin:  # it may end before it reads
            process.stdin.write(pickle.dumps(partial(_reporting, call)))
        for line in process.stderr:
            text = line.decode(errors="replace").rstrip()
            if text.startswith(_REPORT):
                report(text.removeprefix(_REPORT))
            elif text.strip():
                last = text.strip()
    if process.returncode:
        cause = words(last) if last else f"the process ended with status {process.returncode}"
        raise InputError(cause, "export-failed")


def _reporting(call: Callable[[], object]) -> None:
    with listening(lambda line: print(f"{_REPORT}{line}", file=sys.stderr, flush=True)):
        call()
