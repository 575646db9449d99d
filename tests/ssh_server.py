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
from contextlib import contextmanager
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
    for name in ("home", "bin"):
        (folder / name).mkdir()
    for name in ("host_key", "user_key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    port = _free_port()
    (folder / "sshd_config").write_text(_server_config(folder, port))
    (folder / "ssh_config").write_text(_client_config(folder, port))
    public = (folder / "host_key.pub").read_text()
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {public}")
    for name in ("ssh", "scp"):
        wrapper = folder / "bin" / name
        wrapper.write_text(f'#!/bin/sh\nexec {shutil.which(name)} -F "{folder}/ssh_config" "$@"\n')
        wrapper.chmod(0o755)
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    command = [str(shutil.which("sshd", path=PLACES)), "-D", "-e", "-f", str(folder / "sshd_config")]
    with (folder / "sshd.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        _wait(process, port, folder / "sshd.log")
        yield folder / "bin"
    finally:
        process.terminate()
        process.wait()


def remote_python(folder: Path, toy: Path | None = None) -> Path:
    """A Python for the server, in a folder whose name a shell must not read; with `toy` it runs that file instead."""
    place = folder / "a $(touch broken) 'b'"
    place.mkdir()
    path = place / "python"
    arguments = f'"{toy}"' if toy else '"$@"'
    modules = os.pathsep.join(filter(None, sys.path))
    export = f"export HOME='{folder}/home' PYTHONPATH='{modules}'"
    path.write_text(f"#!/bin/sh\n{export}\nexec '{sys.executable}' {arguments}\n")
    path.chmod(0o755)
    return path


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _server_config(folder: Path, port: int) -> str:
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
        Subsystem sftp internal-sftp -d {folder}/home
    """)


def _client_config(folder: Path, port: int) -> str:
    """`stranger` is the same server, with a key that is not known."""
    return textwrap.dedent(f"""
        Host stranger
            UserKnownHostsFile /dev/null
        Host *
            HostName 127.0.0.1
            Port {port}
            User {getpass.getuser()}
            IdentityFile {folder}/user_key
            IdentitiesOnly yes
            UserKnownHostsFile {folder}/known_hosts
    """)


def _wait(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    until = time.monotonic() + 30
    while True:
        assert process.poll() is None and time.monotonic() < until, log.read_text()
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
