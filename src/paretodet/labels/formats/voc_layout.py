"""Where the files of a Pascal VOC set lie: in the development kit's folders, else wherever its xml files are found."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path, PureWindowsPath
from xml.etree.ElementTree import Element

from paretodet.images import SUFFIXES, UNREAD
from paretodet.labels.image_index import UPLOADED, alike, subfolders
from paretodet.labels.splits import PARTS, usual
from paretodet.labels.xml_stream import parse, root_of
from paretodet.reading import is_file

XMLS, IMAGES, SETS = "Annotations", "JPEGImages", Path("ImageSets", "Main")
XML = "*.[xX][mM][lL]"
ROOT = "annotation"
DEPTH = 3  # folders below the set's that are searched
FOLDERS = 1000  # that are searched at most
PROBED = 20  # xml files of a folder by which the folder of its images is found


@dataclass(frozen=True, eq=False)
class VocLayout:
    """The files of a set at `path`. `xml_folders` hold its xml files; names of images start from `images`."""

    path: Path
    xml_folders: tuple[Path, ...]
    images: Path
    _of: dict[Path, Path] = field(repr=False)  # folder of xml files -> folder of their images

    @cached_property
    def xmls(self) -> tuple[Path, ...]:
        """All xml files, sorted."""
        return tuple(sorted(file for folder in self.xml_folders for file in folder.glob(XML)))

    @cached_property
    def folder_splits(self) -> dict[str, tuple[Path, ...]]:
        """Split -> its folders of xml files, where folders are named as splits are; empty if there are image sets."""
        if (self.path / SETS).is_dir():
            return {}
        names = {folder: _split_of(folder.relative_to(self.path).parts) for folder in self.xml_folders}
        if not any(names.values()):
            return {}
        splits = dict[str, tuple[Path, ...]]()
        for folder, name in names.items():
            own = name or folder.relative_to(self.path).as_posix()
            splits[own] = (*splits.get(own, ()), folder)
        return splits

    def image(self, xml: Path, stated: str) -> str:
        """The image of an xml file, from `images`: the one of the xml's stem if it is there, else the one that
        <filename> names. What an upload puts before a name is left out if no image has it.
        """
        folder, name = self._of[xml.parent], PureWindowsPath(stated).name
        files, names = self._files[folder], (xml.stem, name, PureWindowsPath(name).stem)
        known = next((files[each] for each in names if each in files), None)
        known = known or self._alike[folder].get(alike(name)) or files.get(UPLOADED.sub("", xml.stem))
        return self._prefix[xml.parent] + (known or name or f"{xml.stem}.jpg")

    def xml(self, name: str) -> Path:
        """The xml file that an image set names."""
        files = (_xml(folder, name) for folder in self.xml_folders)
        return next((file for file in files if is_file(file)), self.xml_folders[0] / f"{name}.xml")

    def xml_of(self, image: str) -> Path:
        """The xml file of an image, from `images`; if none names it, the one that it should have."""
        stem = Path(image).stem
        place = os.path.dirname(image)
        prefix = f"{place}/" if place else ""
        folder = next((each for each in self.xml_folders if self._prefix[each] == prefix), self.xml_folders[0])
        if is_file(file := _xml(folder, stem)):
            return file
        return self._by_image.get(image, file)

    @cached_property
    def _by_image(self) -> dict[str, Path]:
        """Xml file by image, for those whose names differ."""
        found = dict[str, Path]()
        for xml in self.xmls:
            known = xml.stem in self._files[self._of[xml.parent]]
            name = self.image(xml, "" if known else stated_name(xml))
            if Path(name).stem != xml.stem:
                found.setdefault(name, xml)
        return found

    @cached_property
    def _files(self) -> dict[Path, dict[str, str]]:
        """Of every folder of images: name by stem and by name."""
        return {folder: _image_files(folder) for folder in set(self._of.values())}

    @cached_property
    def _alike(self) -> dict[Path, dict[str, str]]:
        """Of every folder of images: name by what its name and its stem are alike to."""
        return {folder: _without_doubles(files) for folder, files in self._files.items()}

    @cached_property
    def _prefix(self) -> dict[Path, str]:
        """Of the names of a folder's images."""
        places = {xmls: os.path.relpath(images, self.images) for xmls, images in self._of.items()}
        return {xmls: "" if place == "." else f"{place}/" for xmls, place in places.items()}


