"""What a LiteRT file refers to, read without a library."""

from collections.abc import Sequence
from pathlib import Path

import flatbuffers
import pytest

from paretodet.errors import InputError
from paretodet.export.litert_target import LiteRtTarget
from paretodet.export.tflite_references import TfliteReferences, references


def written(path: Path, *, operators: Sequence[str] = (), groups: Sequence[str] = ()) -> Path:
    """A model that has nothing but operator codes and groups of buffers in other files."""
    builder = flatbuffers.Builder()

    def listed(texts: Sequence[str], field: int) -> int:
        tables = list[int]()
        for text in texts:
            place = builder.CreateString(text)
            builder.StartObject(4)
            builder.PrependUOffsetTRelativeSlot(field, place, 0)
            tables.append(builder.EndObject())
        builder.StartVector(4, len(tables), 4)
        for table in reversed(tables):
            builder.PrependUOffsetTRelative(table)
        return builder.EndVector()

    fields = {1: listed(operators, 1), 8: listed(groups, 0)}
    builder.StartObject(10)
    for field, place in fields.items():
        builder.PrependUOffsetTRelativeSlot(field, place, 0)
    builder.Finish(builder.EndObject(), file_identifier=b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


def test_custom_operators_and_other_files_are_found(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tflite", operators=("", "Flex", "Mine"), groups=("weights.bin", "../more.bin"))
    assert references(path) == TfliteReferences(frozenset(("weights.bin", "../more.bin")), frozenset(("Flex", "Mine")))
    assert references(written(path)) == TfliteReferences(frozenset(), frozenset())


@pytest.mark.parametrize("parts", [{"operators": ("Mine",)}, {"groups": ("/etc/weights.bin",)}])
def test_an_artifact_that_needs_code_or_files_of_others_is_refused(
    tmp_path: Path, parts: dict[str, tuple[str]]
) -> None:
    path = written(tmp_path / "a.tflite", **parts)
    with pytest.raises(InputError, match="bundle-unsafe"):
        LiteRtTarget().inspect(tmp_path, (path.name,), path.name)


@pytest.mark.parametrize("size", [0, 3, 8, 20, 60])
def test_a_file_that_is_cut_is_refused(tmp_path: Path, size: int) -> None:
    path = written(tmp_path / "a.tflite", operators=("Mine",), groups=("weights.bin",))
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(InputError, match="bundle-altered"):
        references(path)


def test_bytes_of_another_form_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tflite"
    path.write_bytes(b"no LiteRT file" * 10)
    with pytest.raises(InputError, match="bundle-altered"):
        LiteRtTarget().inspect(tmp_path, (path.name,), path.name)
