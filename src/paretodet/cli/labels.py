"""`paretodet convert` and `paretodet split`."""

from pathlib import Path
from typing import TYPE_CHECKING

from paretodet.cli import label_options, options
from paretodet.cli.output import note, note_next, print_json, show

if TYPE_CHECKING:
    from paretodet.labels.convert import Converted


def convert(
    data: options.LabelData,
    to: label_options.LabelsTo,
    out: options.Out,
    image_root: options.ImageRoot = None,
    copy_images: label_options.CopyImages = False,
    json: options.Json = False,
) -> None:
    """Write labels in another format, all their splits, and name everything that the format cannot hold.

    The images are linked to, not copied. The folder is written whole or not at all.
    """
    from paretodet.labels.convert import convert as convert_labels

    _show(convert_labels(data, to=to, out=out, images=image_root, copy_images=copy_images), json)


def split(
    data: options.LabelData,
    val: label_options.ValShare = 0.2,
    test: label_options.TestShare = 0.0,
    seed: options.Seed = 0,
    group: label_options.Group = None,
    to: label_options.SplitTo = None,
    out: label_options.SplitOut = None,
    image_root: options.ImageRoot = None,
    copy_images: label_options.CopyImages = False,
    json: options.Json = False,
) -> None:
    """Split labeled images into train and val, with about the same share of every class in each.

    The result is a new folder, with links to the images; DATA stays as it is.
    """
    from paretodet.labels.split import split_set

    folder = out or Path(f"{data.resolve().stem}-split")
    done = split_set(
        data, out=folder, val=val, test=test, seed=seed, group=group, to=to, images=image_root, copy_images=copy_images
    )
    _show(done, json)


def _show(done: "Converted", json: bool) -> None:
    for sentence in done.losses:
        note(f"Not the same: {sentence}.")
    if json:
        print_json(done.to_json())
    else:
        for name, images, boxes in done.splits:
            show(f"{name}: {images} images, {boxes} boxes")
        show(f"Written to {done.out}")
    note_next("doctor", done.out)
