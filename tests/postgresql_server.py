"""A PostgreSQL server for tests: its own folder and socket, no network, stopped at the end."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from uuid import uuid4

INSTALLED = "/usr/lib/postgresql"  # of Debian, a folder for each version
ACCOUNTS = ("postgres", "nobody")  # one of them runs the server, which refuses to run as root


def why_not() -> str | None:
    """Why no server can be started here; None if one can."""
    if find_spec("psycopg") is None:
        return "psycopg is not installed: pip install 'paretodet[postgresql]'"
    return None if binary("initdb") and binary("postgres") else "no PostgreSQL server is installed (initdb, postgres)"


def binary(name: str) -> str | None:
    """The path of a program of PostgreSQL, of the newest version that is installed."""
    versions = sorted(Path(INSTALLED).glob("*/bin"), key=lambda path: float(path.parent.name), reverse=True)
    return shutil.which(name) or next((str(path / name) for path in versions if (path / name).exists()), None)


@dataclass
class Server:
    """A server in `folder`. `kill` ends it as a crash does; `start` then recovers what was committed."""

    folder: Path
    account: str | None  # that runs the server; None: the one of the tests
    process: subprocess.Popen[bytes] | None = None

    def run(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        command = [str(binary(name)), *arguments]
        log = (self.folder / f"{name}.log").open("ab")
        return subprocess.Popen(command, user=self.account, cwd=self.folder, stdout=log, stderr=log)

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@/{database}?host={self.folder}"

    def start(self) -> None:
        """Also after a crash, when processes of the killed server may still be ending."""
        options = ("listen_addresses=", f"unix_socket_directories={self.folder}", "max_connections=50", "fsync=off")
        settings = (part for option in options for part in ("-c", option))
        command = ("postgres", "-D", str(self.folder / "data"), *settings)
        until = time.monotonic() + 60
        self.process = self.run(*command)
        while not self.answers():
            assert time.monotonic() < until, (self.folder / "postgres.log").read_text()
            time.sleep(0.05)
            self.process = self.process if self.process.poll() is None else self.run(*command)

    def answers(self) -> bool:
        import psycopg

        with suppress(psycopg.OperationalError), psycopg.connect(self.url()):
            return True
        return False

    def execute(self, statement: str, url: str | None = None) -> None:
        import psycopg

        with psycopg.connect(url or self.url(), autocommit=True) as connection:
            connection.execute(statement)

    def database(self) -> str:
        """The URL of a new database."""
        name = f"t{uuid4().hex[:12]}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def kill(self) -> None:
        """SIGKILL, to the server and to its processes, which then see that it is gone."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)  # PostgreSQL's immediate shutdown: the data is not needed
            self.process.wait(60)


@contextmanager
def running() -> Iterator[Server]:
    """A started server with an empty database. The folder is not one of pytest's: another account must reach it."""
    with tempfile.TemporaryDirectory(prefix="paretodet-postgresql-", ignore_cleanup_errors=True) as name:
        server = Server(Path(name), _account())
        if server.account:
            os.chown(name, pwd.getpwnam(server.account).pw_uid, -1)
        arguments = ("-D", str(server.folder / "data"), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
        assert server.run("initdb", *arguments).wait(120) == 0, (server.folder / "initdb.log").read_text()
        try:
            server.start()
            yield server
        finally:
            server.stop()


def _account() -> str | None:
    """The account that runs the server if the tests run as root."""
    known = {each.pw_name for each in pwd.getpwall()}
    return None if os.geteuid() else next(name for name in ACCOUNTS if name in known)
