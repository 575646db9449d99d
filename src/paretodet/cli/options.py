"""Every argument and option of the commands. The same option has the same help on every command."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from paretodet.cli.candidate_options import BATCH
from paretodet.records.measurement import GAINS

DEFAULT_STORE = "paretodet.db"
SPLIT = "mixed"  # compares detectors of different splits on one frontier; a note says so

# arguments

_NAME = (
    "Catalogue name, FILE.safetensors, FILE.onnx, FILE.xml (OpenVINO), FILE.tflite, FILE.torchscript, FILE.pt2, "
    "FILE.cfg (darknet), BUNDLE folder, hf:NAME, config.json (transformers), tv:NAME (torchvision) or module:function."
)
_LABELS = (
    "a .json (COCO, LVIS, LabelMe, Label Studio, Datumaro, FiftyOne), YOLO .yaml, CVAT .xml or .csv, or a folder of "
    "labels (Pascal VOC's too)"
)

Name = Annotated[str, Argument(metavar="NAME", help=_NAME)]
Names = Annotated[
    list[str] | None, Argument(metavar="NAME", help=_NAME, show_default="six detectors, and trained weights at hand")
]
SearchedNames = Annotated[
    list[str] | None, Argument(metavar="SPACE", help=_NAME, show_default="the catalogue and every hf: model")
]
EvaluatedName = Annotated[str | None, Argument(metavar="NAME", help=_NAME, show_default="none, with --results")]
OnnxName = Annotated[
    str, Argument(metavar="FILE", help="An ONNX, LiteRT or OpenVINO (.xml) file, or a program of torch.")
]
InspectedImage = Annotated[
    Path | None,
    Option("--image", help="Photograph to run the file on.", show_default="one of a person, then others"),
]
NameOrData = Annotated[
    str,
    Argument(
        metavar="NAME|DATA",
        help=f"{_NAME} Or labeled images: {_LABELS}.",
    ),
]
LabelData = Annotated[Path, Argument(metavar="DATA", help=f"Labeled images: {_LABELS}.")]
Media = Annotated[
    list[Path] | None,
    Argument(
        metavar="IMAGE",
        help="Images (JPEG, PNG, WEBP, BMP), videos, or folders of these.",
        show_default="the images of --data",
    ),
]
Row = Annotated[str, Argument(metavar="ROW", help="Start of the id of a row.")]
OtherRow = Annotated[
    str | None,
    Argument(metavar="OTHER", help="Start of the id of the other row.", show_default="that of --machine"),
]
CopiedStore = Annotated[
    str, Argument(metavar="FROM", help="Rows to copy: a database file, an SQLAlchemy URL, or a .jsonl file.")
]
StoreCopy = Annotated[
    str, Argument(metavar="TO", help="Where to: a database file (.db), an SQLAlchemy URL, or a new .jsonl file.")
]

# output

OUT = (
    "Output path: a folder in convert, detect, export, split, train and weights get; a .safetensors file in import, a "
    "picture of the boxes in inspect, the page in report, a file in the other commands."
)

_REPORT = "Write an HTML page to this file: the page of `paretodet report`, or in search that of the search."

Json = Annotated[bool, Option("--json", help="Print JSON on standard output, and nothing else there.")]
DrawnOut = Annotated[
    Path | None, Option("--out", help=OUT, show_default="detections; nothing with --json or --results-out")
]
Out = Annotated[Path, Option("--out", help=OUT)]
InspectOut = Annotated[Path | None, Option("--out", help=OUT, show_default="not drawn")]
ResultsOut = Annotated[
    Path | None,
    Option("--results-out", help="Write the detections to this file as COCO results.", show_default="not written"),
]
Report = Annotated[
    Path | None,
    Option("--report", help=_REPORT, show_default="not written"),
]
Plot = Annotated[
    Path | None,
    Option("--plot", help="Draw the result to FILE.png or FILE.svg.", show_default="not drawn"),
]
Fix = Annotated[
    Path | None,
    Option("--fix", help="Write a corrected copy in COCO's format to this new folder.", show_default="not written"),
]
Columns = Annotated[
    str | None,
    Option(
        "--columns",
        help="Additional columns, separated by commas: cold (load_ms, first_ms), build (export_ms, compile_ms, "
        "precision_layers), floor (floor_ms, and its share of the latency).",
        show_default="none",
    ),
]

# export and convert

TO = (
    "In export, the form of the artifact: onnx, openvino or aotinductor; for detectors of one stage also torch and, "
    "for phones, litert, executorch or ncnn; in convert and split, the format of the labels: coco, voc or yolo."
)

To = Annotated[str, Option("--to", help=TO)]
ExportBatch = Annotated[str, Option("--batch", help=BATCH)]
Suppression = Annotated[
    str | None,
    Option(
        "--suppression",
        help="Where overlapping boxes are suppressed: in the artifact, or out of it, by the program that runs it. --to "
        "onnx and openvino leave the choice, for detectors of one stage.",
        show_default="in for onnx, openvino and aotinductor, out for the others",
    ),
]

# images and labels

_DATA = f"Labeled images: {_LABELS}."
DATA_SPLIT = "Split of --data, such as train, val or test."

Images = Annotated[
    Path | None,
    Option(
        "--images",
        help="Images to run on: a folder or a file.",
        show_default="those in coco_val2017_44 in PARETODET_DATA, else scikit-image's, else synthetic ones",
    ),
]
ImageRoot = Annotated[
    Path | None,
    Option(
        "--image-root",
        help="Folder to which the file names in the labels are relative (not for Pascal VOC, YOLO or LabelMe).",
        show_default="searched for near the labels",
    ),
]
Data = Annotated[Path, Option("--data", help=_DATA)]
ExportData = Annotated[Path | None, Option("--data", help=_DATA, show_default="none; the proof runs on --images")]
DetectData = Annotated[Path | None, Option("--data", help=_DATA, show_default="none")]
MeasureData = Annotated[Path | None, Option("--data", help=_DATA, show_default="none; the AP is the published one")]
DataSplit = Annotated[str | None, Option("--data-split", help=DATA_SPLIT, show_default="all images")]
Quick = Annotated[bool, Option("--quick", help="Do not decode images: truncated files and duplicates are not found.")]

# rows

Store = Annotated[
    str,
    Option(
        "--store", help="Database of rows: a file or a postgresql:// URL. Commands that only read also take .jsonl."
    ),
]
Run = Annotated[
    str | None,
    Option(
        "--run",
        help="Use the rows of the run whose id starts with this.",
        show_default="the newest row of each setting",
    ),
]
Machine = Annotated[
    str | None,
    Option(
        "--machine",
        help="Use the rows of one machine: the start of its fingerprint, or a part of its name, such as its CPU's; in "
        "diff, compare with the row of the same artifact on it.",
        show_default="all machines",
    ),
]
AllMachines = Annotated[
    bool,
    Option("--all-machines", help="Choose one detector for all machines with rows in the store."),
]
Split = Annotated[
    str,
    Option(
        "--split",
        help="Split whose AP is compared: a name, such as val2017; measured; or mixed, for all published splits (with "
        "0.5 AP added to both ends of intervals), or for one set of your labels if more rows have an AP on that.",
    ),
]
IncludeInvalid = Annotated[bool, Option("--include-invalid", help="Also use contended and throttled rows.")]
Estimates = Annotated[
    bool,
    Option(
        "--estimates", help="Also use estimated AP, marked as such, for Huang et al.'s systems without a known one."
    ),
]
Strict = Annotated[bool, Option("--strict", help="Never use contended or throttled rows: give no provisional answer.")]
Cost = Annotated[
    str,
    Option(
        "--cost",
        help="Cost to compare: latency (latency_ms_p50), memory (memory_infer_mib), energy (energy_j), parameters, "
        "or another cost: an unknown name lists those like it. A search takes measured costs only.",
    ),
]
Gain = Annotated[
    str, Option("--gain", help=f"Gain to compare: {', '.join(GAINS)}, or a cost with a minus sign (-parameters).")
]
Calls = Annotated[
    int | None,
    Option(
        "--calls",
        min=0,
        help="Number of calls after the first one in the cost job_ms: the time to load and of all calls, in ms.",
        show_default="1",
    ),
]
Goal = Annotated[
    str,
    Option(
        "--goal",
        help=f"What to maximize ({', '.join(GAINS)}) or to minimize (latency, memory, energy, parameters, ...).",
    ),
]
Maximum = Annotated[
    list[str] | None,
    Option("--max", help="Upper limit FIELD=NUMBER, like parameters=40e6; may be repeated.", show_default="no limit"),
]
Minimum = Annotated[
    list[str] | None,
    Option("--min", help="Lower limit FIELD=NUMBER, like ap50=50; may be repeated.", show_default="no limit"),
]
MaxMs = Annotated[
    float | None,
    Option("--max-ms", help="Maximum latency (p50) in ms; with --calls, maximum job_ms.", show_default="no limit"),
]
MaxMib = Annotated[
    float | None, Option("--max-mib", help="Maximum memory during inference, in MiB.", show_default="no limit")
]
MinAp = Annotated[float | None, Option("--min-ap", help="Minimum AP, in percent.", show_default="no limit")]
Confident = Annotated[
    bool, Option("--confident", help="Apply limits to the unfavorable end of every interval, not to its middle.")
]
DataDoctor = Annotated[
    Path | None,
    Option(
        "--data-doctor",
        help="Output of `paretodet doctor DATA --json`: shows how small its boxes are at every input size.",
        show_default="none",
    ),
]

# listing and profiling

Top = Annotated[int, Option("--top", min=1, help="Number of layers to show, the slowest first.")]
Backbones = Annotated[bool, Option("--backbones", help="List backbones instead of detectors.")]

# evaluation

Results = Annotated[
    Path | None, Option("--results", help="Score this file of COCO results instead of a NAME.", show_default="none")
]
Errors = Annotated[
    bool, Option("--errors", help="Show the causes of lost AP, and the best score threshold of each category.")
]
VocAp = Annotated[bool, Option("--voc", help="Show Pascal VOC's AP50, with 11 points and with all points.")]

# training, and splitting labels

VAL = "Labeled images for validation, in a format of --data; in split, the share of the images, 0 to 1."

Seed = Annotated[
    int,
    Option(
        "--seed",
        min=0,
        help="Seed of initial weights, order of images and sampling; in split, of the random assignment.",
    ),
]
