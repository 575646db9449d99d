"""Packages of AOTInductor: what they state is read without loading them, and refused where it does not fit."""

import json
from dataclasses import replace
from pathlib import Path
from zipfile import ZipFile

import pytest
import torch

from made_packages import INFO, members, write_package
from paretodet.errors import InputError
from paretodet.export import aotinductor
from paretodet.export.aotinductor import CODE, KEY, METADATA, check_platform, here, read_info
from paretodet.export.pt2 import write_archive


def test_what_a_package_states_is_read(tmp_path: Path) -> None:
    assert read_info(write_package(tmp_path / "net.pt2")) == INFO


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            {"data/aotinductor/model/more.so": b"code"},
            "more.so' is missing, or not to be there",
        ),
        ({METADATA: b"{"}, "_metadata.json"),
        ({METADATA: b"{}"}, "paretodet"),
        ({METADATA: json.dumps({KEY: '{"layers": {}}'}).encode()}, "platform"),
    ],
)
def test_another_package_is_refused(tmp_path: Path, change: dict[str, bytes], reason: str) -> None:
    with pytest.raises(InputError, match=rf"net\.pt2: it is not a package .*{reason}.*bundle-altered"):
        read_info(write_package(tmp_path / "net.pt2", **change))


def test_a_package_without_code_is_refused(tmp_path: Path) -> None:
    write_archive((item for item in members().items() if item[0] != CODE), tmp_path / "net.pt2")
    with pytest.raises(InputError, match=r"wrapper\.so' is missing"):
        read_info(tmp_path / "net.pt2")


def test_an_archive_that_is_cut_off_or_none_is_refused(tmp_path: Path) -> None:
    path = write_package(tmp_path / "net.pt2")
    for content in (path.read_bytes()[:-30], b"", b"no archive"):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"net\.pt2: it is not a package .*bundle-altered"):
            read_info(path)


def test_metadata_that_unpacks_to_too_much_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_package(tmp_path / "net.pt2")
    monkeypatch.setattr(aotinductor.schema, "MAX_BYTES", 100)
    monkeypatch.setattr(ZipFile, "read", lambda *_: pytest.fail("read"))
    with pytest.raises(InputError, match=r"_metadata\.json has \d+ bytes"):
        read_info(path)


def test_code_for_this_machine_is_accepted() -> None:
    check_platform(Path("net.pt2"), here())
    check_platform(Path("net.pt2"), replace(here(), features=()))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"torch": "1.0"}, r"for torch 1\.0, and this is 2"),
        ({"system": "darwin"}, "for darwin on .*, and this is "),
        ({"machine": "vax"}, "for .* on vax, and this is "),
        ({"features": ("avx2048",)}, "for a processor with avx2048, which this one lacks"),
    ],
)
def test_code_for_another_machine_is_refused(change: dict[str, object], reason: str) -> None:
    with pytest.raises(InputError, match=rf"^net\.pt2: its native code was compiled {reason}.*bundle-elsewhere"):
        check_platform(Path("net.pt2"), replace(here(), **change))  # type: ignore[arg-type]


def test_the_instructions_of_this_processor_are_named_as_torch_names_them() -> None:
    able = torch.cpu.get_capabilities()
    assert all(able[feature] for feature in here().features)
    assert torch.__version__.startswith(here().torch)
