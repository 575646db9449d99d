"""The name of the catalogue that has the rules which a file states."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from paretodet.detectors.families import spec as named_spec
from paretodet.detectors.names import parse
from paretodet.detectors.spec import DetectorSpec
from paretodet.errors import InputError


def advice(
    spec: DetectorSpec,
    choices: Iterable[Mapping[str, Any]],
    others: Callable[[DetectorSpec], Sequence[str]],
    *,
    otherwise: str,
) -> str:
    """What to do with a file that is not of `spec`: to import it by the first name without `others`, which are the
    rules of a detector that are not those of the file, of the names that differ in `choices` of the fields of
    `DetectorName`. If there is none, the rules that the nearest of them has in their place.
    """
    own, found = spec.name.split(" ")[0], dict[str, Sequence[str]]()
    for fields in choices:
        try:
            name = str(replace(parse(own), **fields))
            found[name] = others(named_spec(name))
        except InputError:  # no detector has such a side or number of proposals
            continue
        if not found[name]:
            return f"import it as {name}"
    nearest = min(found, key=lambda name: len(found[name]), default=own)
    has = "" if nearest == own else f" (the nearest, {nearest}, has {', '.join(found[nearest])})"
    return f"no name of the catalogue has them{has}: {otherwise}"
