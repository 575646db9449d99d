"""The options of `paretodet import` and `weights get`, with their types and help."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from paretodet.cli.options import OUT

WeightsSource = Annotated[
    Path,
    Argument(
        metavar="FILE",
        help="Weights of darknet, Caffe, TensorFlow, TensorFlow.js, LiteRT, Detectron, torch or safetensors.",
    ),
]
WeightsFormat = Annotated[
    str | None,
    Option(
        "--format",
        help="Format of the file: darknet, safetensors, torch, tflite, detectron, caffe, tensorflow (checkpoint), "
        "tensorflow-graph or tfjs.",
        show_default="recognized",
    ),
]
CatalogueName = Annotated[
    str,
    Option(
        "--as",
        help="Catalogue name of the detector (`paretodet list`), or of the backbone, that the weights belong to.",
    ),
]
License = Annotated[str | None, Option("--license", help="License of the weights.", show_default="unknown")]
NormEps = Annotated[
    float | None,
    Option(
        "--norm-eps",
        help="Epsilon of the backbone's norms.",
        show_default="read from the file; required if it is not there",
    ),
]
Ap = Annotated[
    str | None,
    Option(
        "--ap",
        metavar="PERCENT",
        help="Published AP of the weights on COCO, in percent, with all printed digits: 37.0 is not 37.",
        show_default="unknown",
    ),
]
Ap50 = Annotated[
    str | None,
    Option("--ap50", metavar="PERCENT", help="Published AP50 of the weights on COCO, as --ap.", show_default="unknown"),
]
ApSplit = Annotated[
    str | None,
    Option("--ap-split", help="Split of the published AP: val2017, test-dev, ...", show_default="unknown"),
]
ApSource = Annotated[str | None, Option("--ap-source", help="Source of the published AP.", show_default="unknown")]

WeightsName = Annotated[
    str, Argument(metavar="NAME", help="Name of published weights, or of a detector with one published set.")
]
WeightsOut = Annotated[
    Path | None,
    Option("--out", help=OUT, show_default="weights in PARETODET_CACHE, else in the user's cache folder"),
]
Offline = Annotated[bool, Option("--offline", help="Stay offline: only check and unpack a file that is already there.")]
