"""`hf:NAME`: detectors of the transformers library, built from their configurations without any download."""

import difflib

from paretodet.config import EXECUTION, CandidateConfig
from paretodet.detectors.catalogue import PublishedAP
from paretodet.detectors.families import UnknownName
from paretodet.extras import require
from paretodet.network import TorchNetwork
from paretodet.sources.hub_models import MODELS
from paretodet.sources.published import PUBLISHED
from paretodet.sources.source import Source
from paretodet.transforms.resize_policy import FITS

LIBRARIES = {"transformers": "transformers"}


class Hub(Source):
    """A DETR-like detector, its queries always full: random weights cost what trained ones do."""

    options = EXECUTION | {"weights", "height", "width", "labels", "score", "fit", "sampling"}
    form = "torch"
    random = True
    imports = ("paretodet.sources.hub_network",)

    def owns(self, name: str) -> bool:
        return name.startswith("hf:")

    def check(self, name: str) -> None:
        if name not in PUBLISHED:
            near = difflib.get_close_matches(name, PUBLISHED, n=3, cutoff=0)
            raise UnknownName(f"{name!r} is not a known model of the hub; the nearest: {', '.join(near)}")

    def require(self) -> None:
        require("hf:NAME", LIBRARIES)

    def published(self, name: str) -> tuple[PublishedAP, ...]:
        return PUBLISHED.get(name, ())

    def load(self, config: CandidateConfig) -> TorchNetwork:
        self.check(config.name)
        require(config.name, LIBRARIES)
        from paretodet.sources.hub_network import hub_network

        return hub_network(
            config.name,
            MODELS[config.name.removeprefix("hf:")],
            weights=config.weights,
            size=config.size,
            fit=FITS[config.fit] if config.fit else None,
            sampling=config.sampling,
            score=config.score,
            labels=config.labels,
        )
