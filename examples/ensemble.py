"""Two detectors and their mirror images as one candidate.

`paretodet measure examples.ensemble:make --trust` measures it.
"""

import numpy as np

from paretodet.bench.candidate import Stated
from paretodet.detection import detect
from paretodet.ensembles.ensemble import Ensemble
from paretodet.ensembles.views import MultiCrop, mirrored
from paretodet.opening import open_candidate


def make() -> Ensemble:
    members = [open_candidate(name) for name in ("ssd-mobilenet_v1-300", "yolo_v3_tiny-416")]
    return Ensemble([MultiCrop(member, views=mirrored()) for member in members])


if __name__ == "__main__":
    both = make()
    for candidate in (*both.members, both):
        assert isinstance(candidate, Stated)
        facts = candidate.facts()
        assert facts.parameters and facts.macs
        print(f"{facts.parameters / 1e6:5.1f} M parameters, {facts.macs / 1e9:5.2f} G multiply-adds: {candidate.name}")
    (found,) = detect(both, [np.full((480, 640, 3), 128, np.uint8)])
    print(f"untrained, so it detects {len(found)} boxes in a gray image")
