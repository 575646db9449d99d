"""The options of `paretodet convert` and `split`, with their types and help."""

from pathlib import Path
from typing import Annotated

from typer import Option

from paretodet.cli.options import OUT, TO, VAL

LabelsTo = Annotated[str, Option("--to", help=TO)]
SplitTo = Annotated[str | None, Option("--to", help=TO, show_default="that of DATA if it can be written, else voc")]
ValShare = Annotated[float, Option("--val", help=VAL)]
TestShare = Annotated[float, Option("--test", help="Share of the images for a split test, 0 to 1; 0 makes none.")]
Group = Annotated[
    str | None,
    Option(
        "--group",
        help="Keep images together whose file names give the same match of this regular expression, or, with folder, "
        "that lie in one folder.",
        show_default="each image for itself",
    ),
]
CopyImages = Annotated[bool, Option("--copy-images", help="Copy the images instead of linking to them.")]
SplitOut = Annotated[Path | None, Option("--out", help=OUT, show_default="NAME-split")]
