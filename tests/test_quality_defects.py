"""What the checks find in speech whose defects are known; `benchmarks/results/defects.md` has the larger set."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.defect_set import Item, defect_set
from benchmarks.defects import judge, recordings, scores, trimmed_into_speech
from synthesis import SAMPLE_RATE_HZ, SynthesisOptions
from synthesis.engine import CUT_OFF, Take
from synthesis.espeak import EspeakEngine
from synthesis.quality import Checks, Judged
from synthesis.quality.checks import COST
from synthesis.quality.repetition import repeats_itself
from synthesis.speaking_rate import duration_bounds_s
from synthesis.text import Segment

NUM_OF_EACH = 10


@pytest.fixture(scope="module")
def items() -> list[Item]:
    return defect_set(seed=11, num_of_each=NUM_OF_EACH)


@pytest.fixture(scope="module")
def judged(items: list[Item]) -> list[Judged]:
    return judge(items)


def test_every_defect_is_found_and_nothing_else(items: list[Item], judged: list[Judged]) -> None:
    for score in scores(items, judged):
        assert score.missed <= 1, score
        assert score.wrong <= 1, score


def test_no_clean_speech_is_trimmed_or_doubted(items: list[Item], judged: list[Judged]) -> None:
    assert trimmed_into_speech(items, judged) == 0
    clean = [each for item, each in zip(items, judged, strict=True) if item.defect is None]
    assert sum(bool(each.flags) for each in clean) <= 1
    assert all(each.score == 1.0 for each in clean if not each.flags)


def test_a_set_is_the_same_every_time() -> None:
    first, second = (defect_set(seed=3, num_of_each=1) for _ in range(2))
    assert [item.samples.tobytes() for item in first] == [item.samples.tobytes() for item in second]


def test_real_recordings_have_no_flags() -> None:
    real = recordings()
    if not real:
        pytest.skip("s3tokenizer, which ships two recordings, is in the full set")
    assert [each.flags for each in judge(real)] == [(), ()]


def test_silence_and_nothing_are_empty() -> None:
    for samples in (np.zeros(0, np.float32), np.zeros(SAMPLE_RATE_HZ, np.float32)):
        judged = Checks().judge(Take(samples, 1), Segment("Hello."))
        assert (judged.flags, judged.score, judged.fails) == (("empty",), 0.0, True)


@pytest.mark.parametrize("num_samples", [1, 239, 481, 1023, 2000])
def test_the_shortest_takes_are_judged_without_fail(num_samples: int) -> None:
    noise = np.random.default_rng(1).standard_normal(num_samples).astype(np.float32) / 10
    assert "duration" in Checks().judge(Take(noise, 1), Segment("A sentence of some length.")).flags


def test_what_the_engine_says_of_a_take_is_kept(espeak: EspeakEngine) -> None:
    [take] = espeak.takes([Segment("Hello there.")], [1], espeak.builtin(), SynthesisOptions())
    judged = Checks().judge(Take(take.samples, 1, (CUT_OFF,)), Segment("Hello there."))
    assert (judged.flags, judged.score) == ((CUT_OFF,), 1 - COST[CUT_OFF])


@pytest.mark.parametrize(("similarity", "flags"), [(0.9, ()), (0.2, ("voice",)), (None, ())])
def test_another_voice_is_noticed(espeak: EspeakEngine, similarity: float | None, flags: tuple[str, ...]) -> None:
    segment = Segment("A sentence that is long enough to hear who says it.")
    [take] = espeak.takes([segment], [1], espeak.builtin(), SynthesisOptions())
    assert Checks(similarity=lambda _: similarity).judge(take, segment).flags == flags


SENTENCES = {
    "en": "The quick brown fox jumps over the lazy dog.",
    "de": "Der schnelle braune Fuchs springt über den faulen Hund.",
    "fr": "Le vif renard brun saute par-dessus le chien paresseux.",
    "ru": "Быстрая коричневая лиса прыгает через ленивую собаку.",
    "el": "Η γρήγορη καφέ αλεπού πηδά πάνω από το τεμπέλικο σκυλί.",
    "ar": "الثعلب البني السريع يقفز فوق الكلب الكسول.",
    "he": "השועל החום המהיר קופץ מעל הכלב העצלן.",
    "hi": "तेज़ भूरी लोमड़ी आलसी कुत्ते के ऊपर कूदती है।",
    "ja": "すばやい ちゃいろの きつねが なまけものの いぬを とびこえる。",
    "ko": "빠른 갈색 여우가 게으른 개를 뛰어넘습니다.",
    "cmn": "敏捷的棕色狐狸跳过了懒狗。",
    "fi": "Nopea ruskea kettu hyppää laiskan koiran yli.",
    "tr": "Hızlı kahverengi tilki tembel köpeğin üzerinden atlar.",
}


@pytest.mark.parametrize("language", SENTENCES)
def test_speech_of_many_scripts_has_a_possible_length(espeak: EspeakEngine, language: str) -> None:
    segment = Segment(SENTENCES[language])
    [take] = espeak.takes([segment], [1], espeak.builtin(), SynthesisOptions(language=language))
    least, most = duration_bounds_s(segment.text)
    spoken_s = len(take.samples) / SAMPLE_RATE_HZ
    assert least * 1.3 < spoken_s < most / 1.3, (least, spoken_s, most)


def test_twice_or_half_the_words_have_an_impossible_length(espeak: EspeakEngine) -> None:
    text = "It was a bright cold day in April, and the clocks were striking thirteen, as they always did at noon."
    [take] = espeak.takes([Segment(text)], [1], espeak.builtin(), SynthesisOptions())
    twice = Take(np.concatenate([take.samples] * 2), 1)
    assert "repetition" in Checks().judge(twice, Segment(text)).flags
    four_times = Take(np.concatenate([take.samples] * 4), 1)
    assert "duration" in Checks().judge(four_times, Segment(text)).flags
    a_quarter = Take(take.samples[: len(take.samples) // 4], 1)
    assert "duration" in Checks().judge(a_quarter, Segment(text)).flags


@pytest.mark.parametrize(
    ("text", "repeats"),
    [
        ("No, no, that is wrong.", True),
        ("The more we know, and the more we know, the better.", True),
        ("One dog, and another, and then another and another.", True),
        ("Every child painted the edge of the map.", False),
        ("He came and she went and they stayed.", False),
        ("It was the best of times in all of the land. " * 2, True),
        ("", False),
    ],
)
def test_texts_that_say_it_twice_themselves(text: str, repeats: bool) -> None:
    assert repeats_itself(text) is repeats
