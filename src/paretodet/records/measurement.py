"""One measured row: frozen data with the unit in every field's name. Torch-free."""

from dataclasses import asdict, dataclass, field, fields
from typing import Any

VALIDITY = ("valid", "noisy", "contended", "throttled", "unwatched", "host_bound", "error")
# Rows that enter a frontier. "noisy" stands in older rows alone: a wide interval is a property of a row, not a fault.
USABLE = ("valid", "noisy", "unwatched", "host_bound")

# What tells two measurements apart: rows that are equal in it are repetitions of one.
SUBJECT = ("name", "artefact", "device", "runtime", "precision", "batch", "threads", "load", "machine")


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """A row of the store. None means unknown, never zero."""

    # what was measured
    id: str  # first 12 hex digits of the SHA-256 over the row's content
    run: str  # id of the run this row belongs to
    at: str  # UTC, ISO 8601, seconds
    name: str
    height: int | None = None
    width: int | None = None
    proposals: int | None = None
    classes: int | None = None
    weights: str = "random"
    device: str = "cpu"
    runtime: str = "eager"
    precision: str = "fp32"
    batch: int = 1
    threads: int | None = None
    processes: int = 0
    load: str = "data"
    spec: str | None = None
    artefact: str = ""
    job: dict[str, Any] = field(default_factory=dict)  # what `reproduce` needs to open it again

    # time: infer + finish, host memory to host memory
    latency_ms_p50: float | None = None  # median of the process medians
    latency_ms_p50_low: float | None = None  # 95 % t-interval over processes, log scale
    latency_ms_p50_high: float | None = None
    latency_ms_p90: float | None = None  # from at least 50 samples
    latency_ms_p95: float | None = None  # from at least 100
    latency_ms_p99: float | None = None  # from at least 500
    within_pct: float | None = None  # spread inside a process, (p84 - p16) / 2 of p50, median over processes
    prepare_ms: float | None = None
    total_ms: float | None = None  # prepare + infer + finish
    stages_ms: dict[str, float] | None = None
    load_ms: float | None = None  # building and loading
    first_ms: float | None = None  # the first call
    samples: int = 0
    resolution_pct: float | None = None  # the smallest difference this run can tell
    clean_share: float | None = None  # of the burst time: bursts in which the machine was free for this candidate
    bursts: int = 0
    bursts_left_out: dict[str, int] = field(default_factory=dict)  # cause -> bursts outside the headline
    disturbed_pct: float | None = None  # what drift and other work may have changed the latency by: widen it by this

    # energy
    energy_j: float | None = None  # an image, where the machine has a meter

    # memory
    memory_load_mib: float | None = None
    memory_infer_mib: float | None = None
    memory_device_mib: float | None = None  # CUDA: peak of the process
    memory_allocated_mib: float | None = None  # CUDA: allocator's peak
    memory_reserved_mib: float | None = None
    activations_mib: float | None = None  # sum of activations: the paper's total

    # work
    parameters: int | None = None
    buffers: int | None = None
    macs: int | None = None
    macs_other: int | None = None
    flops: int | None = None  # 2 x macs
    uncounted: tuple[str, ...] = ()

    # accuracy, COCO percent; `ap_measured` tells whether it belongs to this artefact or is its publication's
    ap: float | None = None
    ap50: float | None = None
    mask_ap: float | None = None
    mask_ap50: float | None = None
    ap_split: str | None = None
    ap_source: str | None = None
    ap_rounding: float | None = None  # half a unit of the last published digit
    ap_measured: bool = False
    published_ap: float | None = None  # beside a measured one: what was published of this name
    published_ap50: float | None = None
    published_split: str | None = None

    # trust
    validity: str = "valid"
    reasons: tuple[str, ...] = ()  # sentences: why not valid, what could not be watched
    error: str | None = None
    machine: str = ""  # fingerprint
    machine_facts: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)  # spinning, garbage collection, bursts, seeds, images' hash
    raw: tuple[dict[str, Any], ...] = ()  # one object a process: every sample, burst marks, memory, watched values

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dictionary of every field."""
        return asdict(self)

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> "Measurement":
        """The row back; unknown fields are ignored so that newer files can be read. Lists become tuples."""
        known = {f.name for f in fields(cls)}
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in row.items() if k in known}
        return cls(**values)

    @property
    def usable(self) -> bool:
        return self.validity in USABLE and self.latency_ms_p50 is not None


ACCURACY = (
    "ap", "ap50", "mask_ap", "mask_ap50", "ap_split", "ap_source", "ap_rounding", "ap_measured",
    "published_ap", "published_ap50", "published_split",
)  # fmt: skip


def accuracy_of(row: Measurement) -> dict[str, Any]:
    """A row's accuracy fields, which belong to its artefact however often that is timed."""
    return {name: getattr(row, name) for name in ACCURACY}
