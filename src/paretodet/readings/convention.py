"""What a convention is: one file in `conventions/` that makes one `Convention`, and one line in its `__init__`."""

from collections.abc import Callable
from dataclasses import dataclass

from paretodet.layouts.layout import Reading
from paretodet.readings.evidence import Evidence


@dataclass(frozen=True, kw_only=True)
class Convention:
    """How the detectors of one code base or exporter write their files.

    `readings` gives every meaning that the outputs can have by this convention, none if the file is of another kind:
    the numbers decide between them. It raises InputError if the file states that it is of another task.
    """

    name: str
    readings: Callable[[Evidence], tuple[Reading, ...]]
