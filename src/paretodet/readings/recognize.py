"""Gives the outputs of a detector file a meaning: by its metadata, its graph, and a look at the numbers."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from PIL import Image

from paretodet.bench.synthetic_images import draw_images
from paretodet.detectors.labels import COCO_90
from paretodet.errors import InputError, words
from paretodet.layouts.decode import decode
from paretodet.layouts.layout import BGR_BYTES, BYTES, UNIT_RANGE, FileLayout, Normalization, OutputLayout, Reading
from paretodet.media.photographs import photographs
from paretodet.readings.class_names import stated_names
from paretodet.readings.conventions import CONVENTIONS, ultralytics
from paretodet.readings.evidence import Evidence
from paretodet.readings.image_metadata import states_range, with_image_metadata
from paretodet.readings.image_processor import names_beside, with_processor
from paretodet.readings.known_face import off_face
from paretodet.readings.look import contradiction, detected, doubt, repeated
from paretodet.readings.mirror import SAME, Run, not_mirrored
from paretodet.readings.mmdeploy_pipeline import with_pipeline
from paretodet.readings.model_info import as_stated, labels_of_info, states_pixels
from paretodet.readings.preparation import with_channels_reversed

PHOTOGRAPHS = 4  # that are looked at, until one has a detection
NAMED = 2  # readings in a message
PLAIN = (UNIT_RANGE, Normalization(channels="bgr"), BYTES, BGR_BYTES)  # pixels without means
SHAPES = 2  # the strength of a reading that only shapes speak for

KNOWN = (
    "YOLO's rows [B, N, 5 + K] or [B, 4 + K, N], finished rows [B, N, 6], boxes [B, N, 4] with scores and labels, "
    "dets [B, N, 5] with labels, boxes and logits, and raw heads of YOLOv8, faces, NanoDet, PicoDet and MMDetection"
)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A reading, and what the numbers say against it."""

    reading: Reading
    against: str | None
    detections: int = 0  # rows that score as detections do; of a contradicted one, if they are not mirrored


def recognize(evidence: Evidence, run: Run, *, images: Sequence[np.ndarray] = ()) -> Reading:
    """The only meaning of the outputs that nothing contradicts.

    `run` gives the outputs for an image that is scaled and fitted as stated; `images` are looked at, by default a
    photograph. Raises InputError, which names the file, what was seen and what to do: if no convention is known, if
    the numbers contradict what the file states, if several meanings are left, or if nothing says how pixels are
    scaled.
    """
    return chosen(tried(evidence, run, images=images), evidence)


def chosen(trials: Sequence[Trial], evidence: Evidence) -> Reading:
    """The reading that is left of trials. Raises InputError as `recognize` does."""
    if not trials:
        message = f"outputs: got {evidence.described}; known are {KNOWN}"
        raise evidence.refusal(message, "onnx-layout")
    left = _strongest([trial for trial in trials if trial.against is None])
    if lacks := next((trial.reading.lacks for trial in trials if trial.reading.lacks and not left), ""):
        raise evidence.refusal(f"outputs: got {evidence.described}; they look like {lacks}", "onnx-layout")
    refuted = [trial for trial in trials if trial.against and trial.detections]
    if refuted and not any(trial.detections for trial in left):
        left, trials = [], refuted
    if not left:
        trials = sorted(trials, key=lambda trial: trial.reading.strength)[:NAMED]
        against = "; not ".join(f"{trial.reading}: {trial.against}" for trial in trials)
        raise evidence.refusal(f"outputs: got {evidence.described}; not {against}", "onnx-contradicted")
    if len(left) > 1:
        several = ", or ".join(str(trial.reading) for trial in left[:NAMED])
        raise evidence.refusal(f"outputs: got {evidence.described}; they may be {several}", "onnx-layout")
    reading = left[0].reading
    if not left[0].detections and reading.strength == SHAPES and "score" in reading.layout.outputs.words:
        message = f"it finds nothing on {PHOTOGRAPHS} photographs, so its boxes cannot be checked ({reading})"
        raise evidence.refusal(message, "onnx-layout")
    if not (reading.pixels_known or reading.pixels_usual):
        message = f"{reading}; nothing says how pixels are scaled: 0..1, 0..255, or with mean and std"
        raise evidence.refusal(f"{message}, which [pixels] in a layout states", "pixels-unknown")
    return reading


