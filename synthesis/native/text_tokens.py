"""Text to the token ids that T3 reads.

Knows the base model's tokenizer and upstream's way with punctuation (chatterbox `tts.py:punc_norm`,
`tokenizer.py:EnTokenizer`); nothing of segments or of the start and stop around them.
"""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer  # type: ignore[import-untyped]

_SPACE = "[SPACE]"
# What the model heard little of, and what it is given instead; in this order.
_REPLACEMENTS = (
    ("...", ", "), ("…", ", "), (":", ","), (" - ", ", "), (";", ", "), ("—", "-"), ("–", "-"), (" ,", ","),
    ("“", '"'), ("”", '"'), ("‘", "'"), ("’", "'"),
)  # fmt: skip
_ENDS = (".", "!", "?", "-", ",")


class TextTokenizer:
    """The tokenizer.json that comes with the weights. Safe to use from many threads."""

    def __init__(self, path: Path) -> None:
        self._tokenizer = Tokenizer.from_file(str(path))

    def encode(self, text: str) -> list[int]:
        """Ids of text, which holds at least one character that is not white space."""
        return list(self._tokenizer.encode(normalise_punctuation(text).replace(" ", _SPACE)).ids)


def normalise_punctuation(text: str) -> str:
    """text with a capital first letter, single spaces, common punctuation and an end."""
    if text[0].islower():
        text = text[0].upper() + text[1:]
    text = " ".join(text.split())
    for uncommon, common in _REPLACEMENTS:
        text = text.replace(uncommon, common)
    text = text.rstrip(" ")
    return text if text.endswith(_ENDS) else text + "."
