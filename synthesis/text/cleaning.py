"""Text without what is no text: control characters, emoji, walls of signs. Knows nothing of languages.

Emoji are dropped, not named: nobody publishes "face with tears of joy" in the middle of a sentence, and the signs among
them that are words (© ™ ½ №) are no emoji here.
"""

from __future__ import annotations

import re
import unicodedata

from synthesis.errors import EmptyText

MAX_SIGNS_IN_A_ROW = 12  # more signs or accents without a letter between them are a wall, which no voice can read

JOINERS = "\u200c\u200d"  # zero-width, but they change how Persian and Indic words and emoji are read

# Emoji by block (Unicode 15.1, emoji-data.txt): what shows as a picture. Arrows, ©, ™ and digits are text.
_PICTURE = (
    "[\U0001f000-\U0001f0ff\U0001f10d-\U0001f10f\U0001f1e6-\U0001f1ff\U0001f200-\U0001f64f\U0001f680-\U0001f77f"
    "\U0001f780-\U0001f7ff\U0001f90c-\U0001fbef\u2600-\u2775\u2794-\u27bf\u231a\u231b\u2328\u23cf\u23e9-\u23fa\u2b05-\u2b07\u2b1b"
    "\u2b1c\u2b50\u2b55\u3030\u303d]"
)
# A picture with what changes it (skin, colour, tags) and what joins it to the next; of keycaps the digit stays.
_EMOJI = re.compile(f"{_PICTURE}[\ufe0e\ufe0f\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f\u200d]*")
_KEYCAP = re.compile("(?<=[0-9#*])\ufe0f?\u20e3")
_VARIATION = re.compile("[\ufe00-\ufe0f]")

_TYPOGRAPHY = str.maketrans(
    {
        **dict.fromkeys("„‟〝〞″＂", '"'),
        **dict.fromkeys("`´′‛＇", "'"),
        **dict.fromkeys("‐‑‒﹣－", "-"),
        **dict.fromkeys("―⸺⸻", "—"),
        "‥": "…",
    }
)
_DASHES = re.compile(r"(?<=[^\s-])\s?--+\s?(?=[^\s-])")
_DOTS = re.compile(r"\.{4,}")
_SHOUT = re.compile(r"([!?！？]{3})[!?！？]+")
_RULE = re.compile(r"(?<!\S)(?:[-=*_~#+—–]{3,}|[-=*_~#+—–](?: [-=*_~#+—–]){2,})(?!\S)")


def tidy_text(text: str) -> str:
    """text as rules of any language expect it: composed (NFC), without invisible characters, emoji and walls of signs,
    rare forms of quotes and dashes in their usual one. White space, of which paragraphs are made, stays."""
    text = unicodedata.normalize("NFC", without_invisible(_without_emoji(text)))
    text = _DASHES.sub("—", _RULE.sub(" ", text.translate(_TYPOGRAPHY)))
    text = _SHOUT.sub(r"\1", _DOTS.sub("...", text))
    return _without_walls(text)


def has_words(text: str) -> bool:
    """Whether there is a letter or digit of any script."""
    return any(character.isalnum() for character in text)


def empty_text() -> EmptyText:
    return EmptyText("text holds nothing that can be spoken; allowed is text with a letter or digit; send some words")


def without_invisible(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    return "".join(character for character in text if character.isspace() or _is_visible(character))


def _is_visible(character: str) -> bool:
    return unicodedata.category(character)[0] != "C" or character in JOINERS


def _without_emoji(text: str) -> str:
    if text.isascii():
        return text
    return _VARIATION.sub("", _EMOJI.sub(" ", _KEYCAP.sub("", text)))


def _without_walls(text: str) -> str:
    """text without what follows MAX_SIGNS_IN_A_ROW signs in a row: a table's border, a stack of accents."""
    kept, signs = [], 0
    for character in text:
        if character.isalnum():
            signs = 0
        elif not character.isspace():
            signs += 1
        if signs <= MAX_SIGNS_IN_A_ROW or character.isspace():
            kept.append(character)
    return "".join(kept)
