"""The options of a candidate for every command that opens one."""

import inspect
from collections.abc import Callable, Collection
from functools import wraps
from typing import TYPE_CHECKING, Any

from paretodet.cli.candidate_options import CANDIDATE
from paretodet.cli.output import data_only, note
from paretodet.cli.progress import ProgressBar
from paretodet.reports import listening

if TYPE_CHECKING:
    from paretodet.bench.candidate import Candidate
    from paretodet.config import CandidateConfig

Given = dict[str, Any]  # the values of CANDIDATE by name, None if not given
Command = Callable[..., None]


def with_candidate_options(only: Collection[str] = tuple(CANDIDATE), **changed: Any) -> Callable[[Command], Command]:
    """A decorator that replaces a command's parameter `given` by CANDIDATE, and passes their values in it; what a
    candidate prints meanwhile is not among the data that the command prints.

    An option that is a parameter of the command is left out, or that is not in `only`. `changed` are annotations in
    place of those in CANDIDATE; None leaves an option out.
    """

    def decorate(command: Command) -> Command:
        parameters = inspect.signature(command).parameters
        added = [
            inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=annotation)
            for name, annotation in (CANDIDATE | changed).items()
            if name in only and name not in parameters and annotation is not None
        ]

        @wraps(command)
        def run(**values: Any) -> None:
            given = {parameter.name: values.pop(parameter.name) for parameter in added}
            with data_only():
                command(given=given, **values)

        others = [parameter for name, parameter in parameters.items() if name != "given"]
        required = [parameter for parameter in others if parameter.default is parameter.empty]
        optional = [parameter for parameter in others if parameter.default is not parameter.empty]
        ordered = [*required, *added, *optional]
        run.__signature__ = inspect.Signature(ordered)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in ordered}
        return run

    return decorate


def config_fields(given: Given) -> dict[str, Any]:
    """The fields of CandidateConfig that the options set. Reads the file of class names."""
    from paretodet.labels.class_names import read_class_names

    classes = given.get("classes")
    fields = {option: value for option, value in given.items() if option != "classes"}
    return fields | {"labels": read_class_names(classes) if classes else None}


def config(name: str, given: Given) -> "CandidateConfig":
    """The config of a name with the given options."""
    from paretodet.config import CandidateConfig

    return CandidateConfig(name=name, **config_fields(given))


def opened(chosen: "CandidateConfig") -> "Candidate":
    """The candidate; a bar shows what is made for it meanwhile, a line what the outputs of a file are taken to mean."""
    from paretodet.candidate import NetworkCandidate
    from paretodet.opening import open_config

    with ProgressBar() as bar, listening(lambda line: bar.draw(line, 0, 0, "")):
        candidate = open_config(chosen)
    if isinstance(candidate, NetworkCandidate) and candidate.reading:
        note(f"{candidate.name}: {candidate.reading}.")
    return candidate
