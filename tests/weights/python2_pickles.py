"""Pickles as Python 2's cPickle and numpy wrote them in protocol 2, Detectron's format, opcode by opcode."""

import struct

TYPE = b"cnumpy\ndtype\nU\x02%sK\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
EMPTY = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"


def string(value):
    """A str of Python 2, which is bytes."""
    short = len(value) < 256
    return (b"U" + bytes([len(value)]) if short else b"T" + struct.pack("<i", len(value))) + value


def whole(number):
    return b"J" + struct.pack("<i", number)


def array(values, shape=None, data=None):
    """An array; `shape` and `data` in place of its own make a damaged one."""
    sides = b"(" + b"".join(map(whole, values.shape if shape is None else shape)) + b"t"
    kind = TYPE % values.dtype.str[1:].encode()
    return EMPTY + b"(K\x01" + sides + kind + b"\x89" + string(values.tobytes() if data is None else data) + b"tb"


def dictionary(items):
    """A dict of keys to values that are opcodes already."""
    return b"}(" + b"".join(string(key.encode("latin1")) + value for key, value in items.items()) + b"u"


def pickled(value):
    return b"\x80\x02" + value + b"."


def detectron(blobs, **others):
    """Detectron's file: `blobs` by name, and the configuration as text."""
    parts = {"blobs": dictionary({name: array(values) for name, values in blobs.items()})}
    return pickled(dictionary(parts | {key: string(text.encode()) for key, text in others.items()}))
