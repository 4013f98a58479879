"""Text as the multilingual model wants it written: lower case, decomposed, and what some scripts ask for beyond that.

Follows chatterbox `tokenizer.py:MTLTokenizer.preprocess_text` and the functions beside it. Packages that only one
language needs are imported when that language is first spoken.
"""

from __future__ import annotations

import functools
import json
import logging
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

from synthesis.errors import InvalidOption

logger = logging.getLogger(__name__)

Rewrite = Callable[[str], str]

_KANJI = range(0x4E00, 0x9FFF + 1)
_READ_APART = ("は", "へ")  # which as a particle would be read differently


class Scripts:
    """Safe to use from many threads."""

    def __init__(self, cangjie_file: Path) -> None:
        self._cangjie_file = cangjie_file
        self._rewrites: dict[str, Rewrite] = {
            "zh": self._chinese, "ja": _japanese, "ko": str.strip, "he": _hebrew, "ru": _russian
        }  # fmt: skip

    def prepare(self, text: str, language: str) -> str:
        """Raises InvalidOption where what the language needs is not there."""
        decomposed = unicodedata.normalize("NFKD", text.lower())  # Korean syllables to letters, too
        rewrite = self._rewrites.get(language)
        return rewrite(decomposed) if rewrite else decomposed

    def _chinese(self, text: str) -> str:
        """Characters by their Cangjie codes, letter by letter; words apart."""
        return "".join(self._cangjie.get(character, character) for character in _chinese_words(text))

    @functools.cached_property
    def _cangjie(self) -> dict[str, str]:
        """What a character is written as: the tokens of its code."""
        try:
            lines = json.loads(self._cangjie_file.read_text(encoding="utf-8"))
            pairs = [line.split("\t")[:2] for line in lines]
        except (OSError, ValueError, AttributeError) as error:
            raise InvalidOption(
                f"language 'zh' needs {self._cangjie_file.name} beside the weights, which cannot be read; allowed are "
                "the other languages; fetch it: python builder/fetch_weights.py --model multilingual --to DIR"
            ) from error
        return cangjie_tokens(pairs)


def cangjie_tokens(pairs: list[list[str]]) -> dict[str, str]:
    """Of characters and their codes. Characters of one code are told apart by their place among them, but the first."""
    code_of: dict[str, str] = {}
    characters_of: dict[str, list[str]] = {}
    for character, code in pairs:
        code_of[character] = code
        characters_of.setdefault(code, []).append(character)
    tokens = {}
    for character, code in code_of.items():
        if unicodedata.category(character) == "Lo":
            place = characters_of[code].index(character)
            letters = code + (str(place) if place else "")
            tokens[character] = "".join(f"[cj_{letter}]" for letter in (*letters, "."))
    return tokens


def _chinese_words(text: str) -> str:
    segmenter = _optional("zh", "word boundaries are left out", _load_chinese_segmenter)
    return " ".join(segmenter.cut(text)) if segmenter else text


def _load_chinese_segmenter() -> Any:
    from spacy_pkuseg import pkuseg

    return pkuseg()  # fetches its model, 30 MB, where it is not in ~/.pkuseg


def _japanese(text: str) -> str:
    """Kanji as hiragana, read by their context."""
    parts = []
    for part in _kakasi().convert(text):
        reading = part["hira"]
        if not any(ord(character) in _KANJI for character in part["orig"]):
            parts.append(part["orig"])
        else:
            parts.append(f" {reading}" if reading.startswith(_READ_APART) else reading)
    return unicodedata.normalize("NFKD", "".join(parts))


@functools.cache
def _kakasi() -> Any:
    try:
        import pykakasi
    except ImportError as error:
        raise InvalidOption(
            "language 'ja' needs the package pykakasi to read kanji, which is not installed; allowed are the other "
            "languages; install pykakasi 2.3"
        ) from error
    return pykakasi.kakasi()  # type: ignore[no-untyped-call,unused-ignore]


def _hebrew(text: str) -> str:
    dicta = _optional("he", "vowels are left out", _load_dicta)
    return str(dicta.add_diacritics(text)) if dicta else text


def _load_dicta() -> Any:
    from dicta_onnx import Dicta

    return Dicta()


def _russian(text: str) -> str:
    stresser = _optional("ru", "stress is left out", _load_russian_stresser)
    return str(stresser.stress_text(text)) if stresser else text


def _load_russian_stresser() -> Any:
    from russian_text_stresser.text_stresser import RussianTextStresser

    return RussianTextStresser()


@functools.cache
def _optional(language: str, otherwise: str, load: Callable[[], Any]) -> Any:
    """What makes a language sound better, made once; None, with one warning, where it is not there, as upstream has
    it."""
    try:
        return load()
    except Exception as error:  # noqa: BLE001 - other people's packages, some of which fetch models
        logger.warning("language %r: %s, as what would find them is not there: %s", language, otherwise, error)
        return None
