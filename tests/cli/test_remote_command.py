"""Another machine by a program in place of ssh, which runs the command here in a home of its own.

A real connection is tested where a server of ssh is installed.
"""

import contextlib
import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from paretodet.errors import InputError
from paretodet.records.measurement import Measurement
from paretodet.records.row_id import row_text, with_id
from paretodet.records.store import Store
from paretodet.sweep.remote import ROOT, Brought, Remote, run_there
from paretodet.version import __version__

SSH = """#!/bin/sh
while [ "$1" != "--" ]; do shift; done
[ "$2" = gone ] && { echo "ssh: Could not resolve hostname gone" >&2; exit 255; }
cd "$FAR_HOME" && exec sh -c "$3"
"""
# In place of paretodet there: `measure` says what it got, and leaves rows; `store copy` copies them.
PROGRAM = """#!{python}
import pathlib, shutil, sys
arguments = sys.argv[1:]
if arguments == ["--version"]:
    print("paretodet", pathlib.Path("version").read_text())
elif arguments[0] == "store":
    shutil.copy("rows", arguments[3])
else:
    print("got", *arguments)
    for each in arguments:
        if pathlib.Path(each).is_file():
            print(pathlib.Path(each).name, "is", pathlib.Path(each).read_text())
    print("\\033[31mred")
    print("Next: paretodet frontier")
    sys.exit(int(pathlib.Path("status").read_text()))
"""


