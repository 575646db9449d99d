"""Every option that a command may have, once: the same name means the same everywhere."""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated

from typer import Argument, Exit, Option

from paretodet import __version__

DEFAULT_STORE = "paretodet.db"
SPLIT = "mixed"  # so that detectors of all times stand on one frontier; its notes say so

Name = Annotated[
    str, Argument(metavar="NAME", help="A catalogue name, FILE.safetensors, .onnx or .cfg, hf:NAME or module:make.")
]
Patient = Annotated[
    str,
    Argument(
        metavar="NAME|DATA",
        help="As measure takes it; or labeled images: COCO's .json, YOLO's .yaml, or a folder, VOC's too.",
    ),
]
Names = Annotated[
    list[str] | None,
    Argument(
        metavar="[NAME]...",
        help="Catalogue names, FILE.safetensors, .onnx or .cfg, hf:NAME or module:make; none: a default set.",
    ),
]
Row = Annotated[str, Argument(metavar="ROW", help="The beginning of a row's id.")]
Other = Annotated[str, Argument(metavar="ROW", help="The beginning of the other row's id.")]
Pictures = Annotated[
    list[Path] | None,
    Argument(metavar="[IMAGE]...", help="JPEG, PNG, WEBP, BMP, videos, or folders of these; none: those of --data."),
]

Backbones = Annotated[bool, Option("--backbones", help="Backbones in place of detectors.")]
Json = Annotated[bool, Option("--json", help="JSON on standard output and nothing else there.")]
Store = Annotated[str, Option("--store", help="A file, an SQLAlchemy URL or, for reading, a .jsonl file.")]
Run = Annotated[str | None, Option("--run", help="Only rows of the run whose id begins so.")]
Split = Annotated[
    str,
    Option("--split", help="Whose accuracy counts: val2017, test-dev, measured, ... or mixed (within 0.5 AP)."),
]
IncludeInvalid = Annotated[bool, Option("--include-invalid", help="Rows that are not valid take part.")]

Strict = Annotated[bool, Option("--strict", help="Only from rows that are valid: no provisional answer.")]
Calls = Annotated[
    int | None,
    Option("--calls", min=0, help="Of a short-lived job: job_ms is loading, the first call and so many more; none: 1."),
]
Columns = Annotated[str | None, Option("--columns", help="More columns: cold, for load_ms and first_ms.")]

Weights = Annotated[
    Path | None, Option("--weights", help="FILE.safetensors, .weights (darknet), .pt or .pth; none: random weights.")
]
Device = Annotated[str | None, Option("--device", help="cpu, cuda or cuda:N; none: cpu.")]
Precision = Annotated[str | None, Option("--precision", help="fp32 or bf16.")]
LearnPrecision = Annotated[
    str | None, Option("--precision", help="fp32, bf16 or fp16 of the networks; none: the recipe's.")
]
Threads = Annotated[int | None, Option("--threads", min=1, help="Threads of every runtime; none: all cores.")]
Batch = Annotated[int, Option("--batch", min=1, help="Images a call.")]
Images = Annotated[Path | None, Option("--images", help="A folder of photographs, or one; none: those at hand.")]
LearnImages = Annotated[
    Path | None, Option("--images", help="The folder of a COCO file's images; of --val's too, where none lies near it.")
]
Size = Annotated[str | None, Option("--size", help="Canvas: 300, 300x400 or several with commas.")]
Scores = Annotated[
    str | None, Option("--score", help="Drop detections that score no more: 0.3 or several with commas.")
]
Proposals = Annotated[str | None, Option("--proposals", help="Proposals of two-stage detectors: 10 or 10,50,100.")]

All = Annotated[bool, Option("--all", help="The whole catalogue and every guest.")]
Processes = Annotated[int | None, Option("--processes", min=2, help="Processes a candidate, at least.")]
Until = Annotated[
    float | None, Option("--until", help="More processes while half an interval on the frontier is wider, percent.")
]
UntilAnswer = Annotated[
    bool | None,
    Option("--until-answer/--every-interval", help="More processes only where the frontier is open; from 13 on it is."),
]
Patience = Annotated[
    str | None, Option("--patience", help="What other work may cost the run: 60 (seconds), 10m; 0: no waiting.")
]
Report = Annotated[Path | None, Option("--report", help="Also write the page here.")]

