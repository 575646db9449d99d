"""`paretodet import`."""

from typing import TYPE_CHECKING

from paretodet.cli import candidate_options, options, weights_options
from paretodet.cli.output import note_all, note_next, print_json, show

if TYPE_CHECKING:
    from paretodet.importing import ImportedWeights


def import_(
    source: weights_options.WeightsSource,
    as_: weights_options.CatalogueName,
    out: options.Out,
    format: weights_options.WeightsFormat = None,
    classes: candidate_options.Classes = None,
    fit: candidate_options.Fit = None,
    score: candidate_options.Score = None,
    nms: candidate_options.Nms = None,
    norm_eps: weights_options.NormEps = None,
    license: weights_options.License = None,
    ap: weights_options.Ap = None,
    ap50: weights_options.Ap50 = None,
    ap_split: weights_options.ApSplit = None,
    ap_source: weights_options.ApSource = None,
    json: options.Json = False,
) -> None:
    """Convert weights of another format to a safetensors file that records their origin and how they are run."""
    from paretodet.importing import import_weights
    from paretodet.labels.class_names import read_class_names
    from paretodet.sources.catalogue import stored_options
    from paretodet.weights.backbones import BACKBONES
    from paretodet.weights.files import WeightsMetadata
    from paretodet.weights.published import as_printed

    published = as_printed({"ap": ap, "ap50": ap50}) | {"split": ap_split, "source": ap_source}
    given = {"norm_eps": norm_eps, "fit": fit, "score": score, "nms": nms, "license": license}
    labels = read_class_names(classes) if classes else None
    metadata = WeightsMetadata(name=as_, labels=labels, **given, **published)  # type: ignore[arg-type]
    if as_ not in BACKBONES:
        stored_options(metadata, out)  # raises an error if a detector cannot be opened with these values
    done = import_weights(source, metadata, out, format=format)
    if json:
        print_json(done._asdict())
        return
    code_base = f"{done.code_base}, item {done.item}" if done.item else done.code_base
    show(f"Read {done.source} (SHA-256 {done.source_sha256[:12]}): format {done.format}, code base {code_base}.")
    width = f" at width {done.width:g}" if done.width < 1 else ""
    use = f"{done.classes} classes, images fitted by {done.fit}" if done.classes else "a backbone alone"
    show(f"{done.name}{width}, {use}.")
    show(f"{done.tensors} tensors of the file gave {done.values:,} values; none is missing, none is left over.")
    note_all(done.unproved)
    if done.classes:
        show(_published(done))
    show(f"Wrote {done.out} (SHA-256 {done.sha256[:12]}).")
    if done.classes:
        note_next("detect", done.name, "IMAGES", weights=done.out)
    else:
        note_next("train", "NAME", data="DATA", weights=done.out)


def _published(done: "ImportedWeights") -> str:
    """The accuracy that rows of these weights have."""
    numbers = (("AP", done.ap), ("AP50", done.ap50))
    known = ", ".join(f"{name} {value:g}" for name, value in numbers if value is not None)
    if not known:
        return (
            "No published accuracy is known of this file as it is imported: rows have none. Give it by --ap and "
            "--ap-split; it holds only without --score, --nms, another --fit and another --norm-eps."
        )
    return f"Published: {known} on {done.ap_split or 'a split that is not stated'} ({done.ap_source or 'no source'})."