def tried(evidence: Evidence, run: Run, *, images: Sequence[np.ndarray] = ()) -> list[Trial]:
    """Every meaning that a convention gives the outputs, with what the numbers say against it."""
    trials = [_tried(reading, evidence, run, images or look_images()) for reading in proposed(evidence)]
    if any(trial.detections and trial.against is None for trial in trials):
        return [_pixels_looked_at(trial, evidence, run, images) for trial in trials]
    return [_doubted(trial, evidence, run, images) for trial in trials]


def proposed(evidence: Evidence) -> list[Reading]:
    """The readings of all conventions; those of the first convention alone that the file's metadata states."""
    found: list[Reading] = []
    for convention in CONVENTIONS:
        readings = convention.readings(evidence)
        if any(reading.strength == 0 for reading in readings):
            found = list(readings)
            break
        found += readings
    found = [_named(_stated(_as_in_graph(reading, evidence), evidence), evidence) for reading in found]
    found = [_of_bytes(reading) if evidence.bytes_in else reading for reading in found]
    return [_fit_assumed(reading, evidence) for reading in found]


def _stated(reading: Reading, evidence: Evidence) -> Reading:
    """The reading with what the file states beside its outputs. Raises InputError naming the file."""
    try:
        found = with_image_metadata(as_stated(reading, evidence.metadata), evidence.metadata)
        return with_pipeline(with_processor(found, evidence.path), evidence.path)
    except InputError as error:
        raise evidence.refusal(words(error), error.id) from None


def _as_in_graph(reading: Reading, evidence: Evidence) -> Reading:
    """The reading with pixels for what the graph does to them: for its normalization, and its order of channels. If
    only shapes speak for the reading, and the numbers do not tell for which pixels they are, nothing says it.
    """
    done, assumed = evidence.preparation, reading.layout.pixels
    if not reading.checked or not (done.normalizes or done.turned):
        return reading
    pixels = done.pixels(assumed)
    if pixels is None and not done.normalizes:
        return replace(reading, layout=replace(reading.layout, pixels=with_channels_reversed(assumed)))
    if pixels is None:
        why = f"the graph makes {done} of pixels, which tells nothing of their range"
        known, reasons = reading.pixels_known and reading.strength < SHAPES, (*reading.reasons, why)
        return replace(reading, reasons=reasons, pixels_known=known, pixels_usual=False, inside=str(done))
    reasons = (*reading.reasons, "the graph normalizes pixels itself")
    layout = replace(reading.layout, pixels=pixels)
    return replace(reading, layout=layout, reasons=reasons, pixels_known=True, inside=str(done))


def _fit_assumed(reading: Reading, evidence: Evidence) -> Reading:
    """The reading, which says so if neither the file nor the user says how images are fitted."""
    if reading.fit_known or evidence.fitted:
        return reading
    why = f"{reading.layout.fit} is assumed; --fit, or canvas.fit in a layout, states it"
    return _with_doubt(reading, f"does not say how images are fitted ({why})")


def _of_bytes(reading: Reading) -> Reading:
    """The reading of a file whose input is uint8: pixels as they are."""
    pixels = BGR_BYTES if reading.layout.pixels.channels == "bgr" else BYTES
    return replace(reading, layout=replace(reading.layout, pixels=pixels), pixels_known=True)


def given(layout: FileLayout, evidence: Evidence, run: Run, *, images: Sequence[np.ndarray] = ()) -> Reading:
    """The reading of a layout that the user gives, with what the file states beside it.

    Raises InputError if the numbers contradict it.
    """
    reading = _repeated(layout, evidence)
    if layout.outputs.has_gaps:
        message = f"{evidence.path}: anchors: got a side of 0: put those that it was trained with into the layout file"
        raise InputError(message, "layout-malformed")
    trial = _tried(reading, evidence, run, images or [own_photograph()])
    if trial.against:
        message = f"{evidence.path}: {trial.reading}: {trial.against}; correct the layout file"
        raise InputError(message, "onnx-contradicted")
    return reading


