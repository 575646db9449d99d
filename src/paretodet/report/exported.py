"""A bundle and its proof in sentences."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from paretodet.report.formats import plural

if TYPE_CHECKING:
    from paretodet.export.bundle import Bundle
    from paretodet.export.proof import Proof


def bundle_lines(bundle: "Bundle") -> Iterator[str]:
    """What was written, and what it takes."""
    manifest = bundle.manifest
    images = plural(manifest.batch, "image") if manifest.batch else "any number of images"
    others = f" or, with --size, {manifest.sizes}" if manifest.sizes else ""
    size = sum(entry.bytes for entry in manifest.files.values()) / 1e6
    yield (
        f"{bundle.folder}: {manifest.name} as {manifest.target}, {manifest.precision}, {size:.1f} MB, "
        f"{manifest.height}x{manifest.width}{others}, {images} a call."
    )


def proof_lines(proof: "Proof") -> Iterator[str]:
    """The verdict and its reason, then the numbers."""
    yield f"Proof {proof.verdict}: {proof.reason}."
    lost = f"{proof.missing} missing, {proof.extra} extra"
    sizes = f", at {' and '.join(proof.sizes)}" if proof.sizes else ""
    mask = "" if proof.max_mask is None else f", of a mask {proof.max_mask:.2g}"
    yield (
        f"{proof.images} images ({proof.source}{sizes}), {proof.detections:,} detections of eager float32: {lost}; "
        f"largest difference of a box {proof.max_box:.2g} of the image's side, of a score {proof.max_score:.2g}{mask}."
    )
    if proof.ap is not None:
        ratios = ", ".join(
            f"{size} {each.ratio:.1%} ({each.lower:.1%} to {each.upper:.1%})" for size, each in proof.ratios.items()
        )
        yield f"AP {proof.ap:.1f} on {proof.labels}; as a share of float32's: {ratios}."
