"""What a graph of TensorFlow's detection API states of its detector beside weights and anchors: the canvas, the number
of proposals, how logits become scores, and the suppression. It is compared with a detector here, or taken over.

Numbers are constants of the graph; operators are tensors without numbers, NAME:OPERATOR (`formats/tensorflow_graph`).
A checkpoint without its graph states none of it. Of LiteRT's graphs the canvas is the input, and the suppression an
operator with options (`formats/tflite`).
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from paretodet.detectors.spec import DetectorSpec
from paretodet.rules.scores import Softmax
from paretodet.transforms.resize_policy import ShortSide
from paretodet.weights.fitting_name import advice
from paretodet.weights.formats.tflite import PIXELS, POSTPROCESS
from paretodet.weights.naming import Tensors
from paretodet.weights.safe import WeightsError

LOOP = r"(?:map/while/)?"  # over the images of a batch
SUPPRESSION = rf"BatchMultiClassNonMaxSuppression/{LOOP}MultiClassNonMaxSuppression"
FINAL = rf"(?:SecondStage)?Postprocessor/{SUPPRESSION}"
CANVAS, SHORT, LONG = "canvas", "shorter side", "longest side"
PROPOSALS, PROPOSED = "proposals", "overlap of proposals"
SCORES, LOGITS, OVERLAP = "scores", "divisor of logits", "overlap"
CLASS, THRESHOLD, KEPT = "detections of a class", "score", "detections"
WITHIN = "suppression within classes"
NUMBERS = {  # what a constant of a name is
    CANVAS: rf"Preprocessor/{LOOP}ResizeImage/(?:resize_images/|resize/)?(?:stack|size)",
    SHORT: rf"Preprocessor/{LOOP}ResizeToRange/Const",
    LONG: rf"Preprocessor/{LOOP}ResizeToRange/Const_1",
    PROPOSALS: rf"{SUPPRESSION}/Minimum/x",
    PROPOSED: rf"{SUPPRESSION}/non_max_suppression/iou_threshold",
    LOGITS: r"(?:SecondStage)?Postprocessor/scale_logits/y",
    OVERLAP: rf"{FINAL}/non_max_suppression/iou_threshold|{POSTPROCESS}/nms_iou_threshold",
    CLASS: rf"{FINAL}/Minimum/x",
    THRESHOLD: rf"{FINAL}/(?:non_max_suppression/score_threshold|FilterGreaterThan/Greater/y)"
    rf"|{POSTPROCESS}/nms_score_threshold",
    KEPT: rf"{POSTPROCESS}/max_detections",
    WITHIN: rf"{POSTPROCESS}/use_regular_nms",
}
OPERATOR = re.compile(rf"(?:.*Postprocessor|{POSTPROCESS})/[^/]+:(\w+)")
PATTERNS = {what: re.compile(pattern) for what, pattern in NUMBERS.items()}
SIDES = 2  # numbers of a canvas
DIGITS = 6  # behind the point: numbers of a graph are float32

Stated = Mapping[str, Any]


def check(tensors: Tensors, spec: DetectorSpec) -> None:
    """Raises WeightsError, with the name that fits if there is one, if the graph states another detector than `spec`.

    The final overlap is not compared but taken over (`overlap`).
    """
    found, ours = _stated(tensors), _compared(spec)
    if other := _other(found, ours):
        theirs, own = (", ".join(_texts(values, other)) for values in (found, ours))
        message = f"its graph has other rules: {theirs}; {spec.name} has {own}; {_advice(found, spec)}"
        raise WeightsError(message, "weights-other")


def taken_over(tensors: Tensors, spec: DetectorSpec) -> dict[str, Any]:
    """Fields of WeightsMetadata in which the graph may differ from the catalogue: how images are fitted, and the
    overlap of the final suppression."""
    found, fields = _stated(tensors), dict[str, Any]()
    if isinstance(spec.fit, ShortSide) and CANVAS in found and SHORT not in found:
        fields["fit"] = "stretch"
    if OVERLAP in found and found[OVERLAP] != getattr(spec.stages[-1].select, "overlap", None):
        fields["nms"] = found[OVERLAP]
    return fields


def assumed(tensors: Tensors, spec: DetectorSpec) -> tuple[str, ...]:
    """Sentences about what the graph does not state, and about detections that it leaves out and `spec` keeps."""
    found, sides = _stated(tensors), {SHORT, LONG}
    wanted = [*(what for what in _compared(spec) if what not in sides | {LOGITS, CANVAS}), OVERLAP]
    unknown = [what for what in wanted if what not in found]
    if CANVAS not in found and not sides <= found.keys():
        unknown = [CANVAS, *unknown]
    sentences = []
    if unknown:
        listed = ", ".join(unknown)
        sentences.append(f"The file does not state {listed}: taken to be those of {spec.name}.")
    if KEPT in found and not found.get(WITHIN):  # what LiteRT calls fast
        sentences.append(f"Its graph suppresses boxes across classes, {spec.name} within each of them.")
    return (*sentences, *_left_out(found, spec))


def _left_out(found: Stated, spec: DetectorSpec) -> tuple[str, ...]:
    """Detections of another number or threshold are the first ones of the others: they are no other detector."""
    select: Any = spec.stages[-1].select
    ours = {CLASS: getattr(select, "keep_per_class", None), THRESHOLD: max(select.threshold, 0.0), KEPT: select.keep}
    other = [what for what, own in ours.items() if what in found and abs(found[what] - (own or 0)) > 10**-DIGITS]
    if not other:
        return ()
    theirs, own = (", ".join(f"{what} {_text(values[what])}" for what in other) for values in (found, ours))
    return (f"Its graph keeps fewer or more of the same detections ({theirs}) than {spec.name} ({own}).",)


def _compared(spec: DetectorSpec) -> dict[str, Any]:
    """What of a detector is equal in its graph. A canvas with a shorter side depends on the image."""
    first, last = spec.stages[0], spec.stages[-1]
    fit: Any = spec.fit
    sides = {SHORT: fit.short, LONG: fit.long} if isinstance(fit, ShortSide) else {SHORT: None}
    region = {PROPOSALS: first.select.keep, PROPOSED: getattr(first.select, "overlap", None)}
    scores = "Softmax" if isinstance(last.scores, Softmax) else "Sigmoid"
    return {
        **sides,
        CANVAS: (spec.height, spec.width),
        **(region if len(spec.stages) > 1 else {}),
        SCORES: frozenset((scores,)),
        LOGITS: 1.0,
    }


def _other(found: Stated, ours: Stated) -> list[str]:
    """What is stated and not ours."""
    return [what for what, own in ours.items() if what in found and not _agrees(found[what], own)]


def _agrees(found: Any, own: Any) -> bool:
    """A graph with masks has a sigmoid for these beside the operator that makes scores."""
    return bool(own <= found) if isinstance(own, frozenset) else bool(found == own)


def _stated(tensors: Tensors) -> dict[str, Any]:
    """The numbers and operators of a graph, by what they are."""
    found: dict[str, Any] = {}
    operators = set[str]()
    for name, tensor in tensors.items():
        if name == PIXELS and tensor.dim() == 4:
            found[CANVAS] = tuple(tensor.shape[1:3])
        elif ":" in name and (match := OPERATOR.fullmatch(name)):
            operators.add(match[1])
        elif "processor/" in name or name.startswith(("BatchMulti", POSTPROCESS)):
            for what, pattern in PATTERNS.items():
                if pattern.fullmatch(name) and (value := _value(tensor, what)) is not None:
                    found.setdefault(what, value)
    return found | ({SCORES: frozenset(operators)} if operators else {})


def _value(tensor: Tensor, what: str) -> Any:
    """One number, or the sides of a canvas; None for a tensor of another form."""
    if tensor.numel() != (SIDES if what == CANVAS else 1) or tensor.is_meta:
        return None
    numbers = [round(float(each), DIGITS) for each in tensor.flatten().tolist()]
    whole = [int(each) if each.is_integer() else each for each in numbers if abs(each) < 2**31]
    if len(whole) < len(numbers):
        return None
    return tuple(whole) if what == CANVAS else whole[0]


def _texts(values: Stated, listed: Iterable[str]) -> list[str]:
    return [f"{what} {_text(values[what])}" for what in listed]


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return " x ".join(map(str, value))
    if isinstance(value, frozenset):
        return " and ".join(sorted(value))
    return "none" if value is None else f"{value:g}"


def _advice(found: Stated, spec: DetectorSpec) -> str:
    """The name that agrees with the graph, to import it by."""
    count = {"proposals": found[PROPOSALS]} if found.keys() & _compared(spec).keys() & {PROPOSALS} else {}
    sides = [{"height": spec.height, "width": spec.width}]
    if CANVAS in found:
        sides = [dict(zip(("height", "width"), found[CANVAS], strict=True))]
    elif SHORT in found:
        long = found.get(LONG, found[SHORT])
        sides = [{"height": found[SHORT], "width": side} for side in (found[SHORT], long)]

    def others(made: DetectorSpec) -> list[str]:
        own = _compared(made)
        return _texts(own, _other(found, own))

    return advice(
        spec, [each | count for each in sides], others, otherwise="convert the graph to ONNX and use that file"
    )
