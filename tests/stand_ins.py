"""Programs that stand in for `ssh`, `scp` and others on PATH: they answer as a test tells them to."""

import os
import sys
import textwrap
from pathlib import Path

import pytest

from paretodet.places.runner import PROTOCOL

SSH = """
import json, os, signal, sys
from paretodet.records.measurement import Measurement
from paretodet.records.row_id import row_id, with_id
from paretodet.version import __version__

MACHINE = "abcdefabcdef"

def send(**message):
    print(json.dumps(message), flush=True)

def hello(version=__version__, protocol=PROTOCOL):
    send(hello={"version": version, "protocol": protocol})
    send(identity={"machine": MACHINE, "versions": {"python": "3"}})

def asked(missing=()):
    global request
    hello()
    wanted = json.loads(sys.stdin.readline())["bundles"]
    send(missing=[each for each in wanted if missing == "all" or each in missing])
    request = json.loads(sys.stdin.readline())
    return request

def row(name, job=None, **changed):
    fields = {"run": request["run"], "machine": MACHINE, "latency_ms_p50": 5.0} | changed
    made = Measurement(id="", at="2030-01-01", name=name, job={"name": name} | (job or {}), **fields)
    return json.loads(json.dumps(with_id(made).to_json()))

def altered(values, **changed):
    values = values | changed
    try:
        return values | {"id": row_id(values)}
    except ValueError:
        return values
"""


def program(folder: Path, name: str, text: str) -> Path:
    """An executable Python program of this name."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!{sys.executable}\n{textwrap.dedent(text)}")
    path.chmod(0o755)
    return path


def ssh(folder: Path, body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts an `ssh` that runs `body`, and an `scp` that writes down its arguments, before all others on PATH."""
    program(folder, "ssh", f"PROTOCOL = {PROTOCOL}\n{SSH}\n{textwrap.dedent(body)}")
    program(folder, "scp", f"import sys; open({str(folder / 'copied')!r}, 'a').write(repr(sys.argv[1:]) + '\\n')")
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
