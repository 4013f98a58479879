"""The F0 estimator on signals whose F0 is known, and against another algorithm on speech."""

from __future__ import annotations

import numpy as np
import pytest

from synthesis import SAMPLE_RATE_HZ, Samples, SynthesisOptions
from synthesis.espeak import EspeakEngine, EspeakVoice
from synthesis.pitch import MAX_F0_HZ, MIN_F0_HZ, f0_track_hz, median_f0_hz

SECOND_S = np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ


def buzz(f0_hz: float) -> Samples:
    """A second of a voice-like tone: harmonics to 3 kHz that fall by 6 dB an octave."""
    harmonics = np.arange(1, int(3_000 / f0_hz) + 1)
    tone = sum(np.sin(2 * np.pi * f0_hz * harmonic * SECOND_S) / harmonic for harmonic in harmonics)
    return (0.2 * tone).astype(np.float32)


@pytest.mark.parametrize("f0_hz", [60, 80, 110, 147.3, 200, 261.6, 330, 450])
def test_a_steady_tone_is_measured_within_one_percent(f0_hz: float) -> None:
    assert median_f0_hz(buzz(f0_hz), SAMPLE_RATE_HZ) == pytest.approx(f0_hz, rel=0.01)


def test_the_level_does_not_matter() -> None:
    assert median_f0_hz(0.001 * buzz(120), SAMPLE_RATE_HZ) == pytest.approx(median_f0_hz(buzz(120), SAMPLE_RATE_HZ))


def test_a_missing_fundamental_is_still_the_pitch() -> None:
    telephone = buzz(120) - (0.2 * np.sin(2 * np.pi * 120 * SECOND_S)).astype(np.float32)
    assert median_f0_hz(telephone, SAMPLE_RATE_HZ) == pytest.approx(120, rel=0.01)


def test_noise_pauses_and_a_constant_do_not_move_the_median() -> None:
    noise = np.random.default_rng(0).normal(0, 0.02, 5 * SAMPLE_RATE_HZ).astype(np.float32)
    speech = np.concatenate([np.zeros(SAMPLE_RATE_HZ, np.float32), buzz(180), np.zeros_like(buzz(180)), buzz(180)])
    audio = 0.05 + np.pad(speech, (0, SAMPLE_RATE_HZ)) + noise
    assert median_f0_hz(audio.astype(np.float32), SAMPLE_RATE_HZ) == pytest.approx(180, rel=0.02)


def test_noise_and_silence_have_no_pitch() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.1, 5 * SAMPLE_RATE_HZ).astype(np.float32)
    assert median_f0_hz(noise, SAMPLE_RATE_HZ) is None
    assert median_f0_hz(np.cumsum(noise).astype(np.float32) / 1000, SAMPLE_RATE_HZ) is None  # brown noise
    assert median_f0_hz(np.zeros(SAMPLE_RATE_HZ, np.float32), SAMPLE_RATE_HZ) is None


@pytest.mark.parametrize("num_samples", [0, 1, 100, 1000])
def test_audio_too_short_for_a_pitch_has_none(num_samples: int) -> None:
    assert median_f0_hz(buzz(200)[:num_samples], SAMPLE_RATE_HZ) is None


def test_the_track_is_in_range_every_10_ms() -> None:
    track = f0_track_hz(buzz(200), SAMPLE_RATE_HZ)
    assert 90 <= len(track) <= 100
    voiced = track[~np.isnan(track)]
    assert ((voiced > MIN_F0_HZ * 0.95) & (voiced < MAX_F0_HZ * 1.05)).all()


@pytest.mark.parametrize("spoken_f0_hz", [95.0, 210.0])
def test_speech_is_measured_as_pyin_measures_it(espeak: EspeakEngine, spoken_f0_hz: float) -> None:
    """The engine is calibrated with our estimator, so another algorithm has to agree."""
    import librosa

    speech = espeak.synthesize(
        "We all went home in the morning.", EspeakVoice.from_f0(spoken_f0_hz), SynthesisOptions()
    )
    f0_hz, voiced, _ = librosa.pyin(speech, fmin=MIN_F0_HZ, fmax=MAX_F0_HZ, sr=SAMPLE_RATE_HZ)
    assert median_f0_hz(speech, SAMPLE_RATE_HZ) == pytest.approx(np.median(f0_hz[voiced]), rel=0.03)
    assert np.median(f0_hz[voiced]) == pytest.approx(spoken_f0_hz, rel=0.1)