def _repeated(layout: FileLayout, evidence: Evidence) -> Reading:
    """The recognized reading that a given layout repeats; for another layout, that with the names of the classes."""
    try:
        found = proposed(evidence)
    except InputError:  # of another task, of which the user has stated the boxes
        found = []
    reading = Reading(layout=layout, reasons=("the layout was given",), strength=0)
    for same in (each for each in found if _meaning(each) == _meaning(reading)):
        return replace(reading, labels=same.labels, policy=same.policy, checked=same.checked)
    names = {each.labels for each in found if each.labels and _numbering(each.layout) == _numbering(layout)}
    stated = ultralytics.stated_names(evidence.metadata) or labels_of_info(evidence.metadata)
    return _named(replace(reading, labels=names.pop() if len(names) == 1 else stated), evidence)


def _numbering(layout: FileLayout) -> tuple[Any, ...]:
    """What decides which class a number stands for."""
    outputs = layout.outputs
    held = [name for name, words in outputs.columns if any(word.startswith(("classes", "label")) for word in words)]
    return outputs.background, outputs.first_label, held


def _named(reading: Reading, evidence: Evidence) -> Reading:
    """The reading with the names that the metadata have for its classes; else with COCO's where labels count from 1 and
    the file has a head for COCO's ids.
    """
    outputs = reading.layout.outputs
    if reading.labels or reading.lacks:
        return reading
    if names := _fitting_names(outputs, evidence):
        return replace(reading, labels=names, reasons=(*reading.reasons, f"its metadata name {len(names)} classes"))
    if "label" not in outputs.words or outputs.first_label != 1 or not evidence.has_coco_ids:
        return reading
    return replace(reading, labels=COCO_90)


def _fitting_names(outputs: OutputLayout, evidence: Evidence) -> tuple[str | None, ...]:
    """The names of the metadata, if they are as many as the scores have columns, or if no label is beyond them."""
    names = stated_names(evidence.metadata) or names_beside(evidence.path)
    if names and outputs.first_label and names[0] is None:
        names = names[outputs.first_label :]
    if not names:
        return ()
    try:
        decoded = decode(evidence.outputs, outputs, (evidence.height, evidence.width))
    except InputError:
        return ()
    if decoded.labels is None:
        return names if decoded.scores.shape[2] == len(names) else ()
    highest = decoded.labels[decoded.scores > 0]
    return names if not highest.numel() or float(highest.max()) < len(names) else ()


def look_images() -> Iterator[np.ndarray]:
    """A photograph of this package with a person, then those at hand, then a drawn one."""
    yield own_photograph()
    yield from _other_images()


@cache
def own_photograph() -> np.ndarray:
    """The photograph of this package, [384, 384, 3]."""
    with files("paretodet.readings").joinpath("photograph.jpg").open("rb") as file:
        return np.asarray(Image.open(file).convert("RGB"))


@cache
def _other_images() -> tuple[np.ndarray, ...]:
    return (*photographs(limit=PHOTOGRAPHS - 2).images, *draw_images(seed=0, count=1))


