"""One process that measures one candidate. It works only on request; otherwise it waits for its pipe."""

import gc
import importlib
import os
import pickle
import re
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from paretodet.bench import energy, process_tree
from paretodet.bench.accuracy import category_ids, detect_image, label_names
from paretodet.bench.candidate import Candidate, Image, ModelInfo, Profiled, Staged, Stated
from paretodet.bench.ceilings import measure_ceilings
from paretodet.bench.clock import Call, Clock, host_bound, no_collection, now, stable
from paretodet.bench.contention import ContentionWatch, describe
from paretodet.bench.contract import (
    BackgroundCpu,
    BackgroundUsage,
    ContractError,
    OutputCheck,
    PostCallCheck,
    background_cpu,
    check_clocks,
    check_idle_after_calls,
    check_idle_between_requests,
)
from paretodet.bench.job import Job, Plan
from paretodet.bench.memory import Peak, device_mib, map_libraries, release_freed_memory, resident_mib
from paretodet.bench.priority import raised
from paretodet.bench.scheduling import SchedulingCheck
from paretodet.bench.synthetic_images import batches
from paretodet.errors import InputError, WithId
from paretodet.labels.model import ImageEntry
from paretodet.records.row_id import TYPES, field_error
from paretodet.reports import listening

TIMED = ("load", "burst", "close")  # commands whose answers contain times
NOT_STORED = ("layers", "made_ms")  # facts that no row has
PATH = re.compile(r"(?<![\w.:/])(?:/[^\s:,;'\"()/]+){2,}")


def serve(pipe: Connection, parcel: bytes, plan: Plan, threads: int, environment: dict[str, str]) -> None:
    """The main function of a worker process. A request is a method of `MeasuredCandidate`, its answer (dict, None) or
    (None, error); before it come reports of what takes long, as (None, None, report).
    """
    os.environ.update(environment)  # a forked process has the server's environment
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    process_tree.become_root()
    scheduling = SchedulingCheck()
    os.dup2(2, 1)  # a candidate that prints must not write into the parent's output
    try:
        gc.freeze()  # what exists before the candidate is not collected
        map_libraries()
        torch.set_num_threads(threads)
        measured = MeasuredCandidate(_unpack(parcel), plan)
        pipe.send(({}, None))
        while (request := measured.wait_for_request(pipe.recv))[0] != "stop":
            command, args = request
            with listening(lambda line: pipe.send((None, None, line))):
                answer = getattr(measured, command)(*args)
            if command in TIMED:
                scheduling.check()
                check_clocks()
            pipe.send(({**answer, "wall_s": now() - measured.received}, None))
    except EOFError:  # the parent has ended
        return
    except BaseException as error:  # whatever the candidate raises, SystemExit included, becomes an error row
        with suppress(OSError):  # the parent has ended
            pipe.send((None, str(error) if isinstance(error, ContractError) else error_text(error)))
    finally:
        process_tree.end_descendants()


def error_text(error: BaseException) -> str:
    """An exception as one line, with file names instead of paths, because rows contain no paths.

    It begins with the exception's type, unless it ends with an id.
    """
    lines = PATH.sub(lambda match: Path(match[0]).name, str(error)).strip().splitlines()
    if not lines:
        return type(error).__name__
    return lines[0] if isinstance(error, WithId) else f"{type(error).__name__}: {lines[0]}"


