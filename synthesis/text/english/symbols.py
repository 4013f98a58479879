"""Signs that are words: & @ # % + = < > °. It runs last, when numbers and addresses have taken theirs."""

from __future__ import annotations

import re

from synthesis.text.rules import Rule

_WORDS = {
    "&": "and", "@": "at", "%": "percent", "+": "plus", "=": "equals", "×": "times", "÷": "divided by",
    "≈": "approximately", "≠": "is not equal to", "≤": "less than or equal to", "≥": "greater than or equal to",
    "±": "plus or minus", "°": "degrees", "§": "section", "¶": "paragraph", "©": "copyright", "№": "number",
    "²": "squared", "³": "cubed", "√": "square root of", "∞": "infinity", "→": "to",
    "‰": "per mille", "℃": "degrees Celsius", "℉": "degrees Fahrenheit", "µ": "micro",
}  # fmt: skip
_SILENT = "®™℠*_`|^~#"  # trade marks and what is left of markup


def _word(match: re.Match[str]) -> str:
    return f" {_WORDS[match.group()]} "


RULES = (
    Rule("C sharp", re.compile(r"\b([CF])#(?!\w)"), lambda match: f"{match.group(1)} sharp"),
    Rule("hashtag", re.compile(r"(?<![\w&#])#(?=\w)"), "hashtag "),
    Rule("arrow", re.compile(r"\s?[-=]>\s?"), " to "),
    Rule("sign that is a word", re.compile("[" + re.escape("".join(_WORDS)) + "]"), _word),
    Rule("sign between words", re.compile(r"(?<=\w)[_|~^](?=\w)"), " "),
    Rule("silent sign", re.compile(f"[{re.escape(_SILENT)}]"), ""),
    Rule("space that a sign left before a mark", re.compile(r"(?<=\w) (?=[,.;:!?)](?:\s|$))"), ""),
)
