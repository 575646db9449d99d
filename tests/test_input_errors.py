"""Errors of bad input: their message ends with an id, every id is used, and they survive pickling."""

import pickle
import re
from pathlib import Path

import pytest

import paretodet
from paretodet.errors import ERROR_IDS, InputError
from paretodet.images import ImageError
from paretodet.schema import SchemaError

SOURCE = "\n".join(path.read_text("utf-8") for path in Path(paretodet.__file__).parent.rglob("*.py"))


def test_the_message_ends_with_the_id() -> None:
    error = InputError("size: got 'big'", "option-value")
    assert str(error) == "size: got 'big' [option-value]"
    assert (error.message, error.id) == ("size: got 'big'", "option-value")
    assert isinstance(error, ValueError)


@pytest.mark.parametrize(
    "error",
    [
        InputError("a", "input-missing"),
        ImageError("b"),
        ImageError("c", "image-size"),
        SchemaError("d"),
    ],
    ids=str,
)
def test_an_error_survives_pickling(error: InputError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error) and str(again) == str(error) and again.id == error.id


@pytest.mark.parametrize("id", ERROR_IDS)
def test_every_id_is_well_formed_and_used(id: str) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)+", id)
    assert SOURCE.count(f'"{id}"') > 1, "listed in errors.py and not raised"
