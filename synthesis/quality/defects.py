"""What can be wrong inside a take, each told from sound alone: silence, steps of loudness, clipping, hum.

Knows nothing of text. What is at the end of a take is in `endings`, a model caught in a loop in `repetition`. Limits
were set on the labelled set of `benchmarks.defects`, with seeds other than the one it reports.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from synthesis.engine import SAMPLE_RATE_HZ, Samples
from synthesis.quality.analysis import HOP_S, SPECTRUM_HOP_S, Analysis
from synthesis.quality.endings import runs, threshold_db

MAX_SILENCE_S = 1.2  # within a segment; a sentence's end takes a third of a second, a slow speaker's one

MAX_STEP_DB = 7.0  # between vowels before and after; a falling melody takes 4 to 6 dB
_VOWELS_DB = 22.0  # below the speech
_VOWEL_VOICING = 0.5
_MIN_STRETCH_S, _NEAR_S = 0.5, 1.0  # of vowels on either side, and how many of them are compared
_PLACE_STEP = 4  # frames: a step is looked for every 80 ms

MAX_FLATNESS = 0.645  # of the samples on a peak's shoulder, those at its top: half for a parabola, all for a plateau
_TOP, _SHOULDER = 0.97, 0.88  # of the peak
_MIN_FLAT_SAMPLES = 16

MAX_HUM_DB = 20.0  # of all harmonics, above what is beside them
_HUM_RATE_DIVISOR = 16  # to 1,500 Hz
_MIN_HUM_S = 1.0  # in less its lines are as broad as a voice's
_MAINS_HZ = (50.0, 60.0)
_MAINS_DRIFT = 0.004  # the share by which a recording's clock and the mains may be off
_HARMONIC_WEIGHTS = (1.0, 0.6, 0.6, 0.6, 0.6)  # a voice has no fundamental, but may have harmonics there
_BESIDE_HZ = 18.0
_MAX_LINE_DB = 30.0


def longest_silence_s(analysis: Analysis, end_s: float) -> float:
    """The longest pause before end_s, that before the first word included."""
    found = runs(analysis.levels_db[: round(end_s / HOP_S)] < threshold_db(analysis))
    return float((found[:, 1] - found[:, 0]).max() * HOP_S) if len(found) else 0.0


def loudness_step_db(analysis: Analysis, end_s: float) -> float:
    """The largest change of level between the vowels before and after any moment."""
    last = round(end_s / SPECTRUM_HOP_S)
    levels = analysis.spectrum_levels_db[:last]
    is_vowel = (levels > analysis.speech_db - _VOWELS_DB) & (analysis.voicing[:last] > _VOWEL_VOICING)
    vowels = levels[is_vowel]
    least, near = round(_MIN_STRETCH_S / SPECTRUM_HOP_S), round(_NEAR_S / SPECTRUM_HOP_S)
    largest = 0.0
    for place in range(least, len(vowels) - least + 1, _PLACE_STEP):
        # The louder ones: how loud a word is, not how many weak syllables it has.
        before = np.percentile(vowels[max(0, place - near) : place], 70)
        after = np.percentile(vowels[place : place + near], 70)
        largest = max(largest, abs(float(before - after)))
    return largest


def flatness(samples: Samples) -> float:
    """How flat the highest peaks are, 0 to 1. Clipping leaves plateaus, also under a watermark or a little noise."""
    magnitudes = np.abs(samples)
    peak = float(magnitudes.max(initial=0.0))
    shoulders = runs(magnitudes >= _SHOULDER * peak) if peak else np.zeros((0, 2), np.int64)
    if not len(shoulders):
        return 0.0
    tops = np.concatenate([[0], np.cumsum(magnitudes >= _TOP * peak)])
    at_top = tops[shoulders[:, 1]] - tops[shoulders[:, 0]]
    widths = (shoulders[:, 1] - shoulders[:, 0])[at_top > 0]
    return float(at_top.sum() / widths.sum()) if at_top.sum() >= _MIN_FLAT_SAMPLES else 0.0


def hum_db(analysis: Analysis) -> float:
    """How far the harmonics of mains hum stand above what is beside them, dB, all together.

    Over the whole take at once: hum keeps its frequency and is a line, a voice moves and is not.
    """
    length = len(analysis.samples) // _HUM_RATE_DIVISOR
    if analysis.duration_s < _MIN_HUM_S:
        return 0.0
    slow = analysis.samples[: length * _HUM_RATE_DIVISOR].reshape(length, -1).mean(axis=1)
    num_bins = 1 << (2 * length - 1).bit_length()
    spectrum = np.fft.rfft(slow * np.hanning(length), num_bins)
    levels_db = 10 * np.log10(np.square(np.abs(spectrum)) + 1e-12)
    bin_hz = SAMPLE_RATE_HZ / _HUM_RATE_DIVISOR / num_bins
    return max(_lines_db(levels_db, mains_hz, bin_hz) for mains_hz in _MAINS_HZ)


def _lines_db(levels_db: NDArray[np.float64], mains_hz: float, bin_hz: float) -> float:
    drifts = 1 + np.linspace(-_MAINS_DRIFT, _MAINS_DRIFT, 41)
    total = np.zeros(len(drifts))
    for harmonic, weight in enumerate(_HARMONIC_WEIGHTS, start=1):
        centre, width = harmonic * mains_hz / bin_hz, _BESIDE_HZ / bin_hz
        beside_db = np.percentile(levels_db[round(centre - width) : round(centre + width)], 75)
        lines_db = levels_db[np.round(centre * drifts).astype(int)]
        total += weight * np.clip(lines_db - beside_db, 0, _MAX_LINE_DB)
    return float(total.max())
