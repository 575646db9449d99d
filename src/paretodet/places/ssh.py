"""Machines that are reached by the system's `ssh` and `scp`, with paretodet installed there.

The command that ssh passes to the shell there is fixed, but for the path of Python, which is quoted; everything else
travels as JSON. Keys, ports and users are those of ssh's own configuration.
"""

import json
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, get_args

from paretodet.errors import ErrorId, InputError
from paretodet.places.collect import bundles_of
from paretodet.places.place import Identity, Request
from paretodet.places.runner import FOLDER, PART, PROTOCOL
from paretodet.version import __version__

PREFIX = "ssh:"
HOST = re.compile(r"(?:[A-Za-z0-9_][\w.-]*@)?[A-Za-z0-9_][\w.-]*", re.ASCII)
OPTIONS = ("-o", "BatchMode=yes", "-o", "ConnectTimeout=20", "-o", "ServerAliveInterval=15")
GREETING = 1000  # lines that a login may print before the first message
MAX_LINE = 2**26  # characters of a message
INSTALL = "pip install paretodet"


@dataclass(frozen=True)
class SshPlace:
    """`ssh:HOST`, where `python` is the command there that has paretodet."""

    host: str
    python: str = "python3"

    def __post_init__(self) -> None:
        if not HOST.fullmatch(self.host):
            message = f"--on: {self.host!r} is no host; write ssh:HOST or ssh:USER@HOST, and ports in ssh's own file"
            raise InputError(f"{message} ~/.ssh/config", "option-value")

    @property
    def name(self) -> str:
        return f"{PREFIX}{self.host}"

    @contextmanager
    def connect(self, request: Request) -> Iterator["SshSession"]:
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
                yield SshSession(self, process, log)
            finally:
                process.kill()
                process.communicate()


class SshSession:
    """A runner at the other end of an ssh connection."""

    def __init__(self, place: SshPlace, process: "subprocess.Popen[str]", log: IO[str]) -> None:
        self._place, self._process, self._log = place, process, log
        self._check_version(self._hello())
        answer = self._expect("identity")
        try:
            self.identity = Identity(machine=str(answer["machine"]), versions=dict(answer["versions"]))
        except (KeyError, TypeError, ValueError):
            raise self._nonsense("it does not say which machine it is") from None

    def measure(self, request: Request, *, run: str, finished: frozenset[str]) -> Iterator[Mapping[str, Any]]:
        """Copies the bundles that the machine lacks, and yields its messages.

        Raises InputError if the connection ends before the last one, or with the error that the machine states.
        """
        bundles = bundles_of(request)
        self._send({"bundles": list(bundles)})
        for sha in self._expect("missing"):
            if sha in bundles:
                self._copy(bundles[sha], f"{FOLDER}/{sha}{PART}")
        folders = {str(folder): sha for sha, folder in bundles.items()}
        names = [folders.get(str(Path(name).absolute()), name) for name in request.names]
        named = {sha: folder.name for sha, folder in bundles.items()}
        asked = {"names": names, "bundles": named, "options": dict(request.options), "plan": asdict(request.plan)}
        self._send(asked | {"run": run, "finished": sorted(finished)})
        while "end" not in (message := self._message()):
            yield message

    def _hello(self) -> Any:
        """The first message; lines that the login prints before it are skipped."""
        for _ in range(GREETING):
            line = self._line()
            if line.startswith('{"hello"'):
                return self._parsed(line).get("hello")
        raise self._nonsense("it is no runner of paretodet")

    def _check_version(self, hello: Any) -> None:
        got = hello if isinstance(hello, dict) else {}
        if (got.get("version"), got.get("protocol")) != (__version__, PROTOCOL):
            raise InputError(
                f"{self._place.name}: paretodet there is {got.get('version')!s:.40}, here it is {__version__}; install "
                f"this version there: {INSTALL}=={__version__}",
                "place-unfit",
            )

    def _send(self, message: Mapping[str, Any]) -> None:
        stream = self._process.stdin
        try:
            print(json.dumps(message), file=stream, flush=True)
        except OSError:
            raise self._ended() from None

    def _expect(self, key: str) -> Any:
        message = self._message()
        if key not in message:
            raise self._nonsense(f"it does not answer with {key!r}")
        return message[key]

    def _message(self) -> dict[str, Any]:
        """The next message. What is not one is a message without a key that anyone knows."""
        message = self._parsed(self._line())
        if isinstance(failed := message.get("failed"), dict):
            ids: dict[str, ErrorId] = {each: each for each in get_args(ErrorId)}
            id = ids.get(str(failed.get("id")), "place-answer")
            raise InputError(f"{self._place.name}: {failed.get('message')!s:.500}", id)
        return message

    def _line(self) -> str:
        line = self._process.stdout.readline(MAX_LINE) if self._process.stdout else ""
        if not line.endswith("\n"):
            raise self._ended()
        return line

    @staticmethod
    def _parsed(line: str) -> dict[str, Any]:
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            return {}
        return message if isinstance(message, dict) else {}

    def _copy(self, folder: Path, target: str) -> None:
        command = ["scp", "-r", "-q", *OPTIONS, str(folder), f"{self._place.host}:{target}"]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["scp failed"])[-1]
            raise InputError(f"{self._place.name}: {folder} is not copied: {reason:.300}", "place-unreachable")

    def _nonsense(self, what: str) -> InputError:
        return InputError(f"{self._place.name}: the answer is refused: {what}", "place-answer")

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
