"""The name of the catalogue that has the rules which a file states."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from paretodet.detectors.families import spec as named_spec
from paretodet.detectors.names import parse
from paretodet.detectors.spec import DetectorSpec
from paretodet.errors import InputError


def advice(
    spec: DetectorSpec, choices: Iterable[Mapping[str, Any]], agrees: Callable[[DetectorSpec], bool], *, otherwise: str
) -> str:
    """What to do with a file that is not of `spec`: to import it by the first name that agrees, of those that differ in
    `choices` of the fields of `DetectorName`.
    """
    for fields in choices:
        try:
            name = str(replace(parse(spec.name.split(" ")[0]), **fields))
            if agrees(named_spec(name)):
                return f"import it as {name}"
        except InputError:  # no detector has such a side or number of proposals
            continue
    return f"no name of the catalogue has them: {otherwise}"
