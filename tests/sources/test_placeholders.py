"""What stands in place of a file that was not downloaded itself is named as such, before any library opens it."""

from pathlib import Path

import pytest

from paretodet.errors import InputError
from paretodet.opening import open_candidate
from paretodet.reading import in_place_of

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"
PAGE = "\n<!DOCTYPE html>\n<html lang=en>"
KINDS = {POINTER: "Git LFS", PAGE: "a web page", "<HTML>": "a web page"}


@pytest.mark.parametrize("text", KINDS)
@pytest.mark.parametrize("name", ["net.onnx", "net.tflite", "net.xml", "net.torchscript", "net.pt2"])
def test_it_is_named_with_what_to_do(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    path.with_suffix(".bin").touch()
    with pytest.raises(InputError) as caught:
        open_candidate(str(path))
    assert caught.value.id == "graph-failed" and KINDS[text] in caught.value.message
    assert caught.value.message.startswith(f"{path}: ")


def test_the_weights_of_a_model_of_openvino_too(tmp_path: Path) -> None:
    (tmp_path / "net.xml").write_text("<net/>")
    (tmp_path / "net.bin").write_text(POINTER)
    with pytest.raises(InputError, match=r"net\.bin: is a pointer of Git LFS"):
        open_candidate(str(tmp_path / "net.xml"))


@pytest.mark.parametrize("content", [b"", b"\x08\x07\x12\x07pytorch", b"<net name='a'>", b"version 1"])
def test_other_content_is_what_it_is(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    assert in_place_of(tmp_path / "a") is None
