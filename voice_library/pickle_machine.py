"""Read the few pickles that voices are made of, without `pickle`.

A pickle is a program for a stack machine, and pickle's machine has words that import and call anything. This one has
not: a name is looked up in `numpy_pickles.GLOBALS`, a "call" checks what it is given, and a word that no voice needs
is refused, as an UnsafeFile. `pickletools` in the standard library documents the words.

Bytes stay views into the pickle; their length is held against what is there before anything is made. Knows nothing of
gzip or voices.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from voice_library.errors import UnsafeFile
from voice_library.numpy_pickles import GLOBALS, Array, Dtype, LongText, require

MAX_WORDS = 10_000  # a voice takes about 60
MAX_STACK = 1_000
MAX_TEXT_BYTES = 4_096  # longer text stays undecoded
MAX_LONG_TEXT_BYTES = 64 * 1024 * 1024  # all such text together, because it may be copied once
MAX_DIGITS = 40
_MARK = object()  # on the stack: where a tuple or the items of a dict begin


def load(pickle: bytes | bytearray) -> Any:
    """What the pickle stands for: None, bool, int of 32 bits, float, str, dict with str keys, tuple, memoryview for
    bytes, and arrays of `numpy_pickles`, as read-only views of `pickle`. Raises UnsafeFile."""
    value = _Machine(pickle).run()
    if type(value) is dict:
        return {key: _finished(item) for key, item in value.items()}
    return tuple(_finished(item) for item in value) if type(value) is tuple else _finished(value)


def _finished(value: Any) -> Any:
    if isinstance(value, Array):
        require(value.values is not None, "an array without data")
        return value.values
    return value


class _Machine:
    def __init__(self, pickle: bytes | bytearray) -> None:
        self.data = memoryview(pickle).toreadonly()
        self.position = 0
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.long_text_bytes = 0

    def run(self) -> Any:
        for _ in range(MAX_WORDS):
            word = bytes(self.take(1))
            if word == b".":
                require(len(self.stack) == 1 and self.position == len(self.data), "more than one value")
                return self.pop()
            require(word in _WORDS, f"a pickle instruction that no voice needs (0x{word.hex()})")
            _WORDS[word](self)
            require(len(self.stack) <= MAX_STACK, "values nested too deep")
        raise UnsafeFile("the voice embedding is longer than any voice; make it with generate_voice_embedding.py")

    # ---- the program

    def take(self, num_bytes: int) -> memoryview:
        """The next bytes, as a view."""
        start, end = self.position, self.position + num_bytes
        require(end <= len(self.data), "less than it announces: it is cut off")
        self.position = end
        return self.data[start:end]

    def number(self, layout: str) -> Any:
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def sized(self, layout: str) -> memoryview:
        """Bytes whose number stands before them."""
        return self.take(self.number(layout))

    def line(self) -> memoryview:
        """The bytes up to the next line end, which is skipped."""
        piece_bytes = 64 * 1024
        for start in range(self.position, len(self.data), piece_bytes):
            found = bytes(self.data[start : start + piece_bytes]).find(b"\n")
            if found >= 0:
                return self.take(start + found + 1 - self.position)[:-1]
        raise UnsafeFile("the voice embedding is cut off; make it with generate_voice_embedding.py")

    # ---- the stack and the memo

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def top(self) -> Any:
        require(bool(self.stack) and self.stack[-1] is not _MARK, "an instruction without a value")
        return self.stack[-1]

    def pop(self) -> Any:
        value = self.top()
        self.stack.pop()
        return value

    def pop_to_mark(self) -> list[Any]:
        values: list[Any] = []
        while self.stack and self.stack[-1] is not _MARK:
            values.append(self.stack.pop())
        require(bool(self.stack), "an end without a beginning")
        self.stack.pop()
        return values[::-1]

    def memoize(self, index: int) -> None:
        self.memo[index] = self.top()

    def recall(self, index: int) -> None:
        require(index in self.memo, "a reference to nothing")
        self.push(self.memo[index])

    # ---- values

    def text(self, encoded: memoryview, encoding: str = "utf-8") -> str | LongText:
        if len(encoded) > MAX_TEXT_BYTES:
            self.long_text_bytes += len(encoded)
            require(self.long_text_bytes <= MAX_LONG_TEXT_BYTES, "too much text")
            return LongText(encoded, encoding)
        try:
            return bytes(encoded).decode(encoding)
        except UnicodeDecodeError as error:
            raise UnsafeFile("the voice embedding holds text that cannot be read; make it again") from error

    def decimal(self) -> int | bool:
        digits = bytes(self.line()[:MAX_DIGITS])
        if digits in (b"00", b"01"):  # protocols 0 and 1 write False and True so
            return digits == b"01"
        require(digits.removeprefix(b"-").isdigit() and len(digits) < MAX_DIGITS, "a number that is none")
        return int(digits)

    def decimal_float(self) -> float:
        try:
            return float(bytes(self.line()[:MAX_DIGITS]))
        except ValueError as error:
            raise UnsafeFile("the voice embedding holds a number that is none; make it again") from error

    def tuple_of(self, length: int) -> tuple[Any, ...]:
        return tuple([self.pop() for _ in range(length)][::-1])

    def set_items(self, items: list[Any]) -> None:
        target = self.top()
        require(type(target) is dict and len(items) % 2 == 0, "items of something that is not a dict")
        require(all(type(key) is str for key in items[::2]), "a key that is not text")
        target.update(zip(items[::2], items[1::2], strict=True))

    def dict_from_mark(self) -> None:
        items = self.pop_to_mark()
        self.push({})
        self.set_items(items)

    # ---- names, calls and states

    def name(self, module: Any, name: Any) -> None:
        is_text = type(module) is str and type(name) is str
        if not is_text or (module, name) not in GLOBALS:
            called = f"{module}.{name}"[:80] if is_text else "something"
            raise UnsafeFile(
                f"the voice embedding refers to {called!r}; allowed are arrays of audio and what describes them; "
                "make it with generate_voice_embedding.py"
            )
        self.push(GLOBALS[module, name])

    def call(self) -> None:
        arguments, function = self.pop(), self.pop()
        require(type(arguments) is tuple and callable(function), "a call of something that is not a function")
        self.push(function(arguments))

    def build(self) -> None:
        state, target = self.pop(), self.top()
        require(isinstance(target, (Array, Dtype)), "the state of something that has none")
        target.build(state)


_WORDS: dict[bytes, Callable[[_Machine], None]] = {
    b"\x80": lambda m: require(m.number("B") <= 5, "a pickle protocol that is not known"),
    b"\x95": lambda m: require(m.number("<Q") <= len(m.data) - m.position, "less than it announces: it is cut off"),
    b"(": lambda m: m.push(_MARK),
    # plain values
    b"N": lambda m: m.push(None),
    b"\x88": lambda m: m.push(True),
    b"\x89": lambda m: m.push(False),
    b"I": lambda m: m.push(m.decimal()),
    b"J": lambda m: m.push(m.number("<i")),
    b"K": lambda m: m.push(m.number("B")),
    b"M": lambda m: m.push(m.number("<H")),
    b"F": lambda m: m.push(m.decimal_float()),
    b"G": lambda m: m.push(m.number(">d")),
    b"V": lambda m: m.push(m.text(m.line(), "raw-unicode-escape")),
    b"X": lambda m: m.push(m.text(m.sized("<I"))),
    b"\x8c": lambda m: m.push(m.text(m.sized("B"))),
    b"\x8d": lambda m: m.push(m.text(m.sized("<Q"))),
    b"C": lambda m: m.push(m.sized("B")),
    b"B": lambda m: m.push(m.sized("<I")),
    b"\x8e": lambda m: m.push(m.sized("<Q")),
    b"\x96": lambda m: m.push(m.sized("<Q")),
    # tuples and dicts
    b")": lambda m: m.push(()),
    b"t": lambda m: m.push(tuple(m.pop_to_mark())),
    b"\x85": lambda m: m.push(m.tuple_of(1)),
    b"\x86": lambda m: m.push(m.tuple_of(2)),
    b"\x87": lambda m: m.push(m.tuple_of(3)),
    b"}": lambda m: m.push({}),
    b"d": lambda m: m.dict_from_mark(),
    b"s": lambda m: m.set_items(list(m.tuple_of(2))),
    b"u": lambda m: m.set_items(m.pop_to_mark()),
    # the memo
    b"\x94": lambda m: m.memoize(len(m.memo)),
    b"p": lambda m: m.memoize(m.decimal()),
    b"q": lambda m: m.memoize(m.number("B")),
    b"r": lambda m: m.memoize(m.number("<I")),
    b"g": lambda m: m.recall(m.decimal()),
    b"h": lambda m: m.recall(m.number("B")),
    b"j": lambda m: m.recall(m.number("<I")),
    # names, calls and states
    b"c": lambda m: m.name(m.text(m.line()), m.text(m.line())),
    b"\x93": lambda m: m.name(*m.tuple_of(2)),
    b"R": lambda m: m.call(),
    b"b": lambda m: m.build(),
}
