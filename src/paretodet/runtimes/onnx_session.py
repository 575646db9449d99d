"""Sessions of ONNX Runtime, and what they executed. Without torch: a process that only opens one starts fast."""

import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from paretodet.errors import InputError, first_line
from paretodet.export import onnx_nodes
from paretodet.records.profile import LayerTime
from paretodet.runtimes import operators

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
LAYERS = "layers.json"
KINDS = {"float": "fp32", "float16": "fp16", "bfloat16": "bf16", "double": "fp64"}  # types as profiles call them
_KERNEL = "_kernel_time"  # the ending of a node's event
SETTINGS = {"session.intra_op.allow_spinning": "0", "session.inter_op.allow_spinning": "0"}


def node_times(events: Sequence[Mapping[str, Any]], calls: int) -> tuple[LayerTime, ...]:
    """The median of every node over the last `calls` runs, from the events of ONNX Runtime's profiler."""
    starts = sorted(event["ts"] for event in events if event["name"] == "model_run")
    operators, spent = dict[str, str](), Counter[tuple[str, int]]()
    for name, event in _kernels(events):
        operators[name] = event["args"]["op_name"]
        spent[name, bisect_right(starts, event["ts"])] += event["dur"]
    runs = range(len(starts) - calls + 1, len(starts) + 1)
    return tuple(
        LayerTime(name, operator, median(spent[name, run] for run in runs) / 1000)
        for name, operator in operators.items()
    )


def node_precisions(events: Sequence[Mapping[str, Any]]) -> Mapping[str, int]:
    """Number of convolutions and matrix products by the precision in which they computed, from the same events: by the
    type of their first input.
    """
    found = dict[str, str]()
    for name, event in _kernels(events):
        if (operator := event["args"]["op_name"]) in onnx_nodes.INTEGER_PRODUCTS:
            found[name] = "int8"
        elif operator in onnx_nodes.PRODUCTS:
            (kind,) = event["args"]["input_type_shape"][0]
            found[name] = KINDS.get(kind, kind)
    return Counter(found.values())


def _kernels(events: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The events of nodes that computed, by the names of the nodes."""
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith(_KERNEL):
            arguments = event["args"]
            yield event["name"].removesuffix(_KERNEL) or f"{arguments['op_name']} {arguments['node_index']}", event


def write_layers(path: Path, device: str, folder: Path) -> None:
    """Writes the precisions of the layers that ONNX Runtime executes for a file."""
    import onnx

    with TemporaryDirectory() as name:
        optimized = Path(name) / "optimized.onnx"
        open_session(path, device, 1, optimized=optimized)
        layers = onnx_nodes.precisions(onnx.load(optimized))
    (folder / LAYERS).write_text(json.dumps(dict(layers)), encoding="utf-8")


def open_session(
    path: Path, device: str, threads: int, *, optimized: Path | None = None, profile: Path | None = None
) -> Any:
    """An onnxruntime.InferenceSession. It also writes its graph to the file `optimized`, and the times of its nodes to
    a file whose name begins with `profile`.

    Raises ValueError if the file is no ONNX or the device cannot be used.
    """
    import onnxruntime

    chosen = provider(device)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if optimized:
        options.optimized_model_filepath = str(optimized)
    if profile:
        options.enable_profiling, options.profile_file_prefix = True, str(profile)
    for key, value in SETTINGS.items():
        options.add_session_config_entry(key, value)
    try:
        session = onnxruntime.InferenceSession(path, options, providers=[chosen], enable_fallback=0)
    except Exception as error:  # the runtime's own exceptions share no base
        if lacking := operators.in_onnxruntime(path, "ONNX Runtime", str(error)):
            raise lacking from error
        raise InputError(f"{path}: ONNX Runtime cannot load it ({first_line(error)})", "graph-failed") from error
    if chosen[0] not in session.get_providers():  # else the CPU would be measured under another name
        raise InputError(f"device: {device!r} could not be started by ONNX Runtime", "device-missing")
    return session


def provider(device: str) -> tuple[str, dict[str, str]]:
    """The execution provider of a device and its options. Raises ValueError if this build has none."""
    import onnxruntime

    kind, _, number = device.partition(":")
    if (name := PROVIDERS.get(kind)) not in onnxruntime.get_available_providers():
        raise InputError(f"device: {device!r} is not one that this build of ONNX Runtime can use", "device-missing")
    return str(name), {"device_id": number or "0"} if kind == "cuda" else {}


def version() -> str:
    """Of ONNX Runtime."""
    import onnxruntime

    return str(onnxruntime.__version__)