Cost = Annotated[str, Option("--cost", help="What a row costs: latency_ms_p50, memory_infer_mib, parameters, ...")]
Gain = Annotated[str, Option("--gain", help="What it gives: ap, ap50, mask_ap, or a cost with a minus in front.")]
Goal = Annotated[str, Option("--goal", help="What to have the most of (accuracy) or the least of (a cost).")]
Maximum = Annotated[list[str] | None, Option("--max", help="FIELD=NUMBER, as parameters=40e6; may be repeated.")]
Minimum = Annotated[list[str] | None, Option("--min", help="FIELD=NUMBER, as ap50=50; may be repeated.")]
MaxMs = Annotated[float | None, Option("--max-ms", help="Most latency (p50), ms; with --calls of the whole job.")]
MaxMib = Annotated[float | None, Option("--max-mib", help="Most memory while detecting, MiB.")]
MinAp = Annotated[float | None, Option("--min-ap", help="Least AP, percent.")]
Confident = Annotated[bool, Option("--confident", help="Limits hold for the unfavorable end of every interval.")]

Labels = Annotated[
    Path | None,
    Option("--labels", help="Measure AP on these labels: a COCO .json or a folder of COCO's, VOC's or YOLO's."),
]
Source = Annotated[Path, Argument(metavar="FILE", help="FILE.weights (darknet), .pt, .pth or .safetensors.")]
As = Annotated[str, Option("--as", help="The catalogue name these weights belong to.")]
Target = Annotated[Path, Option("--out", help="The safetensors file to write.")]
License = Annotated[str | None, Option("--license", help="Under which the weights may be used.")]
Ap = Annotated[float | None, Option("--ap", help="Published AP of these weights, COCO percent.")]
Ap50 = Annotated[float | None, Option("--ap50", help="Published AP50 of these weights, COCO percent.")]
ApSplit = Annotated[str | None, Option("--ap-split", help="On which images that was: val2017, test-dev, ...")]
ApSource = Annotated[str | None, Option("--ap-source", help="Who published it.")]
Score = Annotated[float | None, Option("--score", help="Drop detections that score no more.")]
Nms = Annotated[float | None, Option("--nms", help="Overlap above which a box suppresses another.")]
Fit = Annotated[str | None, Option("--fit", help="stretch, letterbox or letterbox-darknet (its half-pixel way back).")]
Classes = Annotated[Path | None, Option("--classes", help="A file with one class name a line.")]
Out = Annotated[Path | None, Option("--out", help="Where to write.")]
Evaluated = Annotated[
    str | None,
    Argument(
        metavar="[NAME]",
        help="A catalogue name, FILE.safetensors, .onnx or .cfg, hf:NAME or module:make; or --results.",
    ),
]
Results = Annotated[Path | None, Option("--results", help="A COCO results file to score in place of a NAME.")]
Data = Annotated[
    Path,
    Option("--data", help="Labels: a COCO .json, its images in --images or near it; or COCO's, VOC's, YOLO's folder."),
]
KnownData = Annotated[Path | None, Option("--data", help="Labels: their images, and the ids of --results-out.")]
DataSplit = Annotated[str | None, Option("--data-split", help="Of a folder of labels: val, test, ...; none: all.")]
LearnSplit = Annotated[
    str | None, Option("--data-split", help="Which of them to learn from; none: the one called train, else all.")
]
Errors = Annotated[bool, Option("--errors", help="Also where the AP is lost, and the best score a category.")]
Learner = Annotated[str, Argument(metavar="NAME", help="A catalogue name, or another of its form.")]
Val = Annotated[Path | None, Option("--val", help="Labels to judge by, where --data holds none of them.")]
ValSplit = Annotated[str | None, Option("--val-split", help="Which of them; none: the one called val.")]
RecipeName = Annotated[str, Option("--recipe", help="quick, for small data sets, or published, the authors' own.")]
UpdatesWanted = Annotated[int | None, Option("--steps", min=1, help="Updates in all; none: the recipe's.")]
LearnBatch = Annotated[int | None, Option("--batch", min=1, help="Images an update; none: the recipe's.")]
Accumulate = Annotated[int | None, Option("--accumulate", min=1, help="Parts in which an update's images are taken.")]
Seed = Annotated[int, Option("--seed", min=0, help="Of the first weights, the order of images and every sample.")]
Begin = Annotated[Path | None, Option("--weights", help="A file to begin from, as detect takes it; none: nothing.")]
Width = Annotated[float, Option("--width", help="Of every layer: 0.5 has half of the channels.")]
Workers = Annotated[int, Option("--workers", min=0, help="Processes that load images.")]
Every = Annotated[
    int | None, Option("--every", min=1, help="Updates between checkpoints; none: 1,000 at most, and ten are judged.")
]
Compiled = Annotated[bool, Option("--compile", help="Make one program of the loss by torch.compile.")]
Track = Annotated[list[str] | None, Option("--track", help="Tell mlflow or wandb too; may be repeated.")]
VocAp = Annotated[bool, Option("--voc", help="Also Pascal VOC's AP50, of eleven points and of all.")]
Plot = Annotated[Path | None, Option("--plot", help="Draw where the AP is lost, and precision-recall: FILE.png, .svg.")]
EvaluatedOut = Annotated[Path | None, Option("--results-out", "--out", help="Write the detections as COCO results.")]
ResultsOut = Annotated[Path | None, Option("--results-out", help="Write the detections as COCO results.")]
Quick = Annotated[bool, Option("--quick", help="Do not decode the pictures: truncated files and copies stay unseen.")]
Fix = Annotated[
    Path | None, Option("--fix", help="Write a copy without the faults, in COCO's form, to this new folder.")
]
DataDoctor = Annotated[
    Path | None, Option("--data-doctor", help="FILE of `doctor DATA --json`: how small its boxes are on each canvas.")
]
BugReport = Annotated[Path, Option("--out", help="The file to write.")]
Selftest = Annotated[bool, Option("--selftest", help="Test clock and machine now, which takes about half a minute.")]
Untrained = Annotated[bool, Option("--untrained", help="Detect with random weights all the same.")]


