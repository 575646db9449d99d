"""`paretodet import`."""

from paretodet.cli import options
from paretodet.cli.output import note_next, print_json, show


def import_(
    source: options.Source,
    as_: options.As,
    out: options.Target,
    classes: options.Classes = None,
    fit: options.Fit = None,
    score: options.Score = None,
    nms: options.Nms = None,
    license: options.License = None,
    ap: options.Ap = None,
    ap50: options.Ap50 = None,
    ap_split: options.ApSplit = None,
    ap_source: options.ApSource = None,
    json: options.Json = False,
) -> None:
    """Read foreign weights safely and keep them as safetensors with their origin."""
    from paretodet.data.class_names import read_labels
    from paretodet.importing import import_weights
    from paretodet.sources.catalogue import stored_options
    from paretodet.weights.files import WeightsMetadata

    known = {"ap": ap, "ap50": ap50, "split": ap_split, "source": ap_source}
    used = {"fit": fit, "score": score, "nms": nms, "license": license}
    labels = read_labels(classes) if classes else None
    told = WeightsMetadata(name=as_, file="", sha256="", labels=labels, **used, **known)  # type: ignore[arg-type]
    stored_options(told, out)  # refuses what no opening could follow
    done = import_weights(source, told, out)
    if json:
        print_json(done._asdict())
        return
    show(
        f"Read {done.values:,} numbers in {done.tensors} tensors from {done.source}, SHA-256 {done.source_sha256[:12]}."
    )
    show(f"Wrote {done.out} (SHA-256 {done.sha256[:12]}).")
    note_next("detect", done.name, "PICTURES", weights=done.out)
