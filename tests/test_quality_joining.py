"""Takes joined: no click, pauses of the length asked for, one level, nothing lost."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from synthesis import SAMPLE_RATE_HZ, Samples, SynthesisOptions
from synthesis.engine import Take, silence
from synthesis.espeak import EspeakEngine
from synthesis.levels import loudness_lufs
from synthesis.quality import Checks, Chosen, Joiner, Spoken, unjudged
from synthesis.quality.joining import TAIL_S
from synthesis.text import Segment

TEXTS = ["The first sentence is here.", "And here is a second one, a little longer than the first.", "That was all."]


def take_of(espeak: EspeakEngine, text: str, gain: float = 1.0, tail: Samples | None = None) -> Take:
    [take] = espeak.takes([Segment(text)], [1], espeak.builtin(), SynthesisOptions())
    samples = take.samples * np.float32(gain)
    return Take(samples if tail is None else np.concatenate([samples, tail]), 1)


def joined(takes: list[Take], pause_s: float = 0.3, mend: bool = True) -> list[Spoken]:
    joiner = Joiner(len(takes), mend=mend)
    segments = [Segment(text, pause_s) for text in TEXTS[: len(takes)]]
    judge = Checks().judge if mend else lambda take, _: unjudged(take)
    return [joiner.add(Chosen(segment, judge(take, segment), 0)) for segment, take in zip(segments, takes, strict=True)]


def test_every_seam_is_silence(espeak: EspeakEngine) -> None:
    for spoken in joined([take_of(espeak, text) for text in TEXTS], pause_s=0.0):
        assert abs(spoken.samples[0]) < 10 ** (-60 / 20)
        assert abs(spoken.samples[-1]) < 10 ** (-60 / 20)


@pytest.mark.parametrize("tail_s", [0.0, 0.1, 1.5])
@pytest.mark.parametrize("pause_s", [0.3, 0.8, 3.0])
def test_a_pause_has_the_length_that_was_asked_for_whatever_tail_the_take_has(
    espeak: EspeakEngine, tail_s: float, pause_s: float
) -> None:
    spoken = joined([take_of(espeak, text, tail=silence(tail_s)) for text in TEXTS], pause_s)
    for this, following in pairwise(spoken):
        assert following.start_s - this.end_s == pytest.approx(pause_s, abs=0.04)


def test_a_take_keeps_its_decay(espeak: EspeakEngine) -> None:
    take = take_of(espeak, TEXTS[0], tail=silence(2.0))
    [spoken] = joined([take], pause_s=0.0)
    assert len(spoken.samples) / SAMPLE_RATE_HZ - spoken.end_s == pytest.approx(TAIL_S, abs=0.02)


def test_noise_after_the_words_is_gone(espeak: EspeakEngine) -> None:
    noise = np.random.default_rng(1).standard_normal(SAMPLE_RATE_HZ).astype(np.float32) * 0.02
    clean, noisy = take_of(espeak, TEXTS[0]), take_of(espeak, TEXTS[0], tail=np.concatenate([silence(0.1), noise]))
    [without], [with_noise] = joined([clean], 0.0), joined([noisy], 0.0)
    assert "tail_noise" in with_noise.flags
    assert with_noise.end_s == pytest.approx(without.end_s, abs=0.03)
    assert len(with_noise.samples) <= len(without.samples) + 0.05 * SAMPLE_RATE_HZ


def test_segments_come_to_the_loudness_of_the_first(espeak: EspeakEngine) -> None:
    takes = [take_of(espeak, text, gain) for text, gain in zip(TEXTS, (0.4, 0.15, 1.0), strict=True)]
    levels = [loudness_lufs(spoken.samples, SAMPLE_RATE_HZ) for spoken in joined(takes, pause_s=0.0)]
    assert max(levels) - min(levels) < 0.3
    assert levels[0] == pytest.approx(loudness_lufs(takes[0].samples, SAMPLE_RATE_HZ), abs=0.5)


def test_one_segment_alone_keeps_its_level(espeak: EspeakEngine) -> None:
    take = take_of(espeak, TEXTS[0])
    [spoken] = joined([take], pause_s=0.0)
    assert np.abs(spoken.samples).max() == np.abs(take.samples).max()


def test_times_are_those_of_the_words(espeak: EspeakEngine) -> None:
    takes = [take_of(espeak, text) for text in TEXTS]
    spoken = joined(takes)
    whole = np.concatenate([each.samples for each in spoken])
    for each in spoken:
        inside = whole[round(each.start_s * SAMPLE_RATE_HZ) : round(each.end_s * SAMPLE_RATE_HZ)]
        assert np.abs(inside[: round(0.05 * SAMPLE_RATE_HZ)]).max() > 0.01
        assert np.abs(inside[-round(0.05 * SAMPLE_RATE_HZ) :]).max() > 0.01
    for this, following in pairwise(spoken):
        between = whole[
            round((this.end_s + 0.03) * SAMPLE_RATE_HZ) : round((following.start_s - 0.03) * SAMPLE_RATE_HZ)
        ]
        assert np.abs(between).max() < 0.01


def test_unmended_takes_are_as_the_engine_said_them(espeak: EspeakEngine) -> None:
    takes = [take_of(espeak, text, gain) for text, gain in zip(TEXTS, (0.4, 0.15, 1.0), strict=True)]
    whole = np.concatenate([spoken.samples for spoken in joined(takes, pause_s=0.2, mend=False)])
    expected = np.concatenate([part for take in takes for part in (take.samples, silence(0.2))])
    np.testing.assert_array_equal(whole, expected)


def test_a_segment_without_words_is_reported_and_silent(espeak: EspeakEngine) -> None:
    empty = Take(np.zeros(0, np.float32), 1)
    first, nothing, last = joined([take_of(espeak, TEXTS[0]), empty, take_of(espeak, TEXTS[2])])
    assert (len(nothing.samples), nothing.flags) == (0, ("empty",))
    assert last.start_s > first.end_s
