"""The options of a candidate, once for every command that opens one."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from paretodet.cli import options

if TYPE_CHECKING:
    from paretodet.config import CandidateConfig

OPTIONS: dict[str, Any] = {  # by field of CandidateConfig, but for `classes`, a file that holds `labels`
    "weights": options.Weights,
    "runtime": Annotated[
        str | None,
        Option(
            "--runtime",
            help="What executes the network: eager or onnxruntime. [default: onnxruntime for ONNX files, else eager]",
        ),
    ],
    "device": options.Device,
    "precision": options.Precision,
    "score": options.Score,
    "nms": options.Nms,
    "fit": options.Fit,
    "classes": options.Classes,
}
Given = dict[str, Any]  # the values of OPTIONS by name, None where not given


def with_candidate_options(command: Callable[..., None]) -> Callable[..., None]:
    """The command with an option for each of OPTIONS in place of its parameter `given`, which gets their values.

    An option that the command has itself is left out.
    """
    own = inspect.signature(command).parameters
    added = [
        inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=annotation)
        for name, annotation in OPTIONS.items()
        if name not in own
    ]

    @wraps(command)
    def run(**values: Any) -> None:
        given = {parameter.name: values.pop(parameter.name) for parameter in added}
        command(given=given, **values)

    required = [each for each in own.values() if each.default is each.empty and each.name != "given"]
    optional = [each for each in own.values() if each.default is not each.empty]
    parameters = [*required, *added, *optional]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    return run


def config(name: str, given: Given, **fields: Any) -> "CandidateConfig":
    """The config of a name with the options given; `fields` are those that a command has itself."""
    from paretodet.config import CandidateConfig
    from paretodet.data.class_names import read_labels

    values = {option: value for option, value in given.items() if option != "classes"}
    classes = given.get("classes")
    return CandidateConfig(name=name, labels=read_labels(classes) if classes else None, **values, **fields)
