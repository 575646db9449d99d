"""Programs of torch in files: TorchScript archives (.torchscript) and programs of torch.export (.pt2)."""

from paretodet.config import CandidateConfig
from paretodet.errors import InputError
from paretodet.network import OnnxNetwork
from paretodet.sources.onnx_file import OnnxFile

ENDINGS = (".torchscript", ".pt2")


class TorchFile(OnnxFile):
    """A detector whose file holds code, which runs when torch opens it: so it is opened only if it is trusted."""

    options = (OnnxFile.options - {"precision", "calibration", "allow_fallback"}) | {"trust"}
    form = "torch-program"

    def owns(self, name: str) -> bool:
        return name.endswith(ENDINGS)

    def load(self, config: CandidateConfig) -> OnnxNetwork:
        """Raises InputError unless the config trusts the file."""
        self.check(config.name)
        if not config.trust:
            message = f"{config.name}: opening it can run code of its author; add --trust if you trust the file"
            raise InputError(message, "trust-needed")
        return super().load(config)
