"""One fresh process measuring one candidate. It works only when asked to; in between it waits on its pipe."""

import gc
import importlib
import os
import pickle
import re
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from paretodet.bench import energy, process_tree
from paretodet.bench.accuracy import category_ids, look, names
from paretodet.bench.candidate import Candidate, Image, ModelInfo, Staged, Stated
from paretodet.bench.clock import Call, Clock, host_bound, no_collection, now, stable
from paretodet.bench.conduct import Conduct
from paretodet.bench.contention import ContentionWatch, describe
from paretodet.bench.contract import (
    Background,
    BackgroundWork,
    ContractError,
    Outputs,
    Worked,
    check_clocks,
    check_rest,
    check_settled,
)
from paretodet.bench.job import Job, Plan
from paretodet.bench.memory import Peak, device_mib, map_libraries, resident_mib, trim
from paretodet.bench.priority import raised
from paretodet.bench.synthetic_images import batches
from paretodet.records.row_id import TYPES, fault

CLOCKED = ("load", "burst", "close")  # commands whose answers hold times
PATH = re.compile(r"(?<![\w.:/])(?:/[^\s:,;'\"()/]+){2,}")


def serve(pipe: Connection, parcel: bytes, plan: Plan, threads: int, environment: dict[str, str]) -> None:
    """The process's main function: answers (dict, None) or (None, sentence) to the methods of `Session`."""
    os.environ.update(environment)  # a forked process has its server's
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    process_tree.found()
    conduct = Conduct()
    os.dup2(2, 1)  # a candidate that prints must not write into the parent's output
    try:
        gc.freeze()  # what was there before is nobody's garbage
        map_libraries()
        torch.set_num_threads(threads)
        session = Session(_unpack(parcel), plan)
        pipe.send(({}, None))
        while (said := session.rest(pipe.recv))[0] != "stop":
            command, args = said
            answer = getattr(session, command)(*args)
            if command in CLOCKED:
                conduct.check()
                check_clocks()
            pipe.send(({**answer, "wall_s": now() - session.asked}, None))
    except EOFError:  # the parent is gone
        return
    except ContractError as broken:
        pipe.send((None, str(broken)))
    except BaseException as problem:  # whatever a stranger's code raises, exits included, is a row
        pipe.send((None, sentence(problem)))
    finally:
        process_tree.clear()


def sentence(problem: BaseException) -> str:
    """An exception as one line, in which files are told by name: rows say nothing of where they lie."""
    lines = PATH.sub(lambda found: Path(found[0]).name, str(problem)).strip().splitlines()
    return f"{type(problem).__name__}: {lines[0]}" if lines else type(problem).__name__


