"""Which convolutional object detector is the best choice on your hardware: measured, with intervals.

The names below stay as they are between versions; whatever else the rooms hold may be used and may change. Each is
imported when it is first used, so `import paretodet` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from paretodet.bench.candidate import Candidate, ModelInfo, Staged
    from paretodet.bench.job import Job, Plan
    from paretodet.bench.runner import measure
    from paretodet.detectors.catalogue import entries as catalogue
    from paretodet.detectors.catalogue import names as detector_names
    from paretodet.detectors.detector import Detector
    from paretodet.detectors.families import Override, spec
    from paretodet.detectors.spec import DetectorSpec, StageSpec
    from paretodet.frontier.pareto import Frontier, pareto_frontier
    from paretodet.frontier.recommend import Recommendation, recommend
    from paretodet.opening import open_candidate
    from paretodet.records.measurement import Measurement
    from paretodet.records.store import Store
    from paretodet.report.page import write_page
    from paretodet.types import Detections, Images

__version__ = "0.1.0"

_HOMES = {
    "Candidate": "paretodet.bench.candidate:Candidate",
    "Detections": "paretodet.types:Detections",
    "Detector": "paretodet.detectors.detector:Detector",
    "DetectorSpec": "paretodet.detectors.spec:DetectorSpec",
    "ModelInfo": "paretodet.bench.candidate:ModelInfo",
    "Frontier": "paretodet.frontier.pareto:Frontier",
    "Images": "paretodet.types:Images",
    "Job": "paretodet.bench.job:Job",
    "Measurement": "paretodet.records.measurement:Measurement",
    "Override": "paretodet.detectors.families:Override",
    "Plan": "paretodet.bench.job:Plan",
    "Recommendation": "paretodet.frontier.recommend:Recommendation",
    "StageSpec": "paretodet.detectors.spec:StageSpec",
    "Staged": "paretodet.bench.candidate:Staged",
    "Store": "paretodet.records.store:Store",
    "catalogue": "paretodet.detectors.catalogue:entries",
    "detector_names": "paretodet.detectors.catalogue:names",
    "measure": "paretodet.bench.runner:measure",
    "open_candidate": "paretodet.opening:open_candidate",
    "pareto_frontier": "paretodet.frontier.pareto:pareto_frontier",
    "recommend": "paretodet.frontier.recommend:recommend",
    "spec": "paretodet.detectors.families:spec",
    "write_page": "paretodet.report.page:write_page",
}

__all__ = [
    "Candidate",
    "Detections",
    "Detector",
    "DetectorSpec",
    "Frontier",
    "Images",
    "Job",
    "Measurement",
    "ModelInfo",
    "Override",
    "Plan",
    "Recommendation",
    "StageSpec",
    "Staged",
    "Store",
    "__version__",
    "catalogue",
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
    module, attribute = _HOMES[name].split(":")
    globals()[name] = value = getattr(import_module(module), attribute)
    return value


def __dir__() -> list[str]:
    return __all__
