"""One measured row: frozen data with units in the field names. Torch-free."""

from dataclasses import asdict, dataclass, field, fields
from typing import Any

VALIDITY = ("valid", "noisy", "contended", "throttled", "unwatched", "host_bound", "error")
# Rows that are trusted. Only older rows are "noisy": a wide interval is a property of a row, not a defect.
USABLE = ("valid", "noisy", "unwatched", "host_bound")

# What was measured, and how: rows that are equal in these fields are repetitions of one measurement.
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
    precision: str = "fp32"  # the one that was executed
    precision_layers: dict[str, int] | None = None  # convolutions and matrix products by the precision they ran in
    batch: int = 1
    threads: int | None = None
    processes: int = 0
    load: str = "data"
    spec: str | None = None
    artefact: str = ""
    job: dict[str, Any] = field(default_factory=dict)  # what `reproduce` needs to open the candidate again

    # time: infer + finish, host memory to host memory
    latency_ms_p50: float | None = None  # median of the process medians
    latency_ms_p50_low: float | None = None  # 95 % t-interval over processes, log scale
    latency_ms_p50_high: float | None = None
    latency_ms_p90: float | None = None  # from at least 50 samples
    latency_ms_p95: float | None = None  # from at least 100
    latency_ms_p99: float | None = None  # from at least 500
    within_pct: float | None = None  # spread in a process, (p84 - p16) / 2 in percent of p50; median over processes
    prepare_ms: float | None = None
    total_ms: float | None = None  # prepare + infer + finish
    stages_ms: dict[str, float] | None = None
    load_ms: float | None = None  # building and loading
    first_ms: float | None = None  # the first call
    export_ms: float | None = None  # writing the graph, when it was made
    compile_ms: float | None = None  # from the graph to a session that is ready, part of load_ms
    samples: int = 0
    resolution_pct: float | None = None  # the smallest difference that this run can detect
    clean_share: float | None = None  # share of the burst time that nothing disturbed
    bursts: int = 0
    bursts_left_out: dict[str, int] = field(
        default_factory=dict
    )  # cause -> bursts that are not in the reported numbers
    disturbed_pct: float | None = None  # possible effect of drift and other processes: widen the latency by it

    # energy
    energy_j: float | None = None  # per image, if the machine has an energy meter

    # memory
    memory_load_mib: float | None = None
    memory_infer_mib: float | None = None
    memory_device_mib: float | None = None  # CUDA: peak of the process
    memory_allocated_mib: float | None = None  # CUDA: allocator's peak
    memory_reserved_mib: float | None = None
    activations_mib: float | None = None  # sum of all activations, as in Huang et al. 2017

    # work
    parameters: int | None = None
    buffers: int | None = None
    macs: int | None = None
    macs_other: int | None = None
    flops: int | None = None  # 2 x macs
    uncounted: tuple[str, ...] = ()
    ceilings: dict[str, float | None] | None = None  # of the machine: GFLOP/s by precision, GB/s; `records.roofline`
    floor_ms: float | None = None  # least time of the counted layers at these ceilings, in `precision`

    # accuracy, COCO percent; `ap_measured`: measured with this artifact, otherwise published
    ap: float | None = None
    ap50: float | None = None
    mask_ap: float | None = None
    mask_ap50: float | None = None
    ap_split: str | None = None
    ap_source: str | None = None
    ap_rounding: float | None = None  # half a unit of the last published digit
    ap_measured: bool = False
    published_ap: float | None = None  # for a measured row: the AP that was published of these weights or this name
    published_ap50: float | None = None
    published_split: str | None = None
    ap_estimate: dict[str, Any] | None = None  # neither measured nor published: `records.estimate.ApEstimate` as JSON

    # trust
    validity: str = "valid"
    reasons: tuple[str, ...] = ()  # sentences: why it is not valid, what could not be monitored
    error: str | None = None
    machine: str = ""  # fingerprint
    machine_facts: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)  # environment, garbage collection, plan, hash of the images
    raw: tuple[dict[str, Any], ...] = ()  # one object per process: all samples, memory, monitored values

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dictionary of every field."""
        return asdict(self)

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> "Measurement":
        """The row of `to_json`. Lists become tuples; unknown fields are ignored, so that newer files can be read."""
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in row.items() if k in FIELDS}
        return cls(**values)

    @property
    def floor_pct(self) -> float | None:
        """The share of the latency that the floor explains, in percent."""
        return 100 * self.floor_ms / self.latency_ms_p50 if self.floor_ms and self.latency_ms_p50 else None

    @property
    def usable(self) -> bool:
        return self.validity in USABLE and self.latency_ms_p50 is not None


FIELDS = frozenset(field.name for field in fields(Measurement))
# Fields that can be compared: what one pays, and what one gets for it, in percent: `evaluation.coco.Scores` of boxes
# and, as `mask_…`, of masks.
COST_FIELDS = (
    "latency_ms_p50", "latency_ms_p90", "latency_ms_p95", "latency_ms_p99", "prepare_ms", "total_ms", "load_ms",
    "first_ms", "energy_j", "memory_load_mib", "memory_infer_mib", "memory_device_mib", "memory_allocated_mib",
    "memory_reserved_mib", "activations_mib", "parameters", "buffers", "macs", "macs_other", "flops",
)  # fmt: skip
GAINS = ("ap", "ap50", "mask_ap", "mask_ap50")
ACCURACY = (
    *GAINS, "ap_split", "ap_source", "ap_rounding", "ap_measured", "published_ap", "published_ap50", "published_split",
)  # fmt: skip


def accuracy_of(row: Measurement) -> dict[str, Any]:
    """A row's accuracy fields, which do not change when its artifact is timed again."""
    return {name: getattr(row, name) for name in ACCURACY}


def published_fields(accuracy: dict[str, Any]) -> dict[str, Any]:
    """Published accuracy, given as a row's own fields or already so, as the fields that stand beside a row's own."""
    fields = {"published_ap": "ap", "published_ap50": "ap50", "published_split": "ap_split"}
    return {name: accuracy.get(own, accuracy.get(name)) for name, own in fields.items()}
