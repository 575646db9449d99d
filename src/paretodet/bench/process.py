"""The parent's handle of a worker: start, ask, stop. A worker that fails, hangs or dies raises WorkerError.

On Linux a worker is forked from a server process that has only imported torch and has no threads.
`benchmarks/forked.py` compares such processes with fresh ones. On other systems every process is fresh.
"""

import multiprocessing
import os
import pickle
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import util
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, Self

from paretodet.bench.clock import now
from paretodet.bench.contract import ContractError, check_clock
from paretodet.bench.job import Job, Plan
from paretodet.bench.machine import worker_environment
from paretodet.bench.process_tree import ProcessTree, mark
from paretodet.bench.quota import default_threads
from paretodet.bench.worker import error_text, serve
from paretodet.writing import claim

POLL = 0.5  # s between two checks whether a worker that has not answered is alive
START_TIMEOUT = 300.0  # s to start a process and import a runtime on a busy machine
USES_FORKSERVER = sys.platform == "linux"
SERVER = ("torch._dynamo", "paretodet.bench.worker")  # what the server imports, in addition to the modules of the jobs
SOCKETS = "pymp-*"  # name of the folder that multiprocessing makes for the server's socket


class WorkerError(RuntimeError):
    """A worker failed; the message is the sentence for the candidate's row."""


class Worker:
    """One fresh process for one job. Use it as a context manager, which ends the process.

    `on_report` gets the lines in which it reports what takes long, such as an export.
    """

    def __init__(self, job: Job, plan: Plan, on_report: Callable[[str], None] = lambda line: None) -> None:
        self.job, self._timeout, self._on_report = job, plan.timeout, on_report
        context: Any = multiprocessing.get_context("forkserver" if USES_FORKSERVER else "spawn")
        self._pipe, worker_end = context.Pipe()
        values = {**worker_environment(thread_count(job)), **mark()}
        args = (worker_end, _pickled(job), plan, thread_count(job), values)
        self._process = context.Process(target=serve, args=args, name=f"paretodet {job.name}")
        with environment(values):
            self._process.start()
        worker_end.close()
        assert self._process.pid is not None
        self._tree = ProcessTree(self._process.pid)
        self._bursts: list[dict[str, Any]] = []

    def ask(self, command: str, *args: Any) -> dict[str, Any]:
        """The worker's answer to "load" (with images and known facts), "burst", "close", "detect", "profile",
        "ceilings".

        The answer to "burst" contains `asked_s`, the seconds from sending the request to receiving the answer, and
        `wall_s`, the same as measured by the worker. After "close", which reports other errors first, the two are
        compared over the clean bursts. Raises WorkerError.
        """
        start = now()
        answer = self._request(command, args)
        if command == "close":
            self._compare_clocks()
        if command != "burst":
            return answer
        self._bursts.append({**answer, "asked_s": now() - start})
        return self._bursts[-1]

    def _compare_clocks(self) -> None:
        # A burst at real-time priority delays this process, so its times are not comparable.
        clean = [burst for burst in self._bursts if not burst["contended"] and burst["priority"] == "ordinary"]
        try:
            check_clock([max(b["wall_s"], b["seconds"]) for b in clean], [b["asked_s"] for b in clean])
        except ContractError as error:
            raise WorkerError(str(error)) from None

    def _request(self, command: str, args: tuple[Any, ...]) -> dict[str, Any]:
        try:
            self._pipe.send((command, args))
        except OSError:
            raise WorkerError(self._exit_reason()) from None
        return self._answer(self._timeout)

    def ready(self) -> None:
        """Waits until the runtime is imported. Raises WorkerError."""
        self._answer(START_TIMEOUT)

    def _answer(self, timeout: float) -> dict[str, Any]:
        """The answer, which has to come within `timeout` of the request or of the last report."""
        while isinstance(message := self._message(timeout), str):
            self._on_report(message)
        return message

    def _message(self, timeout: float) -> dict[str, Any] | str:
        """The answer, or a report that comes before it."""
        end = now() + timeout
        while not wait([self._pipe, self._process.sentinel], min(POLL, max(0.0, end - now()))):
            if not self._process.is_alive():  # a process that it started still has its pipes open
                break
            if now() >= end:
                self.stop(is_responsive=False)
                raise WorkerError(f"no answer within {timeout:g} s")
        try:
            answer, error, *reports = self._pipe.recv() if self._pipe.poll() else (None, None)
        except (EOFError, OSError):
            answer, error, reports = None, None, []
        if reports:
            return str(reports[0])
        if answer is not None:
            return dict(answer)
        raise WorkerError(error or self._exit_reason())

    def stop(self, *, is_responsive: bool = True) -> None:
        """Ends the process and all that it started; by force only if it is not responsive."""
        if self._pipe.closed:
            return
        self._tree.update()
        if is_responsive:
            with suppress(OSError):
                self._pipe.send(("stop", ()))
        self._pipe.close()
        if is_responsive:
            self._process.join(1.0)
        self._tree.end()
        self._process.join(1.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _exit_reason(self) -> str:
        self._process.join(5.0)
        code = self._process.exitcode
        if code is None or code >= 0:
            return f"the process ended with exit code {code} before it answered"
        hint = ", often because memory ran out" if code == -signal.SIGKILL else ""
        return f"the process was killed by {signal.Signals(-code).name}{hint}"


def preload(jobs: Iterable[Job]) -> None:
    """Tells the server from which workers are forked to import the jobs' runtimes; a running server is not changed.

    Of the modules that make candidates it imports only those of this package, because others may have side effects.
    """
    if USES_FORKSERVER:
        claim(Path(util.get_temp_dir()), SOCKETS)
        modules = {module for job in jobs for module in (*job.imports, _own_module(job.make)) if module}
        multiprocessing.get_context("forkserver").set_forkserver_preload([*SERVER, *sorted(modules)])


def _own_module(make: Any) -> str:
    """The module of a function of this package; empty for another function."""
    module = getattr(getattr(make, "func", make), "__module__", "")
    return module if module.startswith(f"{__name__.partition('.')[0]}.") else ""


def thread_count(job: Job) -> int:
    """The job's threads; by default as many as the allowed cores and the CPU quota."""
    return job.threads or default_threads()


@contextmanager
def environment(values: dict[str, str]) -> Iterator[None]:
    """Sets these variables for processes that start inside."""
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


def _pickled(job: Job) -> bytes:
    try:
        return pickle.dumps(job)
    except Exception as error:  # pickle raises three types of errors for one cause
        raise WorkerError(f"make: it cannot be sent to a fresh process ({error_text(error)})") from None
