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

from paretodet.bench.clock import now
from paretodet.bench.contract import ContractError, check_clock
from paretodet.bench.job import Job, Plan
from paretodet.bench.machine import spinning_off
from paretodet.bench.process_tree import ProcessTree, mark
from paretodet.bench.quota import default_threads
from paretodet.bench.worker import sentence, serve

LOOK = 0.5  # s between two looks whether a worker that has not answered is still there
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
        values = {**spinning_off(threads(job)), **mark()}
        args = (theirs, _packed(job), plan, threads(job), values)
        self._process = context.Process(target=serve, args=args, name=f"paretodet {job.name}")
        with environment(values):
            self._process.start()
        theirs.close()
        assert self._process.pid is not None
        self._family = ProcessTree(self._process.pid)
        self._bursts: list[dict[str, Any]] = []

    def ask(self, command: str, *args: Any) -> dict[str, Any]:
        """The worker's answer to "load" (with images and known facts), "burst" or "close". Raises WorkerError.

        A burst's holds `asked_s`, the seconds from sending the request to holding the answer, beside the worker's own
        `wall_s`; after "close", which says what else is wrong, the two are compared over the clean bursts.
        """
        began = now()
        answer = self._request(command, args)
        if command == "close":
            self._compare_clocks()
        if command != "burst":
            return answer
        self._bursts.append({**answer, "asked_s": now() - began})
        return self._bursts[-1]

    def _compare_clocks(self) -> None:
        # At real-time priority a burst keeps this process from looking at the clock in time.
        clean = [burst for burst in self._bursts if not burst["contended"] and burst["priority"] == "ordinary"]
        try:
            check_clock([max(b["wall_s"], b["seconds"]) for b in clean], [b["asked_s"] for b in clean])
        except ContractError as broken:
            raise WorkerError(str(broken)) from None

    def _request(self, command: str, args: tuple[Any, ...]) -> dict[str, Any]:
        try:
            self._pipe.send((command, args))
        except OSError:
            raise WorkerError(self._death()) from None
        return self._answer(self._timeout)

    def ready(self) -> None:
        """Waits until the runtime is imported. Raises WorkerError."""
        self._answer(START)

    def _answer(self, timeout: float) -> dict[str, Any]:
        end = now() + timeout
        while not wait([self._pipe, self._process.sentinel], min(LOOK, max(0.0, end - now()))):
            if not self._process.is_alive():  # a process that it left behind holds its pipes
                break
            if now() >= end:
                self.stop(listens=False)
                raise WorkerError(f"no answer within {timeout:g} s")
        try:
            answer, problem = self._pipe.recv() if self._pipe.poll() else (None, None)
        except (EOFError, OSError):
            answer, problem = None, None
        if answer is not None:
            return dict(answer)
        raise WorkerError(problem or self._death())

    def stop(self, *, listens: bool = True) -> None:
        """Ends the process and everything that it started, by force where it does not listen."""
        if self._pipe.closed:
            return
        self._family.look()
        if listens:
            with suppress(OSError):
                self._pipe.send(("stop", ()))
        self._pipe.close()
        if listens:
            self._process.join(1.0)
        self._family.end()
        self._process.join(1.0)

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
    """The job's threads, or as many as cores and CPU quota allow."""
    return job.threads or default_threads()


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
