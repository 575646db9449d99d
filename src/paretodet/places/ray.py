"""Clusters of Ray: every machine with a slot measures, in a runner to which an actor there carries lines.

A slot is Ray's resource `paretodet`, so Ray gives it to one actor at a time; the actor takes the processors and GPUs of
its machine too, so that Ray runs nothing else there. A cluster that takes commands without a token is used only if all
of it is on this machine.
"""

import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from threading import Event
from typing import Any

from paretodet.bench.machine import LABEL as MACHINE
from paretodet.errors import InputError
from paretodet.extras import require
from paretodet.places.place import Request
from paretodet.places.runner import FOLDER, PART
from paretodet.places.session import INSTALL, MAX_LINE, RunnerSession
from paretodet.version import __version__

PREFIX = "ray:"
AUTO = "auto"
ADDRESS = re.compile(r"(?:auto|[A-Za-z0-9_][\w.-]*:[0-9]{1,5})?", re.ASCII)
NAME = re.compile(r"[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?", re.ASCII)  # what Ray takes as the value of a label
SLOT = "paretodet"  # the resource of a machine that measures
LABEL = "paretodet"  # the label of a machine: what it is called
MODE = "RAY_AUTH_MODE"
CHUNK = 2**22  # bytes of a bundle in one message
LOOK_S = 10.0  # after which a call that waits looks whether it still should
PROBE_S = 60.0
CONNECT_S = 5.0
HEAD_S = 20.0  # without an answer of the head
START = f"""ray start --address=HEAD:6379 --labels={LABEL}=NAME --resources='{{"{SLOT}": 1}}'"""


def fleet_of(text: str) -> "RayFleet":
    """The fleet that `ADDRESS`, `ADDRESS/LABEL`, `/LABEL` or nothing names. Raises InputError."""
    address, slash, label = text.partition("/")
    if not ADDRESS.fullmatch(address) or (slash and not NAME.fullmatch(label)):
        message = f"--on: {text!r} is not a cluster; write ray:HOST:PORT, ray: for the one that runs here"
        raise InputError(f"{message}, or ray:HOST:PORT/LABEL for one of its machines", "option-value")
    return RayFleet(address or AUTO, (label,) if label else ())


@dataclass(frozen=True)
class RayFleet:
    """The machines of a cluster that have a slot: all of them, or those with these labels."""

    address: str = AUTO
    labels: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return " + ".join(map(self.called, self.labels)) or f"{PREFIX}{self.address}"

    @property
    def many(self) -> bool:
        return len(self.labels) != 1

    def called(self, label: str) -> str:
        """The name of the place of a label."""
        return f"{PREFIX}{self.address}/{label}"

    def owns(self, name: str) -> bool:
        label = name.removeprefix(self.called(""))
        return name == self.called(label) and self.takes(label)

    def takes(self, label: str) -> bool:
        """Whether a machine with this label is one of them."""
        return not self.labels or label in self.labels

    @contextmanager
    def connect(self, notify: Callable[[str], None]) -> Iterator["RayMembers"]:
        """Raises InputError without Ray, a cluster, its token, a slot, or this machine in the cluster."""
        require(f"--on {PREFIX}", {"ray": "ray"})
        is_open = takes_anyone(self)
        import ray

        try:
            ray.init(address=self.address, log_to_driver=False, logging_level="ERROR")
        except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            report = f"{error.__cause__ or ''}\n{error}"
            raise InputError(f"{self.name}: {_why_not_connected(report)}", "place-unreachable") from None
        ray._private.worker._worker_logs_enabled = False  # the log of a lost machine would go to standard output
        try:
            members = RayMembers(self, notify, is_open)
            if not members.places():
                wanted = f" labeled {' or '.join(self.labels)}" if self.labels else ""
                message = f"no machine{wanted} of the cluster has a slot; start those that measure with `{START}`"
                raise InputError(f"{self.name}: {message}", "place-unfit")
            yield members
        finally:
            ray.shutdown()


def takes_anyone(fleet: RayFleet) -> bool:
    """Whether a cluster takes commands without a token. If not, this process uses its token from now on; Ray reads that
    when it is imported.

    Raises InputError if it cannot be reached, or if the token here is missing or another one.
    """
    answer = _probe(fleet, "disabled")
    if answer is None:
        return True
    if "AuthenticationError" not in answer:
        raise InputError(f"{fleet.name}: {_why_not_connected(answer)}", "place-unreachable")
    os.environ[MODE] = "token"
    if _probe(fleet, "token") is not None:
        raise InputError(
            f"{fleet.name}: the token of the cluster is missing here, or is another one; `ray get-auth-token` prints "
            "it on a machine of the cluster: write it to ~/.ray/auth_token, or to the variable RAY_AUTH_TOKEN",
            "place-unfit",
        )
    return False


