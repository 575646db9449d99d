"""Writes a detector as a bundle: an artifact that runs without this package, and the proof that it detects the same."""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch

from paretodet import writing
from paretodet.bench.candidate import Image
from paretodet.bench.job import Progress, ProgressReporter
from paretodet.bench.synthetic_images import draw_images
from paretodet.candidate import NetworkCandidate
from paretodet.config import CALIBRATED, CandidateConfig
from paretodet.detectors.detector import Detector
from paretodet.detectors.names import parse
from paretodet.errors import InputError
from paretodet.evaluation.ground_truth import check_inputs, read_ground_truth
from paretodet.export.bundle import (
    Bundle,
    Counts,
    FileEntry,
    Manifest,
    StatedAccuracy,
    TensorInfo,
    entries,
    fit_to_json,
    read_bundle,
    read_manifest,
    write_manifest,
)
from paretodet.export.calibration import detector_feed, pixels_feed
from paretodet.export.layers import Divergence, first_divergence
from paretodet.export.open_size import SizeRange, size_range
from paretodet.export.parity import Boxes, Comparison, boxes_of, detected
from paretodet.export.proof import EXACT, Pair, ParityError, Proof, ProofImages, prove
from paretodet.export.table import TARGETS, target_of
from paretodet.export.target import Suppression, Target, Written
from paretodet.export.unselected import check_suppression_out
from paretodet.extras import version_of
from paretodet.media.photographs import Photographs, photographs
from paretodet.network import ArtifactNetwork, TorchNetwork
from paretodet.reports import listening
from paretodet.rules.select import PostProcess
from paretodet.runtimes.eager import Eager, EagerSession
from paretodet.runtimes.graph import ArtifactSession, Port
from paretodet.runtimes.table import runtime_of
from paretodet.runtimes.unselected import UnselectedSession
from paretodet.sources.table import check, resolved, source_of
from paretodet.transforms.resize_policy import ShortSide
from paretodet.version import __version__

ImageFiles = Path | str | Sequence[Path | str]
NO_IMAGES = ProofImages((), (), "", "")
IMAGES = 8  # photographs of a proof, where the user names none
OPEN = 3  # images a call in the proof of an artifact that takes any number: the last call of 8 has another
BOUNDS = {EXACT: 1e-3}  # of the difference of a layer's output, as a share of its largest value, by precision
BOUND = 0.25  # of other precisions
ROUNDING, ROUNDINGS = 2**-20, 6  # of weights, as a share of each; and how often, to find boxes that it decides
INCOMPARABLE = "Its layers cannot be compared."
KINDS = {"float": "float32", "double": "float64"}
MEANINGS = {
    "pixels": "RGB, 0 to 255, as `fit` brings an image to the canvas",
    "sizes": "height and width of the image inside the canvas, px",
    "boxes": "x1, y1, x2, y2 in pixels of the canvas",
    "scores": "0 to 1, from high to low; 0 marks an empty slot",
    "labels": "index into `labels`",
    "masks": "of each box, resized to it: 0 to 1, inside from 0.5",
}


class _Task(NamedTuple):
    """What is exported, and how."""

    config: CandidateConfig
    target: Target
    network: TorchNetwork
    detector: Detector
    batch: int | None  # images a call; None: any number
    notify: Callable[[str], None]
    sizes: SizeRange | None = None  # the canvases that it takes; None: that of the detector alone


