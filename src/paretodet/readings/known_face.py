"""A face at a known place: whether a face detector finds that of the photograph of this package.

The sides of priors are seldom in a file. Priors of other sides give boxes of other sides, which look as good.
"""

from collections.abc import Mapping

from torch import Tensor

from paretodet.layouts.decode import decode
from paretodet.layouts.layout import FileLayout
from paretodet.ops.geometry import iou
from paretodet.readings.look import FAINT, top_scores
from paretodet.transforms.resize_policy import ResizePolicy

FACE = (134.0, 44.0, 205.0, 133.0)  # x1, y1, x2, y2, px of the photograph: by RetinaFace of its authors
SIDES = (384, 384)  # of the photograph
OVERLAP = 0.6  # a box with sides that are 1.3 times as long has less


def off_face(
    outputs: Mapping[str, Tensor], layout: FileLayout, canvas: tuple[int, int], policy: ResizePolicy
) -> str | None:
    """What the outputs for the photograph say against the boxes; None if the best one is the face."""
    decoded = decode(outputs, layout.outputs, canvas)
    scores = top_scores(decoded.scores[0])
    if not float(scores.max()) > FAINT:
        return "it finds no face on a photograph of one"
    box = policy.restore(decoded.boxes[0][scores.argmax()][None], SIDES)
    if float(iou(box, box.new_tensor([FACE]))) >= OVERLAP:
        return None
    found, face = (", ".join(f"{side:.0f}" for side in each) for each in (box[0].tolist(), FACE))
    return f"its best box on a photograph is {found}, and the face there is {face}"
