"""A paragraph written out in words: markup and signs that no voice reads taken away, then the rules of its language.

A language without rules of its own is left as it is written.
"""

from __future__ import annotations

from synthesis.text import english, language_rules
from synthesis.text.rules import Rule, rewrite

_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉⁰¹⁴⁵⁶⁷⁸⁹", "012345678901456789")


def rules_of(language: str) -> tuple[Rule, ...]:
    """The rules for a language tag: "en-GB" is English like "en"."""
    code = language.lower().partition("-")[0]
    return english.RULES if code == "en" else language_rules.rules(code)


def written_out(paragraph: str, language: str) -> str:
    """paragraph in words, its white space single spaces."""
    rules = rules_of(language)
    text = " ".join(paragraph.split())
    if not rules:
        return text
    rewritten = rewrite(text.translate(_SUBSCRIPTS), rules)
    return text if rewritten == text else " ".join(rewritten.split())
