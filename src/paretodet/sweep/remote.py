"""Runs a command that measures on another machine by `ssh`, and brings its rows into a store here.

The other machine needs paretodet of the same version and `tar`. The store and the copied files stay there, so that the
same command goes on where it stopped.
"""

import json
import os
import shlex
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

from paretodet.errors import InputError, words
from paretodet.onnx_references import references
from paretodet.reading import sha256
from paretodet.records.row_id import digest, validated
from paretodet.records.store import ImportCounts, Store
from paretodet.version import __version__

ROOT = ".cache/paretodet/remote"  # in the home of the other machine
STORE, LINES = f"{ROOT}/rows.db", f"{ROOT}/rows.jsonl"
COMMANDS = ("measure", "search")
HERE = ("--store", "--report")  # options about files of this machine
LOST = 255  # what ssh returns if it cannot connect or the connection ends
MAX_LINE = 64 * 2**20  # bytes of one row


class Sent(NamedTuple):
    """A file or folder of this machine, and its place below the folder of the other one."""

    path: Path
    place: str


class Brought(NamedTuple):
    """What came back: rows that are new here, rows that were known, and a sentence for every one that is refused."""

    counts: ImportCounts
    refused: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Remote:
    """A machine that `ssh` reaches as `host`, where `program` starts paretodet.

    Raises InputError if ssh is missing or cannot connect, or paretodet is missing there or of another version.
    """

    host: str
    program: str = "paretodet"

    def __post_init__(self) -> None:
        if self.host.startswith("-") or not self.host.strip():
            raise InputError(f"host: got {self.host!r}, it must be USER@HOST or a name that ssh knows", "option-value")

    def check(self) -> None:
        """That paretodet of this version runs there."""
        answer = self._call(f"{shlex.quote(self.program)} --version", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        found = answer.stdout.decode(errors="replace").strip().removeprefix("paretodet ")
        if answer.returncode:
            said = _last(answer.stderr)
            raise InputError(
                f"host: on {self.host}, {self.program!r} does not run ({said}); install paretodet {__version__} there "
                "and name its program by --program",
                "remote-unusable",
            )
        if found != __version__:
            message = f"host: {self.host} has paretodet {found[:40]}, this is {__version__}; rows of both cannot be "
            raise InputError(f"{message}compared: install the same version there", "remote-unusable")

    def send(self, files: Sequence[Sent]) -> str:
        """Copies files there unless they are there already, and returns their folder, named by their content."""
        content = [(place, sha256(path)) for path, place in _each(files)]
        folder = f"{ROOT}/{digest(sorted(content))}"
        if content and self._call(f"test -d {folder}").returncode:
            self._copy(files, folder)
        return folder

    def run(self, arguments: Sequence[str], *, show: Callable[[str], None]) -> int:
        """Runs paretodet there with these arguments and its store; `show` gets every line that it prints.

        Returns its exit status.
        """
        command = shlex.join([self.program, *arguments, "--store", STORE])
        with self._started(
            f"mkdir -p {ROOT} && {command}",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as process:
            assert process.stdout
            for line in process.stdout:
                if not line.startswith(b"Next: "):  # a command for the store there
                    show(line.decode(errors="replace").rstrip("\r\n"))
        if process.returncode == LOST:
            raise self._lost("run the same command to go on: what was measured there is kept")
        return process.returncode

    def bring(self, store: Store) -> Brought:
        """Adds the rows of its store to `store`; a line that is no row is refused, and the others are added."""
        copy = f"{shlex.quote(self.program)} store copy {STORE} {LINES}"
        with tempfile.TemporaryFile() as file:
            answer = self._call(f"rm -f {LINES} && {copy} >&2 && cat {LINES}", stdout=file, stderr=subprocess.PIPE)
            if answer.returncode:
                message = f"host: the rows of {self.host} cannot be read there ({_last(answer.stderr)})"
                raise InputError(message, "remote-unusable")
            file.seek(0)
            refused: list[str] = []
            return Brought(store.add(self._rows(file, refused)), tuple(refused))

    def _rows(self, file: IO[bytes], refused: list[str]) -> Iterator[dict[str, Any]]:
        for number, line in enumerate(iter(lambda: file.readline(MAX_LINE), b""), start=1):
            try:
                yield validated(json.loads(line))
            except (ValueError, RecursionError) as error:
                refused.append(f"row {number} of {self.host} is refused: {words(error)}")

    def _copy(self, files: Sequence[Sent], folder: str) -> None:
        part = f"{folder}.part"
        command = f"rm -rf {part} && mkdir -p {part} && tar -xf - -C {part} && mv {part} {folder}"
        with self._started(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdin and process.stderr
            try:
                with process.stdin as pipe, tarfile.open(fileobj=pipe, mode="w|", dereference=True) as archive:
                    for path, place in files:
                        archive.add(path, arcname=place)
            except BrokenPipeError:
                pass  # the exit status says why
            said = process.stderr.read()
        if process.returncode:
            raise InputError(f"host: files cannot be copied to {self.host} ({_last(said)})", "remote-unusable")

    def _call(self, command: str, **streams: Any) -> "subprocess.CompletedProcess[bytes]":
        try:
            answer = subprocess.run([*self._ssh(), command], stdin=subprocess.DEVNULL, check=False, **streams)
        except FileNotFoundError:
            raise _no_ssh() from None
        if answer.returncode == LOST:
            raise self._lost(_last(answer.stderr) if answer.stderr else "see above")
        return answer

    def _started(self, command: str, **streams: Any) -> "subprocess.Popen[bytes]":
        try:
            return subprocess.Popen([*self._ssh(), command], **streams)
        except FileNotFoundError:
            raise _no_ssh() from None

    def _ssh(self) -> list[str]:
        return ["ssh", "-T", "-o", "ServerAliveInterval=30", "--", self.host]

    def _lost(self, why: str) -> InputError:
        return InputError(f"host: no connection to {self.host}: {why}", "remote-unreachable")


def run_there(
    remote: Remote, arguments: Sequence[str], store: Store, *, show: Callable[[str], None]
) -> tuple[int, Brought]:
    """Runs `measure` or `search` with these arguments on another machine: its exit status, and the rows that came.

    Arguments that are files or folders here are copied there. Rows are brought even if the command fails. Raises
    InputError for another command, an option that is about this machine, and what `Remote` raises.
    """
    _check(arguments)
    remote.check()
    files, translated = _translated(arguments)
    folder = remote.send(files)
    status = remote.run([part.replace(_MARK, folder) for part in translated], show=show)
    return status, remote.bring(store)


_MARK = "\0"  # stands for the folder there; no argument of a program has it


def _check(arguments: Sequence[str]) -> None:
    if not arguments or arguments[0] not in COMMANDS:
        got = arguments[0] if arguments else "none"
        raise InputError(f"command: got {got!r}, allowed {', '.join(COMMANDS)}", "option-value")
    for name in HERE:
        if any(part == name or part.startswith(f"{name}=") for part in arguments):
            message = f"{name}: rows come to the store here: give --store before the host, and write a page of it after"
            raise InputError(message, "option-unsupported")


def _translated(arguments: Sequence[str]) -> tuple[list[Sent], list[str]]:
    """The files that arguments name, and the arguments with their places below `_MARK`."""
    files, translated = list[Sent](), list[str]()
    for number, argument in enumerate(arguments):
        option, equals, value = argument.partition("=") if argument.startswith("--") else ("", "", argument)
        path = Path(value)
        if number and value and path.exists():  # the first is the command
            files += [Sent(each, f"{number}/{name}") for each, name in _with_companions(path)]
            value = f"{_MARK}/{number}/{path.resolve().name}"
        translated.append(f"{option}{equals}{value}")
    return files, translated


def _with_companions(path: Path) -> Iterator[tuple[Path, str]]:
    """A file or folder with the files that belong to it: those of its stem, of its weights, of its configuration."""
    whole = path.resolve()
    yield whole, whole.name
    if whole.is_dir():
        return
    stated = references(whole).files if whole.suffix == ".onnx" else ()
    near = [each.name for each in whole.parent.glob("*.json")] if whole.name == "config.json" else []
    alike = [each.name for each in whole.parent.iterdir() if each.name.startswith(f"{whole.stem}.")]
    for name in dict.fromkeys((*stated, *near, *alike)):
        if name != whole.name and (whole.parent / name).is_file():
            yield whole.parent / name, name


def _each(files: Iterable[Sent]) -> Iterator[Sent]:
    """Every single file."""
    for path, place in files:
        if path.is_file():
            yield Sent(path, place)
            continue
        for folder, _, names in os.walk(path, followlinks=True):
            inside = Path(folder).relative_to(path)
            yield from (Sent(Path(folder) / name, f"{place}/{inside / name}") for name in names)


def _last(said: bytes | None) -> str:
    """The last line that a program printed."""
    lines = (said or b"").decode(errors="replace").strip().splitlines()
    return lines[-1][:200] if lines else "it said nothing"


def _no_ssh() -> InputError:
    return InputError("host: the program ssh is not installed here", "remote-unreachable")