def write_bundle(
    name: Path | str,
    *,
    out: Path | str,
    to: str = "onnx",
    suppression: Suppression | None = None,
    batch: int | None = 1,
    size: Literal["fixed", "dynamic"] = "fixed",
    images: ImageFiles | None = None,
    data: Path | str | None = None,
    split: str | None = None,
    image_root: Path | str | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    notify: Callable[[str], None] = lambda sentence: None,
    **options: Any,
) -> Bundle:
    """Writes the detector of this name to the new folder `out`, as an artifact with the proof of its parity.

    `to` is the form of the artifact, which takes `batch` images a call; None: any number, of "onnx" and "openvino".
    With `size` "dynamic" it takes other sizes too, of these forms and of YOLO, RetinaNet and FCOS with weights. With
    `suppression` "out" these forms end before suppression, of detectors of one stage, as "torch" and others always do.
    The proof runs it and the detector in eager PyTorch and float32 on `images`, a folder or files, by default on
    photographs at hand, or on the labeled images of `data`, which measures its AP too. `options` are fields of
    `CandidateConfig`: weights, precision, height and width, fit, thresholds. `notify` receives sentences for the user.

    The bundle's folder is a name for `open`, `measure` and the other functions. Nothing is written if the proof fails;
    it may be undecided. Raises ValueError for a name or option that cannot be exported, MissingExtra if a library is
    missing, ParityError if the artifact detects something else.

    >>> import paretodet
    >>> bundle = paretodet.write_bundle("yolo_v3_tiny-96", out="tiny", images="photo.jpg")
    >>> bundle.proof.verdict, bundle.artifact.name
    ('passed', 'detector.onnx')
    >>> paretodet.open("tiny").name
    'yolo_v3_tiny-96'
    """
    check_inputs(images, data, split, image_root)
    folder, target = Path(out), target_of(to, suppression)
    chosen = {key: value for key, value in options.items() if value is not None}
    config = CandidateConfig(name=check(str(name)), batch=1 if batch is None else batch, **chosen)
    _check_exportable(config)
    target.check(config)
    _check_out(folder)
    task = _task(config, target, batch, size, notify)
    if suppression == "out":
        check_suppression_out(task.detector.spec)
    labels = read_ground_truth(data, split=split, images=image_root) if data else None
    shown = _proof_images(images, notify) if task.sizes or labels is None else NO_IMAGES
    count = len(labels.labels if labels else shown.images) + (len(shown.images) if task.sizes else 0)
    report = ProgressReporter(task.network.name, "proof", count, on_progress)
    with writing.written_folder(folder) as temporary:
        on_progress(Progress(name=task.network.name, phase="export", done=0, total=1, left=None))
        with listening(report.report):
            written = _write(task, temporary, config)
        reference, artifact = _candidates(task, temporary / written.artifact)
        pair = _pair(task, reference, artifact)
        proof, comparison = prove(pair, shown, labels, on_image=report, notify=notify)
        if proof.verdict == "failed":
            raise ParityError(f"{task.network.name}: {proof.reason}. {_diverged(pair, task, comparison)}", proof)
        files = entries(temporary, (written.artifact, *written.others))
        write_manifest(temporary, _manifest(task, artifact, written, files, proof))
        read_manifest(temporary)  # nothing is left that cannot be opened
    return read_bundle(folder)


def _check_exportable(config: CandidateConfig) -> None:
    """Raises InputError if it is not one of our detectors, before it is opened and a library is asked for."""
    if source_of(config.name).spec(replace(config, weights=None)) is None:
        message = f"{config.name}: only detectors of the catalogue, and files of their weights, can be exported"
        raise InputError(message, "export-failed")


def _check_out(folder: Path) -> None:
    """Raises InputError if the folder holds something, or its bare name is one of the catalogue's."""
    writing.sweep(folder)
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise InputError(f"out: {folder} holds something already; name a new folder", "output-exists")
    try:
        parse(str(folder))
    except ValueError:
        parents = (folder.absolute(), *folder.absolute().parents)
        return writing.check_folder(next(each for each in parents if each.exists()), "out")
    message = f"out: {folder} is the name of a detector too; name the folder otherwise, as bundles/{folder}"
    raise InputError(message, "output-name")


def _write(task: _Task, folder: Path, config: CandidateConfig) -> Written:
    if task.sizes:
        return task.target.write_any_size(task.detector, folder, config, task.batch, task.sizes)
    return task.target.write(task.detector, folder, config, task.batch)


def _task(
    config: CandidateConfig, target: Target, batch: int | None, size: str, notify: Callable[[str], None]
) -> _Task:
    """Loads the network. Raises InputError if it has no fixed canvas, or none of so many images or any size."""
    config = resolved(config)
    source = source_of(config.name)
    source.check_options(config)
    loaded = source.load(config)
    assert isinstance(loaded, TorchNetwork) and isinstance(loaded.module, Detector)
    if isinstance(loaded.fit, ShortSide):
        message = (
            f"fit: the canvas of {loaded.name} follows each image, and an artifact has one of a fixed size: "
            "give --fit letterbox or stretch"
        )
        raise InputError(message, "export-failed")
    if batch is None:
        target.check_any_number()
    sizes = _sizes(config, target, loaded.module) if size == "dynamic" else None
    if config.weights is None:
        notify("The weights are random: the artifact can be measured, and what it detects means nothing.")
    network = replace(loaded, name=source.display_name(config))
    return _Task(config, target, network, loaded.module, batch, notify, sizes)


