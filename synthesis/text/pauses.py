"""Silence between words: pause tags in the text, the ends of paragraphs, and what punctuation asks for."""

from __future__ import annotations

import re
from dataclasses import dataclass

from synthesis.errors import InvalidOption
from synthesis.text.splitting import CLAUSE_MARKS, CLOSERS, ENDS

SENTENCE_PAUSE_S = 0.30  # what eSpeak NG itself puts after a full stop at 175 words a minute
CLAUSE_PAUSE_S = 0.15
PARAGRAPH_PAUSE_S = 0.75  # two and a half times a sentence's, so that it is heard as a break and not as hesitation

MAX_PAUSE_S = 10.0  # of one pause: longer is a mistake, or silence better made outside
MAX_TOTAL_PAUSES_S = 600.0  # of all pause tags of a text: silence costs memory like speech

_TAG = re.compile(r"\[\s{0,3}pause\b\s{0,3}(:?)([^\[\]\n]{0,40})(\]?)", re.IGNORECASE)
_LENGTH = re.compile(r"\s*(\d{1,6}(?:\.\d{0,6})?|\.\d{1,6})\s*(s|ms|)\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Stretch:
    """Text up to a pause tag or the end, and the tags' seconds of silence; None where there is no tag."""

    text: str
    pause_s: float | None


def stretches(text: str) -> list[Stretch]:
    """text cut at its pause tags, like [pause:0.8] or [pause:800ms], which themselves are taken out.

    Raises InvalidOption for a tag that is no such thing, or too long.
    """
    found = []
    start, total_s = 0, 0.0
    for tag in _TAG.finditer(text):
        pause_s = _seconds(tag)
        if pause_s is None:
            continue
        total_s += pause_s
        found.append(Stretch(text[start : tag.start()], pause_s))
        start = tag.end()
    if total_s > MAX_TOTAL_PAUSES_S:
        raise InvalidOption(
            f"the pauses of the text add up to {total_s:g} s; allowed are {MAX_TOTAL_PAUSES_S:g} s; "
            "shorten them, or send the text in parts"
        )
    return [*found, Stretch(text[start:], None)]


def paragraphs(text: str) -> list[str]:
    """text cut at blank lines, without empty pieces."""
    return [piece.strip() for piece in re.split(r"\n[^\S\n]*\n|[\u2029\f]", _line_ends(text)) if piece.strip()]


def pause_after_s(segment: str) -> float:
    """The silence in s that belongs after a segment when another one follows."""
    mark = segment.rstrip(CLOSERS + " ")[-1:]
    if mark and mark in ENDS:
        return SENTENCE_PAUSE_S
    return CLAUSE_PAUSE_S if mark and mark in CLAUSE_MARKS else 0.0


def check_length(pause_s: float, shown: str) -> None:
    if not 0 < pause_s <= MAX_PAUSE_S:
        raise InvalidOption(
            f"{shown} is a pause of {pause_s:g} s; allowed is more than 0 and at most {MAX_PAUSE_S:g} s; "
            "choose a length in that range"
        )


def _seconds(tag: re.Match[str]) -> float | None:
    """The tag's length in s; None where no length is begun: press [Pause]."""
    shown = f"{tag.group()!r}"
    colon, written, closed = tag.groups()
    if not colon:
        return None
    length = _LENGTH.fullmatch(written)
    if length is None or not closed:
        raise InvalidOption(
            f"{shown} is not a pause; allowed is [pause:SECONDS], more than 0 and at most {MAX_PAUSE_S:g}; "
            "write it like [pause:0.8]"
        )
    pause_s = float(length.group(1)) / (1000 if length.group(2).lower() == "ms" else 1)
    check_length(pause_s, shown)
    return pause_s


def _line_ends(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\u2028", "\n").replace("\x85", "\n")
