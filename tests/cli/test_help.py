"""The help of every command: complete, with defaults, and the same for the same option."""

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest

from paretodet.cli.candidate_options import CANDIDATE
from paretodet.cli.output import flag
from paretodet.cli.places import OF_FILES
from paretodet.export.table import TARGETS
from paretodet.runtimes.table import RUNTIMES
from paretodet.transforms.resize import SAMPLINGS
from paretodet.transforms.resize_policy import FITS
from paretodet.weights.files import DARKNET_NAME
from paretodet.weights.formats import FORMATS
from reference_pages import every_command

COMMANDS = every_command()
PARAMETERS = [
    pytest.param(command, parameter, id=f"{name} {parameter.opts[0]}")
    for name, command in COMMANDS.items()
    for parameter in command.params
    if parameter.name != "help"
]


def states_default(parameter: Any) -> bool:
    """Whether the help shows a default, or none is needed: the parameter is required, or a switch that is off."""
    if parameter.required or isinstance(parameter.show_default, str):
        return True
    switch = getattr(parameter, "is_flag", False) and parameter.default is False
    return switch or (parameter.show_default is True and parameter.default is not None)


def shown(parameter: Any) -> Iterator[str]:
    """The option names of a parameter; none for an argument."""
    return (name for name in (*parameter.opts, *parameter.secondary_opts) if name.startswith("--"))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_what_it_does(name: str) -> None:
    first = COMMANDS[name].help.splitlines()[0]
    assert first.endswith((".", ":")) and first[0].isupper() and len(first) > 20


@pytest.mark.parametrize(("command", "parameter"), PARAMETERS)
def test_every_parameter_has_help_and_a_default(command: Any, parameter: Any) -> None:
    assert parameter.help and parameter.help[0].isupper() and parameter.help.endswith(".")
    assert states_default(parameter), f"{parameter.opts}: no default in the help"
    assert "none:" not in parameter.help


def test_an_option_has_one_help_text_in_the_whole_program() -> None:
    texts: dict[str, set[str]] = defaultdict(set)
    for command in COMMANDS.values():
        for parameter in command.params:
            for name in shown(parameter):
                texts[name].add(parameter.help)
    assert len(texts) > 60
    assert {name: found for name, found in texts.items() if len(found) > 1} == {}


@pytest.mark.parametrize("name", ["detect", "evaluate"])
def test_a_command_that_needs_weights_offers_no_random_ones(name: str) -> None:
    (weights,) = (each for each in COMMANDS[name].params if "--weights" in each.opts)
    assert "random" not in weights.show_default and "--untrained" in weights.show_default


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("--runtime", {runtime.name for runtime in RUNTIMES}),
        ("--precision", {precision for runtime in RUNTIMES for precision in runtime.precisions}),
        ("--to", {target.name for target in TARGETS}),
        ("--sampling", SAMPLINGS),
        ("--fit", FITS),
        ("--format", {DARKNET_NAME, *(form.name for form in FORMATS)}),
    ],
)
def test_the_help_of_a_choice_names_every_value(option: str, values: set[str]) -> None:
    parameters = (each for command in COMMANDS.values() for each in command.params if option in each.opts)
    assert set(values) <= set(re.findall(r"[\w-]+", next(parameters).help))


@pytest.mark.parametrize(
    ("command", "parameter"), [each for each in PARAMETERS if each.values[1].name in {*CANDIDATE, *OF_FILES}]
)
def test_an_option_is_typed_as_messages_name_its_field(command: Any, parameter: Any) -> None:
    assert flag(parameter.name) in shown(parameter)


def test_fields_that_no_option_is_named_after_have_theirs_too() -> None:
    assert {*map(flag, OF_FILES)} <= {name for each in COMMANDS["measure"].params for name in shown(each)}
