"""Text to the token ids that the multilingual model reads: graphemes, with the language as the first token.

Follows chatterbox `tokenizer.py:MTLTokenizer`; what a language asks for beyond that is in `scripts`.
"""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer  # type: ignore[import-untyped]

from synthesis.native.scripts import Scripts
from synthesis.native.text_tokens import MULTILINGUAL_PUNCTUATION, SPACE, normalise_punctuation


class MultilingualTokenizer:
    def __init__(self, directory: Path) -> None:
        """directory: with the model's files; the table of Chinese codes among them is read when it is needed."""
        self._tokenizer = Tokenizer.from_file(str(directory / "grapheme_mtl_merged_expanded_v1.json"))
        self._scripts = Scripts(directory / "Cangjie5_TC.json")

    def encode(self, text: str, language: str) -> list[int]:
        """language: its code, in lower case. Raises InvalidOption where what it needs is not on this machine."""
        written = self._scripts.prepare(normalise_punctuation(text, MULTILINGUAL_PUNCTUATION), language)
        return list(self._tokenizer.encode(f"[{language}]{written}".replace(" ", SPACE)).ids)
