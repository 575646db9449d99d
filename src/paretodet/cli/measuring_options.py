"""The options of `measure` and `search` that say how long and how often is measured, with their types and help."""

from typing import Annotated

from typer import Option

All = Annotated[bool, Option("--all", help="Measure the whole catalogue and every hf: model.")]
Processes = Annotated[
    int | None,
    Option(
        "--processes",
        min=2,
        help="Minimum number of processes per candidate; 2 for those whose calls take over 0.6 s.",
        show_default="3; 2 for slow ones, or for more than 12",
    ),
]
Until = Annotated[
    float | None,
    Option(
        "--until",
        help="Start more processes while half of an interval on the frontier is wider than this, in percent.",
        show_default="6; for more than 12 candidates see --until-answer",
    ),
]
UntilAnswer = Annotated[
    bool | None,
    Option(
        "--until-answer/--every-interval",
        help="Start more processes only while the frontier is undecided, or for every wide interval.",
        show_default="--until-answer for more than 12 candidates",
    ),
]
Patience = Annotated[
    str | None,
    Option(
        "--patience",
        help="Maximum time to wait for other work on the machine: 60 (seconds), 10m or 1h; 0 does not wait.",
        show_default="60",
    ),
]
Minutes = Annotated[float, Option("--minutes", help="Time limit in minutes, including exports and compilation.")]
Selftest = Annotated[bool, Option("--selftest", help="Run the self-test of clock and machine (about 30 s).")]
