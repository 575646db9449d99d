"""Our own exports: the metadata has the spec, with the fit and the labels. A converter may have renamed the outputs."""

from dataclasses import replace

from paretodet.detectors.spec import from_json
from paretodet.layouts.layout import POLICIES, FileLayout, OutputLayout, Reading
from paretodet.readings.convention import Convention
from paretodet.readings.conventions import triples
from paretodet.readings.evidence import Evidence
from paretodet.transforms.resize_policy import CornerLetterbox, Letterbox, ResizePolicy

SPEC = "paretodet.spec"
OUTPUTS = ("boxes", "scores", "labels")


def _readings(evidence: Evidence) -> tuple[Reading, ...]:
    if SPEC not in evidence.metadata:
        return ()
    try:
        spec = from_json(evidence.metadata[SPEC])
    except (ValueError, LookupError, TypeError) as error:
        raise evidence.refusal(f"metadata {SPEC}: cannot be read ({error})", "onnx-layout") from None
    boxes, scores, labels = _outputs(evidence)
    columns = ((boxes, ("box",)), (scores, ("score",)), (labels, ("label",)))
    outputs = OutputLayout(columns=columns, keep=evidence.capacity(boxes))
    return (
        Reading(
            layout=_fitted(FileLayout(family=f"paretodet's {spec.name}", outputs=outputs), spec.fit),
            reasons=(f"its metadata has {SPEC}",),
            labels=spec.labels,
            strength=0,
            policy=spec.fit,
            checked=False,
        ),
    )


def _outputs(evidence: Evidence) -> tuple[str, str, str]:
    """The names of boxes, scores and labels. Raises InputError if it has none."""
    if set(OUTPUTS) <= evidence.outputs.keys():
        return OUTPUTS
    if found := triples.find(evidence):
        return found.boxes, found.scores, found.labels
    why = f"its metadata has {SPEC}, whose detectors return {', '.join(OUTPUTS)}; outputs: got {evidence.described}"
    raise evidence.refusal(why, "onnx-contradicted")


def _fitted(layout: FileLayout, policy: ResizePolicy) -> FileLayout:
    """The layout with a policy, unless no layout can state it."""
    fill = policy.fill if isinstance(policy, Letterbox | CornerLetterbox) else layout.fill
    stated = (replace(layout, fit=fit, fill=fill, sampling=policy.sampling) for fit in POLICIES)
    height, width = policy.canvas((1, 1))
    return next((each for each in stated if each.policy(height, width) == policy), layout)


CONVENTION = Convention(name="paretodet", readings=_readings)
