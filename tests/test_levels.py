"""Normalisation reaches its target, never clips, and leaves silence alone."""

from __future__ import annotations

import numpy as np
import pyloudnorm
import pytest
import soxr
from hypothesis import given
from hypothesis import strategies as st

from synthesis import SAMPLE_RATE_HZ, Samples, normalise
from synthesis.levels import LOUDNESS_LUFS, PEAK_DBFS, TRUE_PEAK_DBFS

CEILING = 10 ** (TRUE_PEAK_DBFS / 20)


def tone(seconds: float, amplitude: float = 0.1, f0_hz: float = 200.0) -> Samples:
    time_s = np.arange(round(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    return (amplitude * np.sin(2 * np.pi * f0_hz * time_s)).astype(np.float32)


def loudness_lufs(samples: Samples) -> float:
    return float(pyloudnorm.Meter(SAMPLE_RATE_HZ).integrated_loudness(samples.astype(np.float64)))


@pytest.mark.parametrize("gain", [0.01, 0.5, 4.0])
def test_the_peak_comes_to_its_level(speech: Samples, gain: float) -> None:
    levelled = normalise(gain * speech, SAMPLE_RATE_HZ, "peak")
    assert 20 * np.log10(np.abs(levelled).max()) == pytest.approx(PEAK_DBFS, abs=0.01)
    assert levelled.dtype == np.float32


@pytest.mark.parametrize("amplitude", [0.002, 0.1, 2.0])
def test_the_loudness_comes_to_its_level(amplitude: float) -> None:
    assert loudness_lufs(normalise(tone(2, amplitude), SAMPLE_RATE_HZ, "loudness")) == pytest.approx(
        LOUDNESS_LUFS, abs=0.1
    )


@pytest.mark.parametrize("gain", [0.05, 1.0, 3.0])
def test_speech_comes_to_one_loudness_whatever_its_level(speech: Samples, gain: float) -> None:
    levelled = normalise(gain * speech, SAMPLE_RATE_HZ, "loudness")
    assert levelled == pytest.approx(normalise(speech, SAMPLE_RATE_HZ, "loudness"), abs=1e-5)
    assert LOUDNESS_LUFS - 3 < loudness_lufs(levelled) < LOUDNESS_LUFS + 0.1


def test_peaks_bound_the_loudness() -> None:
    clicks = np.zeros(2 * SAMPLE_RATE_HZ, np.float32)
    clicks[::4000] = 0.5
    levelled = normalise(clicks, SAMPLE_RATE_HZ, "loudness")
    assert loudness_lufs(levelled) < LOUDNESS_LUFS - 1
    assert np.abs(levelled).max() == pytest.approx(CEILING, rel=0.01)


def test_the_ceiling_holds_between_the_samples() -> None:
    crest = 10 * tone(1, f0_hz=SAMPLE_RATE_HZ / 4 - 0.1) + 0.0  # its peaks fall between samples
    crest[12_000:] = 0
    crest[:11_000] *= 0.001
    levelled = normalise(crest, SAMPLE_RATE_HZ, "loudness")
    assert np.abs(soxr.resample(levelled, SAMPLE_RATE_HZ, 8 * SAMPLE_RATE_HZ)).max() <= CEILING * 1.02


@pytest.mark.parametrize("mode", ["peak", "loudness"])
@pytest.mark.parametrize("num_samples", [1, 10, 2_400, 9_599])
def test_audio_shorter_than_a_loudness_block_is_levelled(mode: str, num_samples: int) -> None:
    levelled = normalise(tone(0.5, f0_hz=997)[5 : 5 + num_samples], SAMPLE_RATE_HZ, mode)
    assert len(levelled) == num_samples
    assert 0.05 < np.abs(levelled).max() <= CEILING * 1.001


def test_the_loudness_of_short_audio_is_that_of_the_same_tone_held_on() -> None:
    short, long = (normalise(tone(seconds), SAMPLE_RATE_HZ, "loudness") for seconds in (0.2, 3))
    assert np.abs(short).max() == pytest.approx(np.abs(long).max(), rel=0.05)


@pytest.mark.parametrize("mode", ["peak", "loudness", None])
@pytest.mark.parametrize("amplitude", [0.0, 1e-5])
def test_silence_is_not_amplified(mode: str | None, amplitude: float) -> None:
    silence = tone(1, amplitude)
    assert np.array_equal(normalise(silence, SAMPLE_RATE_HZ, mode), silence)
    assert len(normalise(silence[:0], SAMPLE_RATE_HZ, mode)) == 0


def test_without_a_mode_nothing_changes(speech: Samples) -> None:
    assert normalise(speech, SAMPLE_RATE_HZ, None) is speech


@given(st.lists(st.floats(-4, 4, width=32), min_size=1, max_size=2000), st.sampled_from(["peak", "loudness"]))
def test_no_audio_is_made_to_clip(values: list[float], mode: str) -> None:
    levelled = normalise(np.array(values, dtype=np.float32), SAMPLE_RATE_HZ, mode)
    assert np.isfinite(levelled).all()
    assert np.abs(levelled).max() <= max(CEILING * 1.001, 10 ** (-70 / 20))