class MeasuredCandidate:
    """A candidate in measurement: `load` once, `burst` several times, `close` once; or only `detect`."""

    def __init__(self, job: Job, plan: Plan) -> None:
        self.job, self.plan = job, plan
        for module in job.imports:
            with suppress(ModuleNotFoundError):  # `make` raises an error that says what to install
                importlib.import_module(module)
        self.next_batch = 0
        self.calls: list[Call] = []
        self.cpu_after_calls: list[float] = []
        self.idle: list[tuple[float, BackgroundUsage]] = []
        self.received = now()
        self.background = "its process"
        self.meter: energy.Meter | None = None

    def wait_for_request(self, receive: Callable[[], Any]) -> Any:
        """The next request. Until it arrives the process should be idle."""
        background, start = BackgroundCpu().with_children(), now()
        request, self.received = receive(), now()
        self.idle.append((self.received - start, background.usage()))
        return request

    def load(self, images: Sequence[Image], facts: dict[str, Any] | None = None) -> dict[str, Any]:
        """Builds the candidate, prepares batches, makes the first call and warms up; `facts` if already known."""
        release_freed_memory()
        self.peak, self.baseline = Peak(), resident_mib()
        start = now()
        self.candidate: Candidate = self.job.make()
        load_ms = 1000 * (now() - start)
        memory = self._above_baseline()
        info = ModelInfo(**facts) if facts else self._facts()
        self.clock, self.watch = Clock(info.device), ContentionWatch(device=info.device)
        self.output_check, self.meter = OutputCheck(self.job.batch), energy.open_meter(info.device)
        release_freed_memory()
        self.peak.reset()
        return {
            "load_ms": max(0.0, load_ms - info.made_ms),
            "memory_load_mib": memory,
            "memory_way": self.peak.way,
            "baseline_mib": self.baseline,
            "facts": {name: value for name, value in vars(info).items() if name not in NOT_STORED},
            "layers": info.layers,
            "unwatched": self.watch.unwatched,
            "energy_way": self.meter and self.meter.way,
            "prepare_ms": self._prepare(images),
            **self._warm_up(),
        }

    def burst(self, real_time: bool = False, *, min_seconds: float = 0.0) -> dict[str, Any]:
        """One burst, as long as the plan requires and at least `min_seconds`. Its first call enters no percentile.

        `real_time` runs it at real-time priority if the system allows that.
        """
        with no_collection(), raised(real_time) as granted:
            self.watch.start()
            calls, joules = energy.metered(self.meter, lambda: self._calls(min_seconds))
            post_call = PostCallCheck(self.last, self.spent)
            sample = self.watch.stop()
        self.cpu_after_calls.append(post_call.wait(calls[-1].total / 1000))
        self.output_check.check(self.last)  # not before: work that was left behind could be done meanwhile
        self.background = post_call.source if post_call.source != "its process" else self.background
        self.calls += calls[1:]
        return {
            "seconds": sum(call.total for call in calls) / 1000,
            "infer_ms": [round(call.infer, 4) for call in calls],
            "finish_ms": [round(call.finish, 4) for call in calls],
            "event_ms": [round(call.event, 4) for call in calls if call.event is not None],
            "settled_cpu_s": self.cpu_after_calls[-1],
            "priority": "real-time" if granted else "ordinary",
            "joules": joules,
            "watch": describe(sample),
            "contended": sample.contended(),
            "throttled": sample.throttled(self.watch.highest_mhz),
        }

    def close(self, stages: bool = True) -> dict[str, Any]:
        """Checks the candidate's idle times; then its memory and, if `stages`, samples of each stage."""
        call_s = float(np.median([call.total for call in self.calls])) / 1000
        check_idle_after_calls(self.cpu_after_calls, call_s, source=self.background)
        check_idle_between_requests(self.idle)
        memory = {
            "memory_infer_mib": max(0.0, self._above_baseline() - self.waiting_batches_mib),
            "memory_device": device_mib(self.clock.device),
        }
        self.peak.close()
        stages_ms = self._stages() if stages else None
        return {
            **memory,
            "host_bound": host_bound(self.calls),
            "stages_ms": stages_ms,
            "metered": self._metered(),
            "unwatched": self.watch.unwatched,  # with what was not reported in any burst
        }

    def profile(self, calls: int) -> dict[str, Any]:
        """The times of the candidate's layers in the first batch."""
        if not isinstance(self.candidate, Profiled):
            raise InputError("profile: it has no method `profile`, so its layers cannot be timed", "profile-failed")
        with no_collection():
            return {"layers": self.candidate.profile(self.batches[0], calls)}

    def ceilings(self, device: str) -> dict[str, Any]:
        """What the machine reaches with the threads of this process, in which no candidate was loaded."""
        return {"ceilings": measure_ceilings(device)}

    def detect(self, image: ImageEntry, categories: dict[int, str]) -> dict[str, Any]:
        """COCO results of one image, by the ids of these categories, or why it is left out; nothing is timed."""
        if not hasattr(self, "candidate"):
            self.candidate = self.job.make()
        ids = category_ids(label_names(self.candidate, self.job.recipe.get("labels")), categories)
        return {"results": detect_image(self.candidate, image, ids)}

    def _facts(self) -> ModelInfo:
        """The candidate's facts as plain values. Raises ContractError if a row cannot contain one."""
        if not isinstance(self.candidate, Stated):
            return ModelInfo()
        stated = vars(self.candidate.facts())
        facts = {name: value.item() if isinstance(value, np.generic) else value for name, value in stated.items()}
        for problem in filter(None, (field_error(name, value) for name, value in facts.items() if name in TYPES)):
            raise ContractError(f"facts: {problem}")
        return ModelInfo(**facts)

    def _prepare(self, images: Sequence[Image]) -> list[float]:
        """Prepares every batch, in total at least four times; the first sample enters no percentile.

        The memory of the batches that wait to be used is subtracted from the candidate's memory.
        """
        groups = batches(images, self.job.batch)
        timed = [self.clock.time(lambda: self.candidate.prepare(groups[0]))]
        with_one_batch = resident_mib()
        timed += [self.clock.time(lambda group=group: self.candidate.prepare(group)) for group in groups[1:]]  # type: ignore[misc]
        self.waiting_batches_mib = max(0.0, resident_mib() - with_one_batch)
        self.batches = [batch for _, batch in timed]
        self.sizes = [torch.tensor([image.shape[:2] for image in group], dtype=torch.float32) for group in groups]
        repeated = [self.clock.time(lambda: self.candidate.prepare(groups[0]))[0] for _ in range(4 - len(groups))]
        return [round(ms, 4) for ms, _ in timed] + [round(ms, 4) for ms in repeated]

    def _warm_up(self) -> dict[str, Any]:
        first = self._call().total
        times: list[float] = []
        while not self._is_warm(times):
            times.append(self._call().total)
        return {"first_ms": first, "warm_ms": [round(ms, 4) for ms in times], "stable": stable(times)}

    def _is_warm(self, times: list[float]) -> bool:
        spent, plan = sum(times) / 1000, self.plan
        if spent >= plan.warm_limit:
            return True
        return stable(times) and (len(times) >= plan.warm_calls or spent >= plan.warm)

    def _metered(self) -> list[dict[str, Any]]:
        """An additional, longer burst for the energy only, if the meter is too slow for the bursts of the plan."""
        if self.meter is None or energy.min_burst_s(self.meter) <= self.plan.burst:
            return []
        return [self.burst(min_seconds=energy.min_burst_s(self.meter))]

    def _calls(self, min_seconds: float) -> list[Call]:
        calls, start = [self._unchecked_call()], now()
        while not self._is_complete(calls) or now() - start < min_seconds:
            self.output_check.check(self.last)
            calls.append(self._unchecked_call())
        return calls

    def _is_complete(self, calls: list[Call]) -> bool:
        spent, plan = sum(call.total for call in calls) / 1000, self.plan
        if spent >= plan.long_burst:
            return len(calls) >= 3
        return len(calls) >= plan.burst_calls and spent >= plan.burst

    def _call(self) -> Call:
        """One call on the next batch. Checking its detections is not timed."""
        call = self._unchecked_call()
        self.output_check.check(self.last)
        return call

    def _unchecked_call(self) -> Call:
        batch, sizes = self._next()
        call, self.last = self.clock.call(self.candidate, batch, sizes)
        self.spent = background_cpu()
        return call

    def _next(self) -> tuple[Any, Tensor]:
        index = self.next_batch % len(self.batches)
        self.next_batch += 1
        return self.batches[index], self.sizes[index]

    def _stages(self) -> dict[str, list[float]] | None:
        """Stage -> samples, with `finish` as the last stage; None if the candidate has no stages."""
        stages = self.candidate.stages() if isinstance(self.candidate, Staged) else ()
        if not stages:
            return None
        spent = 0.0
        samples: list[dict[str, float]] = []
        while len(samples) < 3 or spent < 1000 * self.plan.burst:
            samples.append(self._time_stages(stages))
            spent += sum(samples[-1].values())
            if len(samples) > 1 and spent > 1000 * self.plan.long_burst:
                break
        kept = samples[1:]
        return {name: [round(sample[name], 4) for sample in kept] for name in kept[0]}

    def _time_stages(self, stages: Any) -> dict[str, float]:
        batch, sizes = self._next()
        times, outputs = self.clock.stages(stages, batch)
        finish, _ = self.clock.time(lambda: self.candidate.finish(outputs, sizes))
        return {**times, "finish": finish}

    def _above_baseline(self) -> float:
        return max(0.0, self.peak.mib() - self.baseline)


def _unpack(parcel: bytes) -> Job:
    job = pickle.loads(parcel)  # sent by the parent process
    assert isinstance(job, Job)
    return job
