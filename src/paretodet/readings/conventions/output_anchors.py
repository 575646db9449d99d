"""Boxes as codes for anchors that the file returns beside them: EfficientDet of zylo117, and others with these three.

`regression` [B, N, 4], `classification` [B, N, K] after its sigmoid and `anchors` [1, N, 4] as two corners in pixels;
maps of features may stand beside them. The anchors are known by their centers, which are those of the cells of a
pyramid, row by row: so they show whether x or y is first, in which the codes follow them. The file does not say how
pixels are scaled: those of zylo117 have the mean and the deviation of ImageNet.
Source: efficientdet/model.py, efficientdet/utils.py and utils/utils.py of zylo117/Yet-Another-EfficientDet-Pytorch.
"""

from collections.abc import Iterator
from itertools import permutations

from torch import Tensor

from paretodet.layouts.decode import references
from paretodet.layouts.layout import IMAGENET, BoxForm, FileLayout, OutputLayout, Reading
from paretodet.readings.convention import Convention
from paretodet.readings.evidence import STRIDES, Evidence

FORMS: tuple[BoxForm, ...] = ("yxyx", "xyxy")
MOST = 12  # anchors of a cell
NEAR = 0.01  # px, between the center of an anchor and that of its cell


def _readings(evidence: Evidence) -> tuple[Reading, ...]:
    return tuple(_found(evidence))


def _found(evidence: Evidence) -> Iterator[Reading]:
    """A reading for every choice of the three outputs. The centers of the anchors leave one, or two if there are four
    classes.
    """
    shapes = {name: evidence.shapes[name] for name in evidence.rank(3)}
    if len(shapes) != 3 or len({shape[1] for shape in shapes.values()}) > 1:
        return
    for anchors, codes, scores in permutations(shapes):
        if shapes[anchors][2] == shapes[codes][2] == 4:
            for form in FORMS:
                if strides := _strides(evidence, evidence.outputs[anchors][0].float(), form):
                    yield _reading(anchors, codes, scores, form, strides)


def _strides(evidence: Evidence, anchors: Tensor, form: BoxForm) -> tuple[int, ...]:
    """The strides of the cells whose centers the anchors [N, 4] have; empty if they have others."""
    corners = anchors if form == "xyxy" else anchors[:, [1, 0, 3, 2]]
    centers = (corners[:, :2] + corners[:, 2:]) / 2
    if bool((corners[:, 2:] <= corners[:, :2]).any()):
        return ()
    for strides in STRIDES:
        grid = OutputLayout(columns=(("", ("box", "score")),), strides=strides)
        points = references(grid, (evidence.height, evidence.width))[0]
        count, rest = divmod(len(centers), len(points))
        if rest == 0 and 1 <= count <= MOST and _close(centers, points.repeat_interleave(count, dim=0)):
            return strides
    return ()


def _close(found: Tensor, wanted: Tensor) -> bool:
    return bool(((found - wanted).abs() <= NEAR).all())


def _reading(anchors: str, codes: str, scores: str, form: BoxForm, strides: tuple[int, ...]) -> Reading:
    outputs = OutputLayout(
        columns=((codes, ("box",)), (anchors, ("anchor",)), (scores, ("classes",))),
        box=form,
        coding="priors",
        variances=(1.0, 1.0),
        suppressed=False,
        overlap=0.5,
    )
    family = "EfficientDet" if form == "yxyx" else "codes for anchors of an output"
    layout = FileLayout(family=family, outputs=outputs, pixels=IMAGENET, fit="letterbox-corner", sampling="opencv")
    reason = f"{anchors} are boxes around the cells of strides {strides}, {form[0]} first, and {codes} codes for them"
    return Reading(layout=layout, reasons=(reason,), pixels_known=False, fit_known=False)


CONVENTION = Convention(name="output-anchors", readings=_readings)