def _probe(fleet: RayFleet, mode: str) -> str | None:
    """What Ray's own check of a cluster reports in this mode of authentication; None if it is answered."""
    where = () if fleet.address == AUTO else ("--address", fleet.address)
    command = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--skip-version-check", *where]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=PROBE_S,
            env={**os.environ, MODE: mode},
        )
    except subprocess.TimeoutExpired:
        return f"no answer in {PROBE_S:.0f} s"
    return None if done.returncode == 0 else done.stderr or f"status {done.returncode}"


def _why_not_connected(report: str) -> str:
    """One sentence about a cluster that does not answer, from what Ray reports."""
    last = (report.strip().splitlines() or ["no reason is given"])[-1]
    if "Could not find any running Ray instance" in report:
        return "no cluster runs here; `ray start --head` starts one, or name the address of one"
    if "multiple active Ray instances" in report:
        return "several clusters run here; name one by its address, ray:HOST:PORT"
    if "Version mismatch" in report or "version mismatch" in report:
        return f"Ray or Python here has another version than the cluster: {last:.200}"
    if "Timed out while waiting for GCS" in report:
        return "nothing answers there as the head of a cluster"
    if "No node info found" in report:
        return "this machine is not in the cluster; `ray start --address=HEAD:6379 --num-cpus=0` joins it"
    return f"the cluster is not reached: {last:.300}"


class RayMembers:
    """A cluster that this process is connected to."""

    def __init__(self, fleet: RayFleet, notify: Callable[[str], None], is_open: bool) -> None:
        self._fleet, self._open = fleet, is_open
        self.notify, self.released = notify, Event()
        self._twice = set[str]()
        self.actors = list[Any]()
        self._answered = time.monotonic()
        self._known = list[dict[str, Any]]()
        self.failed = set[str]()  # nodes that were lost, which Ray may not have noticed yet

    def places(self) -> Mapping[str, "RayPlace"]:
        found = dict[str, RayPlace]()
        for node in sorted(self._nodes(), key=lambda node: node["NodeID"] in self.failed):
            label = str(node.get("Labels", {}).get(LABEL) or node["NodeName"])
            if node["Resources"].get(SLOT, 0) >= 1 and self._fleet.takes(label):
                name = self._fleet.called(label)
                if name in found and not {label, node["NodeID"]} & (self._twice | self.failed):
                    self._twice.add(label)
                    self.notify(f"{name}: two machines are called so; one of them is not used.")
                found.setdefault(name, RayPlace(name=name, node=node, members=self))
        return found

    def release(self) -> None:
        import ray

        self.released.set()
        for actor in self.actors:
            with suppress(Exception):  # it is gone already
                ray.kill(actor)

    def _head_answers(self) -> bool:
        """Whether the head can be asked: Ray waits for it, and ends this process after 60 s.

        Raises InputError if it has not answered for some time.
        """
        import ray

        host, _, port = ray.get_runtime_context().gcs_address.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_S).close()
        except OSError as error:
            if time.monotonic() - self._answered > HEAD_S:
                raise InputError(
                    f"{self._fleet.name}: its head does not answer ({error.strerror or error}); the rows that arrived "
                    "are stored, and the same command measures the others",
                    "place-unreachable",
                ) from None
            return False
        self._answered = time.monotonic()
        return True

    def _nodes(self) -> list[dict[str, Any]]:
        """The living nodes. Raises InputError if the cluster is lost, or takes commands of anyone over the network."""
        import ray

        try:
            if self._head_answers():
                self._known = [node for node in ray.nodes() if node["Alive"]]
            here = ray.util.get_node_ip_address()
        except (RuntimeError, ray.exceptions.RayError) as error:
            raise InputError(f"{self._fleet.name}: {_why_not_connected(str(error))}", "place-unreachable") from None
        if self._open and any(node["NodeManagerAddress"] != here for node in self._known):
            raise InputError(
                f"{self._fleet.name}: the cluster takes commands of anyone, without a token; stop Ray on its machines, "
                "run `ray get-auth-token --generate` on one, copy its ~/.ray/auth_token to the others and to this "
                "machine, and start Ray again with RAY_AUTH_MODE=token",
                "place-unfit",
            )
        return self._known


@dataclass(frozen=True, kw_only=True)
class RayPlace:
    """A machine of a cluster."""

    name: str
    node: Mapping[str, Any] = field(repr=False)
    members: RayMembers = field(repr=False)

    @contextmanager
    def connect(self, request: Request) -> Iterator[RunnerSession]:
        """Waits for the slot. Raises InputError if the machine is lost, or lacks this version of paretodet."""
        channel = ActorChannel(self)
        try:
            channel.start()
            yield RunnerSession(self.name, channel)
        finally:
            channel.close()


