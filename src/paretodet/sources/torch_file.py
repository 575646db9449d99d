"""Programs of torch in files: TorchScript archives (.torchscript, also .pt) and programs of torch.export (.pt2)."""

from dataclasses import replace
from pathlib import Path

from paretodet.config import CandidateConfig
from paretodet.errors import InputError
from paretodet.export.pt2 import UnsafeProgram, check_of_others
from paretodet.network import OnnxNetwork
from paretodet.sources.onnx_file import OnnxFile
from paretodet.weights.torch_code import is_program

EXPORTED = ".pt2"
ENDINGS = (".torchscript", EXPORTED)
SHARED = (".pt", ".pth")  # endings of programs and of weights


class TorchFile(OnnxFile):
    """A detector whose file can hold code, which runs when torch opens it: so it is opened only if it is trusted.

    A program of torch.export that provably computes with tensors alone needs no trust.
    """

    options = (OnnxFile.options - {"precision", "calibration", "allow_fallback"}) | {"trust"}
    form = "torch-program"

    def owns(self, name: str) -> bool:
        return name.endswith(ENDINGS) or (name.endswith(SHARED) and is_program(Path(name)))

    def load(self, config: CandidateConfig) -> OnnxNetwork:
        """Raises InputError unless the config trusts the file, or it holds nothing that could run as code."""
        self.check(config.name)
        if not config.trust and (why := _unsafe(Path(config.name))) is not None:
            message = f"{config.name}: opening it can run code of its author{why}; add --trust if you trust the file"
            raise InputError(message, "trust-needed")
        return replace(super().load(config), trusted=bool(config.trust))


def _unsafe(path: Path) -> str | None:
    """What may run as code, as a parenthesis; None if nothing does."""
    if path.suffix != EXPORTED:
        return ""
    try:
        check_of_others(path)
    except UnsafeProgram as error:
        return f" ({error.reason})"
    return None