def _say_version(asked: bool) -> None:
    if asked:
        print(f"paretodet {__version__}")
        raise Exit


Version = Annotated[
    bool, Option("--version", help="Print name and version, and exit.", is_eager=True, callback=_say_version)
]


def numbers(text: str | None) -> tuple[int, ...]:
    """ "10,50" -> (10, 50). Raises ValueError naming what is no number of at least 1."""
    return tuple(_whole(part, "proposals") for part in text.split(",")) if text else ()


def shares(text: str | None) -> tuple[float, ...]:
    """ "0.01,0.3" -> (0.01, 0.3). Raises ValueError naming what is no number in 0..1."""
    return tuple(_share(part) for part in text.split(",")) if text else ()


def sizes(text: str | None) -> tuple[tuple[int, int], ...]:
    """ "300,480x640" -> ((300, 300), (480, 640)), height first. Raises ValueError."""
    return tuple(_size(part) for part in text.split(",")) if text else ()


def limits(pairs: list[str] | None, **named: float | None) -> dict[str, float]:
    """["ap=30"] and named limits that are not None -> {"ap": 30.0, ...}. Raises ValueError."""
    return {key: number for key, number in named.items() if number is not None} | dict(
        _pair(each) for each in pairs or ()
    )


def job(fields: dict[str, float], calls: int | None) -> dict[str, float]:
    """Limits, with "job_ms" as the cost of that many calls."""
    return {job_field(name, calls): number for name, number in fields.items()}


def job_field(name: str, calls: int | None) -> str:
    """ "job_ms" and 20 -> "job_ms:20"; any other field as it is."""
    return f"{name}:{calls}" if name == "job_ms" and calls not in (None, 1) else name


def check_calls(calls: int | None, fields: Iterable[str]) -> None:
    """Raises ValueError where a number of calls is given and nothing is asked of a job."""
    if calls is not None and "job_ms" not in fields:
        raise ValueError("calls: is of a job; ask by job_ms (--cost job_ms, --goal job_ms) or limit it by --max-ms")


def columns(text: str | None, known: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The fields of columns by their name. Raises ValueError."""
    if text is not None and text not in known:
        raise ValueError(f"columns: {text!r} is none of {', '.join(known)}")
    return known[text] if text else ()


def _size(text: str) -> tuple[int, int]:
    height, _, width = text.partition("x")
    return _whole(height, "size"), _whole(width or height, "size")


def _whole(text: str, field: str) -> int:
    if not text.strip().isdecimal() or int(text) < 1:
        raise ValueError(f"{field}: {text!r} is no whole number of at least 1")
    return int(text)


def _share(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number <= 1:
        raise ValueError(f"score: {text!r} is no number in 0..1")
    return number


def _pair(text: str) -> tuple[str, float]:
    field, _, number = text.partition("=")
    try:
        return field, float(number)
    except ValueError:
        raise ValueError(f"{text!r} is not FIELD=NUMBER, as latency_ms_p50=30") from None
