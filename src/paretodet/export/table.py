"""Every form of an artifact. A new one is its file and its line here."""

from typing import get_args

from paretodet.errors import InputError
from paretodet.export.aotinductor_target import AotInductorTarget
from paretodet.export.executorch_target import ExecuTorchTarget
from paretodet.export.litert_target import LiteRtTarget
from paretodet.export.ncnn_target import NcnnTarget
from paretodet.export.onnx_target import OnnxTarget, UnselectedOnnxTarget
from paretodet.export.openvino_target import OpenVinoTarget, UnselectedOpenVinoTarget
from paretodet.export.target import Suppression, Target
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
UNUSUAL: tuple[Target, ...] = (UnselectedOnnxTarget(), UnselectedOpenVinoTarget())  # in where they suppress


def target_of(name: str, suppression: str | None = None) -> Target:
    """The target of this name that suppresses "in" or "out" of the artifact; None: where the form usually does.

    Raises InputError if there is none.
    """
    targets = {target.name: target for target in TARGETS}
    if name not in targets:
        raise InputError(f"to: got {name!r}, it must be one of {', '.join(targets)}", "option-value")
    usual = targets[name]
    if suppression in (None, usual.suppression):
        return usual
    if suppression not in get_args(Suppression):
        allowed = " or ".join(get_args(Suppression))
        raise InputError(f"suppression: got {suppression!r}, it must be {allowed}", "option-value")
    able = {target.name: target for target in (*TARGETS, *UNUSUAL) if target.suppression == suppression}
    if name not in able:
        message = f"suppression: {_why_fixed(usual)}; omit --suppression, or give --to one of {', '.join(able)}"
        raise InputError(message, "option-unsupported")
    return able[name]


def _why_fixed(target: Target) -> str:
    if target.suppression == "in":
        return f"--to {target.name} writes whole detectors, which suppress inside of the artifact"
    return f"what runs artifacts of --to {target.name} has no operator for it, so the program suppresses"
