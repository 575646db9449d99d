"""Work that takes much memory, or changes its process, in a process of its own."""

import json
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from paretodet.errors import ERROR_IDS, ErrorId, InputError, WithId, words
from paretodet.reports import listening, report

_COMMAND = "import pickle, sys; pickle.load(sys.stdin.buffer)()"
_REPORT, _ERROR = "\x1ereport: ", "\x1eerror: "  # begin the lines of standard error that are reports, or an error

# Of errors about the network itself, or what is made of it. Others are about the machine or about what else was given.
OF_NETWORK: tuple[ErrorId, ...] = ("bundle-altered", "bundle-unsafe", "export-failed", "graph-failed", "parity-failed")


def run_apart(call: Callable[[], object]) -> None:
    """Calls a picklable function in a new Python process, whose reports (`reports`) become this one's.

    If it fails, raises InputError: with message and id of its error if that has an id; else "export-failed", with the
    signal that ended the process, or the last other line that it wrote to its standard error.
    """
    variables = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    last = ""
    failure: InputError | None = None
    with subprocess.Popen([sys.executable, "-c", _COMMAND], env=variables, **pipes) as process:  # type: ignore[call-overload]
        with suppress(BrokenPipeError), process.stdin:  # it may end before it reads
            process.stdin.write(pickle.dumps(partial(_reporting, call)))
        for line in process.stderr:
            text = line.decode(errors="replace").rstrip()
            if text.startswith(_REPORT):
                report(text.removeprefix(_REPORT))
            elif text.startswith(_ERROR):
                failure = _failure(text.removeprefix(_ERROR))
            elif text.strip():
                last = text.strip()
    if process.returncode:
        raise failure or InputError(why_failed(process.returncode, last), "export-failed")


def why_failed(code: int, last: str) -> str:
    """Why a process with this return code failed: the signal that ended it, else the last line that it wrote."""
    if code < 0:
        hint = ", often because memory ran out" if code == -signal.SIGKILL else ""
        return f"the process was ended by signal {-code}{hint}"
    return words(last) if last else f"the process ended with status {code}"


def _reporting(call: Callable[[], object]) -> None:
    """Calls the function in the new process."""
    with listening(lambda line: print(f"{_REPORT}{line}", file=sys.stderr, flush=True)):
        try:
            call()
        except WithId as error:
            print(f"{_ERROR}{json.dumps([error.message, error.id])}", file=sys.stderr, flush=True)
            sys.exit(1)


def _failure(text: str) -> InputError | None:
    """The error that a process has written; None if a library of it wrote something else that looks like one."""
    try:
        message, id = json.loads(text)
    except (RecursionError, TypeError, ValueError):
        return None
    return InputError(str(message), id) if id in ERROR_IDS else None
