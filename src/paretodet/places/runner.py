"""Measures for another machine: reads JSON lines on standard input, and answers on standard output.

`python -m paretodet.places.runner` is what `--on ssh:HOST` starts there. It says who it is, takes the hashes of the
bundles that it will need and names those that it lacks, takes a request, and sends rows as they are measured. The
request of a search asks what can run there; the jobs that the search chooses follow one by one. It ends when its input
does.
"""

import json
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from paretodet.bench.job import Job, Plan
from paretodet.bench.machine import identity
from paretodet.bench.quota import default_threads
from paretodet.bench.runner import OneByOne, measure
from paretodet.config import CandidateConfig
from paretodet.errors import WithId
from paretodet.frontier.refinement import rows_to_refine
from paretodet.measuring import expand, set_up
from paretodet.records.row_id import job_key, row_text
from paretodet.sweep.executions import executions, not_in_space
from paretodet.version import __version__
from paretodet.writing import held

PROTOCOL = 4  # of these messages
FOLDER = ".cache/paretodet/bundles"  # in the home folder: bundles by the SHA-256 of their description
PART = ".part"  # ending of a bundle that is being copied
CALIBRATION = "paretodet.bench.reference:Reference"  # measured on every machine of a cluster
END: Mapping[str, Any] = {"end": True}  # what was asked for is answered
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
    send({"identity": asdict(identity())})
    if bundles := _read():
        missing = [name for name in bundles["bundles"] if not (folder / name).is_dir()]
        for name in missing:
            shutil.rmtree(folder / f"{name}{PART}", ignore_errors=True)
        send({"missing": missing})
    if request := _read():
        lines = _following_lines()
        for name in missing:
            (folder / f"{name}{PART}").rename(folder / name)
        if "space" in request:
            messages = search_answers(request, map(json.loads, lines), folder, send)
        else:
            messages = chain(answers(request, folder, send), [END])
        for message in messages:
            send(message)


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


def search_answers(
    request: Mapping[str, Any], steps: Iterable[Mapping[str, Any]], folder: Path, send: Send
) -> Iterator[Mapping[str, Any]]:
    """The messages that answer a search: the jobs that can run here, and then what each step asks for.

    The first step is the plan of the search and the id of its run. Each of the others names a job by its key: one of
    these, or that of the reference candidate, which compares machines.
    """
    called = request["bundles"]
    configs = [_config(each, folder) for each in request["space"]]
    made = executions(configs, runtimes=request["runtimes"], precisions=request["precisions"], refuse_absent=True)
    setup = set_up(made.configs)
    jobs = {job_key(job.name, job.recipe): job for job in (_called(job, called) for job in setup.jobs)}
    listed = [{"runtime": job.asked.get("runtime"), "job": job.recipe} for job in jobs.values()]
    notes = [*map(not_in_space, made.left_out), *setup.skipped]
    (calibration,) = set_up((CandidateConfig(name=CALIBRATION),)).jobs
    yield {"space": {"jobs": listed, "threads": default_threads(), "notes": notes}}
    jobs[job_key(calibration.name, calibration.recipe)] = calibration
    bench: OneByOne | None = None
    for step in steps:
        if bench is None:
            bench = _bench(list(jobs.values()), step, send)
        else:
            row = bench(jobs[step["job"]], patience=step["patience"], processes=step["processes"])
            yield {"row": json.loads(row_text(row))}
        yield END


def _bench(jobs: Sequence[Job], step: Mapping[str, Any], send: Send) -> OneByOne:
    """The bench of a search, after its self-test."""
    bench = OneByOne(
        jobs,
        plan=Plan(**step["plan"]),
        run=step["run"],
        on_progress=lambda progress: send({"progress": asdict(progress)}),
    )
    bench.start()
    return bench


def _config(recipe: Mapping[str, Any], folder: Path) -> CandidateConfig:
    """The config of a job of the client, whose bundle is in `folder`."""
    place = {"name": str(folder / recipe["bundle"])} if "bundle" in recipe else {}
    return CandidateConfig.from_json({**recipe, **place})


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


def _following_lines() -> Iterator[str]:
    """The lines that the client sends from now on. The main thread is interrupted when the client has gone."""
    lines = SimpleQueue[str]()

    def read() -> None:
        for line in sys.stdin:
            lines.put(line)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    threading.Thread(target=read, daemon=True).start()
    return iter(lines.get, None)


if __name__ == "__main__":
    main()
