"""Options of `measure --on` and `search --on`: another machine, and what measures there."""

from pathlib import Path
from typing import Annotated

from typer import Option

_ON = Option(
    "--on",
    metavar="PLACE",
    help="Measure on another machine: ssh:HOST, ssh:USER@HOST, adb:SERIAL (Android; adb: if just one is connected); or "
    "on the machines of a Ray cluster: ray:ADDRESS, ray:ADDRESS/LABEL (ray: for the cluster that runs here). A search "
    "cannot use adb:; given several places, it measures on all of them at once if their machines are equal.",
    show_default="here",
)
On = Annotated[str | None, _ON]
SearchedOn = Annotated[list[str] | None, _ON]
BenchmarkBinary = Annotated[
    Path | None,
    Option("--benchmark-binary", help="Google's benchmark_model for Android, for --on adb:.", show_default="none"),
]
RemotePython = Annotated[
    str | None,
    Option("--remote-python", help="Path of the Python on that machine that has paretodet.", show_default="python3"),
]
