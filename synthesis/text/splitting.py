"""Text cut into segments that an engine can say in one go, at the best places there are.

Knows nothing of engines or audio; characters are neither added nor dropped, but for the white space at a cut.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right

from synthesis.text.cleaning import JOINERS
from synthesis.text.rules import any_of, listed

MIN_SEGMENT_CHARS = 20  # shorter pieces sound clipped, and the model hallucinates on them

_OPENERS = "\"'“‘«‹([¿¡"
CLOSERS = "\"'”’»›)]」』）］】》〉"
_SPACED_ENDS = ".!?…؟۔।॥։።"  # end a sentence where a space follows
_UNSPACED_ENDS = "。！？｡．"  # end one also where none does: Chinese and Japanese write no spaces
_SPACED_CLAUSE_MARKS = ",;:،؛–—"
_UNSPACED_CLAUSE_MARKS = "，、；：､"
ENDS = _SPACED_ENDS + _UNSPACED_ENDS
CLAUSE_MARKS = _SPACED_CLAUSE_MARKS + _UNSPACED_CLAUSE_MARKS

_STOP = re.compile(
    rf"[{_SPACED_ENDS}{_SPACED_CLAUSE_MARKS}]+(?: [»›])?[{re.escape(CLOSERS)}]*(?= )"  # French: « Non ! »
    rf"|(?:[{_UNSPACED_ENDS}{_UNSPACED_CLAUSE_MARKS}]+|…{{2,}})[{re.escape(CLOSERS)}]*(?!\d)"
    r"|(?<![«‹]) (?![!?;:»›])"
)
_LAST_WORD = re.compile(rf"[^ {re.escape(_OPENERS)}]*\Z")
_INITIALS = re.compile(r"([^\W\d_]\.)*[^\W\d_]")  # J, J.R.R, U.S
# Words whose full stop is theirs and not the sentence's, in the languages that Chatterbox speaks.
_NEVER_LAST = frozenset(
    listed(
        "mr mrs ms mx dr prof st rev hon gen col maj capt cpt lt sgt gov sen rep pres mt ft "  # titles and names
        "hr fr mme mlle sr sra srta dña sig dott ing avv dhr mevr drs ds "
        "vs cf e.g i.e viz approx incl excl "  # phrases, by language: English
        "z.b d.h u.a bzw ca evtl ggf inkl vgl sog "  # German
        "p.ex av.j.-c env "  # French
        "p.ej aprox ud uds "  # Spanish
        "p.es ecc "  # Italian
        "bijv d.w.z o.a m.b.t "  # Dutch
        "t.ex bl.a d.v.s s.k f.eks dvs fx esim "  # Swedish, Danish, Norwegian, Finnish
        "np tzw m.in ul "  # Polish
        "т.е т.к т.н им ул г-н г-жа "  # Russian
        "örn yrd doç "  # Turkish
        "π.χ δηλ"  # Greek
    )
)
_BEFORE_NUMBERS = frozenset(listed("no nos nr núm n vol fig figs p pp ch sec sect art abb bd kap s str стр рис"))
# After a day's number: "am 3. Mai" goes on.
_MONTHS = re.compile(
    " "
    + any_of(
        listed(
            "jan feb mär maa apr mai maj mei jun jul aug sep okt oct nov dez des dec "
            "tam hel huh tou kes hei elo syy lok mar jou"
        )
    ),
    re.IGNORECASE,
)

_SENTENCE, _CLAUSE, _WORD = range(3)  # the strengths of a boundary, best first


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
    return unicodedata.category(text[position])[0] != "M" and not set(text[position - 1 : position + 1]) & set(JOINERS)


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
    mark = stop.group().rstrip(CLOSERS + " ")[-1]
    if mark in CLAUSE_MARKS or (mark == "…" and text[stop.end() : stop.end() + 1] != " "):
        return _CLAUSE
    # Before a small letter the sentence goes on: 'Stop!' he said. Wait... what?
    goes_on = text[stop.end() : stop.end() + 8].lstrip(" " + _OPENERS)[:1].islower()
    return _CLAUSE if goes_on else _SENTENCE


def _is_abbreviation(text: str, stop: re.Match[str]) -> bool:
    """Whether the full stop belongs to the word before it and the sentence goes on."""
    if stop.group() != ".":
        return False
    found = _LAST_WORD.search(text, max(0, stop.start() - 20), stop.start())
    word = found.group() if found else ""
    if _INITIALS.fullmatch(word) and word.isupper():
        return True
    if word.isdecimal() and len(word) <= 2 and _MONTHS.match(text, stop.end()):
        return True
    before_number = word.lower() in _BEFORE_NUMBERS and text[stop.end() + 1 : stop.end() + 2].isdigit()
    return word.lower() in _NEVER_LAST or before_number
