"""`tv:NAME`: torchvision's own detectors, built without any download."""

import difflib

from paretodet.bench.candidate import Candidate
from paretodet.config import CandidateConfig
from paretodet.detectors.catalogue import PublishedAP
from paretodet.detectors.families import UnknownName
from paretodet.errors import InputError
from paretodet.extras import require
from paretodet.sources.published import TORCHVISION
from paretodet.sources.source import Source
from paretodet.sources.torchvision_models import PREFIX

LIBRARIES = {"torchvision": "torchvision"}
OURS = ("runtime", "precision")  # options of networks that a runtime of ours executes


class Torchvision(Source):
    """A model in torchvision's own code with its own transform, in eager float32."""

    options = frozenset(("weights", "device", "labels", "score", "nms"))
    form = None
    random = True
    imports = ("paretodet.sources.torchvision_candidate",)

    def owns(self, name: str) -> bool:
        return name.startswith(PREFIX)

    def check(self, name: str) -> None:
        if name not in TORCHVISION:
            near = difflib.get_close_matches(name, TORCHVISION, n=3, cutoff=0)
            raise UnknownName(f"{name!r} is not a known detector of torchvision; the nearest: {', '.join(near)}")

    def require(self) -> None:
        require("tv:NAME", LIBRARIES)

    def published(self, name: str) -> tuple[PublishedAP, ...]:
        return TORCHVISION.get(name, ())

    def check_options(self, config: CandidateConfig) -> None:
        for name in OURS:
            if name in config.options:
                message = f"{name}: {config.name} runs in torchvision's own code, in eager float32; leave it out"
                raise InputError(message, "option-unsupported")
        super().check_options(config)

    def load(self, config: CandidateConfig) -> Candidate:
        self.check(config.name)
        require(config.name, LIBRARIES)
        from paretodet.sources.torchvision_candidate import TorchvisionCandidate

        return TorchvisionCandidate(
            config.name,
            weights=config.weights,
            labels=config.labels,
            score=config.score,
            nms=config.nms,
            device=config.device or "cpu",
        )
