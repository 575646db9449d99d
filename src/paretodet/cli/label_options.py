"""The options of `paretodet convert` and `split`, with their types and help."""

from pathlib import Path
from typing import Annotated

from typer import Option

from paretodet.cli.options import OUT, TO, VAL

LabelsTo = Annotated[str, Option("--to", help=TO)]
SplitTo = Annotated[str | None, Option("--to", help=TO, show_default="that of DATA if it can be written, else voc")]
ValShare = Annotated[float, Option("--val", help=VAL)]
TestShare = Annotated[float, Option("--test", help="Share of the images for a test split, 0 to 1; 0 makes none.")]
Group = Annotated[
    str | None,
    Option(
        "--group",
        help="Keep images in one split if this regular expression matches the same text in their file names; with "
        "folder, if they are in the same folder.",
        show_default="every image is separate",
    ),
]
CopyImages = Annotated[bool, Option("--copy-images", help="Copy the images instead of linking to them.")]
SplitOut = Annotated[Path | None, Option("--out", help=OUT, show_default="NAME-split")]
