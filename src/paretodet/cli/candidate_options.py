"""The options of a candidate, with their types and help."""

from pathlib import Path
from typing import Annotated, Any

from typer import Option

from paretodet.runtimes.names import CLASSES

_WEIGHTS = (
    "File of weights: .safetensors, or .weights (darknet); `paretodet import` converts others. hf: and tv: also read "
    ".pt and .pth."
)
_SEVERAL = "measure and search take several, separated by commas, or the word all for those that can run here."
_RUNTIME = f"Runtime that executes the network: {', '.join(CLASSES)}; eager is PyTorch. {_SEVERAL.capitalize()}"
PRECISION = f"Number format: fp32, bf16, int8, or, in train, fp16; {_SEVERAL}"
_CALIBRATION = "Folder of images that --precision int8 is calibrated on."
BATCH = "Number of images in a batch; export --to onnx or openvino also takes dynamic, for any number."
_SCORE = (
    "Keep detections that score above this, 0 to 1; measure and search take several, separated by commas. Without it, "
    "detect draws those of at least 0.3."
)
_OWN = "the detector's own"

Weights = Annotated[Path | None, Option("--weights", help=_WEIGHTS, show_default="random weights")]
RequiredWeights = Annotated[
    Path | None,
    Option(
        "--weights",
        help=_WEIGHTS,
        show_default="none; names of the catalogue, .cfg, config.json, hf: and tv: need a file or --untrained",
    ),
]
RowWeights = Annotated[
    Path | None, Option("--weights", help=_WEIGHTS, show_default="none; a row with weights needs the same file")
]
Untrained = Annotated[bool, Option("--untrained", help="Use random weights, to try a command without a file.")]
Runtime = Annotated[
    str | None, Option("--runtime", help=_RUNTIME, show_default="that of the file or bundle, else eager")
]
Device = Annotated[str | None, Option("--device", help="Device: cpu, cuda or cuda:N.", show_default="cpu")]
SearchedRuntime = Annotated[str | None, Option("--runtime", help=_RUNTIME, show_default="all that can run here")]
SearchedPrecision = Annotated[str | None, Option("--precision", help=PRECISION, show_default="all that can run here")]
Precision = Annotated[
    str | None, Option("--precision", help=PRECISION, show_default="fp32; of a file or bundle, its own")
]
Calibration = Annotated[
    Path | None,
    Option(
        "--calibrate", help=_CALIBRATION, show_default="those in coco_val2017_44 in PARETODET_DATA, else scikit-image's"
    ),
]
RowCalibration = Annotated[
    Path | None,
    Option("--calibrate", help=_CALIBRATION, show_default="as in measure; an int8 row needs the same images"),
]
AllowFallback = Annotated[
    bool | None,
    Option(
        "--allow-fallback",
        help="Also measure if the runtime executes a precision other than --precision.",
        show_default="such a candidate is an error",
    ),
]
Threads = Annotated[
    int | None, Option("--threads", min=1, help="Number of CPU threads.", show_default="all available cores")
]
Batch = Annotated[int, Option("--batch", min=1, help=BATCH)]
Sizes = Annotated[
    str | None,
    Option(
        "--size",
        help="Input size in pixels, SIDE or HEIGHTxWIDTH; measure and search take several, separated by commas; "
        "export --to onnx or openvino also takes dynamic, for other sizes too.",
        show_default=_OWN,
    ),
]
Proposals = Annotated[
    str | None,
    Option(
        "--proposals",
        help="Number of proposals of two-stage detectors; several are separated by commas.",
        show_default=_OWN,
    ),
]
Scores = Annotated[str | None, Option("--score", help=_SCORE, show_default=_OWN)]
Score = Annotated[float | None, Option("--score", help=_SCORE, show_default=_OWN)]
Nms = Annotated[
    float | None,
    Option("--nms", help="IoU above which a box suppresses one of a lower score, 0 to 1.", show_default=_OWN),
]
Fit = Annotated[
    str | None,
    Option(
        "--fit",
        help="Resize policy: stretch, letterbox, or letterbox-darknet (maps boxes back with darknet's half pixel).",
        show_default=_OWN,
    ),
]
Sampling = Annotated[
    str | None,
    Option(
        "--sampling",
        help="How pixels are resampled: antialiased (Pillow), opencv, corners (darknet), tf1 (TensorFlow 1) or torch.",
        show_default=_OWN,
    ),
]
Classes = Annotated[Path | None, Option("--classes", help="File of class names, one per line.", show_default=_OWN)]
Layout = Annotated[
    Path | None,
    Option(
        "--layout",
        help="TOML file that says what the outputs of a detector file mean; `paretodet inspect FILE` writes one.",
        show_default="recognized",
    ),
]

Trust = Annotated[
    bool | None,
    Option(
        "--trust",
        help="Open files that can run their author's code: module:make, .torchscript, some .pt2, aotinductor bundles.",
        show_default="it is refused",
    ),
]

CANDIDATE: dict[str, Any] = {  # by field of CandidateConfig; `classes` is a file of the field `labels`
    "weights": Weights,
    "runtime": Runtime,
    "device": Device,
    "precision": Precision,
    "calibration": Calibration,
    "allow_fallback": AllowFallback,
    "score": Score,
    "nms": Nms,
    "fit": Fit,
    "sampling": Sampling,
    "classes": Classes,
    "layout": Layout,
    "trust": Trust,
}