class ActorChannel:
    """Lines to a runner that an actor starts on a machine."""

    def __init__(self, place: RayPlace) -> None:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self._place, self._members = place, place.members
        has: Mapping[str, float] = place.node["Resources"]
        self._actor = (
            ray.remote(RunnerProcess)
            .options(
                num_cpus=has.get("CPU", 0),
                num_gpus=has.get("GPU", 0),
                resources={SLOT: has[SLOT]},
                scheduling_strategy=NodeAffinitySchedulingStrategy(place.node["NodeID"], soft=False),
                max_restarts=0,
            )
            .remote(place.node.get("Labels", {}).get(LABEL))
        )
        self._members.actors.append(self._actor)

    def start(self) -> None:
        """Waits until Ray has given the slot to the actor, and says so."""
        name = self._place.name
        nice = self._call("nice", waits=lambda: self._members.notify(f"{name}: waiting for its slot."))
        if nice > 0:
            self._members.notify(
                f"{name}: Ray's processes have a low priority there, so that others disturb them more; set "
                "RAY_worker_niceness=0 before `ray start`."
            )

    def close(self) -> None:
        import ray

        with suppress(Exception):  # it is gone already
            ray.kill(self._actor)
        self._members.actors.remove(self._actor)

    def send(self, line: str) -> None:
        self._call("send", line)

    def receive(self) -> str:
        line = str(self._call("receive"))
        if not line.endswith("\n"):
            raise self._ended(str(self._call("log")))
        return line

    def copy(self, folder: Path, sha: str) -> None:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            target = str(PurePosixPath(f"{sha}{PART}", path.relative_to(folder).as_posix()))
            with path.open("rb") as file:
                self._call("write", target, b"")  # also of an empty file
                while part := file.read(CHUNK):
                    self._call("write", target, part)

    def _call(self, method: str, *arguments: Any, waits: Callable[[], None] = lambda: None) -> Any:
        """The result of a method of the actor. `waits` is called if there is none for a while."""
        import ray

        try:
            pending = getattr(self._actor, method).remote(*arguments)
            while not self._members.released.is_set():
                if ray.wait([pending], timeout=LOOK_S)[0]:
                    return ray.get(pending)
                waits()
                waits = _nothing
        except (OSError, RuntimeError, ray.exceptions.RayError) as error:
            raise self._lost(error) from None
        raise InputError(f"{self._place.name}: the run was ended", "place-unreachable")

    def _lost(self, error: Exception) -> InputError:
        """Why a call of the actor has no result."""
        import ray

        name, text, node = self._place.name, str(error), self._place.node["NodeID"]
        if "No module named" in text or "has no attribute" in text:
            message = f"there is no paretodet {__version__} for the Python of Ray; install it there: {INSTALL}=="
            return InputError(f"{name}: {message}{__version__}", "place-unfit")
        self._members.failed.add(node)
        if isinstance(error, ray.exceptions.RayTaskError):
            last = (text.strip().splitlines() or ["no reason is given"])[-1]
            return InputError(f"{name}: {last:.300}", "place-unreachable")
        return InputError(f"{name}: the machine, or what measured there, has ended", "place-unreachable")

    def _ended(self, log: str) -> InputError:
        last = (log.strip().splitlines() or ["nothing was printed"])[-1].strip()
        return InputError(f"{self._place.name}: the runner there ended: {last:.300}", "place-unreachable")


def _nothing() -> None:
    """Does nothing."""


class RunnerProcess:
    """In an actor on a machine that measures: the runner as a process of its own, which ends with the actor."""

    def __init__(self, label: str | None) -> None:
        with suppress(OSError):  # only root may take back what Ray did
            os.setpriority(os.PRIO_PROCESS, 0, 0)
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-m", "paretodet.places.runner"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            encoding="utf-8",
            errors="replace",
            cwd=Path.home(),
            env={**os.environ, **({MACHINE: label} if label else {})},
        )

    def nice(self) -> int:
        """The priority of this process, 0 if it is the usual one."""
        return os.getpriority(os.PRIO_PROCESS, 0)

    def send(self, line: str) -> None:
        with suppress(OSError):  # it has ended; `receive` says so
            print(line, file=self._process.stdin, flush=True)

    def receive(self) -> str:
        """The next line; an empty one if the runner has ended."""
        return self._process.stdout.readline(MAX_LINE) if self._process.stdout else ""

    def log(self) -> str:
        """The end of what the runner printed on standard error."""
        self._log.seek(0)
        return self._log.read()[-4000:]

    def write(self, target: str, part: bytes) -> None:
        """Appends to a file of a bundle that is being copied."""
        path = Path.home() / FOLDER / target
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(part)
