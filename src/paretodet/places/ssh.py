"""Machines that are reached by the system's `ssh` and `scp`, with paretodet installed there.

The command that ssh passes to the shell there is fixed, but for the path of Python, which is quoted; everything else
travels as JSON. Keys, ports and users are those of ssh's own configuration.
"""

import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from paretodet.errors import InputError
from paretodet.places.place import Request
from paretodet.places.runner import FOLDER, PART
from paretodet.places.session import INSTALL, MAX_LINE, RunnerSession
from paretodet.version import __version__

PREFIX = "ssh:"
HOST = re.compile(r"(?:[A-Za-z0-9_][\w.-]*@)?[A-Za-z0-9_][\w.-]*", re.ASCII)
OPTIONS = ("-o", "BatchMode=yes", "-o", "ConnectTimeout=20", "-o", "ServerAliveInterval=15")


@dataclass(frozen=True)
class SshPlace:
    """`ssh:HOST`, where `python` is the command there that has paretodet; a path of it may begin with "~/"."""

    host: str
    python: str = "python3"

    def __post_init__(self) -> None:
        if not HOST.fullmatch(self.host):
            message = f"--on: {self.host!r} is not a host; write ssh:HOST or ssh:USER@HOST, and ports in ssh's own file"
            raise InputError(f"{message} ~/.ssh/config", "option-value")
        object.__setattr__(self, "python", _from_home(self.python))

    @property
    def name(self) -> str:
        return f"{PREFIX}{self.host}"

    @contextmanager
    def connect(self, request: Request) -> Iterator[RunnerSession]:
        """Raises InputError if ssh is missing or fails, or if the machine lacks Python or this version of paretodet."""
        if missing := next((each for each in ("ssh", "scp") if not shutil.which(each)), None):
            raise InputError(f"{self.name}: `{missing}` is not installed here; install OpenSSH's client", "place-unfit")
        remote = f"{shlex.quote(self.python)} -m paretodet.places.runner"
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
            process = subprocess.Popen(
                ["ssh", "-T", *OPTIONS, self.host, remote],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                encoding="utf-8",
                errors="replace",
            )
            try:
                yield RunnerSession(self.name, SshChannel(self, process, log))
            finally:
                process.kill()
                process.communicate()


def _from_home(python: str) -> str:
    """The command without a "~/" in front, which the shell there would not expand, as it is quoted.

    Raises InputError for the home folder of another user.
    """
    if not python.startswith("~"):
        return python
    path = python.removeprefix("~/").lstrip("/")
    if not path or path.startswith("~"):
        message = f"--remote-python: got {python!r}; a relative path begins in the home folder there"
        raise InputError(f"{message}, any other one with /", "option-value")
    return path if "/" in path else f"./{path}"  # a word alone would be looked for on PATH


class SshChannel:
    """Lines to a runner at the other end of an ssh connection, and bundles by scp."""

    def __init__(self, place: SshPlace, process: "subprocess.Popen[str]", log: IO[str]) -> None:
        self._place, self._process, self._log = place, process, log

    def send(self, line: str) -> None:
        try:
            print(line, file=self._process.stdin, flush=True)
        except OSError:
            raise self._ended() from None

    def receive(self) -> str:
        line = self._process.stdout.readline(MAX_LINE) if self._process.stdout else ""
        if not line.endswith("\n"):
            raise self._ended()
        return line

    def copy(self, folder: Path, sha: str) -> None:
        target = f"{self._place.host}:{FOLDER}/{sha}{PART}"
        command = ["scp", "-r", "-q", *OPTIONS, str(folder), target]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["scp failed"])[-1]
            raise InputError(f"{self._place.name}: {folder} is not copied: {reason:.300}", "place-unreachable")

    def _ended(self) -> InputError:
        """Why there is no further line, from what ssh and the shell there printed."""
        self._process.kill()
        self._process.wait()
        self._log.seek(0)
        return ended(self._place, self._log.read())


def ended(place: SshPlace, log: str) -> InputError:
    """One sentence about a connection that ended, from what was printed on standard error."""
    name, python = place.name, place.python
    last = (log.strip().splitlines() or ["nothing was printed"])[-1].strip()
    if "Host key verification failed" in log or "REMOTE HOST IDENTIFICATION HAS CHANGED" in log:
        return InputError(
            f"{name}: its host key is unknown or has changed; run `ssh {place.host}` once and compare the key",
            "place-unreachable",
        )
    if "Permission denied" in last:
        return InputError(
            f"{name}: ssh cannot log in without a password ({last:.200}); `ssh-copy-id {place.host}` copies your key",
            "place-unreachable",
        )
    if "No module named" in last and "paretodet" in last:
        return InputError(
            f"{name}: {python} there has no paretodet {__version__}; install it there: {python} -m {INSTALL}, or name "
            "another Python by --remote-python",
            "place-unfit",
        )
    if any(words in last for words in ("not found", "No such file")) and python in last:
        return InputError(
            f"{name}: there is no {python} there; install Python, or name its path by --remote-python", "place-unfit"
        )
    return InputError(
        f"{name}: the connection ended: {last:.300}; rows that arrived are stored, run the same command to continue",
        "place-unreachable",
    )
