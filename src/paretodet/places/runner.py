"""Measures for another machine: reads JSON lines on standard input, and answers on standard output.

`python -m paretodet.places.runner` is what `--on ssh:HOST` starts there. It says who it is, takes the hashes of the
bundles that it will need and names those that it lacks, takes a request, and sends rows as they are measured. It ends
when its input does.
"""

import json
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from paretodet.bench.job import Job, Plan
from paretodet.bench.machine import facts, fingerprint, versions
from paretodet.bench.runner import measure
from paretodet.config import CandidateConfig
from paretodet.errors import WithId
from paretodet.frontier.refinement import rows_to_refine
from paretodet.measuring import expand, set_up
from paretodet.records.row_id import job_key, row_text
from paretodet.version import __version__
from paretodet.writing import held

PROTOCOL = 2  # of these messages
FOLDER = ".cache/paretodet/bundles"  # in the home folder: bundles by the SHA-256 of their description
PART = ".part"  # ending of a bundle that is being copied
CALIBRATION = "paretodet.bench.reference:Reference"  # measured on every machine of a cluster
Send = Callable[[Mapping[str, Any]], None]


def main() -> None:
    """Serves one client."""
    send = _claim_output()
    send({"hello": {"version": __version__, "protocol": PROTOCOL}})
    try:
        folder = Path.home() / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        with held(folder / ".lock", busy="another run is measuring on this machine", id="run-busy"):
            _serve(send, folder)
    except WithId as error:
        send({"failed": {"message": error.message, "id": error.id}})
    except (BrokenPipeError, KeyboardInterrupt):
        sys.exit(1)  # the client has gone


def _serve(send: Send, folder: Path) -> None:
    send({"identity": {"machine": fingerprint(facts()), "versions": versions()}})
    if bundles := _read():
        missing = [name for name in bundles["bundles"] if not (folder / name).is_dir()]
        for name in missing:
            shutil.rmtree(folder / f"{name}{PART}", ignore_errors=True)
        send({"missing": missing})
    if request := _read():
        threading.Thread(target=_end_with_input, daemon=True).start()
        for name in missing:
            (folder / f"{name}{PART}").rename(folder / name)
        for message in answers(request, folder, send):
            send(message)
        send({"end": True})


def answers(request: Mapping[str, Any], folder: Path, send: Send) -> Iterator[Mapping[str, Any]]:
    """The messages that answer a request: rows and notes; progress goes to `send` meanwhile."""
    plan, called = Plan(**request["plan"]), request["bundles"]
    names = [str(folder / name) if name in called else name for name in request["names"]]
    options, notes = dict(request["options"]), list[str]()
    for key in ("proposals", "sizes", "scores", "runtimes", "precisions"):
        options[key] = tuple(tuple(each) if isinstance(each, list) else each for each in options.get(key, ()))
    calibration = [CandidateConfig(name=CALIBRATION)] if request["calibrate"] else []
    setup = set_up((*calibration, *expand(names, notify=notes.append, **options)))
    yield from ({"note": sentence} for sentence in (*notes, *setup.skipped))
    jobs = [_called(job, called) for job in setup.jobs]
    remaining = [job for job in jobs if job_key(job.name, job.recipe) not in request["finished"]]
    if remaining:
        yield from _rows(remaining, plan, request["run"], send)


def _rows(jobs: Sequence[Job], plan: Plan, run: str, send: Send) -> Iterator[Mapping[str, Any]]:
    rows = measure(
        jobs,
        plan=plan,
        run=run,
        needs_more=rows_to_refine,
        on_progress=lambda progress: send({"progress": asdict(progress)}),
    )
    return ({"row": json.loads(row_text(row))} for row in rows)


def _called(job: Job, called: Mapping[str, str]) -> Job:
    """The job of a bundle has the name that its folder has where it was copied from."""
    name = called.get(job.recipe.get("bundle", ""))
    return replace(job, recipe=job.recipe | {"name": name}) if name else job


def _claim_output() -> Send:
    """Messages alone go to standard output; whatever else is printed goes to standard error."""
    output = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    return lambda message: print(json.dumps(message), file=output, flush=True)


def _read() -> Any:
    """The next line of the client; ends the process if there is none."""
    if not (line := sys.stdin.readline()):
        raise KeyboardInterrupt
    return json.loads(line)


def _end_with_input() -> None:
    """Interrupts the measurement when the client has gone."""
    sys.stdin.read()
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


if __name__ == "__main__":
    main()
