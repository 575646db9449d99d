"""Our own exports: the metadata has the spec, with the fit and the labels."""

from paretodet.detectors.spec import from_json
from paretodet.errors import InputError
from paretodet.layouts.layout import FileLayout, OutputLayout, Reading
from paretodet.readings.convention import Convention
from paretodet.readings.evidence import Evidence

SPEC = "paretodet.spec"
COLUMNS = (("boxes", ("box",)), ("scores", ("score",)), ("labels", ("label",)))


def _readings(evidence: Evidence) -> tuple[Reading, ...]:
    if SPEC not in evidence.metadata:
        return ()
    try:
        spec = from_json(evidence.metadata[SPEC])
    except (ValueError, LookupError, TypeError) as error:
        raise InputError(f"{evidence.path}: metadata {SPEC}: cannot be read ({error})", "onnx-layout") from None
    outputs = OutputLayout(columns=COLUMNS, keep=evidence.capacity("boxes"))
    return (
        Reading(
            layout=FileLayout(family=f"paretodet's {spec.name}", outputs=outputs),
            reasons=(f"its metadata has {SPEC}",),
            labels=spec.labels,
            strength=0,
            policy=spec.fit,
            checked=False,
        ),
    )


CONVENTION = Convention(name="paretodet", readings=_readings)
