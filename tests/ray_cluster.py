"""A cluster of Ray for tests: nodes on this machine, each with a home folder of its own, told apart by labels."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

MARK = "PARETODET_TEST_CLUSTER"  # environment variable of all processes of a cluster
SMALL = ("--num-cpus=1", "--object-store-memory=80000000", "--disable-usage-stats", "--include-log-monitor=false")


class Cluster:
    """A head without a slot. Its `token` is None if anyone may use it."""

    def __init__(self, folder: Path, token: str | None) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{probe.getsockname()[1]}"
        self.folder, self.token, self._mark = folder, token, secrets.token_hex(8)
        port = self.address.partition(":")[2]
        self._start("head", "--head", f"--port={port}", f"--temp-dir={folder}", "--include-dashboard=false")

    def start(self, label: str) -> None:
        """A node that measures, also one that takes the place of another with the same label."""
        slot = ("--resources", '{"paretodet": 1}', f"--labels=paretodet={label}")
        self._start(label, f"--address={self.address}", *slot)

    def kill(self, label: str) -> None:
        """Kills the process of Ray that makes a machine a node; what it started goes on until it notices."""
        (node,) = self._processes(label, lambda process: process.name() == "raylet")
        node.send_signal(signal.SIGKILL)
        node.wait(10)

    def measuring(self, label: str) -> list[int]:
        """The runners of a node that have started to measure."""
        runners = self._processes(
            label, lambda process: "paretodet.places.runner" in process.cmdline() and bool(process.children())
        )
        return [each.pid for each in runners]

    def stop(self) -> None:
        for process in self._processes():
            with suppress(psutil.NoSuchProcess):
                process.kill()

    @property
    def environment(self) -> dict[str, str]:
        """For a process that uses the cluster."""
        token = {"RAY_AUTH_TOKEN": self.token} if self.token else {}
        mine = {"HOME": str(self.folder / "user"), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        return {**os.environ, **mine, **token}

    def _start(self, name: str, *options: str) -> None:
        home = self.folder / name
        home.mkdir(exist_ok=True)
        mode = "token" if self.token else "disabled"
        own = {"HOME": str(home), MARK: self._mark, "RAY_AUTH_MODE": mode, "RAY_worker_niceness": "0"}
        command = [
            sys.executable,
            "-m",
            "ray.scripts.scripts",
            "start",
            "--node-ip-address=127.0.0.1",
            *SMALL,
            *options,
        ]
        done = subprocess.run(command, env=self.environment | own, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    def _processes(
        self, label: str | None = None, is_wanted: Callable[[psutil.Process], bool] = lambda _: True
    ) -> Iterator[psutil.Process]:
        """Those of a node, or all; one that ends while it is asked is left out."""
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                environment = process.environ()
                is_here = label is None or environment.get("HOME") == str(self.folder / label)
                if environment.get(MARK) == self._mark and is_here and is_wanted(process):
                    yield process


@contextmanager
def cluster(*, has_token: bool = True) -> Iterator[Cluster]:
    folder = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))  # short: names of sockets are at most 107 bytes long
    (folder / "user").mkdir()
    made: Cluster | None = None
    try:
        made = Cluster(folder, secrets.token_hex(32) if has_token else None)
        yield made
    finally:
        if made:
            made.stop()
        shutil.rmtree(folder, ignore_errors=True)