def _tried(reading: Reading, evidence: Evidence, run: Run, images: Iterable[np.ndarray]) -> Trial:
    """Looks at images until one has a detection, or something contradicts the reading."""
    if reading.lacks:
        return Trial(reading=reading, against=reading.lacks)
    if not reading.checked:
        return Trial(reading=reading, against=None)
    canvas = (evidence.height, evidence.width)
    layout = reading.layout
    policy = reading.policy or layout.policy(*canvas)
    if reading.finds_faces and (why := off_face(run(own_photograph(), layout.pixels, policy), layout, canvas, policy)):
        return Trial(reading=reading, against=why)
    for image in images:
        outputs = run(image, layout.pixels, policy)
        against, count = contradiction(outputs, layout, canvas), 0
        if against is None and not evidence.suppresses():
            against = repeated(outputs, layout, canvas)
        if against is None and reading.strength >= SHAPES:
            against = doubt(outputs, layout.outputs)
        if against is None:
            count = detected(outputs, layout, canvas)
        if count and reading.strength >= SHAPES:
            against = not_mirrored(run, layout, policy, canvas, image)
        if against == SAME:
            reading = _with_doubt(reading, "returns the same boxes for a photograph and its mirror image")
        if against or count:
            return Trial(reading=reading, against=against or None, detections=count)
    return Trial(reading=reading, against=None)


def _doubted(trial: Trial, evidence: Evidence, run: Run, images: Sequence[np.ndarray]) -> Trial:
    """A trial that found nothing, if shapes alone speak for a head of all cells, or if its pixels are assumed: it is
    doubtful. If those are of 0..1, and it finds something on those of 0..255, nothing says how they are scaled.
    """
    reading = trial.reading
    if trial.against or reading.strength < SHAPES or reading.layout.outputs.suppressed and not _pixels_open(reading):
        return trial
    pixels = reading.layout.pixels
    stated = states_pixels(evidence.metadata) or states_range(evidence.metadata)
    known = evidence.bytes_in or evidence.inner_pixels() or stated
    if not known and replace(pixels, channels=UNIT_RANGE.channels) == UNIT_RANGE:
        layout = replace(reading.layout, pixels=replace(pixels, std=BYTES.std))
        found = _tried(replace(reading, layout=layout), evidence, run, images or look_images())
        if found.detections and found.against is None:
            why = "finds nothing on pixels of 0..1 and something on pixels of 0..255"
            reading = replace(_with_doubt(found.reading, why), pixels_known=False, pixels_usual=False)
            return replace(found, reading=reading)
    return replace(trial, reading=_with_doubt(reading, "finds nothing on photographs"))


def _pixels_open(reading: Reading) -> bool:
    return reading.pixels_usual and not reading.pixels_known


def _pixels_looked_at(trial: Trial, evidence: Evidence, run: Run, images: Sequence[np.ndarray]) -> Trial:
    """A trial whose pixels are assumed: they are known if all others contradict it, or find nothing."""
    reading = trial.reading
    if trial.against or not trial.detections or not _pixels_open(reading):
        return trial
    open_ones = []
    for pixels in (each for each in PLAIN if each != reading.layout.pixels):
        other = replace(reading, layout=replace(reading.layout, pixels=pixels))
        found = _tried(other, evidence, run, images or look_images())
        open_ones += [str(pixels)] if found.detections and found.against is None else []
    if not open_ones:
        reasons = (*reading.reasons, f"it finds nothing on pixels that are not {reading.layout.pixels}")
        return replace(trial, reading=replace(reading, reasons=reasons, pixels_known=True))
    why = f"{reading.layout.pixels} is assumed, not {' or '.join(open_ones)}; [pixels] in a layout states it"
    return replace(trial, reading=_with_doubt(reading, f"does not say how pixels are scaled ({why})"))


def _with_doubt(reading: Reading, why: str) -> Reading:
    return replace(reading, doubt=f"{reading.doubt}; it {why}" if reading.doubt else why)


def _strongest(trials: list[Trial]) -> list[Trial]:
    """Those of the strongest evidence; of equal ones, those with detections if some have any, once each. Where only
    shapes speak for them, a weaker one with detections goes before those without.
    """
    best = min((trial.reading.strength for trial in trials), default=0)
    equal = [trial for trial in trials if trial.reading.strength == best]
    weaker = [trial for trial in trials if trial.detections and best >= SHAPES]
    left = [trial for trial in equal if trial.detections] or weaker or equal
    return list({_meaning(trial.reading): trial for trial in left}.values())


def _meaning(reading: Reading) -> FileLayout:
    """What decides the results."""
    return replace(reading.layout, family="")
