"""Where the files of a Pascal VOC set lie: in the development kit's folders, else wherever its xml files are found."""

import os
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath, PureWindowsPath
from xml.etree.ElementTree import Element

from paretodet.errors import InputError, words
from paretodet.images import SUFFIXES, UNREAD, is_image_name
from paretodet.labels.image_index import UPLOADED, alike, folders_below, subfolders, with_slashes
from paretodet.labels.splits import is_usual
from paretodet.labels.xml_stream import MAX_BYTES, parse, root_of
from paretodet.reading import is_file, read_bytes, visible_files

XMLS, IMAGES, SETS = "Annotations", "JPEGImages", Path("ImageSets", "Main")
WHOLE_SET = "trainval"  # usual beside those that are parts
XML = "*.[xX][mM][lL]"
ROOT = "annotation"
KIT_DEPTH, KIT_FOLDERS = 8, 100_000  # folders below each other in Annotations, and of these, that are searched
PROBED = 20  # xml files of a folder by which the folder of its images is found


@dataclass(frozen=True, eq=False)
class VocLayout:
    """The files of a set at `path`. `xml_folders` hold its xml files; names of images start from `images`."""

    path: Path
    xml_folders: tuple[Path, ...]
    images: Path
    _of: dict[Path, tuple[Path, ...]] = field(repr=False)  # folder of xml files -> of their images, the likeliest first

    @cached_property
    def xmls(self) -> tuple[Path, ...]:
        """All xml files, sorted."""
        return tuple(sorted(file for folder in self.xml_folders for file in visible_files(folder, XML)))

    @property
    def splits(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(self.set_files or self.folder_splits)

    @cached_property
    def set_files(self) -> dict[str, Path]:
        """Split -> the text that lists its images: those in the kit's folder; without it, and without folders of
        splits, those of the first folder whose texts are named as splits are and begin with an image of the set.
        """
        kit = self.path / SETS
        if kit.is_dir():
            return {file.stem: file for file in sorted(visible_files(kit, "*.txt"), key=lambda file: file.stem)}
        for folder in () if self.folder_splits else folders_below(self.path):
            if found := {file.stem: file for file in visible_files(folder, "*.txt") if self._is_set(file)}:
                return found
        return {}

    def _is_set(self, file: Path) -> bool:
        if not is_usual(file.stem) and file.stem != WHOLE_SET:
            return False
        try:
            first = next(filter(str.strip, set_lines(file)), "")
        except ValueError:
            return False
        return is_file(self.xml(self.listed(first)))

    def listed(self, line: str) -> str:
        """The image that a line of an image set names: -1, 0 or 1 follows the name in the set of one class, several
        numbers in others, and some sets have paths of the image and of the xml.
        """
        name = line.strip()
        if is_file(self.xml(name)):
            return name
        bare = re.sub(r"\s+(-1|0|1)$", "", name)
        tries = [bare, re.sub(r"(\s+-?\d+){2,}$", "", name)]
        for path in map(PurePosixPath, map(with_slashes, (name, *name.split()))):
            if path.suffix.lower() in (*SUFFIXES, *UNREAD, ".xml"):
                parts = path.with_suffix("").parts
                tries += ["/".join(parts[start:]) for start in range(len(parts)) if parts[start] not in ("/", "..")]
        return next((each for each in tries if each and is_file(self.xml(each))), bare)

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
        places, name = self._of[xml.parent], PureWindowsPath(stated).name
        found = ((place, self._image_in(place, xml.stem, name)) for place in places)
        place, known = next((each for each in found if each[1]), (places[0], name or f"{xml.stem}.jpg"))
        return f"{self._prefix[place]}{known}"

    def _image_in(self, folder: Path, stem: str, name: str) -> str:
        """The image of an xml file of this stem that names an image so, in one folder; empty if it is not there."""
        files, names = self._files[folder], (stem, name, PureWindowsPath(name).stem)
        known = next((files[each] for each in names if each in files), "")
        return known or self._alike[folder].get(alike(name)) or files.get(UPLOADED.sub("", stem), "")

    def xml(self, name: str) -> Path:
        """The xml file that an image set names: its path from Annotations, else the end of one path alone."""
        expected = _xml(self._top, name)
        return expected if is_file(expected) else self._by_end.get(name) or expected

    @cached_property
    def _top(self) -> Path:
        kit = self.path / XMLS
        return kit if kit.is_dir() else self.xml_folders[0]

    @cached_property
    def _by_end(self) -> dict[str, Path | None]:
        """Xml file by every end of its path without the suffix; None if several end so."""
        found = dict[str, Path | None]()
        for xml in self.xmls:
            parts = xml.relative_to(self.path).with_suffix("").parts
            for start in range(len(parts)):
                end = "/".join(parts[start:])
                found[end] = None if end in found else xml
        return found

    def xml_of(self, image: str) -> Path:
        """The xml file of an image, from `images`; if none names it, the one that it should have."""
        stem = Path(image).stem
        place = os.path.dirname(image)
        prefix = f"{place}/" if place else ""
        files = [_xml(folder, stem) for folder in self._likely.get(prefix, [self._top])]
        return next(filter(is_file, files), None) or self._by_image.get(image, files[0])

    @cached_property
    def _likely(self) -> dict[str, list[Path]]:
        """Folders of xml files by how the names of their images begin in the likeliest folder."""
        found = dict[str, list[Path]]()
        for folder, places in self._of.items():
            found.setdefault(self._prefix[places[0]], []).append(folder)
        return found

    @cached_property
    def _by_image(self) -> dict[str, Path]:
        """Xml file by image, for those whose names differ or that are not in the likeliest folder."""
        found = dict[str, Path]()
        for xml in self.xmls:
            places = self._of[xml.parent]
            known = any(xml.stem in self._files[place] for place in places)
            name = self.image(xml, "" if known else stated_name(xml))
            if name != f"{self._prefix[places[0]]}{Path(name).name}" or Path(name).stem != xml.stem:
                found.setdefault(name, xml)
        return found

    @cached_property
    def _files(self) -> dict[Path, dict[str, str]]:
        """Of every folder of images: name by stem and by name."""
        return {folder: _image_files(folder) for folder in {each for places in self._of.values() for each in places}}

    @cached_property
    def _alike(self) -> dict[Path, dict[str, str]]:
        """Of every folder of images: name by what its name and its stem are alike to."""
        return {folder: _without_doubles(files) for folder, files in self._files.items()}

    @cached_property
    def _prefix(self) -> dict[Path, str]:
        """Of the names of the images in a folder of images."""
        places = {folder: os.path.relpath(folder, self.images) for folder in self._files}
        return {folder: "" if place == "." else f"{place}/" for folder, place in places.items()}


def is_kit(path: Path) -> bool:
    """Whether the xml files lie in the development kit's folder."""
    return _has_xmls(path / XMLS)


def holds_xmls(path: Path) -> bool:
    """Whether xml files of Pascal VOC lie in the folder `path`, or in one below it."""
    return path.is_dir() and any(map(_holds_xmls, folders_below(path)))


def find_layout(path: Path) -> VocLayout:
    """The files of the set in the folder `path`."""
    folders = _kit_folders(path) or [each for each in folders_below(path) if _holds_xmls(each)] or [path / XMLS]
    of = _image_folders(path, folders)
    places = {place for each in of.values() for place in each}
    kit = path / IMAGES
    inside = kit if all(place.is_relative_to(kit) for place in places) else path
    return VocLayout(path, tuple(folders), places.pop() if len(places) == 1 else inside, of)


def _kit_folders(path: Path) -> list[Path]:
    """Annotations and all folders below it that have xml files, if some of these are Pascal VOC's."""
    below = folders_below(path / XMLS, depth=KIT_DEPTH, most=KIT_FOLDERS)
    folders = [each for each in below if _has_xmls(each)]
    return folders if is_kit(path) or any(map(_holds_xmls, folders)) else []


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


def set_lines(path: Path) -> list[str]:
    """The lines of an image set. Raises InputError."""
    try:
        return read_bytes(path, MAX_BYTES).decode("utf-8-sig", "replace").splitlines()
    except (OSError, ValueError) as problem:
        raise InputError(f"{path} cannot be read ({words(problem)})", "label-file-unreadable") from None


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


def _has_xmls(folder: Path) -> bool:
    return any(not each.name.startswith(".") for each in folder.glob(XML))


def _holds_xmls(folder: Path) -> bool:
    """Whether one of the first is: others may lie beside them."""
    return any(root_of(each) == ROOT for each in visible_files(folder, XML)[:PROBED])


def _image_folders(path: Path, folders: list[Path]) -> dict[Path, tuple[Path, ...]]:
    """For each folder of xml files those of the images: if it lies in Annotations, the same folder of JPEGImages, then
    those above; else, or without JPEGImages, the one that `_image_folder` finds.
    """
    known = {folder: _kit_images(path, folder) for folder in folders}
    below = [] if all(known.values()) else [each for each in folders_below(path) if each not in folders]
    return {folder: places or (_image_folder(path, folder, below),) for folder, places in known.items()}


def _kit_images(path: Path, folder: Path) -> tuple[Path, ...]:
    if not folder.is_relative_to(path / XMLS):
        return ()
    place = folder.relative_to(path / XMLS)
    return tuple(each for part in (place, *place.parents) if (each := path / IMAGES / part).is_dir())


def _image_folder(path: Path, folder: Path, below: list[Path]) -> Path:
    """The folder that holds most images of the first xml files; of equal ones the nearest.

    If none is below `path`, those beside it are searched. Without any it is the kit's, or that of the xml files.
    """
    some = visible_files(folder, XML)[:PROBED]
    names = [{alike(each) for each in (xml.stem, UPLOADED.sub("", xml.stem), _stated(xml))} for xml in some]
    for places in ([folder, *below], subfolders(path.parent) if folder == path else []):
        counts = {each: _present(each, names) for each in places}
        best = max(counts.values(), default=0)
        if best:
            return min((each for each in places if counts[each] == best), key=lambda each: _distance(each, folder))
    return path / IMAGES if folder == path / XMLS or (path / IMAGES).is_dir() else folder


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
    for unread in (True, False):
        for name in (each for each in listed if is_image_name(each, unread=unread)):
            found[os.path.splitext(name)[0]] = found[name] = name
    return found


def _split_of(parts: tuple[str, ...]) -> str:
    """The first folder that is named as a split is, else empty."""
    return next((part for part in parts if is_usual(part)), "")
