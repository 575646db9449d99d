"""Folders that `export` wrote."""

from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from paretodet.bench.candidate import ModelInfo
from paretodet.bench.flops import Operations
from paretodet.config import BUNDLE, EXECUTION, CandidateConfig, is_bundle
from paretodet.detectors.catalogue import PublishedAP, published
from paretodet.detectors.spec import DetectorSpec, from_json, to_json
from paretodet.errors import InputError
from paretodet.evaluation.masks import PASTINGS
from paretodet.export.bundle import Bundle, Manifest, read_bundle, read_manifest
from paretodet.export.table import TARGETS, target_of
from paretodet.export.target import Target
from paretodet.network import ArtifactNetwork, operations
from paretodet.sources.source import Source

EXPORTED = {  # fields that an export decides, with its options
    "weights": "--weights",
    "nms": "--nms",
    "fit": "--fit",
    "sampling": "--sampling",
    "labels": "--classes",
    "calibration": "--calibrate",
}


class BundleFolder(Source):
    """An artifact with its own fit, labels and thresholds. Every file is checked before a runtime opens one."""

    options = (EXECUTION - {"calibration"}) | {"height", "width", "score", "trust"}
    form = "onnx-bundle"
    is_stored = True

    def owns(self, name: str) -> bool:
        return is_bundle(name)

    def check(self, name: str) -> None:
        """Raises InputError if a file of the bundle is missing or altered."""
        checked_bundle(Path(name))

    def published(self, name: str) -> tuple[PublishedAP, ...]:
        """What was published of the detector, if the artifact is float32 and as published."""
        manifest = read_manifest(Path(name)).manifest
        return published(manifest.name) if manifest.published else ()

    def accuracy(self, name: str) -> dict[str, Any]:
        """What was published of its name, else what its proof measured, else what was published of its weights."""
        manifest = read_manifest(Path(name)).manifest
        stated = asdict(manifest.accuracy) if manifest.accuracy else {}
        return super().accuracy(name) or _proved(manifest) or stated

    def resolve(self, config: CandidateConfig) -> CandidateConfig:
        self.check_options(config)
        return config

    def is_random(self, name: str) -> bool:
        return read_manifest(Path(name)).manifest.weights == "random"

    def display_name(self, config: CandidateConfig) -> str:
        return _name(read_manifest(Path(config.name)).manifest, config.size)

    def check_options(self, config: CandidateConfig) -> None:
        """Raises InputError for an option that the export decided, for a size, precision or score that the artifact
        does not have, and for native code that the config does not trust.
        """
        if decided := [name for name in EXPORTED if getattr(config, name) is not None]:
            remedy = f"its artifact has its own; export another one with {EXPORTED[decided[0]]}"
            raise InputError(f"{decided[0]}: {config.name} has none to set, {remedy}", "option-unsupported")
        super().check_options(config)
        bundle = read_manifest(Path(config.name))
        _check_trust(config, bundle)
        manifest = bundle.manifest
        _check_size(config.size, manifest)
        if config.precision not in (None, manifest.precision):
            message = f"precision: this artifact is {manifest.precision}; export another one as {config.precision}"
            raise InputError(message, "option-value")
        if config.score is not None and config.score < (manifest.score or 0.0):
            message = f"score: this artifact drops scores up to {manifest.score}; export another one with --score"
            raise InputError(message, "option-value")

    def form_of(self, config: CandidateConfig) -> str:
        return _target(read_manifest(Path(config.name))).form

    def completed(self, config: CandidateConfig) -> CandidateConfig:
        return replace(config, precision=read_manifest(Path(config.name)).manifest.precision)

    def load(self, config: CandidateConfig) -> ArtifactNetwork:
        bundle = checked_bundle(Path(config.name))
        _check_trust(config, bundle)
        return bundle_network(bundle, score=config.score, size=config.size)


def checked_bundle(folder: Path) -> Bundle:
    """The bundle in a folder, its files checked, and what its artifact refers to. Raises InputError."""
    bundle = read_bundle(folder)
    manifest = bundle.manifest
    _target(bundle).inspect(folder, tuple(manifest.files), manifest.artifact)
    return bundle


def check_no_artifact(path: Path) -> None:
    """Raises InputError if a file is part of the bundle in its folder, which alone states how its images are fitted."""
    if not is_bundle(str(path.parent)):
        return
    if path.name in read_manifest(path.parent).manifest.files:
        message = f"{path}: is part of a bundle, whose {BUNDLE} has fit and classes; name the folder, {path.parent}"
        raise InputError(message, "onnx-layout")


