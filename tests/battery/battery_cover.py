"""The catalogue entries that the battery runs: all distinct ones, or a few that cover every part."""

from functools import cache

from paretodet.detectors.catalogue import entries
from paretodet.detectors.families import spec
from paretodet.detectors.spec import to_data

SHORT = 30
IGNORED = ("name", "height", "width", "fit", "assumption")  # fields in which entries of one network differ


@cache
def distinct():
    """Names that differ in more than size and number of proposals: the first of each such group."""
    groups = {}
    for entry in entries():
        groups.setdefault(form(spec(entry.name)), entry)
    return tuple(groups.values())


def form(made):
    """A spec without its size and its number of proposals."""
    data = {key: value for key, value in to_data(made).items() if key not in IGNORED}
    *earlier, last = data["stages"]
    data["stages"] = [{k: v for k, v in stage.items() if "select" not in k} for stage in earlier] + [last]
    return repr(data)


@cache
def short():
    """Those of `traced`, then a greedy cover of pairs of family and backbone."""
    chosen = list(traced())
    return tuple(chosen + greedy(pairs, [e for e in distinct() if e not in chosen], covered(pairs, chosen)))[:SHORT]


@cache
def traced():
    """A few that cover families, backbones, strides and fits.

    The one with the fewest parameters of each family, then those that cover the rest.
    """
    light = sorted(distinct(), key=lambda entry: entry.parameters)
    families = {}
    for entry in light:
        families.setdefault(entry.meta_architecture, entry)
    chosen = list(families.values())
    for entry in light:
        if parts(entry) - covered(parts, chosen):
            chosen.append(entry)
    return tuple(chosen)


@cache
def exported():
    """Those of the short tier that are exported there: the lightest of each mix of heads and neck."""
    kinds = {}
    for entry in sorted(traced(), key=lambda entry: entry.parameters):
        made = spec(entry.name)
        heads = tuple(type(stage.head).__name__ for stage in made.stages)
        kinds.setdefault((heads, type(made.neck).__name__, made.masks is None), entry)
    return tuple(kinds.values())


def greedy(kinds, offered, have=frozenset()):
    """Repeatedly the one that covers most of what is missing, of equal ones that with the fewest parameters."""
    have, left, chosen = set(have), list(offered), []
    while left:
        best = max(left, key=lambda entry: (len(kinds(entry) - have), -entry.parameters))
        if not kinds(best) - have:
            break
        left.remove(best)
        chosen.append(best)
        have |= kinds(best)
    return chosen


def covered(kinds, chosen):
    return {part for entry in chosen for part in kinds(entry)}


@cache
def parts(entry):
    fit = type(spec(entry.name).fit).__name__
    return frozenset(
        {("family", entry.meta_architecture), ("backbone", entry.backbone), ("stride", entry.output_stride), fit}
    )


def pairs(entry):
    return frozenset({(entry.meta_architecture, entry.backbone, entry.output_stride)})