def row(name: str, **fields: float) -> Measurement:
    return with_id(Measurement(id="", run="r", at="2030-01-01", name=name, machine="far", **fields))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of the other machine; the tests are in a folder beside it."""
    for name in ("bin", "home", "here"):
        (tmp_path / name).mkdir()
    home = tmp_path / "home"
    for path, text in ((tmp_path / "bin/ssh", SSH), (home / "far paretodet", PROGRAM.format(python=sys.executable))):
        path.write_text(text)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    (home / "version").write_text(__version__)
    (home / "status").write_text("0")
    (home / "rows").write_text(f"{row_text(row('one'))}\n{row_text(row('two'))}\n")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("FAR_HOME", str(home))
    monkeypatch.chdir(tmp_path / "here")
    return home


Called = tuple[int, Brought, list[str]]


def call(*arguments: str, host: str = "board") -> Called:
    lines: list[str] = []
    status, brought = run_there(
        Remote(host=host, program="./far paretodet"), arguments, Store("rows.db"), show=lines.append
    )
    return status, brought, lines


def test_rows_of_another_machine_come_to_the_store_once(home: Path) -> None:
    status, brought, lines = call("measure", "small", "--size", "300")
    assert status == 0 and brought.counts == (2, 0) and not brought.refused
    assert lines[0] == f"got measure small --size 300 --store {ROOT}/rows.db"
    assert {each.name for each in Store("rows.db").rows()} == {"one", "two"}
    assert call("measure", "small")[1].counts == (0, 2)


def test_files_and_what_belongs_to_them_are_copied_and_named_there(home: Path) -> None:
    Path("a b's").mkdir()
    Path("a b's/net.cfg").write_text("one")
    Path("a b's/net.weights").write_text("two")
    Path("photos").mkdir()
    Path("photos/a.txt").write_text("three")
    _, _, lines = call("measure", "a b's/net.cfg", "--images=photos", "--layout", "$(touch no)", "~")
    got = lines[0].removeprefix("got ")
    folder = next((home / ROOT).glob("*/1")).parent
    assert f" {ROOT}/{folder.name}/1/net.cfg --images={ROOT}/{folder.name}/2/photos --layout $(touch no) ~ " in got
    assert (folder / "1/net.weights").read_text() == "two" and (folder / "2/photos/a.txt").read_text() == "three"
    assert not (home / "no").exists() and "net.cfg is one" in lines

    (folder / "1/net.cfg").write_text("kept")  # what is there is not copied again
    assert "net.cfg is kept" in call("measure", "a b's/net.cfg", "--images=photos", "--layout", "x")[2]
    Path("a b's/net.weights").write_text("changed")
    assert "net.cfg is one" in call("measure", "a b's/net.cfg", "--images=photos", "--layout", "x")[2]


def test_rows_come_although_the_command_fails(home: Path) -> None:
    (home / "status").write_text("1")
    status, brought, _ = call("measure", "small")
    assert status == 1 and brought.counts.added == 2


def test_nonsense_is_refused_and_named_and_the_other_rows_are_kept(home: Path) -> None:
    bad = json.loads(row_text(row("bad"))) | {"latency_ms_p50": -1.0}
    (home / "rows").write_text(f"{row_text(row('one'))}\n{json.dumps(bad)}\nhello\n")
    _, brought, _ = call("measure", "small")
    assert brought.counts.added == 1 and len(brought.refused) == 2
    assert "row 2 of board is refused: latency_ms_p50" in brought.refused[0]


@pytest.mark.parametrize(
    ("host", "arguments", "id", "says"),
    [
        ("gone", ("measure", "small"), "remote-unreachable", "Could not resolve hostname gone"),
        ("-oProxyCommand=x", ("measure", "small"), "option-value", "must be USER@HOST"),
        ("board", ("train", "small"), "option-value", "allowed measure, search"),
        ("board", (), "option-value", "allowed measure, search"),
        ("board", ("measure", "small", "--store=x.db"), "option-unsupported", "--store"),
        ("board", ("measure", "small", "--report", "x.html"), "option-unsupported", "--report"),
    ],
)
def test_what_cannot_be_is_one_sentence(home: Path, host: str, arguments: tuple[str, ...], id: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        call(*arguments, host=host)
    assert caught.value.id == id and says in caught.value.message


def test_another_version_and_a_missing_program_are_named(home: Path) -> None:
    (home / "version").write_text("0.0.1")
    with pytest.raises(InputError, match=r"has paretodet 0\.0\.1.*\[remote-unusable\]"):
        call("measure", "small")
    (home / "far paretodet").unlink()
    with pytest.raises(InputError, match=r"does not run .*--program \[remote-unusable\]"):
        call("measure", "small")


def test_a_lost_connection_says_how_to_go_on(home: Path) -> None:
    (home / "status").write_text("255")
    with pytest.raises(InputError, match=r"no connection to board: run the same command.*\[remote-unreachable\]"):
        call("measure", "small")


def test_without_ssh_it_says_so(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(home))
    with pytest.raises(InputError, match=r"ssh is not installed here \[remote-unreachable\]"):
        call("measure", "small")


def test_the_command_prints_what_the_machine_says_without_control_characters(
    run: Callable[..., tuple[int, str, str]], home: Path
) -> None:
    far = ("remote", "--program", "./far paretodet", "--store", "team.db", "board", "measure", "small", "--size", "300")
    code, out, err = run(*far)
    assert "Next" not in out
    assert code == 0 and out.startswith("got measure small --size 300 --store") and "red" in out and "\033" not in out
    assert err.startswith("2 new rows of board in team.db.\n") and "Next: paretodet frontier --store team.db" in err
    (home / "status").write_text("1")
    code, _, err = run(*far)
    assert code == 1 and err == "0 new rows of board in team.db; 2 were here.\n"
    assert run("remote", "gone", "measure", "small")[0] == 2
    code, out, err = run("remote", "--json", *far[1:])
    assert code == 1 and "red" in err
    assert json.loads(out) == {"host": "board", "status": 1, "added": 0, "duplicates": 2, "refused": []}


def server() -> str | None:
    return shutil.which("sshd", path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin")


@pytest.fixture
def loopback(tmp_path: Path, home: Path) -> Iterator[str]:
    """A real server of ssh on a free port of this machine, and the name by which ssh finds it."""
    program = server()
    assert program
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / name], check=True)
    shutil.copy(tmp_path / "user.pub", tmp_path / "authorized")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (tmp_path / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {tmp_path}/host\nAuthorizedKeysFile {tmp_path}/authorized\n"
        f"StrictModes no\nUsePAM no\nPidFile none\nForceCommand cd '{home}' && exec sh -c \"$SSH_ORIGINAL_COMMAND\"\n"
    )
    (tmp_path / "ssh_config").write_text(
        f"Host far\nHostName 127.0.0.1\nPort {port}\nIdentityFile {tmp_path}/user\nIdentitiesOnly yes\nBatchMode yes\n"
        f"UserKnownHostsFile {tmp_path}/known\nStrictHostKeyChecking no\nLogLevel ERROR\n"
    )
    client = tmp_path / "bin/ssh"  # with this configuration, not that of whoever runs the test
    client.write_text(f'#!/bin/sh\nexec {shutil.which("ssh", path=os.defpath)} -F "{tmp_path}/ssh_config" "$@"\n')
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    with subprocess.Popen([program, "-D", "-e", "-f", tmp_path / "sshd_config"], stderr=subprocess.DEVNULL) as process:
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.05)
        yield "far"
        process.kill()


@pytest.mark.skipif(server() is None, reason="no server of ssh is installed")
def test_a_real_connection_carries_files_rows_and_failures(home: Path, loopback: str) -> None:
    Path("net.cfg").write_text("one")
    Path("net.weights").write_bytes(os.urandom(2**20))
    status, brought, lines = call("measure", "net.cfg", "it's $HOME", host=loopback)
    assert status == 0 and brought.counts == (2, 0) and "net.cfg is one" in lines
    assert " it's $HOME --store" in lines[0]
    (copied,) = (home / ROOT).glob("*/1/net.weights")
    assert copied.read_bytes() == Path("net.weights").read_bytes()
    (home / "version").write_text("0.0.1")
    with pytest.raises(InputError, match="remote-unusable"):
        call("measure", "net.cfg", host=loopback)
    with pytest.raises(InputError, match="remote-unreachable"):
        call("measure", "net.cfg", host="nowhere.invalid")
