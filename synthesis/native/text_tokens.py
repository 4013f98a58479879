"""Text to the token ids that T3 reads.

Knows the base model's tokenizer and upstream's way with punctuation (chatterbox `tts.py`, `tts_turbo.py` and
`mtl_tts.py:punc_norm`, `tokenizer.py:EnTokenizer`); nothing of segments or of the start and stop around them.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Protocol

from tokenizers import Tokenizer  # type: ignore[import-untyped]

SPACE = "[SPACE]"


class Punctuation(NamedTuple):
    """replacements: what a model heard little of, and what it is given instead; in this order."""

    replacements: tuple[tuple[str, str], ...]
    ends: tuple[str, ...]


_QUOTES = (("“", '"'), ("”", '"'), ("‘", "'"), ("’", "'"))
BASE_PUNCTUATION = Punctuation(
    (("...", ", "), ("…", ", "), (":", ","), (" - ", ", "), (";", ", "), ("—", "-"), ("–", "-"), (" ,", ","), *_QUOTES),
    (".", "!", "?", "-", ","),
)
TURBO_PUNCTUATION = Punctuation(
    (("…", ", "), (":", ","), ("—", "-"), ("–", "-"), (" ,", ","), *_QUOTES), BASE_PUNCTUATION.ends
)
MULTILINGUAL_PUNCTUATION = BASE_PUNCTUATION._replace(ends=(*BASE_PUNCTUATION.ends, "、", "，", "。", "？", "！"))


class TextTokens(Protocol):
    """A model's tokenizer. Safe to use from many threads."""

    def encode(self, text: str, language: str) -> list[int]:
        """Ids of text, which holds at least one character that is not white space."""


class TextTokenizer:
    """The base model's: the tokenizer.json that comes with the weights."""

    def __init__(self, path: Path) -> None:
        self._tokenizer = Tokenizer.from_file(str(path))

    def encode(self, text: str, language: str = "en") -> list[int]:  # noqa: ARG002 - it knows one
        return list(self._tokenizer.encode(normalise_punctuation(text).replace(" ", SPACE)).ids)


def normalise_punctuation(text: str, punctuation: Punctuation = BASE_PUNCTUATION) -> str:
    """text with a capital first letter, single spaces, common punctuation and an end."""
    if text[0].islower():
        text = text[0].upper() + text[1:]
    text = " ".join(text.split())
    for uncommon, common in punctuation.replacements:
        text = text.replace(uncommon, common)
    text = text.rstrip(" ")
    return text if text.endswith(punctuation.ends) else text + "."