def is_kit(path: Path) -> bool:
    """Whether the xml files lie in the development kit's folder."""
    return next((path / XMLS).glob(XML), None) is not None


def holds_xmls(path: Path) -> bool:
    """Whether xml files of Pascal VOC lie in the folder `path`, or in one below it."""
    return path.is_dir() and any(map(_holds_xmls, _folders(path)))


def find_layout(path: Path) -> VocLayout:
    """The files of the set in the folder `path`."""
    folders = [path / XMLS] if is_kit(path) else [each for each in _folders(path) if _holds_xmls(each)]
    folders = folders or [path / XMLS]
    kit = path / IMAGES
    of = dict.fromkeys(folders, kit) if kit.is_dir() else _image_folders(path, folders)
    places = set(of.values())
    return VocLayout(path, tuple(folders), places.pop() if len(places) == 1 else path, of)


def _without_doubles(files: dict[str, str]) -> dict[str, str]:
    """Files by what their names are alike to, without those that are alike."""
    found = dict[str, str]()
    for name, file in files.items():
        found[alike(name)] = file if found.get(alike(name), file) == file else ""
    return {name: file for name, file in found.items() if file}


def _xml(folder: Path, stem: str) -> Path:
    """The xml file of a stem; the usual suffix where there is none."""
    usual_one, other = folder / f"{stem}.xml", folder / f"{stem}.XML"
    return other if not is_file(usual_one) and is_file(other) else usual_one


def stated_name(xml: Path) -> str:
    """What <filename> states, empty if it cannot be read."""
    try:
        return name_in(parse(xml))
    except ValueError:
        return ""


def name_in(root: Element) -> str:
    """What <filename> of an xml states, else <path>, which some tools write beside it."""
    stated = (root.findtext(field) or "" for field in ("filename", "path"))
    return next((text.strip() for text in stated if text.strip()), "")


def _folders(path: Path) -> Iterator[Path]:
    """The folder and those below, sorted, within limits."""
    return islice(_below(path, DEPTH), FOLDERS)


def _below(path: Path, depth: int) -> Iterator[Path]:
    yield path
    if depth:
        for each in sorted(subfolders(path)):
            yield from _below(each, depth - 1)


def _holds_xmls(folder: Path) -> bool:
    first = next(folder.glob(XML), None)
    return first is not None and root_of(first) == ROOT


def _image_folders(path: Path, folders: list[Path]) -> dict[Path, Path]:
    """For each folder of xml files the folder that holds most images of the first of them; of equal ones the nearest.

    If none is below `path`, those beside it are searched. Without any it is the kit's, or that of the xml files.
    """
    below = [each for each in _folders(path) if each not in folders]
    return {folder: _image_folder(path, folder, below) for folder in folders}


def _image_folder(path: Path, folder: Path, below: list[Path]) -> Path:
    some = list(islice(sorted(folder.glob(XML)), PROBED))
    names = [{alike(each) for each in (xml.stem, UPLOADED.sub("", xml.stem), _stated(xml))} for xml in some]
    for places in ([folder, *below], subfolders(path.parent) if folder == path else []):
        counts = {each: _present(each, names) for each in places}
        best = max(counts.values(), default=0)
        if best:
            return min((each for each in places if counts[each] == best), key=lambda each: _distance(each, folder))
    return path / IMAGES if folder == path / XMLS else folder


def _stated(xml: Path) -> str:
    return PureWindowsPath(stated_name(xml)).name


def _present(folder: Path, names: list[set[str]]) -> int:
    files = set(map(alike, _image_files(folder)))
    return sum(any(each in files for each in wanted) for wanted in names)


def _distance(one: Path, other: Path) -> int:
    return len(set(one.parts) ^ set(other.parts))


def _image_files(folder: Path) -> dict[str, str]:
    """Name by stem and by name; of two images with one stem, one in a format that is read."""
    try:
        listed = sorted(os.listdir(folder))
    except OSError:
        return {}
    found = dict[str, str]()
    for suffixes in (UNREAD, SUFFIXES):
        for name in listed:
            stem, suffix = os.path.splitext(name)
            if suffix.lower() in suffixes:
                found[stem] = found[name] = name
    return found


def _split_of(parts: tuple[str, ...]) -> str:
    """The first folder that is named as a split is, else empty."""
    return next((part for part in parts if usual(part.lower()) in PARTS), "")
