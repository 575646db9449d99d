"""How the listed public files are downloaded: repositories by address and hash, packages by version and hash."""

import hashlib
import io
import re
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

import public_files
import public_sources
from public_files import SHOWN, UNKNOWN, PublicFile, checked, entries, fetched
from public_sources import is_package
from served import sends, serving

COMMIT = "0123456789" * 4
REPOSITORY = f"someone/detectors @ {COMMIT[:10]}"
WHEEL, TAR = "`made` 1.0 on PyPI", "`made` 1.0 on npm"
CONTENT, OTHER = b"a detector" * 1000, b"another one" * 1000
LARGE = {"`captcha-recognizer` 1.0.2 on PyPI", "`ddddocr` 1.6.1 on PyPI"}  # downloads of more than 30 MB
PACKAGES = sorted({each.source for each in entries() if is_package(each.source) and not each.obstacle} - LARGE)


@pytest.fixture
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def digits(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:SHOWN]


def listed(file: str, source: str, content: bytes = CONTENT, **fields: str) -> PublicFile:
    return PublicFile(file=file, source=source, exporter="tests", sha256=digits(content), **fields)


def outcomes(folder: Path, *files: PublicFile, **options: str) -> dict[str, str]:
    """What came of each file, by its name."""
    sentences = [re.split(r" \(\w+\): ", each, maxsplit=1) for each in fetched(folder, files, **options)]
    return dict(sentences)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.onnx")}


def wheel(folder: Path, members: dict[str, bytes]) -> Path:
    path = folder / "made-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def tar(folder: Path, members: dict[str, bytes]) -> Path:
    path = folder / "made-1.0.tgz"
    with tarfile.open(path, "w:gz") as file:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture
