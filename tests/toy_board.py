"""A machine elsewhere that answers a search as its runner would: at once, with rows of made-up numbers."""

import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paretodet import opening
from paretodet.config import CandidateConfig
from paretodet.errors import InputError
from paretodet.places.place import Request
from paretodet.places.runner import CALIBRATION, PROTOCOL
from paretodet.places.session import RunnerSession
from paretodet.records.measurement import Measurement
from paretodet.records.row_id import job_key, row_text, with_id
from paretodet.sweep.known import expected_rows
from paretodet.version import __version__

RUNTIMES = {"eager": 2e-8, "executorch": 1e-8}  # ms per multiply-add; this machine may lack the second one
Message = Mapping[str, Any]


@dataclass
class Board:
    """A machine that answers as its runner would; `change` alters what it sends, `dies` is its last row.

    The reference candidate takes `slowness` ms. `waits` is called before a job is measured.
    """

    name: str = "ssh:board"
    change: Callable[[dict[str, Any]], Any] = lambda message: message
    dies: int | None = None
    measured: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=lambda: {"python": "3"})
    copied: list[Path] = field(default_factory=list)
    machine: str = "abcdefabcdef"
    slowness: float = 1.0
    facts: dict[str, Any] = field(default_factory=dict)
    calibrations: int = 0
    waits: Callable[[Message], None] = lambda job: None

    @contextmanager
    def connect(self, request: Request) -> Iterator[RunnerSession]:
        hello = {"hello": {"version": __version__, "protocol": PROTOCOL}}
        self.lines = deque[Any]([hello, {"identity": {"machine": self.machine, "versions": self.versions}}])
        self.jobs = dict[str, Message]()
        yield RunnerSession(self.name, self)

    def send(self, line: str) -> None:
        asked = json.loads(line)
        if "space" in asked:
            self.lines.append(self.change({"space": self.space(asked)}))
        elif "bundles" in asked:
            self.lines.append({"missing": asked["bundles"]})
        elif "plan" in asked:
            self.run = asked["run"]
            self.lines.append({"end": True})
        else:
            progress = {"name": "it", "phase": "burst", "done": 1, "total": 2, "left": None}
            row = self.row(self.jobs[asked["job"]], asked["processes"])
            self.lines += [{"progress": progress}, self.change({"row": row}), {"end": True}]

    def receive(self) -> str:
        if self.dies is not None and len(self.measured) > self.dies:
            raise InputError(f"{self.name}: is gone", "place-unreachable")
        return json.dumps(self.lines.popleft()) + "\n"

    def copy(self, folder: Path, sha: str) -> None:
        self.copied.append(folder)

    def space(self, asked: Message) -> dict[str, Any]:
        listed = [
            {"runtime": runtime, "job": each | ({} if runtime == "eager" else {"runtime": runtime})}
            for each in asked["space"]
            for runtime in RUNTIMES
        ]
        self.jobs = {job_key(each["job"]["name"], each["job"]): each for each in listed}
        reference = CandidateConfig(name=CALIBRATION).to_json()
        self.jobs[job_key(CALIBRATION, reference)] = {"runtime": "eager", "job": reference}
        return {"jobs": listed, "threads": 77, "notes": ["Not in the space: a reason."]}

    def row(self, listed: Message, processes: int) -> dict[str, Any]:
        job = listed["job"]
        self.waits(job)
        if job["name"] == CALIBRATION:
            self.calibrations += 1
            point = self.slowness
        else:
            self.measured.append(job["name"])
            (known,) = expected_rows([opening.job(CandidateConfig(name=job["name"]))], {}, gain="ap", split=None)
            point = 3.0 + (known.macs or 0) * RUNTIMES[listed["runtime"]]
        row = Measurement(
            id="",
            run=self.run,
            at=f"2030-01-01T00:00:00.{len(self.measured) + self.calibrations:06}+00:00",
            name=job["name"],
            job=job,
            machine=self.machine,
            machine_facts=self.facts,
            versions=self.versions,
            runtime=listed["runtime"],
            precision="fp32",
            threads=77,
            processes=processes,
            artefact=job_key(job["name"], job),
            latency_ms_p50=point,
            latency_ms_p50_low=0.98 * point,
            latency_ms_p50_high=1.02 * point,
        )
        return json.loads(row_text(with_id(row)))
