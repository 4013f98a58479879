"""A dictionary of the request's own: what is said in place of a word or phrase, {"Nguyen": "win"}.

A key counts only as a whole word, except in scripts that write no spaces between words. Written in small letters it
stands for every spelling; with a capital letter, only for exactly that one ("Polish", not "polish"). Of two keys that
both fit, the longer one is taken. What is put in is never searched again, nor rewritten by any rule.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping

from synthesis.errors import InvalidOption
from synthesis.text.cleaning import has_words, without_invisible

MAX_PRONUNCIATION_ENTRIES = 500
MAX_PRONUNCIATION_KEY_CHARS = 60
MAX_PRONUNCIATION_VALUE_CHARS = 200

_FIRST_MARK = 0xE000  # private use: stands for an entry while rules run; `without_invisible` leaves none in a text
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u31ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)


def check_pronunciation(entries: Mapping[str, str]) -> None:
    """Raises InvalidOption, in three parts, where entries are too many, too long or without words."""
    if len(entries) > MAX_PRONUNCIATION_ENTRIES:
        raise InvalidOption(
            f"pronunciation has {len(entries):,} entries; allowed are {MAX_PRONUNCIATION_ENTRIES}; "
            "send only what the text needs"
        )
    for key, value in entries.items():
        for what, written, most in (
            ("word", key, MAX_PRONUNCIATION_KEY_CHARS),
            ("pronunciation", value, MAX_PRONUNCIATION_VALUE_CHARS),
        ):
            if not isinstance(written, str) or not has_words(_plain(written)) or len(written) > most:
                raise InvalidOption(
                    f"pronunciation has the {what} {str(written)[:30]!r}; allowed is text of 1 to {most} characters "
                    "with a letter or digit; correct or remove it"
                )


class Pronunciation:
    """The entries, ready to be put into a text in two steps: `mark` before the rules run, `say` after them."""

    def __init__(self, entries: Mapping[str, str]) -> None:
        check_pronunciation(entries)
        self._mark_of: dict[str, str] = {}
        self._said: dict[int, str] = {}
        lengths: dict[str, set[int]] = {}
        for number, (written, value) in enumerate(entries.items()):
            key = _plain(written)
            self._mark_of[key] = chr(_FIRST_MARK + number)
            self._said[_FIRST_MARK + number] = _plain(value)
            for first in {key[0], key[0].upper(), key[0].title()} if key == key.lower() else {key[0]}:
                lengths.setdefault(first, set()).add(len(key))
        self._lengths = {first: sorted(found, reverse=True) for first, found in lengths.items()}
        self._starts = re.compile("[" + "".join(map(re.escape, sorted(lengths))) + "]") if lengths else None

    def mark(self, text: str) -> str:
        """text with each key's places taken by one private-use character."""
        if self._starts is None:
            return text
        pieces, done = [], 0
        for start, end, mark in self._found(text, self._starts):
            pieces += [text[done:start], mark]
            done = end
        return "".join([*pieces, text[done:]])

    def say(self, text: str) -> str:
        """text with the marks replaced by what is said."""
        return text.translate(self._said)

    def _found(self, text: str, starts: re.Pattern[str]) -> Iterator[tuple[int, int, str]]:
        position = 0
        while found := starts.search(text, position):
            start = position = found.start()
            for length in self._lengths[found.group()]:
                written = text[start : start + length]
                mark = self._mark_of.get(written) or self._small(written)
                if mark and _stands_alone(text, start, start + length):
                    yield start, start + length, mark
                    position = start + length - 1
                    break
            position += 1

    def _small(self, written: str) -> str | None:
        return self._mark_of.get(written.lower())


def _plain(written: str) -> str:
    return " ".join(unicodedata.normalize("NFC", without_invisible(written)).split())


def _stands_alone(text: str, start: int, end: int) -> bool:
    return _is_border(text, start) and _is_border(text, end)


def _is_border(text: str, position: int) -> bool:
    """Whether a word may begin or end at position."""
    if not 0 < position < len(text):
        return True
    before, after = text[position - 1], text[position]
    return not (_in_word(before) and _in_word(after)) or bool(_UNSPACED.match(before) or _UNSPACED.match(after))


def _in_word(character: str) -> bool:
    return character.isalnum() or character == "_" or unicodedata.category(character)[0] == "M"