def _sizes(config: CandidateConfig, target: Target, detector: Detector) -> SizeRange:
    """The canvases that the artifact can take. Raises InputError if they are one alone."""
    why = None
    if target.suppression == "out" and target_of(target.name).takes_any_size:
        why = "with --suppression out artifacts have one size; give --size HxW, or no --suppression"
    elif not target.takes_any_size:
        forms = " or ".join(each.name for each in TARGETS if each.takes_any_size)
        why = f"--to {target.name} writes artifacts of one size; give --to {forms}, or --size HxW"
    elif config.precision == CALIBRATED:
        why = f"{CALIBRATED} is calibrated on one canvas; give another --precision, or --size HxW"
    elif config.weights is None:
        why = f"without weights {config.name} fills the slots of one canvas; give --weights FILE, or --size HxW"
    if why:
        raise InputError(f"size: {why}", "option-value")
    return size_range(detector)


def _proof_images(images: ImageFiles | None, notify: Callable[[str], None]) -> ProofImages:
    """The images that the user names, photographs at hand, or drawn images; no name has a folder in it."""
    found = photographs(images, limit=None if images else IMAGES, keep=False)
    for reason in found.skipped:
        notify(f"Skipped: {reason}.")
    if not found.images:
        drawn = tuple(draw_images(seed=0, count=IMAGES))
        found = Photographs(drawn, tuple(f"drawn {number}" for number in range(IMAGES)), "drawn")
    names = tuple(path.name for path in found.paths)
    source = Path(os.path.abspath(found.source)).name if images else found.source
    return ProofImages(found.images, names, source, found.hash)


def _candidates(task: _Task, path: Path) -> tuple[NetworkCandidate, NetworkCandidate]:
    """The detector in eager PyTorch and float32, and the artifact under its runtime."""
    network = ArtifactNetwork(
        form=task.target.form,
        name=task.network.name,
        labels=task.network.labels,
        fit=task.network.fit,
        path=path,
        batch=task.batch,
        describe=task.network.describe,
        identity={},
        spec=task.network.spec,
        any_size=task.sizes is not None,
        is_selected=task.target.suppression == "in",
    )
    config = replace(task.config, runtime=task.config.runtime or task.target.runtime)
    runtime = runtime_of(config, network.form)
    artifact = NetworkCandidate(network, runtime, allow_fallback=True, switchable=False)
    if not config.allow_fallback and (other := artifact.other_precision):
        raise InputError(f"precision: {other}; {_instead(task.target, artifact)}", "precision-fallback")
    return NetworkCandidate(task.network, Eager()), artifact


def _instead(target: Target, artifact: NetworkCandidate) -> str:
    """What to do about an artifact that executes another precision than it was written for."""
    executed = artifact.facts().precision
    write = f"--precision {executed}" if executed in target.precisions else "another --precision"
    return f"give {write}, or export on a machine that executes what you ask for"


def _pair(task: _Task, reference: NetworkCandidate, artifact: NetworkCandidate) -> Pair:
    facts, select = artifact.facts(), _select(task.detector)
    pair = Pair(
        reference=reference,
        artifact=artifact,
        precision=facts.precision,
        runtime=" ".join((facts.runtime, dict(facts.runtime_settings).get("version", ""))).strip(),
        batch=task.batch or OPEN,
        threshold=_finite(select.threshold),
        threshold_last=select.threshold_last,
        is_trained=task.config.weights is not None,
        rounded=partial(_rounded, reference),
    )
    if task.sizes is None:
        return pair
    own = task.detector.spec.height, task.detector.spec.width
    another = task.sizes.another(own)
    sides = {"height": another[0], "width": another[1]}
    first, second = (_on_canvas(each, **sides) for each in (reference, artifact))
    other = replace(pair, reference=first, artifact=second, rounded=partial(_rounded, first))
    return replace(pair, others=(other,), sizes=tuple(f"{height}x{width}" for height, width in (own, another)))


def _on_canvas(candidate: NetworkCandidate, **sides: int) -> NetworkCandidate:
    """The same with its session, which takes any size, on a canvas of these sides."""
    other = copy(candidate)
    other.session = copy(candidate.session)
    other.session.fit = replace(candidate.session.fit, **sides)  # type: ignore[type-var]
    return other


