"""Options of `measure --on` and `search --on`: another machine, and what measures there."""

from pathlib import Path
from typing import Annotated

from typer import Option

On = Annotated[
    str | None,
    Option(
        "--on",
        metavar="PLACE",
        help="Measure on another machine: ssh:HOST, ssh:USER@HOST, adb:SERIAL (Android; adb: if there is one); or on "
        "those of a Ray cluster: ray:ADDRESS, ray:ADDRESS/LABEL (ray: for the cluster that runs here).",
        show_default="here",
    ),
]
SearchedOn = Annotated[
    list[str] | None,
    Option(
        "--on",
        metavar="PLACE",
        help="Measure on another machine, or on equal ones at once: ssh:HOST, ssh:USER@HOST, ray:ADDRESS/LABEL, or "
        "ray:ADDRESS for all of a cluster (ray: for the one that runs here); may be repeated.",
        show_default="here",
    ),
]
BenchmarkBinary = Annotated[
    Path | None,
    Option("--benchmark-binary", help="Google's benchmark_model for Android, for --on adb:.", show_default="none"),
]
RemotePython = Annotated[
    str | None,
    Option("--remote-python", help="Path of the Python there that has paretodet.", show_default="python3"),
]