def bundle_network(
    bundle: Bundle, *, score: float | None = None, size: tuple[int, int] | None = None
) -> ArtifactNetwork:
    """The network of a bundle whose files were checked, on a canvas of this size, which its artifact takes; None: on
    its own. Detections that score no more than `score` are dropped.
    """
    manifest = bundle.manifest
    size = None if size == (manifest.height, manifest.width) else size
    return ArtifactNetwork(
        form=_target(bundle).form,
        name=_name(manifest, size),
        labels=manifest.labels,
        fit=bundle.fit_to(size),
        path=bundle.artifact,
        batch=manifest.batch,
        describe=partial(_describe, manifest, size),
        identity=_identity(manifest, size) | {"score": score},
        score=score,
        spec=_spec(manifest, size),
        any_size=manifest.sizes is not None,
        is_selected=manifest.suppression != "out",
    )


def _check_trust(config: CandidateConfig, bundle: Bundle) -> None:
    if _target(bundle).is_native and not config.trust:
        message = f"{config.name}: opening it runs native code of its author; add --trust if you trust the bundle"
        raise InputError(message, "trust-needed")


def _target(bundle: Bundle) -> Target:
    if bundle.manifest.target not in {target.name for target in TARGETS}:
        message = f"{bundle.folder}: artifacts of form {bundle.manifest.target!r} are unknown here; update paretodet"
        raise InputError(message, "bundle-newer")
    return target_of(bundle.manifest.target)


def _name(manifest: Manifest, size: tuple[int, int] | None) -> str:
    """Of its rows, with the size if it is not the one of the name."""
    if size is None or size == (manifest.height, manifest.width):
        return manifest.name
    height, width = size
    return f"{manifest.name} at {height}x{width}"


def _check_size(size: tuple[int, int] | None, manifest: Manifest) -> None:
    """Raises InputError for a size that the artifact does not take."""
    if size is None or size == (manifest.height, manifest.width) or (manifest.sizes and size in manifest.sizes):
        return
    one = f"{manifest.height}x{manifest.width}; export another one with --size"
    raise InputError(f"size: this artifact takes {manifest.sizes or one}", "size-unsupported")


def _identity(manifest: Manifest, size: tuple[int, int] | None) -> dict[str, Any]:
    """What decides the results: every file of the artifact, and how images are brought to it."""
    files = {name: entry.sha256 for name, entry in manifest.files.items()}
    sides = {"height": size[0], "width": size[1]} if size else {}
    return {"files": files, "fit": dict(manifest.fit) | sides, "batch": manifest.batch}


def _describe(manifest: Manifest, size: tuple[int, int] | None) -> ModelInfo:
    """Its proof is of one runtime, whichever executes it."""
    proof, spec = manifest.proof, _spec(manifest, size)
    counted = _operations(spec)
    counts = asdict(manifest.counts) | {"layers": counted.layers if counted else ()}
    if size:  # the counts of the bundle are those of its own
        counts = counted._asdict() if counted else {}
    height, width = size or (manifest.height, manifest.width)
    return ModelInfo(
        **counts,
        height=height,
        width=width,
        proposals=manifest.proposals,
        classes=len(manifest.labels),
        weights=manifest.weights,
        load=manifest.load,
        spec=to_json(spec) if size and spec else manifest.spec,
        runtime_settings=(("proof", f"{proof.verdict} ({proof.criterion}) in {proof.runtime}"),),
    )


def _spec(manifest: Manifest, size: tuple[int, int] | None = None) -> DetectorSpec | None:
    """The detector that it was made of, on a canvas of this size; None if it is none that this version knows."""
    try:
        found = from_json(manifest.spec or "{}")
        is_known = isinstance(found, DetectorSpec) and (found.masks is None or found.masks.pasting in PASTINGS)
    except (AttributeError, ImportError, KeyError, TypeError, ValueError):
        return None
    if not is_known:
        return None
    if size is None:
        return found
    height, width = size
    fit = replace(found.fit, height=height, width=width)  # type: ignore[type-var]
    return replace(found, height=height, width=width, fit=fit)


def _operations(spec: DetectorSpec | None) -> Operations | None:
    """Of which floors are made; None if they cannot be counted."""
    try:
        return operations(spec) if spec else None
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def _proved(manifest: Manifest) -> dict[str, Any]:
    """The accuracy that the proof measured on labels; empty without."""
    proof = manifest.proof
    if proof.ap is None or proof.labels is None or proof.labels_sha256 is None:
        return {}
    source = f"measured in the proof of its bundle on {proof.images} images"
    split = f"{proof.labels}@{proof.labels_sha256[:8]}"
    return {"ap": proof.ap, "ap50": proof.ap50, "ap_split": split, "ap_measured": True, "ap_source": source}
