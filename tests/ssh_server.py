"""An ssh server on loopback for tests: its own keys and home folder, for the account of the tests alone."""

import getpass
import os
import shutil
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

PLACES = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))
HOST = "board"


def why_not() -> str | None:
    """Why no server can be started here; None if one can."""
    missing = [each for each in ("sshd", "ssh", "scp", "ssh-keygen") if shutil.which(each, path=PLACES) is None]
    return f"{missing[0]} is not installed" if missing else None


@contextmanager
def server(folder: Path) -> Iterator[Path]:
    """A folder of an `ssh` and an `scp` that know the host `board`; its home folder is `folder/home`."""
    with servers(folder, HOST) as programs:
        yield programs


@contextmanager
def servers(folder: Path, *hosts: str) -> Iterator[Path]:
    """The same for several hosts, each a server of its own. The home folder of the first is `folder/home`, of another
    one that of its name.
    """
    ports = [_free_port() for _ in hosts]
    (folder / "bin").mkdir()
    for name in ("host_key", "user_key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    public = (folder / "host_key.pub").read_text()
    (folder / "known_hosts").write_text("".join(f"[127.0.0.1]:{port} {public}" for port in ports))
    (folder / "ssh_config").write_text(_client_config(folder, dict(zip(hosts, ports, strict=True))))
    for name in ("ssh", "scp"):
        wrapper = folder / "bin" / name
        wrapper.write_text(f'#!/bin/sh\nexec {shutil.which(name)} -F "{folder}/ssh_config" "$@"\n')
        wrapper.chmod(0o755)
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    with ExitStack() as stack:
        for number, (host, port) in enumerate(zip(hosts, ports, strict=True)):
            home = folder / (host if number else "home")
            home.mkdir()
            (folder / f"home of {port}").symlink_to(home)
            stack.enter_context(_running(folder, home, port))
        yield folder / "bin"


@contextmanager
def _running(folder: Path, home: Path, port: int) -> Iterator[None]:
    config, log = folder / f"sshd_config_{port}", folder / f"sshd_{port}.log"
    config.write_text(_server_config(folder, home, port))
    command = [str(shutil.which("sshd", path=PLACES)), "-D", "-e", "-f", str(config)]
    with log.open("wb") as opened:
        process = subprocess.Popen(command, stdout=opened, stderr=opened)
    try:
        _wait(process, port, log)
        yield
    finally:
        process.terminate()
        process.wait()


def remote_python(folder: Path, toy: Path | None = None) -> Path:
    """A Python for the servers, in a folder whose name a shell must not read; with `toy` it runs that file instead."""
    place = folder / "a $(touch broken) 'b'"
    place.mkdir()
    path = place / "python"
    arguments = f'"{toy}"' if toy else '"$@"'
    modules = os.pathsep.join(filter(None, sys.path))
    export = f"export HOME='{folder}'/\"home of ${{SSH_CONNECTION##* }}\" PYTHONPATH='{modules}'"
    path.write_text(f"#!/bin/sh\n{export}\nexec '{sys.executable}' {arguments}\n")
    path.chmod(0o755)
    return path


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _server_config(folder: Path, home: Path, port: int) -> str:
    return textwrap.dedent(f"""
        Port {port}
        ListenAddress 127.0.0.1
        HostKey {folder}/host_key
        AuthorizedKeysFile {folder}/user_key.pub
        PidFile none
        StrictModes no
        PasswordAuthentication no
        KbdInteractiveAuthentication no
        PermitRootLogin prohibit-password
        Subsystem sftp internal-sftp -d {home}
    """)


def _client_config(folder: Path, ports: dict[str, int]) -> str:
    """`stranger` is the first server, with a key that is not known."""
    stranger = textwrap.dedent("""
        Host stranger
            UserKnownHostsFile /dev/null
    """)
    others = (f"Host {host}\n    Port {port}\n" for host, port in list(ports.items())[1:])
    return (
        stranger
        + "".join(others)
        + textwrap.dedent(f"""
        Host *
            HostName 127.0.0.1
            Port {next(iter(ports.values()))}
            User {getpass.getuser()}
            IdentityFile {folder}/user_key
            IdentitiesOnly yes
            UserKnownHostsFile {folder}/known_hosts
    """)
    )


def _wait(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    until = time.monotonic() + 30
    while True:
        assert process.poll() is None and time.monotonic() < until, log.read_text()
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
