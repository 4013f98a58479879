"""A rule of normalisation: what it finds in a text, and how that is said.

Rules run in order over a whole text, so each pattern has to take linear time on any text: every repetition in it is
bounded, or can end in one way only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

_SENTENCE_START = re.compile(r"(?:\A|(?<!\.)[.!?][\"'”’)\]]{0,3}\s)[\"'“‘(\[]{0,3}\Z")
NEEDS_DIGIT = re.compile(r"\d")


@dataclass(frozen=True)
class Rule:
    """spoken is what is said for a match, or a function of it; what that cannot say it returns as it is written."""

    name: str
    pattern: re.Pattern[str]
    spoken: str | Callable[[re.Match[str]], str]
    digits: bool = False  # it finds nothing in a text without digits, which need not be searched then


def rewrite(text: str, rules: Iterable[Rule]) -> str:
    """text with every rule applied, one after the other."""
    for rule in rules:
        if not rule.digits or NEEDS_DIGIT.search(text):
            text = rule.pattern.sub(partial(_said, rule.spoken), text)
    return text


def _said(spoken: str | Callable[[re.Match[str]], str], match: re.Match[str]) -> str:
    """What is said for match, with a capital where a sentence begins: "5 came." is "Five came."."""
    words = spoken if isinstance(spoken, str) else spoken(match)
    written = match.group()
    if words != written and words[:1].islower() and not written[0].islower() and _begins_sentence(match):
        return words[0].upper() + words[1:]
    return words


def _begins_sentence(match: re.Match[str]) -> bool:
    return bool(_SENTENCE_START.search(match.string, max(0, match.start() - 10), match.start()))


def listed(words: str) -> tuple[str, ...]:
    """The words of a table that is written as running text."""
    return tuple(words.split())


def any_of(words: Iterable[str]) -> str:
    """A pattern for one of words, the longest first."""
    return "(?:" + "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True)) + ")"


def apart(match: re.Match[str], spoken: str) -> str:
    """spoken with a space towards a letter or digit that it would otherwise touch: "H2O" is "H two O"."""
    text = match.string
    before = " " if match.start() and text[match.start() - 1].isalnum() else ""
    after = " " if match.end() < len(text) and text[match.end()].isalnum() else ""
    return f"{before}{spoken}{after}"
