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
        help="Measure on another machine, or on several equal ones at once: ssh:HOST, ssh:USER@HOST, ray:ADDRESS/LABEL, "
        "ray:ADDRESS (ray: for the Ray cluster that runs here). May be repeated.",
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
