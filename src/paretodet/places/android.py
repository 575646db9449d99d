"""Android devices by `adb`: LiteRT bundles in Google's `benchmark_model`, a program that the user names.

It is another protocol than ours, and the rows say so: the program's own loop over random input, which neither prepares
images nor suppresses boxes, watched by nobody.
"""

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from paretodet.bench.machine import Identity, fingerprint
from paretodet.config import CandidateConfig
from paretodet.errors import InputError, words
from paretodet.export.bundle import Bundle, read_manifest
from paretodet.network import digest
from paretodet.places.benchmark_report import Report, read_report
from paretodet.places.place import Request
from paretodet.reading import sha256
from paretodet.records.measurement import Measurement
from paretodet.records.row_id import job_key, row_text, with_id
from paretodet.records.statistics import interval
from paretodet.sources.bundle import BundleFolder, bundle_network, checked_bundle

PREFIX = "adb:"
SERIAL = re.compile(r"\w[\w.:-]*", re.ASCII)
FOLDER = "/data/local/tmp"  # where a shell of Android may write and execute
RUNTIME = "benchmark_model"
TARGET = "litert"
TIMEOUT_S = 900  # of one command
OPTIONS = frozenset(("batch", "threads"))  # of a request that the program honors, or that the bundle fixes
PROTOCOL = (
    "measured by Google's benchmark_model: its own loop over random input, without preparing images or selecting boxes",
    "nothing watched what else the device did, nor its temperature",
)
PROPERTIES = {  # of the device, by the property that states it
    "maker": "ro.product.manufacturer",
    "model": "ro.product.model",
    "chip": "ro.soc.model",
    "board": "ro.board.platform",
    "release": "ro.build.version.release",
    "architecture": "ro.product.cpu.abi",
}


@dataclass(frozen=True)
class AndroidPlace:
    """`adb:SERIAL`, or `adb:` for the only device. `benchmark` is the program of Google, built for the device."""

    serial: str
    benchmark: Path | None

    def __post_init__(self) -> None:
        if self.serial and not SERIAL.fullmatch(self.serial):
            raise InputError(f"--on: {self.serial!r} is not a serial number; `adb devices` lists them", "option-value")
        if self.benchmark is None:
            message = "--on adb: needs --benchmark-binary FILE, Google's benchmark_model for Android"
            raise InputError(message, "option-conflict")
        if not self.benchmark.is_file():
            raise InputError(f"--benchmark-binary: {self.benchmark}: no such file", "file-missing")

    @property
    def name(self) -> str:
        return f"{PREFIX}{self.serial}"

    @contextmanager
    def connect(self, request: Request) -> Iterator["AndroidDevice"]:
        """Raises InputError without adb or a device, and for a request that the program cannot measure."""
        _check(request)
        if not shutil.which("adb"):
            message = f"{self.name}: `adb` is not installed here; install Android's platform tools"
            raise InputError(message, "place-unfit")
        yield AndroidDevice(self)


def _check(request: Request) -> None:
    given = [key for key, value in request.options.items() if value and key not in OPTIONS]
    if given:
        raise InputError(f"--on adb: measures a bundle as it is; leave {given[0]} out", "option-unsupported")
    for name in request.names:
        if BundleFolder().owns(name) and checked_bundle(Path(name)).manifest.target == TARGET:
            continue
        message = (
            f"{name}: --on adb: measures bundles in LiteRT's form; `paretodet export NAME --to {TARGET}` makes one"
        )
        raise InputError(message, "place-unfit")


