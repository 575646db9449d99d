"""Files of others that are opened: the layout they were read by, and what they find."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from made_onnx import SIDE
from paretodet.candidate import NetworkCandidate
from paretodet.layouts.layout import FileLayout
from paretodet.opening import open_candidate
from paretodet.runtimes.graph import FileSession

IMAGE = np.full((SIDE, SIDE, 3), 51, np.uint8)


def opened(path: Path, **options: Any) -> NetworkCandidate:
    candidate = open_candidate(str(path), threads=1, **options)
    assert isinstance(candidate, NetworkCandidate)
    return candidate


def layout_of(candidate: NetworkCandidate) -> FileLayout:
    assert isinstance(candidate.session, FileSession)
    return candidate.session.reading.layout


def best(candidate: NetworkCandidate) -> tuple[list[int], float, int]:
    """The best box, its score and its label."""
    found = candidate.finish(candidate.infer(candidate.prepare([IMAGE])), torch.tensor([[SIDE, SIDE]]).float())
    return [round(side) for side in found.boxes[0, 0].tolist()], float(found.scores[0, 0]), int(found.labels[0, 0])