def delivers(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes an archive what the client of a registry downloads; the sources that it was asked for."""

    def given(archive: Path | None) -> list[str]:
        asked: list[str] = []
        copy = "import shutil, sys; shutil.copy(sys.argv[1], '.')" if archive else "sys.exit('no network')"

        def client(source: str) -> list[str]:
            asked.append(source)
            return [sys.executable, "-c", f"import sys; {copy}", str(archive)]

        monkeypatch.setattr(public_sources, "_client", client)
        return asked

    return given


@pytest.mark.usefixtures("no_proxy")
def test_files_of_repositories_come_by_address_and_are_checked(tmp_path: Path) -> None:
    """One comes, one is another file, one is missing, one has no address, and one is there already."""
    (tmp_path / "here.onnx").write_bytes(b"here")
    folder = f"/someone/detectors/{COMMIT}"
    answers = {f"{folder}/a/right.onnx": CONTENT, f"{folder}/two%20words.onnx": OTHER}

    def answer(handler: Any) -> None:
        content = answers.get(handler.path)
        (sends(content) if content else sends(b"", status=404))(handler)

    files = [
        listed("right.onnx", REPOSITORY, commit=COMMIT, path="a/right.onnx"),
        listed("two words.onnx", REPOSITORY, b"listed", commit=COMMIT, path="two words.onnx"),
        listed("missing.onnx", REPOSITORY, b"missing", commit=COMMIT, path="missing.onnx"),
        listed("unknown.onnx", REPOSITORY, b"unknown"),
        listed("here.onnx", REPOSITORY, b"here", commit=COMMIT, path="here.onnx"),
    ]
    with serving(answer) as served:
        found = outcomes(tmp_path, *files, base=served.address)
    assert found.pop("right.onnx") == "fetched" and found.pop("unknown.onnx").endswith(UNKNOWN)
    assert found.pop("two words.onnx").endswith("[download-other]")
    missing = found.pop("missing.onnx")
    assert missing.startswith(f"{served.address}{folder}/missing.onnx") and missing.endswith("[download-failed]")
    assert not found and contents(tmp_path) == {"here.onnx": b"here", f"{digits(CONTENT)}/right.onnx": CONTENT}
    assert {path for _, path, _ in served.requests} == {*answers, f"{folder}/missing.onnx"}


@pytest.mark.usefixtures("no_proxy")
def test_files_of_one_name_do_not_replace_each_other(tmp_path: Path) -> None:
    files = [
        listed("a/model.onnx", REPOSITORY, commit=COMMIT, path="a/model.onnx"),
        listed("model.onnx", REPOSITORY, OTHER, commit=COMMIT, path="b/model.onnx"),
    ]
    with serving(sends(CONTENT), sends(OTHER)) as served:
        outcomes(tmp_path, *files, base=served.address)
    assert contents(tmp_path) == {f"{digits(each)}/model.onnx": each for each in (CONTENT, OTHER)}


@pytest.mark.parametrize(("source", "pack"), [(WHEEL, wheel), (TAR, tar)], ids=["wheel", "tar"])
def test_files_of_a_package_come_from_one_archive(tmp_path: Path, delivers: Any, source: str, pack: Any) -> None:
    members = {"package/a.onnx": CONTENT, "package/in/b.onnx": OTHER, "package/c.onnx": b"c"}
    asked = delivers(pack(tmp_path, members))
    files = [
        listed("a.onnx", source),
        listed("b.onnx", source, OTHER),
        listed("c.onnx", source, b"listed"),
        listed("none.onnx", source, b"none"),
    ]
    found = outcomes(tmp_path / "out", *files)
    ids = {name: outcome.rpartition(" ")[2] for name, outcome in found.items()}
    assert ids == {
        "a.onnx": "fetched",
        "b.onnx": "fetched",
        "c.onnx": "[download-other]",
        "none.onnx": "[archive-damaged]",
    }
    assert contents(tmp_path / "out") == {f"{digits(CONTENT)}/a.onnx": CONTENT, f"{digits(OTHER)}/b.onnx": OTHER}
    assert asked == [source]


def test_a_package_that_cannot_be_downloaded_is_asked_for_once(tmp_path: Path, delivers: Any) -> None:
    asked = delivers(None)
    left = listed("left.onnx", WHEEL, b"left", unfetched="no wheel")
    found = outcomes(tmp_path, listed("a.onnx", WHEEL), listed("b.onnx", WHEEL, OTHER), left)
    assert found.pop("left.onnx").endswith("no wheel")
    assert all("no network" in each and each.endswith("[download-failed]") for each in found.values())
    assert len(found) == 2 and asked == [WHEEL] and contents(tmp_path) == {}


def test_a_client_that_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(public_sources, "_client", lambda source: [str(tmp_path / "npm")])
    assert outcomes(tmp_path, listed("a.onnx", TAR))["a.onnx"].endswith("[download-failed]")


def test_a_wheel_is_unpacked_within_limits(tmp_path: Path, delivers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(public_sources, "LIMIT", len(CONTENT) - 1)
    path = wheel(tmp_path, {"a.onnx": CONTENT})
    delivers(path)
    assert outcomes(tmp_path / "out", listed("a.onnx", WHEEL))["a.onnx"].endswith("[archive-unsafe]")
    path.write_bytes(path.read_bytes()[:50])
    assert outcomes(tmp_path / "out", listed("a.onnx", WHEEL))["a.onnx"].endswith("[archive-damaged]")


def test_the_clients_download_the_version_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARETODET_PIP_ARGS", "--index-url https://here")
    pip = public_sources._client(WHEEL)
    assert {"download", "--no-deps", "--only-binary=:all:", "made==1.0"} < set(pip)
    assert pip[pip.index("--index-url") + 1] == "https://here"
    assert public_sources._client(TAR)[-1] == "made@1.0"


def test_the_command_fails_if_a_file_cannot_be_had(
    tmp_path: Path, delivers: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An address that is not known is no failure."""
    delivers(None)
    unknown = listed("unknown.onnx", REPOSITORY, OTHER)
    monkeypatch.setattr(public_files, "entries", lambda: (unknown,))
    assert public_files.main([str(tmp_path), "--fetch"]) == 0 and UNKNOWN in capsys.readouterr().out
    monkeypatch.setattr(public_files, "entries", lambda: (unknown, listed("a.onnx", WHEEL)))
    assert public_files.main([str(tmp_path), "--fetch"]) == 1 and public_files.main([str(tmp_path)]) == 0
    with pytest.raises(SystemExit):
        public_files.main(["--fetch"])


def test_the_page_names_the_files_without_an_address() -> None:
    files = [listed("a.onnx", WHEEL), listed("b.onnx", REPOSITORY, commit=COMMIT, path="b.onnx")]
    assert "b.onnx" not in public_files.tables(files).partition("## Used")[0]
    page = public_files.tables([*files, listed("c.onnx", REPOSITORY)])
    assert "`c.onnx`" in page.partition("## Used")[0]


def test_the_list_states_commits_and_paths_of_repositories_only() -> None:
    for each in entries():
        assert bool(each.commit) == bool(each.path), each.file
        if each.path:
            short = each.source.partition(" @ ")[2]
            assert short and each.commit.startswith(short) and re.fullmatch("[0-9a-f]{40}", each.commit), each.source
            assert Path(each.path).name == Path(each.file).name
    addresses = [(each.source, each.path) for each in entries() if each.path]
    assert len(set(addresses)) == len(addresses)
    assert sum(not each.obstacle for each in entries()) >= 119


@pytest.mark.full
@pytest.mark.parametrize("source", PACKAGES)
def test_the_files_of_a_package_are_as_listed(tmp_path: Path, source: str) -> None:
    """From PyPI or npm: the listed version, hash, reading and boxes."""
    files = [each for each in entries() if each.source == source]
    if any(each.file.endswith(".tflite") for each in files):
        pytest.importorskip("ai_edge_litert", reason="litert is not installed: pip install 'paretodet[litert]'")
    found = outcomes(tmp_path, *files)
    if any(each.endswith("[download-failed]") for each in found.values()):
        pytest.skip(next(iter(found.values())))
    assert set(found.values()) == {"fetched"}
    assert [each for each in checked(tmp_path, files) if not each.endswith("as listed")] == []
