"""XML that anybody may have written: a document type is refused, so that no entity is expanded; sizes are limited."""

import codecs
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from paretodet.errors import InputError, words
from paretodet.reading import read_bytes

MAX_BYTES = 2**24  # of a file that is parsed whole, or of one element of a larger one: 16 MiB
MAX_DEPTH = 16
CHUNK = 2**20
DECLARED = re.compile(rb"\s*<\?xml[^>]{0,100}?\sencoding\s*=\s*[\"']([\w.:-]{1,40})[\"']")
DECODED = re.compile("gb|big5|euc_|shift_jis|johab|cp\\d|iso8859|koi8|mac_")  # codecs that the parser does not have
CHINESE = ("gb2312", "gbk")  # files that state these hold characters of gb18030, which has them all


def parse(path: Path) -> Element:
    """The root of a small file.

    Raises ValueError if the file cannot be read, is too large, is nested too deeply, or is no XML.
    """
    try:
        content = read_bytes(path, MAX_BYTES)
    except OSError as problem:
        raise InputError(f"{path} cannot be read ({problem})", "label-file-unreadable") from None
    except ValueError as problem:
        raise InputError(f"{path}: {words(problem)}", "label-file-unreadable") from None
    reader = _Reader(level=0)
    reader.feed(content, final=True)
    return reader.complete[0]


def children(path: Path, root: str) -> Iterator[Element]:
    """The elements of a large file's root, one at a time. Raises ValueError as `parse` does, for one element each, and
    if the root is not called `root`.
    """
    reader = _Reader(level=1)
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                reader.feed(chunk)
                if reader.root not in ("", root):
                    raise InputError(f"<{reader.root:.40}> is not <{root}>", "xml-malformed")
                yield from reader.taken()
    except OSError as problem:
        raise InputError(f"{path} cannot be read ({problem})", "label-file-unreadable") from None
    reader.feed(b"", final=True)
    yield from reader.taken()


def root_of(path: Path) -> str:
    """The name of a file's root, empty if it does not begin as XML does."""
    reader = _Reader(level=MAX_DEPTH)
    try:
        with path.open("rb") as file:
            reader.feed(file.read(CHUNK))
    except (OSError, ValueError):
        pass
    return reader.root


class _Reader:
    """Completes the elements that lie `level` deep: 0 is the root."""

    def __init__(self, *, level: int):
        self.complete, self.root = list[Element](), ""
        self._level, self._depth, self._start_of, self._builder = level, 0, 0, TreeBuilder()
        self._parser = expat.ParserCreate()
        self._decoder: codecs.IncrementalDecoder | None = None
        self._begun = False
        self._parser.buffer_text = True
        self._parser.StartElementHandler, self._parser.EndElementHandler = self._start, self._end
        self._parser.CharacterDataHandler = self._data
        self._parser.StartDoctypeDeclHandler = _no_doctype

    def feed(self, content: bytes, *, final: bool = False) -> None:
        if not self._begun:
            self._decoder, self._begun = _decoder(content), True
        try:
            self._parser.Parse(self._decoder.decode(content, final) if self._decoder else content, final)
        except UnicodeDecodeError as problem:
            raise InputError(
                f"it states the encoding {problem.encoding} and has other bytes: save it as UTF-8",
                "xml-malformed",
            ) from None
        except (expat.ExpatError, LookupError) as problem:  # LookupError: an unknown encoding
            hint = ": save it as UTF-8" if "encoding" in str(problem) or not _is_utf8(content) else ""
            raise InputError(f"no xml ({problem}){hint}", "xml-malformed") from None
        if self._depth > self._level and self._parser.CurrentByteIndex - self._start_of > MAX_BYTES:
            raise InputError(f"an element is larger than {MAX_BYTES >> 20} MiB", "label-file-unreadable")

    def taken(self) -> list[Element]:
        """What is complete and was not taken yet."""
        complete, self.complete = self.complete, []
        return complete

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise InputError(f"more than {MAX_DEPTH} elements inside of each other", "xml-malformed")
        if self._depth == 1:
            self.root = tag
        if self._depth == self._level + 1:
            self._start_of = self._parser.CurrentByteIndex
        if self._depth > self._level:
            self._builder.start(tag, attributes)

    def _end(self, tag: str) -> None:
        if self._depth > self._level:
            self._builder.end(tag)
        if self._depth == self._level + 1:
            self.complete.append(self._builder.close())
            self._builder = TreeBuilder()
        self._depth -= 1

    def _data(self, text: str) -> None:
        if self._depth > self._level:
            self._builder.data(text)


def _decoder(start: bytes) -> codecs.IncrementalDecoder | None:
    """Of the encoding that the file's first bytes state, if the parser does not read it."""
    stated = DECLARED.match(start)
    try:
        name = codecs.lookup(stated[1].decode("ascii")).name if stated else ""
    except (LookupError, UnicodeDecodeError):
        return None
    known = DECODED.match(name) and name != "iso8859-1"
    return codecs.getincrementaldecoder("gb18030" if name in CHINESE else name)() if known else None


def _is_utf8(content: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(content)
    except UnicodeDecodeError:
        return False
    return True


def _no_doctype(*_: Any) -> None:
    raise InputError("it has a document type, which may define entities: remove the <!DOCTYPE ...>", "xml-malformed")
