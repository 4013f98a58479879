"""Words that were heard against words that were asked for."""

from __future__ import annotations

import pytest

from synthesis.quality import Word, compare


def heard(text: str) -> list[Word]:
    return [Word(word, float(place), place + 0.5) for place, word in enumerate(text.split())]


@pytest.mark.parametrize(
    ("said", "asked", "language"),
    [
        ("The 7 dwarfs paid $5.", "The seven dwarfs paid five dollars.", "en"),
        ("On May 3rd, don't!", "on May third dont", "en"),
        ("Es sind 21 Stück.", "Es sind einundzwanzig Stück.", "de"),
        ("...", "", "en"),
    ],
)
def test_figures_case_and_marks_make_no_difference(said: str, asked: str, language: str) -> None:
    assert compare(heard(said), asked, language).errors == 0


def test_words_too_many_too_few_and_wrong_count() -> None:
    assert compare(heard("one two three four"), "one too three", "en").errors == pytest.approx(2 / 3)
    assert compare(heard("..."), "one two", "en").errors == 1
