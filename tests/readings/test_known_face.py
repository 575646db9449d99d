"""RetinaFace: priors that are assumed are those of the file if it finds the face on a photograph."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from made_onnx import SIDE, write
from opened_files import layout_of, opened
from paretodet.config import CandidateConfig
from paretodet.errors import InputError
from paretodet.inspecting import inspect
from paretodet.layouts.decode import references
from paretodet.layouts.layout import FileLayout, OutputLayout
from paretodet.readings.conventions.faces import RETINAFACE_PRIORS, RETINAFACE_STRIDES
from paretodet.readings.known_face import FACE, SIDES

CENTER = np.array([FACE[0] + FACE[2], FACE[1] + FACE[3]]) / 2 * SIDE / SIDES[0]
EXTENT = np.array([FACE[2] - FACE[0], FACE[3] - FACE[1]]) * SIDE / SIDES[0]
CANVAS = (SIDE, SIDE)


def usual(times: float = 1.0) -> OutputLayout:
    priors = tuple(tuple(times * side for side in sides) for sides in RETINAFACE_PRIORS)
    columns = (("loc", ("box",)), ("conf", ("classes",)))
    return OutputLayout(
        columns=columns,
        coding="priors",
        strides=RETINAFACE_STRIDES,
        priors=priors,
        background="first",
        suppressed=False,
        overlap=0.4,
    )


def coded(times: float = 1.0, score: float = 0.9, place: tuple[float, float] = (0.0, 0.0)) -> dict[str, np.ndarray]:
    """The outputs of a file with priors that are `times` as large as the usual ones; the face is moved by `place`."""
    points, _, sides = (part.numpy() for part in references(usual(times), CANVAS))
    center = CENTER + place
    row = int(np.argmin(np.abs(points - center).sum(axis=1) + np.abs(sides[:, 0] - 64 * times)))
    loc, conf = np.zeros((1, len(points), 4), np.float32), np.zeros((1, len(points), 2), np.float32)
    conf[..., 0], conf[0, row] = 1, (1 - score, score)
    loc[0, row, :2] = (center - points[row]) / 0.1 / sides[row]
    loc[0, row, 2:] = np.log(EXTENT / sides[row]) / 0.2
    return {"loc": loc, "conf": conf, "landms": np.zeros((1, len(points), 10), np.float32)}


def refused(path: Path) -> InputError:
    with pytest.raises(InputError) as caught:
        opened(path)
    assert str(path) in caught.value.message and "--layout" in caught.value.message
    return caught.value


def found(path: Path, layout: FileLayout | None = None) -> list[int]:
    candidate = opened(path, layout=layout)
    image = np.zeros((*SIDES, 3), np.uint8)
    detections = candidate.finish(candidate.infer(candidate.prepare([image])), torch.tensor([SIDES]).float())
    return [round(side) for side in detections.boxes[0, 0].tolist()]


def test_the_usual_priors_are_those_with_which_it_finds_the_face(tmp_path: Path) -> None:
    path = write(tmp_path / "face.onnx", coded())
    assert layout_of(opened(path)).outputs == usual() and found(path) == list(FACE)


@pytest.mark.parametrize(
    ("outputs", "words"),
    [
        (coded(times=1.5), "the face there is"),
        (coded(times=0.5), "the face there is"),
        (coded(place=(40, 30)), "the face there is"),
        (coded(score=0.01), "no face"),
    ],
)
def test_other_priors_are_refused_with_a_layout_to_correct(
    tmp_path: Path, outputs: dict[str, np.ndarray], words: str
) -> None:
    path = write(tmp_path / "face.onnx", outputs)
    error = refused(path)
    assert error.id == "onnx-contradicted" and words in error.message
    assert inspect(CandidateConfig(name=str(path))).layout.outputs == usual()


def test_a_layout_states_other_priors(tmp_path: Path) -> None:
    path = write(tmp_path / "face.onnx", coded(times=1.5))
    layout = inspect(CandidateConfig(name=str(path))).layout
    corrected = replace(layout, outputs=replace(layout.outputs, priors=usual(1.5).priors))
    assert found(path, corrected) == list(FACE) and opened(path, layout=corrected).labels == ("face",)


@pytest.mark.parametrize("unit", ["fractions", "pixels"])
def test_decoded_boxes_are_no_codes(tmp_path: Path, unit: str) -> None:
    outputs = coded()
    row = int(outputs["conf"][0, :, 1].argmax())
    outputs["loc"][0] = (10, 10, 30, 40)
    outputs["loc"][0, row] = np.concatenate((CENTER - EXTENT / 2, CENTER + EXTENT / 2))
    outputs["loc"] /= SIDE if unit == "fractions" else 1
    path = write(tmp_path / "face.onnx", outputs, operators=("Exp",))
    layout = layout_of(opened(path)).outputs
    assert (layout.coding, layout.unit) == ("boxes", unit) and found(path) == list(FACE)