def _rounded(reference: NetworkCandidate, image: Image) -> list[Boxes]:
    """What the detector detects with weights that are rounded otherwise, several times."""
    assert isinstance(reference.session, EagerSession)
    weights, found = list(reference.session.module.parameters()), list[Boxes]()
    with torch.inference_mode():
        kept = [weight.clone() for weight in weights]
        try:
            for seed in range(ROUNDINGS):
                noise = torch.Generator().manual_seed(seed)
                for weight, exact in zip(weights, kept, strict=True):
                    weight.copy_(exact * (1 + ROUNDING * torch.randn(exact.shape, generator=noise)))
                found.append(boxes_of(detected(reference, [image]), 0))
        finally:
            for weight, exact in zip(weights, kept, strict=True):
                weight.copy_(exact)
    return found


def _diverged(pair: Pair, task: _Task, comparison: Comparison) -> str:
    """A sentence about the first layer whose output differs, on the image with the largest difference."""
    assert isinstance(pair.reference, NetworkCandidate) and isinstance(pair.artifact, NetworkCandidate)
    eager, session, worst = pair.reference.session, pair.artifact.session, comparison.pixels
    if not isinstance(eager, EagerSession) or not task.target.shows_layers or worst is None:
        return INCOMPARABLE
    assert isinstance(session, ArtifactSession | UnselectedSession)

    def first(canvas: Pair) -> Divergence | None:
        images = canvas.artifact.prepare([worst] * pair.batch)
        feed = dict((detector_feed if task.target.suppression == "in" else pixels_feed)(images))
        show = partial(task.target.layers, session.path, open_program=session.open, feed=feed)
        return first_divergence(eager.module, images, show, bound=BOUNDS.get(pair.precision, BOUND))

    try:
        found = next(filter(None, map(first, (pair, *pair.others))), None)
    except InputError:
        return INCOMPARABLE
    if found is None:
        return "No layer differs while its output is read: what follows the layers does, or layers that are fused."
    return f"The first layer that differs is {found.layer}, by {found.error:.2g} of its largest output."


def _manifest(
    task: _Task, artifact: NetworkCandidate, written: Written, files: dict[str, FileEntry], proof: Proof
) -> Manifest:
    assert isinstance(artifact.session, ArtifactSession | UnselectedSession)
    program, meanings = artifact.session.program, {**MEANINGS, **task.target.meanings}
    facts, select, fit = artifact.facts(), _select(task.detector), task.network.fit
    height, width = fit.canvas((1, 1))
    libraries = "torch", *task.target.written_by(task.config)
    return Manifest(
        name=task.network.name,
        target=task.target.name,
        artifact=written.artifact,
        files=files,
        inputs=tuple(_tensor(port, meanings) for port in program.inputs),
        outputs=tuple(_tensor(port, meanings) for port in program.outputs),
        height=height,
        width=width,
        batch=task.batch,
        fit=fit_to_json(fit),
        labels=task.network.labels,
        score=_finite(select.threshold),
        nms=select.overlap,
        keep=select.keep,
        proposals=facts.proposals,
        precision=facts.precision,
        precision_layers=facts.precision_layers,
        weights=facts.weights,
        load="capacity" if facts.load == "capacity" else "data",
        published=task.config.as_published and facts.precision == EXACT,
        counts=Counts(**{field.name: getattr(facts, field.name) for field in fields(Counts)}),
        spec=str(facts.spec),
        versions={"paretodet": __version__} | {name: version_of(name) for name in libraries},
        proof=proof,
        calibration=images.to_json() if (images := task.target.calibration(task.config)) else None,
        accuracy=_stated_accuracy(task.config) if (proof.precision, proof.verdict) == (EXACT, "passed") else None,
        sizes=task.sizes,
        suppression=task.target.suppression,
    )


def _stated_accuracy(config: CandidateConfig) -> StatedAccuracy | None:
    """What was published of the weights, if the detector is as it was published with them."""
    stated = source_of(config.name).accuracy_of(config) if config.weights else {}
    return StatedAccuracy(**stated) if stated else None


def _select(detector: Detector) -> PostProcess:
    """The selection of the last stage, which decides the thresholds of the detector."""
    select = detector.spec.stages[-1].select
    assert isinstance(select, PostProcess)
    return select


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _tensor(port: Port, meanings: Mapping[str, str]) -> TensorInfo:
    """ "tensor(float)" is float32 in the words of ONNX."""
    kind = port.type.removeprefix("tensor(").removesuffix(")")
    meaning = meanings.get(port.name, "")
    return TensorInfo(name=port.name, type=KINDS.get(kind, kind), shape=tuple(port.shape), meaning=meaning)
