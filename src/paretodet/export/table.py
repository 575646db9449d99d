"""Every form of an artifact. A new one is its file and its line here."""

from paretodet.errors import InputError
from paretodet.export.aotinductor_target import AotInductorTarget
from paretodet.export.executorch_target import ExecuTorchTarget
from paretodet.export.litert_target import LiteRtTarget
from paretodet.export.ncnn_target import NcnnTarget
from paretodet.export.onnx_target import OnnxTarget
from paretodet.export.openvino_target import OpenVinoTarget
from paretodet.export.target import Target
from paretodet.export.torch_target import TorchTarget

TARGETS: tuple[Target, ...] = (
    OnnxTarget(),
    OpenVinoTarget(),
    TorchTarget(),
    AotInductorTarget(),
    LiteRtTarget(),
    ExecuTorchTarget(),
    NcnnTarget(),
)


def target_of(name: str) -> Target:
    """The target of this name. Raises InputError if there is none."""
    targets = {target.name: target for target in TARGETS}
    if name not in targets:
        raise InputError(f"to: got {name!r}, it must be one of {', '.join(targets)}", "option-value")
    return targets[name]
