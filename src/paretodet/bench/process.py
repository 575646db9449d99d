"""The parent's handle on a worker: start, ask, stop. A worker that fails, hangs or dies raises one sentence.

On Linux a worker is forked from a server that has imported torch and nothing else has happened in, before it has any
thread. `benchmarks/forked.py` holds such processes against fresh ones; elsewhere every process is fresh.
"""

import multiprocessing
import os
import pickle
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import wait
from typing import Any, Self

from paretodet.bench.job import Job, Plan
from paretodet.bench.machine import spinning_off
from paretodet.bench.watch import own_cores
from paretodet.bench.worker import sentence, serve

START = 300.0  # s to start a process and import a runtime, however busy the machine
FORKS = sys.platform == "linux"
SERVER = ("torch._dynamo", "paretodet.bench.worker")  # what it imports, beside what the jobs name


class WorkerError(RuntimeError):
    """The sentence for the candidate's row."""


class Worker:
    """One fresh process for one job. Use as a context: leaving it ends the process."""

    def __init__(self, job: Job, plan: Plan) -> None:
        self.job, self._timeout = job, plan.timeout
        context: Any = multiprocessing.get_context("forkserver" if FORKS else "spawn")
        self._pipe, theirs = context.Pipe()
        values = spinning_off(threads(job))
        args = (theirs, _packed(job), plan, threads(job), values)
        self._process = context.Process(target=serve, args=args, name=f"paretodet {job.name}")
        with environment(values):
            self._process.start()
        theirs.close()

    def ask(self, command: str, *args: Any) -> dict[str, Any]:
        """The worker's answer to "load" (with images and known facts), "burst" or "close". Raises WorkerError."""
        try:
            self._pipe.send((command, args))
        except OSError:
            raise WorkerError(self._death()) from None
        return self._answer(self._timeout)

    def ready(self) -> None:
        """Waits until the runtime is imported. Raises WorkerError."""
        self._answer(START)

    def _answer(self, timeout: float) -> dict[str, Any]:
        if not wait([self._pipe, self._process.sentinel], timeout):
            self.stop()
            raise WorkerError(f"no answer within {timeout:g} s")
        try:
            answer, problem = self._pipe.recv() if self._pipe.poll() else (None, None)
        except (EOFError, OSError):
            answer, problem = None, None
        if answer is not None:
            return dict(answer)
        raise WorkerError(problem or self._death())

    def stop(self) -> None:
        """Ends the process, by force where it does not listen."""
        with suppress(OSError):
            self._pipe.send(("stop", ()))
        self._pipe.close()
        self._process.join(1.0)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _death(self) -> str:
        self._process.join(5.0)
        code = self._process.exitcode
        if code is None or code >= 0:
            return f"the process ended with code {code} before it answered"
        why = ", often for lack of memory" if code == -signal.SIGKILL else ""
        return f"the process was killed by {signal.Signals(-code).name}{why}"


def preload(jobs: Iterable[Job]) -> None:
    """Names the jobs' runtimes to the server that workers are forked from; one that already runs keeps what it has.

    Of the modules that make candidates only our own are among them: what a stranger's does stays in its own process.
    """
    if FORKS:
        named = {module for job in jobs for module in (*job.imports, _ours(job.make)) if module}
        multiprocessing.get_context("forkserver").set_forkserver_preload([*SERVER, *sorted(named)])


def _ours(make: Any) -> str:
    module = getattr(getattr(make, "func", make), "__module__", "")
    return module if module.startswith(f"{__name__.partition('.')[0]}.") else ""


def threads(job: Job) -> int:
    """The job's threads, or every core we may use."""
    return job.threads or len(own_cores())


@contextmanager
def environment(values: dict[str, str]) -> Iterator[None]:
    """These variables are set for processes started inside."""
    before = {key: os.environ.get(key) for key in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                del os.environ[key]
            else:
                os.environ[key] = value


def _packed(job: Job) -> bytes:
    try:
        return pickle.dumps(job)
    except Exception as problem:  # pickle raises three kinds of errors for one cause
        raise WorkerError(f"`make` cannot be sent to a fresh process ({sentence(problem)})") from None
