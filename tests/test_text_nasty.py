"""Texts that are no prose: each is a plan, or one clear error in three parts; none is lost, none is slow."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nasty_texts import NUM_TEXTS, SCRIPTS, nasty_texts

from synthesis import SynthesisOptions
from synthesis.errors import EmptyText, InvalidOption
from synthesis.espeak import EspeakEngine
from synthesis.text import Segment, normalised_text, plan

MAX_CHARS = 200
LANGUAGES = ("en", "de", "fr", "ru", "ja", "tr", "zh", "xx")
TEXTS = nasty_texts()


def planned(text: str, language: str = "en", max_chars: int = MAX_CHARS) -> list[Segment]:
    """The plan, held against what every plan has to be; empty where the text is refused, as it has to be."""
    try:
        segments = plan(text, max_chars, language=language)
    except (EmptyText, InvalidOption) as refusal:
        message = str(refusal)
        assert len(message.split("; ")) == 3, message
        assert "\n" not in message
        assert len(message) < 300
        message.encode()
        return []
    assert segments
    for segment in segments:
        assert 0 < len(segment.text) <= max_chars
        assert segment.text == segment.text.strip()
        assert any(character.isalnum() for character in segment.text), "an engine has nothing to say here"
        segment.text.encode()  # no lone surrogates
        assert segment.text.isprintable() or "\u200c" in segment.text or "\u200d" in segment.text
        assert 0 <= segment.pause_after_s <= 10
    said = "".join("".join(segment.text for segment in segments).split())
    assert said == "".join(normalised_text(text, language).split())
    return segments


def test_there_are_2000_of_them() -> None:
    assert len(TEXTS) == len(nasty_texts()) == NUM_TEXTS == 2_000
    assert nasty_texts() == TEXTS
    assert len(SCRIPTS) >= 40


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_nasty_text_is_a_plan_or_one_clear_error(language: str) -> None:
    chosen = TEXTS if language == "en" else TEXTS[: 2 * len(SCRIPTS) + 200]
    spoken = [text for text in chosen if planned(text, language)]
    assert len(spoken) > len(chosen) / 2


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_is_kept_letter_for_letter(script: str) -> None:
    text = SCRIPTS[script]
    said = "".join(segment.text for segment in planned(text))
    assert [character for character in said if character.isalnum()] == [c for c in text if c.isalnum()]


@pytest.mark.parametrize("max_chars", [1, 2, 7, 40])
def test_segments_as_short_as_one_character_lose_nothing(max_chars: int) -> None:
    for text in TEXTS[:400:3]:
        try:
            segments = plan(text[:300], max_chars)
        except (EmptyText, InvalidOption):
            continue
        assert "".join("".join(s.text for s in segments).split()) == "".join(normalised_text(text[:300]).split())
        assert all(len(segment.text) <= max_chars for segment in segments)


pieces = st.lists(st.one_of(st.text(max_size=12), st.sampled_from(sorted({t[:40] for t in TEXTS}))), max_size=12)


@settings(max_examples=400, deadline=None)
@given(pieces.map("".join), st.sampled_from(LANGUAGES))
def test_any_heap_of_text_is_a_plan_or_one_clear_error(text: str, language: str) -> None:
    planned(text, language)


def test_nasty_texts_are_spoken_or_refused(espeak: EspeakEngine) -> None:
    """A share of them through the whole engine, as many as fit the time that a test may take."""
    voice, refusals, num_spoken = espeak.builtin(), [], 0
    until = time.monotonic() + 12
    for text in [*TEXTS[:230], *TEXTS[230::8]]:
        if time.monotonic() > until and num_spoken >= 150:
            break
        try:
            samples = espeak.synthesize(text[:600], voice, SynthesisOptions())
        except (EmptyText, InvalidOption) as refusal:
            refusals.append(str(refusal))
        else:
            assert len(samples)
            num_spoken += 1
    assert all(len(refusal.split("; ")) == 3 for refusal in refusals)
    assert len(refusals) > 10
    assert num_spoken >= 150
