"""Files that pretend to be voice embeddings: attacks on `pickle.load`, on memory, and on careless readers.

`make(marker)` gives {name: bytes of a .pkl.gz}; where code would run, it would create the file `marker`.
"""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from voices import tone

AUDIO = tone()


class Calls:
    """Pickles to a call of `function(*arguments)`, with a state if one is given."""

    def __init__(self, function: Any, *arguments: Any, state: Any = None) -> None:
        self.reduced = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self) -> Any:
        return self.reduced


class _Persistent(pickle.Pickler):
    def persistent_id(self, value: object) -> Any:
        return "id" if isinstance(value, np.ndarray) else None


def text(value: str) -> bytes:
    """The words of a pickle that push a short text."""
    return b"\x8c" + bytes([len(value)]) + value.encode()


def call(module: str, name: str, *arguments: bytes) -> bytes:
    """The words that push `module.name(*arguments)`; arguments are words too."""
    return text(module) + text(name) + b"\x93(" + b"".join(arguments) + b"tR"


def word(protocol: int, *words: bytes) -> bytes:
    return b"\x80" + bytes([protocol]) + b"".join(words) + b"."


DTYPE_F4 = (
    call("numpy", "dtype", text("f4"), b"\x89\x88")
    + b"(K\x03"
    + text("<")
    + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
)
EMPTY_ARRAY = call("numpy", "ndarray", b"K\x00\x85", text("<f4"))


def array(shape: bytes, data: bytes, dtype: bytes = DTYPE_F4) -> bytes:
    return EMPTY_ARRAY + b"(K\x01" + shape + dtype + b"\x89" + data + b"tb"


def _code(marker: Path) -> Iterator[tuple[str, bytes]]:
    """Whole pickles that run code under pickle.load."""
    import builtins
    import os
    import subprocess

    touch = f"touch {marker}"
    write = f"open({str(marker)!r}, 'w').close()"
    yield "os.system", pickle.dumps(Calls(os.system, touch))
    yield "os.system, protocol 0", pickle.dumps(Calls(os.system, touch), 0)
    yield (
        "os.system in the dict",
        pickle.dumps({"audio": AUDIO, "sample_rate": 24_000, "voice_name": Calls(os.system, touch)}),
    )
    yield "builtins.eval", pickle.dumps(Calls(builtins.eval, write))
    yield "builtins.exec", pickle.dumps(Calls(builtins.exec, write))
    yield "subprocess", pickle.dumps(Calls(subprocess.call, ["touch", str(marker)]))
    yield "nested reduces", pickle.dumps(Calls(getattr, Calls(builtins.__import__, "os"), "system"))
    yield "a call behind the voice", pickle.dumps(AUDIO)[:-1] + b"0" + pickle.dumps(Calls(os.system, touch))
    yield "os.system as a dtype", pickle.dumps(Calls(np.dtype, Calls(os.system, touch)))
    yield "BUILD with a hostile state", pickle.dumps(Calls(np.ndarray, (0,), state=Calls(os.system, touch)))
    yield "INST", f"(S'{touch}'\nios\nsystem\n.".encode()
    yield "OBJ", f"(cos\nsystem\nS'{touch}'\no.".encode()
    yield "NEWOBJ", word(4, text("os"), text("system"), b"\x93", text(touch), b"\x85\x81")
    yield (
        "STACK_GLOBAL from the memo",
        word(4, text("os"), b"\x94", text("system"), b"\x94h\x00h\x01\x93", text(touch), b"\x85R"),
    )
    yield "STACK_GLOBAL with a dotted name", word(4, call("numpy", "testing.os.system", text(touch)))
    yield "GLOBAL through numpy's modules", b"cnumpy.core.multiarray\n_reconstruct.__globals__\n."
    yield "numpy.load", pickle.dumps(Calls(np.load, str(marker), None, True))
    yield "_codecs.encode with another codec", word(4, call("_codecs", "encode", text("x"), text("rot13")))
    yield "_codecs.lookup", word(4, call("_codecs", "lookup", text("utf-8")))
    yield "a call of a result", word(4, EMPTY_ARRAY, b")R")
    yield "a module as a value", word(4, text("builtins"), text("eval"), b"\x93")