class Session:
    """A candidate under measurement: `load` once, `burst` as often as asked, `close` once; or `look` alone."""

    def __init__(self, job: Job, plan: Plan) -> None:
        self.job, self.plan = job, plan
        for module in job.imports:
            with suppress(ModuleNotFoundError):  # making the candidate says what is to be installed
                importlib.import_module(module)
        self.turn, self.fastest = 0, 0.0
        self.calls: list[Call] = []
        self.settled: list[float] = []
        self.rests: list[tuple[float, Worked]] = []
        self.asked = now()
        self.who = "its process"
        self.meter: energy.Meter | None = None

    def rest(self, receive: Callable[[], Any]) -> Any:
        """What is received next; until then the process has nothing to do."""
        background, began = Background().with_children(), now()
        said, self.asked = receive(), now()
        self.rests.append((self.asked - began, background.worked()))
        return said

    def load(self, images: Sequence[Image], known: dict[str, Any] | None = None) -> dict[str, Any]:
        """Builds, prepares, makes the first call and warms up. Facts that are `known` are not asked for again."""
        trim()
        self.peak, self.baseline = Peak(), resident_mib()
        built = now()
        self.candidate: Candidate = self.job.make()
        load_ms = 1000 * (now() - built)
        memory = self._above()
        facts = ModelInfo(**known) if known else self._facts()
        self.clock, self.watch = Clock(facts.device), ContentionWatch(device=facts.device)
        self.outputs, self.meter = Outputs(self.job.batch), energy.open_meter(facts.device)
        trim()
        self.peak.reset()
        return {
            "load_ms": load_ms,
            "memory_load_mib": memory,
            "memory_way": self.peak.way,
            "baseline_mib": self.baseline,
            "facts": asdict(facts),
            "unwatched": self.watch.unwatched,
            "energy_way": self.meter and self.meter.way,
            "prepare_ms": self._prepare(images),
            **self._warm_up(),
        }

    def burst(self, urgent: bool = False, *, shortest: float = 0.0) -> dict[str, Any]:
        """One burst, `shortest` seconds long or as the plan says; its first call is marked by its place and stays
        outside every percentile. An `urgent` one runs at real-time priority where the system allows it.
        """
        with no_collection(), raised(urgent) as granted:
            self.watch.start()
            calls, joules = energy.metered(self.meter, lambda: self._calls(shortest))
            aftermath = BackgroundWork(self.last)
            sight = self.watch.stop()
        self.settled.append(aftermath.settle(calls[-1].total / 1000))
        self.who = aftermath.who if aftermath.who != "its process" else self.who
        self.calls += calls[1:]
        return {
            "seconds": sum(call.total for call in calls) / 1000,
            "infer_ms": [round(call.infer, 4) for call in calls],
            "finish_ms": [round(call.finish, 4) for call in calls],
            "event_ms": [round(call.event, 4) for call in calls if call.event is not None],
            "settled_cpu_s": self.settled[-1],
            "priority": "real-time" if granted else "ordinary",
            "joules": joules,
            "watch": describe(sight),
            "contended": sight.contended(),
            "throttled": sight.throttled(self._highest(sight.clock_mhz)),
        }

    def close(self, stages: bool = True) -> dict[str, Any]:
        """Memory, the verdict on the candidate's honesty, then where wanted the extra samples a stage."""
        check_settled(self.settled, float(np.median([call.total for call in self.calls])) / 1000, who=self.who)
        check_rest(self.rests)
        memory = {
            "memory_infer_mib": max(0.0, self._above() - self.waiting),
            "memory_device": device_mib(self.clock.device),
        }
        self.peak.close()
        staged = self._stages() if stages else None
        return {**memory, "host_bound": host_bound(self.calls), "stages_ms": staged, "metered": self._metered()}

    def look(self, image: dict[str, Any], folder: Path, categories: list[dict[str, Any]]) -> dict[str, Any]:
        """COCO results of one image of labels with these categories, or why it is left out; nothing is clocked."""
        if not hasattr(self, "candidate"):
            self.candidate = self.job.make()
        ids = category_ids(names(self.candidate, self.job.recipe.get("labels")), {"categories": categories})
        return {"seen": look(self.candidate, image, folder, ids)}

    def _facts(self) -> ModelInfo:
        """What the candidate says of itself, as plain numbers. Raises GuestError where no row could hold it."""
        if not isinstance(self.candidate, Stated):
            return ModelInfo()
        said = vars(self.candidate.facts())
        told = {name: value.item() if isinstance(value, np.generic) else value for name, value in said.items()}
        for wrong in filter(None, (fault(name, value) for name, value in told.items() if name in TYPES)):
            raise ContractError(f"facts: {wrong}")
        return ModelInfo(**told)

    def _prepare(self, images: Sequence[Image]) -> list[float]:
        """Prepares every batch, at least four times in all; the first sample is marked by its place. What batches take
        that wait for their turn is no memory of the candidate's.
        """
        groups = batches(images, self.job.batch)
        timed = [self.clock.time(lambda: self.candidate.prepare(groups[0]))]
        one = resident_mib()
        timed += [self.clock.time(lambda group=group: self.candidate.prepare(group)) for group in groups[1:]]  # type: ignore[misc]
        self.waiting = max(0.0, resident_mib() - one)
        self.batches = [batch for _, batch in timed]
        self.sizes = [torch.tensor([image.shape[:2] for image in group], dtype=torch.float32) for group in groups]
        again = [self.clock.time(lambda: self.candidate.prepare(groups[0]))[0] for _ in range(4 - len(groups))]
        return [round(ms, 4) for ms, _ in timed] + [round(ms, 4) for ms in again]

    def _warm_up(self) -> dict[str, Any]:
        first = self._call().total
        times: list[float] = []
        while not self._warm(times):
            times.append(self._call().total)
        return {"first_ms": first, "warm_ms": [round(ms, 4) for ms in times], "stable": stable(times)}

    def _warm(self, times: list[float]) -> bool:
        spent, plan = sum(times) / 1000, self.plan
        if spent >= plan.warm_limit:
            return True
        return stable(times) and (len(times) >= plan.warm_calls or spent >= plan.warm)

    def _metered(self) -> list[dict[str, Any]]:
        """One burst more where the meter is too slow for those of the plan: for the energy alone."""
        slow = self.meter is not None and energy.shortest_s(self.meter) > self.plan.burst
        return [self.burst(shortest=energy.shortest_s(self.meter))] if slow and self.meter else []

    def _calls(self, shortest: float) -> list[Call]:
        calls, began = [self._call()], now()
        while not self._enough(calls) or now() - began < shortest:
            calls.append(self._call())
        return calls

    def _enough(self, calls: list[Call]) -> bool:
        spent, plan = sum(call.total for call in calls) / 1000, self.plan
        if spent >= plan.long_burst:
            return len(calls) >= 3
        return len(calls) >= plan.burst_calls and spent >= plan.burst

    def _call(self) -> Call:
        """One call on the next batch; its detections are checked outside the clock."""
        batch, sizes = self._next()
        call, self.last = self.clock.call(self.candidate, batch, sizes)
        self.outputs.check(self.last)
        return call

    def _next(self) -> tuple[Any, Tensor]:
        place = self.turn % len(self.batches)
        self.turn += 1
        return self.batches[place], self.sizes[place]

    def _stages(self) -> dict[str, list[float]] | None:
        """Samples a stage, `finish` the last of them; None where the candidate names no stages."""
        stages = self.candidate.stages() if isinstance(self.candidate, Staged) else ()
        if not stages:
            return None
        spent = 0.0
        samples: list[dict[str, float]] = []
        while len(samples) < 3 or spent < 1000 * self.plan.burst:
            samples.append(self._staged(stages))
            spent += sum(samples[-1].values())
            if len(samples) > 1 and spent > 1000 * self.plan.long_burst:
                break
        kept = samples[1:]
        return {name: [round(sample[name], 4) for sample in kept] for name in kept[0]}

    def _staged(self, stages: Any) -> dict[str, float]:
        batch, sizes = self._next()
        times, outputs = self.clock.stages(stages, batch)
        finish, _ = self.clock.time(lambda: self.candidate.finish(outputs, sizes))
        return {**times, "finish": finish}

    def _above(self) -> float:
        return max(0.0, self.peak.mib() - self.baseline)

    def _highest(self, now: float | None) -> float | None:
        self.fastest = max(self.fastest, now or 0.0)
        return self.fastest or None


def _unpack(parcel: bytes) -> Job:
    job = pickle.loads(parcel)  # our own parent's bytes
    assert isinstance(job, Job)
    return job
