"""The plan of an utterance: what is said in one go, in order, and the silence after each piece."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace

from synthesis.errors import InvalidOption
from synthesis.text import cleaning, markup, pauses
from synthesis.text.normalising import written_out
from synthesis.text.pronunciation import Pronunciation
from synthesis.text.splitting import MIN_SEGMENT_CHARS, split_text

MAX_SPOKEN_CHARS = 300_000  # of a text written out: numbers and pronunciations may make it many times as long

_CLOSING_MARKS = re.compile(r"[.,;:!?…。，！？、]+(?=\s|$)")
_FULL_STOPS = {"zh": "。", "ja": "。", "hi": "।"}


@dataclass(frozen=True)
class Segment:
    """text is already normalised; pause_after_s is the silence that follows it, in s."""

    text: str
    pause_after_s: float = 0.0


def plan(
    text: str, max_chars: int, *, language: str = "en", pronunciation: Mapping[str, str] | None = None
) -> list[Segment]:
    """text as segments of at most max_chars characters, in order; their texts together are `normalised_text`.

    After the last segment there is silence only where a pause tag asks for it. Raises EmptyText when nothing speakable
    is left; InvalidOption for a pause tag or pronunciation that is none, for SSML, and for text too long to be said.
    """
    if max_chars < 1:
        raise ValueError(f"max_chars is {max_chars}; it must be at least 1")
    segments: list[Segment] = []
    for part in _parts(text, language, pronunciation or {}, max_chars):
        pieces = split_text(part.text, max_chars)
        segments += [Segment(piece, pauses.pause_after_s(piece)) for piece in pieces[:-1]]
        segments.append(Segment(pieces[-1], part.pause_after_s))
    return segments


def normalised_text(text: str, language: str = "en", pronunciation: Mapping[str, str] | None = None) -> str:
    """What is said, in words: the texts of the plan's segments, white space aside. Raises as `plan`."""
    return "\n\n".join(part.text for part in _parts(text, language, pronunciation or {}))


@dataclass(frozen=True)
class _Part:
    """What is said without a break that was asked for; a tagged pause is the caller's own wish."""

    text: str
    pause_after_s: float = pauses.PARAGRAPH_PAUSE_S
    tagged: bool = False


def _parts(
    text: str, language: str, pronunciation: Mapping[str, str], max_chars: int = 2 * MIN_SEGMENT_CHARS
) -> list[_Part]:
    """The text normalised, cut where a pause tag or paragraph asks for it; none too short to be said by itself."""
    markup.refuse_ssml(text)
    dictionary = Pronunciation(pronunciation)
    parts: list[_Part] = []
    signs = ""  # without a word of their own, before the first word
    for stretch in pauses.stretches(cleaning.tidy_text(markup.without_markup(text))):
        for paragraph in _paragraphs(stretch.text, language, dictionary):
            closing = _CLOSING_MARKS.match(paragraph) if parts else None
            if closing and parts[-1].tagged:  # the marks of what stands before the tag: Hello [pause:1]. Then
                parts[-1] = replace(parts[-1], text=parts[-1].text + closing.group())
                paragraph = paragraph[closing.end() :].strip()
            if cleaning.has_words(paragraph):
                parts.append(_Part(f"{signs} {paragraph}".strip()))
                signs = ""
            elif parts:
                parts[-1] = replace(parts[-1], text=f"{parts[-1].text} {paragraph}".strip())
            else:
                signs = f"{signs} {paragraph}".strip()
        if stretch.pause_s is not None:
            _pause(parts, stretch.pause_s)
    if not parts:
        raise cleaning.empty_text()
    _refuse_too_long(parts)
    stop = _FULL_STOPS.get(language.lower().partition("-")[0], ".")
    ended = [*(_ended(part, stop) for part in parts[:-1]), _last(parts[-1])]
    return _joined(ended, min(MIN_SEGMENT_CHARS, max_chars // 2))


def _paragraphs(text: str, language: str, dictionary: Pronunciation) -> list[str]:
    """The paragraphs of a stretch, each in words, with the pronunciations asked for."""
    written = (written_out(dictionary.mark(paragraph), language) for paragraph in pauses.paragraphs(text))
    return [dictionary.say(paragraph) for paragraph in written if paragraph]


def _pause(parts: list[_Part], pause_s: float) -> None:
    """A pause tag after parts; tags that follow each other add up."""
    if not parts:
        raise InvalidOption(
            "a pause stands before the first word; allowed are pauses after words; take it out, or put words before it"
        )
    if parts[-1].tagged:
        pause_s += parts[-1].pause_after_s
        pauses.check_length(pause_s, "what follows each other")
    parts[-1] = replace(parts[-1], pause_after_s=pause_s, tagged=True)


def _last(part: _Part) -> _Part:
    return part if part.tagged else replace(part, pause_after_s=0.0)


def _joined(parts: list[_Part], min_chars: int) -> list[_Part]:
    """parts, those that are too short together with a neighbour from which no pause tag parts them."""
    joined: list[_Part] = []
    for number, part in enumerate(parts):
        short = len(part.text) < min_chars and number == len(parts) - 1
        if joined and not joined[-1].tagged and (short or len(joined[-1].text) < min_chars):
            joined.append(replace(part, text=f"{joined.pop().text} {part.text}"))
        else:
            joined.append(part)
    return joined


def _ended(part: _Part, stop: str) -> _Part:
    """part with a full stop where a paragraph, like a heading, ends without any mark."""
    ends_in_word = unicodedata.category(part.text[-1])[0] in "LMN"
    return replace(part, text=part.text + stop) if ends_in_word and not part.tagged else part


def _refuse_too_long(parts: list[_Part]) -> None:
    length = sum(len(part.text) for part in parts)
    if length > MAX_SPOKEN_CHARS:
        raise InvalidOption(
            f"text is {length:,} characters long when it is written out in words; allowed are {MAX_SPOKEN_CHARS:,}; "
            "send it in parts"
        )
