"""Which convolutional object detector is the best choice on your hardware: measured, with intervals.

The names below are all that is public. Each is imported when it is first used, so `import paretodet` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from paretodet.bench.candidate import Candidate, Facts, Staged
    from paretodet.bench.job import Job, Plan
    from paretodet.bench.record import Measurement
    from paretodet.bench.runner import measure
    from paretodet.bench.store import Store
    from paretodet.detectors.catalogue import catalogue, detector_names, spec
    from paretodet.detectors.detector import Detector
    from paretodet.detectors.load import detector
    from paretodet.detectors.spec import DetectorSpec, StageSpec
    from paretodet.frontier.pareto import Frontier, pareto_frontier
    from paretodet.frontier.recommend import Recommendation, recommend
    from paretodet.open import open_candidate
    from paretodet.report.page import write_page
    from paretodet.types import Detections, Images

__version__ = "0.1.0"

_HOMES = {
    "Candidate": "paretodet.bench.candidate",
    "Detections": "paretodet.types",
    "Detector": "paretodet.detectors.detector",
    "DetectorSpec": "paretodet.detectors.spec",
    "Facts": "paretodet.bench.candidate",
    "Frontier": "paretodet.frontier.pareto",
    "Images": "paretodet.types",
    "Job": "paretodet.bench.job",
    "Measurement": "paretodet.bench.record",
    "Plan": "paretodet.bench.job",
    "Recommendation": "paretodet.frontier.recommend",
    "StageSpec": "paretodet.detectors.spec",
    "Staged": "paretodet.bench.candidate",
    "Store": "paretodet.bench.store",
    "catalogue": "paretodet.detectors.catalogue",
    "detector": "paretodet.detectors.load",
    "detector_names": "paretodet.detectors.catalogue",
    "measure": "paretodet.bench.runner",
    "open_candidate": "paretodet.open",
    "pareto_frontier": "paretodet.frontier.pareto",
    "recommend": "paretodet.frontier.recommend",
    "spec": "paretodet.detectors.catalogue",
    "write_page": "paretodet.report.page",
}

__all__ = [
    "Candidate",
    "Detections",
    "Detector",
    "DetectorSpec",
    "Facts",
    "Frontier",
    "Images",
    "Job",
    "Measurement",
    "Plan",
    "Recommendation",
    "StageSpec",
    "Staged",
    "Store",
    "__version__",
    "catalogue",
    "detector",
    "detector_names",
    "measure",
    "open_candidate",
    "pareto_frontier",
    "recommend",
    "spec",
    "write_page",
]


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first asked for (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return __all__
