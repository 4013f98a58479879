"""Text made ready to speak: cleaned, and cut into segments that an engine can say in one go.

Knows nothing of engines, languages or audio; imports no torch. Characters are added nowhere and dropped only by
`clean_text`.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from synthesis.errors import EmptyText

MIN_SEGMENT_CHARS = 20  # shorter pieces sound clipped, and the model hallucinates on them

_SENTENCE_PAUSE_S = 0.30  # what eSpeak NG itself puts after a full stop at 175 words a minute
_CLAUSE_PAUSE_S = 0.15

_JOINERS = "\u200c\u200d"  # zero-width, but they change how Persian and Indic words and emoji are read
_OPENERS = "\"'“‘«‹([¿¡"
_CLOSERS = "\"'”’»›)]」』）］】》〉"
_SPACED_ENDS = ".!?…؟۔।॥։።"  # end a sentence where a space follows
_UNSPACED_ENDS = "。！？｡．"  # end one also where none does: Chinese and Japanese write no spaces
_SPACED_CLAUSE_MARKS = ",;:،؛–—"
_UNSPACED_CLAUSE_MARKS = "，、；：､"
_ENDS = _SPACED_ENDS + _UNSPACED_ENDS
_CLAUSE_MARKS = _SPACED_CLAUSE_MARKS + _UNSPACED_CLAUSE_MARKS

_STOP = re.compile(
    rf"[{_SPACED_ENDS}{_SPACED_CLAUSE_MARKS}]+[{re.escape(_CLOSERS)}]*(?= )"
    rf"|[{_UNSPACED_ENDS}{_UNSPACED_CLAUSE_MARKS}]+[{re.escape(_CLOSERS)}]*(?!\d)"
    r"| "
)
_LAST_WORD = re.compile(rf"[^ {re.escape(_OPENERS)}]*\Z")
_INITIALS = re.compile(r"([^\W\d_]\.)*[^\W\d_]")  # J, J.R.R, U.S
_TITLES = "mr mrs ms mx dr prof st rev hon gen col maj capt cpt lt sgt gov sen rep pres hr fr mme mlle sra srta"
_PHRASES = "vs cf e.g i.e viz approx z.b d.h bzw"
_NEVER_LAST = frozenset(f"{_TITLES} {_PHRASES}".split())
_NUMBERED = "no nos nr vol fig p pp ch sec art"
_BEFORE_NUMBERS = frozenset(_NUMBERED.split())

_SENTENCE, _CLAUSE, _WORD = range(3)  # the strengths of a boundary, best first

_AS_WRITTEN: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Segment:
    """What is said in one go, and the silence in s that follows it."""

    text: str
    pause_after_s: float = 0.0


def plan(
    text: str,
    max_chars: int,
    *,
    language: str = "en",  # noqa: ARG001
    pronunciation: Mapping[str, str] = _AS_WRITTEN,  # noqa: ARG001
) -> list[Segment]:
    """text as the segments in which it is spoken, each of at most max_chars characters; nothing follows the last.

    pronunciation: words, and what to say for them. Raises EmptyText.
    """
    pieces = split_text(clean_text(text), max_chars)
    return [*(Segment(piece, pause_after_s(piece)) for piece in pieces[:-1]), Segment(pieces[-1])]


def clean_text(text: str) -> str:
    """text without control, unassigned and invisible characters, every run of white space one space.

    Raises EmptyText when no letter or digit of any script is left.
    """
    visible = "".join(character for character in text if character.isspace() or _is_visible(character))
    cleaned = " ".join(visible.split())
    if not any(character.isalnum() for character in cleaned):
        raise EmptyText(
            "text holds nothing that can be spoken; allowed is text with a letter or digit; send some words"
        )
    return cleaned


def split_text(text: str, max_chars: int) -> list[str]:
    """text as segments of at most max_chars characters, in order.

    A cut is made at the last sentence end that fits, else at the last clause mark, else between words, else inside a
    word. No segment is shorter than MIN_SEGMENT_CHARS (or half of max_chars) unless the whole text is. The segments are
    the text with its white space normalised; all that a cut can take away is the one space it falls on.
    """
    if max_chars < 1:
        raise ValueError(f"max_chars is {max_chars}; it must be at least 1")
    text = " ".join(text.split())
    boundaries = _boundaries(text)
    segments = []
    start = 0
    while len(text) - start > max_chars:
        cut = _best_cut(text, boundaries, start, max_chars)
        segments.append(text[start:cut])
        start = cut + 1 if text[cut] == " " else cut
    return [*segments, text[start:]] if text else []


def pause_after_s(segment: str) -> float:
    """The silence in s that belongs after a segment when another one follows."""
    mark = segment.rstrip(_CLOSERS)[-1:]
    if mark and mark in _ENDS:
        return _SENTENCE_PAUSE_S
    return _CLAUSE_PAUSE_S if mark and mark in _CLAUSE_MARKS else 0.0


def _is_visible(character: str) -> bool:
    return unicodedata.category(character)[0] != "C" or character in _JOINERS


def _best_cut(text: str, boundaries: dict[int, list[int]], start: int, max_chars: int) -> int:
    """Where the segment that begins at start ends; both it and what is left are long enough to be spoken."""
    min_chars = min(MIN_SEGMENT_CHARS, max_chars // 2)
    first = start + max(1, min_chars)
    last = min(start + max_chars, len(text) - min_chars - 1)
    for strength in (_SENTENCE, _CLAUSE, _WORD):
        positions = boundaries[strength]
        following = bisect_right(positions, last)
        if following and positions[following - 1] >= first:
            return positions[following - 1]
    cut = last
    while cut > first and not _begins_character(text, cut):
        cut -= 1
    return cut


def _begins_character(text: str, position: int) -> bool:
    """Whether a character, as readers see it, begins here: no accent, nor what a joiner ties to the one before."""
    return unicodedata.category(text[position])[0] != "M" and not set(text[position - 1 : position + 1]) & set(_JOINERS)


def _boundaries(text: str) -> dict[int, list[int]]:
    """The places where text may be cut, ascending, by strength."""
    positions: dict[int, list[int]] = {_SENTENCE: [], _CLAUSE: [], _WORD: []}
    for stop in _STOP.finditer(text):
        if stop.group() == " ":
            positions[_WORD].append(stop.start())
        elif not _is_abbreviation(text, stop):
            positions[_strength(text, stop)].append(stop.end())
    return positions


def _strength(text: str, stop: re.Match[str]) -> int:
    mark = stop.group().rstrip(_CLOSERS)[-1]
    if mark in _CLAUSE_MARKS:
        return _CLAUSE
    # Before a small letter the sentence goes on: 'Stop!' he said. Wait... what?
    goes_on = text[stop.end() :][:8].lstrip(" " + _OPENERS)[:1].islower()
    return _CLAUSE if goes_on else _SENTENCE


def _is_abbreviation(text: str, stop: re.Match[str]) -> bool:
    """Whether the full stop belongs to the word before it and the sentence goes on."""
    if stop.group() != ".":
        return False
    found = _LAST_WORD.search(text, max(0, stop.start() - 20), stop.start())
    word = found.group() if found else ""
    if _INITIALS.fullmatch(word) and word.isupper():
        return True
    before_number = word.lower() in _BEFORE_NUMBERS and text[stop.end() + 1 :][:1].isdigit()
    return word.lower() in _NEVER_LAST or before_number