def _odd_types() -> Iterator[tuple[str, bytes]]:
    """Whole pickles that ask for something else than an array of numbers."""
    reconstruct = ("numpy.core.multiarray", "_reconstruct")
    yield "_reconstruct of dict", word(4, call(*reconstruct, text("builtins"), text("dict"), b"\x93K\x00\x85C\x01b"))
    yield "_reconstruct of a dtype", word(4, call(*reconstruct, text("numpy"), text("dtype"), b"\x93K\x00\x85C\x01b"))
    yield "_reconstruct of a subclass", pickle.dumps(np.zeros(2).view(np.recarray))
    yield (
        "_reconstruct with a size",
        word(4, call(*reconstruct, text("numpy"), text("ndarray"), b"\x93J\xff\xff\xff\x7f\x85C\x01b")),
    )
    yield "an array of objects", pickle.dumps(np.array([{}, []], dtype=object))
    yield "a structured array", pickle.dumps(np.zeros(2, [("a", "f4"), ("b", "O")]))
    yield "complex", pickle.dumps(np.zeros(2, np.complex64))
    yield "int64", pickle.dumps(np.zeros(2, np.int64))
    yield "text", pickle.dumps(np.array(["a" * 100]))
    yield "dates", pickle.dumps(np.zeros(2, "M8[s]"))
    yield "three axes", pickle.dumps(np.zeros((2, 2, 2), np.float32))
    yield "no axes", pickle.dumps(np.array(1.0, np.float32))
    yield "a masked array", pickle.dumps(np.ma.array([1.0]))
    yield "a set", pickle.dumps({1, 2})
    yield "a list", pickle.dumps([AUDIO, 24_000])
    yield "a long", pickle.dumps({"audio": AUDIO, "sample_rate": 10**4000})
    yield "a key that is no text", pickle.dumps({("audio",): AUDIO})
    yield "no audio", pickle.dumps({"sample_rate": 24_000})
    yield "audio that is a number", pickle.dumps({"audio": 1.0, "other": AUDIO})
    yield "an impossible rate", pickle.dumps({"audio": AUDIO, "sample_rate": -1})
    yield "a rate that is no number", pickle.dumps({"audio": AUDIO, "sample_rate": "24000"})
    yield "an empty array", pickle.dumps(np.zeros(0, np.float32))
    yield "NaN", pickle.dumps(np.full(24_000, np.nan, np.float32))
    stream = io.BytesIO()
    _Persistent(stream).dump({"audio": AUDIO})
    yield "persistent ids", stream.getvalue()
    yield "persistent ids, protocol 0", b"Pid\n."
    buffers: list[pickle.PickleBuffer] = []
    yield "out-of-band buffers", pickle.dumps(AUDIO, 5, buffer_callback=buffers.append)
    for size, opcode in ((1, b"\x82"), (2, b"\x83"), (4, b"\x84")):
        yield f"EXT{size}", word(4, opcode + (1).to_bytes(size, "little"))