class AndroidDevice:
    """A device that answers adb."""

    def __init__(self, place: AndroidPlace) -> None:
        self._place, self._benchmark = place, place.benchmark or Path()
        self._require_device()
        self._facts = self._read_facts()
        versions = {RUNTIME: sha256(self._benchmark)[:12], "android": str(self._facts["release"])}
        self.identity = Identity(machine=fingerprint(self._facts), versions=versions)

    def measure(self, request: Request, *, run: str, finished: frozenset[str]) -> Iterator[Mapping[str, Any]]:
        """A row of every bundle. Raises InputError if the device is lost."""
        program, done = self._push(self._benchmark, executable=True), set(finished)
        for name in request.names:
            config = CandidateConfig(name=name, threads=request.options.get("threads"))
            bundle = read_manifest(Path(name))
            job = config.to_json() | {"batch": bundle.manifest.batch or 1, "runtime": RUNTIME}
            if (key := job_key(bundle.manifest.name, job)) not in done:
                done.add(key)
                row = self._row(program, bundle, config, job, request.plan.processes, run)
                yield {"row": json.loads(row_text(row))}

    def _row(
        self, program: str, bundle: Bundle, config: CandidateConfig, job: dict[str, Any], runs: int, run: str
    ) -> Measurement:
        """The row of one bundle; an error row if the program fails on it."""
        manifest = bundle.manifest
        values: dict[str, Any] = {
            "name": manifest.name,
            "job": job,
            "height": manifest.height,
            "width": manifest.width,
            "classes": len(manifest.labels),
            "weights": manifest.weights,
            "runtime": RUNTIME,
            "precision": manifest.precision,
            "batch": manifest.batch or 1,
            "threads": config.threads,
            "load": manifest.load,
            "parameters": manifest.counts.parameters,
            "macs": manifest.counts.macs,
            "artefact": digest({**bundle_network(bundle).identity, "runtime": RUNTIME}),
            "machine": self.identity.machine,
            "machine_facts": self._facts,
            "versions": self.identity.versions,
            **BundleFolder().accuracy_of(config),
        }
        try:
            reports = [self._report(program, self._push(bundle.artifact), config.threads) for _ in range(runs)]
            values |= _numbers(reports)
        except InputError as error:
            self._require_device()
            values |= {"validity": "error", "error": words(error)}
        at = datetime.now(UTC).isoformat(timespec="seconds")
        return with_id(Measurement(id="", run=run, at=at, **values))

    def _report(self, program: str, model: str, threads: int | None) -> Report:
        options = [f"--graph={model}", *([f"--num_threads={threads}"] if threads else [])]
        return read_report(self._shell(program, *options))

    def _push(self, path: Path, *, executable: bool = False) -> str:
        """The path of a copy on the device, which is named by its content, and checked."""
        wanted = sha256(path)
        target = f"{FOLDER}/paretodet-{wanted}"
        if not self._has(target, wanted):
            self._adb("push", str(path.absolute()), target)
            if not self._has(target, wanted):
                raise InputError(f"{path}: its copy on the device has another hash", "place-answer")
        if executable:
            self._shell("chmod", "755", target)
        return target

    def _has(self, target: str, wanted: str) -> bool:
        try:
            return self._shell("sha256sum", target).split()[:1] == [wanted]
        except InputError:
            return False

    def _read_facts(self) -> dict[str, Any]:
        """The facts of a machine (`bench.machine.facts`), from the properties of the device."""
        found = {key: self._shell("getprop", name).strip() for key, name in PROPERTIES.items()}
        cores = self._shell("nproc").strip()
        memory = re.search(r"MemTotal:\s+(\d+) kB", self._shell("cat", "/proc/meminfo"))
        if not (found["model"] and found["release"] and cores.isdecimal()):
            raise InputError(f"{self._place.name}: the device does not say what it is", "place-answer")
        return {
            "cpu": f"{found['maker']} {found['model']} ({found['chip'] or found['board'] or 'unknown chip'})",
            "cores_physical": None,
            "cores_logical": int(cores),
            "cores_allowed": int(cores),
            "memory_gib": round(int(memory[1]) / 2**20, 1) if memory else None,
            "system": "Android",
            "release": found["release"],
            "architecture": found["architecture"],
            "gpus": [],
        }

    def _require_device(self) -> None:
        """Raises InputError with adb's reason if the device does not answer."""
        try:
            state = self._adb("get-state").strip()
        except InputError as error:
            message = f"{words(error)}; connect one device, allow USB debugging on it, or name it as adb:SERIAL"
            raise InputError(message, "place-unreachable") from None
        if state != "device":
            raise InputError(f"{self._place.name}: the device is {state!r:.40}, not ready", "place-unreachable")

    def _shell(self, *arguments: str) -> str:
        return self._adb("shell", shlex.join(arguments))

    def _adb(self, *arguments: str) -> str:
        """What a command prints. Raises InputError with its reason if it fails."""
        chosen: Sequence[str] = ("-s", self._place.serial) if self._place.serial else ()
        try:
            done = subprocess.run(
                ["adb", *chosen, *arguments],
                capture_output=True,
                text=True,
                errors="replace",
                stdin=subprocess.DEVNULL,
                timeout=TIMEOUT_S,
            )
        except subprocess.TimeoutExpired:
            message = f"{self._place.name}: `adb {arguments[0]}` did not end in {TIMEOUT_S} s"
            raise InputError(message, "place-unreachable") from None
        if done.returncode:
            reason = ((done.stderr or done.stdout).strip().splitlines() or [f"status {done.returncode}"])[-1]
            raise InputError(f"{self._place.name}: `adb {arguments[0]}` failed: {reason:.300}", "place-unreachable")
        return f"{done.stdout}\n{done.stderr}" if arguments[0] == "shell" else done.stdout


def _numbers(reports: Sequence[Report]) -> dict[str, Any]:
    """The fields of a row; each run of the program is a process."""
    middle = all(report.median_ms is not None for report in reports)
    times = [report.mean_ms if report.median_ms is None else report.median_ms for report in reports]
    p50, low, high = interval(times)
    memory = [report.memory_mib for report in reports if report.memory_mib is not None]
    loaded = [report.memory_load_mib for report in reports if report.memory_load_mib is not None]
    mean = (
        () if middle else ("this version of benchmark_model reports no median: the latency is the mean of its calls",)
    )
    return {
        "latency_ms_p50": p50,
        "latency_ms_p50_low": low,
        "latency_ms_p50_high": high,
        "first_ms": median(report.first_ms for report in reports),
        "load_ms": median(report.init_ms for report in reports),
        "memory_infer_mib": median(memory) if memory else None,
        "memory_load_mib": median(loaded) if loaded else None,
        "processes": len(reports),
        "samples": sum(report.calls for report in reports),
        "validity": "unwatched",
        "reasons": (*PROTOCOL, *mean),
        "settings": {"protocol": RUNTIME, "runs": [report.to_json() for report in reports]},
    }
