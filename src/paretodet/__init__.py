"""Measures object detectors on your hardware, and chooses one within your budget.

The names below are the public API and stay the same between versions. Everything else may be used, and may change.
Each name is imported on first use, so that `import paretodet` is fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from paretodet.version import __version__

if TYPE_CHECKING:
    from paretodet.bench.candidate import Candidate, ModelInfo, Staged
    from paretodet.bench.job import Job, Plan
    from paretodet.config import CandidateConfig
    from paretodet.detection import detect
    from paretodet.detectors.catalogue import entries as catalogue
    from paretodet.detectors.catalogue import names as detector_names
    from paretodet.detectors.detector import Detector
    from paretodet.detectors.families import Override, spec
    from paretodet.detectors.spec import DetectorSpec, StageSpec
    from paretodet.diagnosis import doctor
    from paretodet.errors import InputError
    from paretodet.exporting import write_bundle
    from paretodet.frontier.budget import Budget, Recommendation
    from paretodet.frontier.pareto import Frontier, pareto_frontier
    from paretodet.frontier.recommend import recommend
    from paretodet.measuring import measure
    from paretodet.media.draw import LabeledBox
    from paretodet.opening import open_candidate
    from paretodet.opening import open_candidate as open
    from paretodet.records.measurement import Measurement
    from paretodet.records.store import Store
    from paretodet.report.page import write_page
    from paretodet.scoring import Evaluation, evaluate
    from paretodet.searching import search
    from paretodet.sweep.read import read_rows
    from paretodet.training.config import RunOptions, TrainConfig, TrainResult
    from paretodet.training.recipes import make_recipe as training_recipe
    from paretodet.training_run import train
    from paretodet.types import Detections, Images

_HOMES = {
    "Budget": "paretodet.frontier.budget:Budget",
    "Candidate": "paretodet.bench.candidate:Candidate",
    "CandidateConfig": "paretodet.config:CandidateConfig",
    "Detections": "paretodet.types:Detections",
    "Detector": "paretodet.detectors.detector:Detector",
    "DetectorSpec": "paretodet.detectors.spec:DetectorSpec",
    "Evaluation": "paretodet.scoring:Evaluation",
    "Frontier": "paretodet.frontier.pareto:Frontier",
    "Images": "paretodet.types:Images",
    "InputError": "paretodet.errors:InputError",
    "Job": "paretodet.bench.job:Job",
    "LabeledBox": "paretodet.media.draw:LabeledBox",
    "Measurement": "paretodet.records.measurement:Measurement",
    "ModelInfo": "paretodet.bench.candidate:ModelInfo",
    "Override": "paretodet.detectors.families:Override",
    "Plan": "paretodet.bench.job:Plan",
    "Recommendation": "paretodet.frontier.budget:Recommendation",
    "RunOptions": "paretodet.training.config:RunOptions",
    "StageSpec": "paretodet.detectors.spec:StageSpec",
    "Staged": "paretodet.bench.candidate:Staged",
    "Store": "paretodet.records.store:Store",
    "TrainConfig": "paretodet.training.config:TrainConfig",
    "TrainResult": "paretodet.training.config:TrainResult",
    "catalogue": "paretodet.detectors.catalogue:entries",
    "detect": "paretodet.detection:detect",
    "detector_names": "paretodet.detectors.catalogue:names",
    "doctor": "paretodet.diagnosis:doctor",
    "evaluate": "paretodet.scoring:evaluate",
    "measure": "paretodet.measuring:measure",
    "open": "paretodet.opening:open_candidate",
    "open_candidate": "paretodet.opening:open_candidate",
    "pareto_frontier": "paretodet.frontier.pareto:pareto_frontier",
    "read_rows": "paretodet.sweep.read:read_rows",
    "recommend": "paretodet.frontier.recommend:recommend",
    "search": "paretodet.searching:search",
    "spec": "paretodet.detectors.families:spec",
    "train": "paretodet.training_run:train",
    "training_recipe": "paretodet.training.recipes:make_recipe",
    "write_bundle": "paretodet.exporting:write_bundle",
    "write_page": "paretodet.report.page:write_page",
}

__all__ = [
    "Budget",
    "Candidate",
    "CandidateConfig",
    "Detections",
    "Detector",
    "DetectorSpec",
    "Evaluation",
    "Frontier",
    "Images",
    "InputError",
    "Job",
    "LabeledBox",
    "Measurement",
    "ModelInfo",
    "Override",
    "Plan",
    "Recommendation",
    "RunOptions",
    "StageSpec",
    "Staged",
    "Store",
    "TrainConfig",
    "TrainResult",
    "__version__",
    "catalogue",
    "detect",
    "detector_names",
    "doctor",
    "evaluate",
    "measure",
    "open",
    "open_candidate",
    "pareto_frontier",
    "read_rows",
    "recommend",
    "search",
    "spec",
    "train",
    "training_recipe",
    "write_bundle",
    "write_page",
]


def __getattr__(name: str) -> Any:
    """Imports a public name on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOMES[name].split(":")
    globals()[name] = value = getattr(import_module(module), attribute)
    return value


def __dir__() -> list[str]:
    return __all__
