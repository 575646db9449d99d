"""`FOLDER/config.json`: any detector of the transformers library by its configuration; nothing is ever downloaded."""

from pathlib import Path

from paretodet.config import EXECUTION, CandidateConfig
from paretodet.errors import InputError
from paretodet.extras import require
from paretodet.network import TorchNetwork
from paretodet.sources.hub import LIBRARIES
from paretodet.sources.hub_config import CONFIG, HubConfig, read_config
from paretodet.sources.source import Source
from paretodet.transforms.resize_policy import FITS, ResizePolicy, ShortSide, with_sampling

FLOAT_ONLY = ("dab-detr",)  # kinds whose code of the library mixes types in another precision


class HubConfigFile(Source):
    """A DETR-like detector, its queries always full: random weights cost what trained ones do."""

    options = EXECUTION | {"weights", "height", "width", "labels", "score", "fit", "sampling"}
    form = "torch"
    random = True
    imports = ("paretodet.sources.hub_network",)

    def owns(self, name: str) -> bool:
        return Path(name).name == CONFIG

    def check(self, name: str) -> None:
        read_config(Path(name))

    def require(self) -> None:
        require(CONFIG, LIBRARIES)

    def resolve(self, config: CandidateConfig) -> CandidateConfig:
        """Raises InputError if neither the options nor the image processor say how images are fitted."""
        _fit(read_config(Path(config.name)), config)
        return config

    def display_name(self, config: CandidateConfig) -> str:
        return Path(config.name).absolute().parent.name

    def load(self, config: CandidateConfig) -> TorchNetwork:
        found = read_config(Path(config.name))
        if found.data["model_type"] in FLOAT_ONLY and config.precision not in (None, "fp32"):
            message = f"precision: {found.data['model_type']} runs in fp32 only, got {config.precision}"
            raise InputError(message, "option-unsupported")
        require(config.name, LIBRARIES)
        if found.needs_timm:
            require(config.name, {"timm": "timm,transformers"})
        from paretodet.sources.hub_network import config_network

        return config_network(
            self.display_name(config),
            found,
            weights=config.weights,
            fit=with_sampling(_fit(found, config), config.sampling),
            score=config.score,
            labels=config.labels,
        )


def _fit(found: HubConfig, config: CandidateConfig) -> ResizePolicy:
    """The fit of the options, else of the image processor, which need not be known where they replace it."""
    if config.size is None and config.fit is None:
        return found.fit
    if config.size is None and isinstance(found.fit, ShortSide):
        raise InputError(f"fit: {config.name} keeps the aspect of images; give --size too", "option-conflict")
    height, width = config.size or found.fit.canvas((1, 1))
    return FITS[config.fit or "stretch"](height=height, width=width)
