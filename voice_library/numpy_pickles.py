"""The calls by which numpy writes arrays into a pickle, checked and carried out without calling anything by name.

Under protocols 0 to 5 numpy 1 and 2 write an array as a call, mostly followed by a state (numpy's `ndarray.__reduce__`
and `dtype.__reduce__`; `generate_voice_embedding` has a form of its own). `GLOBALS` holds all the functions there are:
each checks its arguments and gives a marker or a value. Array data stay views into the pickle, and a declared size is
held against the data that are there before an array is made. Knows nothing of opcodes, gzip or voices.
"""

from __future__ import annotations

import codecs
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voice_library.errors import UnsafeFile

MAX_ARRAY_VALUES = 600 * 48_000  # ten minutes at 48 kHz, twice what the writer makes
ARRAY_DTYPES = ("f4", "f8", "i2")
SCALAR_DTYPES = (*ARRAY_DTYPES, "i4", "i8", "u2", "u4", "u8", "b1")  # numbers in older files: sample rates, durations
PIECE_BYTES = 1024 * 1024


def require(condition: bool, what: str) -> None:
    """UnsafeFile unless the condition holds; `what` completes "the voice embedding holds ..."."""
    if not condition:
        raise UnsafeFile(
            f"the voice embedding holds {what}; allowed is one array of audio and what describes it; "
            "make it with generate_voice_embedding.py"
        )


@dataclass(eq=False)
class LongText:
    """Text too long to be a name: not decoded, because it can only be bytes that an old protocol writes as text."""

    encoded: memoryview
    encoding: str  # "utf-8", or "raw-unicode-escape" in protocol 0

    @cached_property
    def latin1(self) -> bytearray:
        """The bytes, one for each character; made once, in pieces, so that the text never exists as a whole."""
        decoder = codecs.getincrementaldecoder(self.encoding)()
        decoded = bytearray()
        try:
            for start in range(0, len(self.encoded), PIECE_BYTES):
                decoded += decoder.decode(bytes(self.encoded[start : start + PIECE_BYTES])).encode("latin1")
            decoded += decoder.decode(b"", final=True).encode("latin1")
        except UnicodeError as error:
            raise UnsafeFile("the voice embedding holds text that cannot be read; make it again") from error
        return decoded


@dataclass(eq=False)
class Dtype:
    """A dtype of plain numbers; `build` sets its byte order."""

    code: str
    byte_order: str = "|"

    def build(self, state: Any) -> None:
        """state: (3, byte order, None, None, None, -1, -1, 0); anything else has fields, objects or flags."""
        require(type(state) is tuple and len(state) == 8 and state[1] in ("<", ">", "|"), "an unknown kind of dtype")
        require(state[0] == 3 and state[2:] == (None, None, None, -1, -1, 0), "an unknown kind of dtype")
        self.byte_order = state[1]

    @property
    def numpy(self) -> np.dtype[Any]:
        return np.dtype(self.byte_order.replace("|", "") + self.code)


@dataclass(eq=False)
class Array:
    """An array, empty until `build` fills it."""

    values: NDArray[Any] | None = None

    def build(self, state: Any) -> None:
        """state: (1, shape, dtype, is_fortran, data)."""
        require(type(state) is tuple and len(state) == 5 and state[0] == 1, "an unknown kind of array")
        _, shape, dtype, is_fortran, data = state
        self.values = _checked_array(data, dtype, shape, is_fortran is True)


def _checked_array(data: Any, dtype: Any, shape: Any, is_fortran: bool) -> NDArray[Any]:
    if not isinstance(dtype, Dtype) or dtype.code not in ARRAY_DTYPES:
        raise UnsafeFile(
            "the voice embedding holds an array of something; allowed are float32, float64 and int16; convert it"
        )
    require(type(shape) is tuple and len(shape) in (1, 2), "an array that has neither one nor two axes")
    require(all(type(length) is int and 0 <= length <= MAX_ARRAY_VALUES for length in shape), "an impossible shape")
    lengths: tuple[int, ...] = shape
    num_values = math.prod(lengths)
    require(num_values <= MAX_ARRAY_VALUES, "more audio than ten minutes")
    require(isinstance(data, (memoryview, bytearray)), "an array without data")
    require(num_values * dtype.numpy.itemsize == len(data), "an array whose size is not that of its data")
    return np.frombuffer(data, dtype.numpy).reshape(lengths, order="F" if is_fortran else "C")


Function = Callable[[tuple[Any, ...]], Any]


def _ndarray(arguments: tuple[Any, ...]) -> Array:
    """`ndarray((0,), "<f4")`, by generate_voice_embedding; the state follows."""
    require(len(arguments) == 2 and arguments[0] == (0,), "an unknown kind of array")
    return Array()


def _reconstruct(arguments: tuple[Any, ...]) -> Array:
    """`_reconstruct(ndarray, (0,), b"b")`, protocols 0 to 4; the state follows."""
    require(len(arguments) == 3 and arguments[0] is _ndarray and arguments[1] == (0,), "an unknown kind of array")
    return Array()


def _frombuffer(arguments: tuple[Any, ...]) -> Array:
    """`_frombuffer(data, dtype, shape, order)`, protocol 5."""
    require(len(arguments) == 4 and arguments[3] in ("C", "F"), "an unknown kind of array")
    data, dtype, shape, order = arguments
    return Array(_checked_array(data, dtype, shape, order == "F"))


def _dtype(arguments: tuple[Any, ...]) -> Dtype:
    """`dtype("f4", False, True)`; the state follows."""
    require(len(arguments) == 3 and arguments[0] in SCALAR_DTYPES, "an unknown kind of dtype")
    return Dtype(arguments[0])


def _scalar(arguments: tuple[Any, ...]) -> Any:
    """`scalar(dtype, data)`: a number of numpy's, as Python's."""
    require(len(arguments) == 2 and isinstance(arguments[0], Dtype), "an unknown kind of number")
    dtype, data = arguments
    require(
        isinstance(data, (memoryview, bytearray)) and len(data) == dtype.numpy.itemsize, "an unknown kind of number"
    )
    return np.frombuffer(data, dtype.numpy)[0].item()


def _encode(arguments: tuple[Any, ...]) -> bytearray:
    """`_codecs.encode(text, "latin1")`: bytes, in protocols 0 to 2."""
    require(len(arguments) == 2 and arguments[1] == "latin1", "text in an unknown encoding")
    text = arguments[0]
    if type(text) is str:
        text = LongText(memoryview(text.encode("utf-8", "surrogatepass")), "utf-8")
    require(isinstance(text, LongText), "an encoding of something that is not text")
    encoded: bytearray = text.latin1
    return encoded


GLOBALS: dict[tuple[str, str], Function] = {
    ("numpy", "ndarray"): _ndarray,
    ("numpy", "dtype"): _dtype,
    ("_codecs", "encode"): _encode,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _reconstruct for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _frombuffer for core in ("core", "_core")},
}