def _memory() -> Iterator[tuple[str, bytes]]:
    """Whole pickles that ask for far more than they hold, or never end."""
    yield "a huge shape", word(4, array(b"J\xff\xff\xff\x7f\x85", b"C\x04abcd"))
    yield "a huge shape with two axes", word(4, array(b"J\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x86", b"C\x04abcd"))
    yield "a negative shape", word(4, array(b"J\xff\xff\xff\xff\x85", b"C\x04abcd"))
    yield "no data", word(4, array(b"K\x01\x85", b"N"))
    yield "data of another size", word(4, array(b"K\x02\x85", b"C\x04abcd"))
    yield "an array never filled", word(4, EMPTY_ARRAY)
    yield "BINBYTES8 of 2^63", word(4, b"\x8e" + struct.pack("<Q", 2**63) + b"x")
    yield "BYTEARRAY8 of 10 GB", word(5, b"\x96" + struct.pack("<Q", 10**10))
    yield "BINUNICODE8 of 10 GB", word(4, b"\x8d" + struct.pack("<Q", 10**10))
    yield "a frame of 10 GB", word(4, b"\x95" + struct.pack("<Q", 10**10) + b"N")
    yield "a line without an end", b"V" + b"a" * 50_000_000
    yield "text of wide characters", word(4, b"X" + struct.pack("<I", 50_000_000) + b"a" * 49_999_996 + "😀".encode())
    wide = b"X" + struct.pack("<I", 50_000_000) + b"a" * 49_999_996 + "😀".encode()
    yield "wide characters as bytes", word(2, call("_codecs", "encode", wide, text("latin1")))
    long_text = b"X" + struct.pack("<I", 30_000_000) + b"a" * 30_000_000
    yield (
        "much text as bytes, three times",
        word(4, *(call("_codecs", "encode", long_text, text("latin1")) for _ in range(3))),
    )
    yield (
        "one text as bytes, many times",
        word(4, long_text, b"\x94", *(call("_codecs", "encode", b"h\x00", text("latin1")) for _ in range(400)), b"t"),
    )
    yield "marks without end", b"\x80\x04" + b"(" * 1_000_000
    yield "tuples in tuples", word(4, b")" + b"\x85" * 1_000_000)
    yield "dicts in dicts", word(4, b"}" + text("a") * 900 + b"}" * 900 + b"s" * 900)
    yield (
        "a memo bomb",
        word(4, b")\x94" + b"".join(b"h" + bytes([n]) + b"h" + bytes([n]) + b"\x86\x94" for n in range(200))),
    )
    yield "a dict in itself", word(4, b"}\x94" + text("audio") + b"h\x00s")
    yield "no end", b"\x80\x04" + b"N" * 9_000
    yield "an empty program", b""
    yield "only an end", b"."
    yield "an unknown protocol", b"\x80\xff."
    yield "two values", word(4, b"NN")
    yield "a word that does not exist", word(4, b"\xff")
    yield "more behind the end", pickle.dumps(AUDIO) + b"more"
    yield "a mark in a dict", word(4, b"}" + text("a") + b"(s")
    yield "a recalled nothing", word(4, b"h\x05")
    yield "a broken text", word(4, b"\x8c\x02\xff\xff")
    yield "a number that is none", b"Iabc\n."
    yield "a number without end", b"I" + b"9" * 100_000 + b"\n."
    yield "dtype of an unhashable", word(4, call("numpy", "dtype", b"}", b"\x89\x88"))
    yield "dtype with fields", word(4, DTYPE_F4.replace(b"NNNJ", b")NNJ"))
    yield "cut off", pickle.dumps({"audio": AUDIO})[:-100]


def gzip_bomb(size: int, first: bytes = b"") -> bytes:
    """A gzip file that unpacks to `first` and then over `size` zeros, made without unpacking it."""
    piece_bytes = 64 * 2**20
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    start = packer.compress(first) + packer.flush(zlib.Z_FULL_FLUSH)
    zeros = packer.compress(bytes(piece_bytes)) + packer.flush(zlib.Z_FULL_FLUSH)
    header = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
    return header + start + zeros * (size // piece_bytes + 1) + packer.flush() + bytes(8)


def _not_gzip() -> Iterator[tuple[str, bytes]]:
    """Whole files that are damaged as gzip, or bombs."""
    good = gzip.compress(pickle.dumps({"audio": AUDIO}))
    yield "10 GB of zeros", gzip_bomb(10 * 2**30)
    yield "10 GB that begins like a voice", gzip_bomb(10 * 2**30, b"\x80\x04\x8e" + struct.pack("<Q", 10 * 2**30))
    yield "many members", gzip.compress(bytes(2**20)) * 200
    yield "a cut-off file", good[: len(good) // 2]
    yield "a file without its end", good[:-4]
    yield "a wrong checksum", good[:-8] + bytes(8)
    yield "no gzip", pickle.dumps({"audio": AUDIO})
    yield "an empty file", b""
    yield "a zip", b"PK\x03\x04" + bytes(100)
    yield "too large a file", bytes(130 * 2**20)


def make(marker: Path) -> dict[str, bytes]:
    pickles = [*_code(marker), *_odd_types(), *_memory()]
    files = {name: gzip.compress(content, compresslevel=1) for name, content in pickles}
    assert len(files) == len(pickles)
    return {**files, **dict(_not_gzip())}


def code_that_runs(marker: Path) -> bytes:
    """The plainest attack, to show that it works where pickle.load is used."""
    return gzip.compress(next(_code(marker))[1])
