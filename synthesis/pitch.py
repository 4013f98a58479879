"""The fundamental frequency (F0) of a voice, from audio alone.

YIN (de Cheveigné & Kawahara, "YIN, a fundamental frequency estimator for speech and music", JASA 111(4), 2002), steps
2 to 5 of the paper: difference function, cumulative mean normalisation, absolute threshold, parabolic interpolation.
Plain numpy, because librosa's version costs seconds of just-in-time compilation in a fresh process. Knows nothing of
engines or voices.
"""

from __future__ import annotations

import numpy as np
import soxr
from numpy.typing import NDArray

MIN_F0_HZ = 55.0  # below the deepest speaking voices
MAX_F0_HZ = 500.0  # above children's
_ANALYSIS_RATE_HZ = 4_000  # the strong lower harmonics only: what lies above is less periodic
_WINDOW_S = 0.032  # the stretch compared with its delayed self
_HOP_S = 0.010
_MAX_APERIODICITY = 0.3  # the paper's 0.1 loses most frames of deep voices; with 0.3 the median is still pYIN's
_QUIET_DB = -30.0  # frames this far below the loud ones are breath, room and reverberation
_MIN_VOICED_S = 0.1
_MAX_ANALYSED_S = 60.0  # the median has long settled


def median_f0_hz(samples: NDArray[np.float32], sample_rate_hz: int) -> float | None:
    """The median F0 over the voiced frames of samples, (n,) float32 mono; None where hardly any frame is voiced."""
    f0_hz = f0_track_hz(samples[: int(_MAX_ANALYSED_S * sample_rate_hz)], sample_rate_hz)
    voiced = f0_hz[~np.isnan(f0_hz)]
    if len(voiced) * _HOP_S < _MIN_VOICED_S:
        return None
    return float(np.median(voiced))


def f0_track_hz(samples: NDArray[np.float32], sample_rate_hz: int) -> NDArray[np.float64]:
    """F0 every 10 ms, (frames,) float64 in Hz; NaN where a frame is unvoiced or quiet."""
    audio = soxr.resample(np.asarray(samples, dtype=np.float64), sample_rate_hz, _ANALYSIS_RATE_HZ)
    window, hop = int(_WINDOW_S * _ANALYSIS_RATE_HZ), int(_HOP_S * _ANALYSIS_RATE_HZ)
    max_lag = int(_ANALYSIS_RATE_HZ / MIN_F0_HZ) + 2
    if len(audio) < window + max_lag:
        return np.full(0, np.nan)
    frames = np.lib.stride_tricks.sliding_window_view(audio, window + max_lag)[::hop]  # (frames, window + max_lag)
    aperiodicity = _normalised_difference(frames, window, max_lag)
    f0_hz = _pick_period(aperiodicity)
    power = np.mean(frames[:, :window] ** 2, axis=1)
    loud = np.percentile(power, 95)
    f0_hz[power <= loud * 10 ** (_QUIET_DB / 10)] = np.nan
    return f0_hz


def _normalised_difference(frames: NDArray[np.float64], window: int, max_lag: int) -> NDArray[np.float64]:
    """YIN's d'(lag), (frames, max_lag): 0 where the frame equals itself one lag later, about 1 where it is unlike."""
    fft_size = 1 << (frames.shape[1] + window - 1).bit_length()
    spectrum = np.fft.rfft(frames, fft_size)
    head = np.fft.rfft(frames[:, :window], fft_size)
    correlation = np.fft.irfft(spectrum * head.conj(), fft_size)[:, :max_lag]
    energy = np.cumsum(np.pad(frames**2, ((0, 0), (1, 0))), axis=1)
    power = (energy[:, window:] - energy[:, :-window])[:, :max_lag]  # of the window at each lag
    difference = np.maximum(power[:, :1] + power - 2 * correlation, 0.0)
    running_mean = np.cumsum(difference[:, 1:], axis=1) / np.arange(1, max_lag)
    normalised = np.ones_like(difference)
    np.divide(difference[:, 1:], running_mean, out=normalised[:, 1:], where=running_mean > 0)
    return normalised


def _pick_period(aperiodicity: NDArray[np.float64]) -> NDArray[np.float64]:
    """The first dip below the threshold, refined between samples, as a frequency; NaN where there is none."""
    min_lag = int(_ANALYSIS_RATE_HZ / MAX_F0_HZ)
    left, middle, right = aperiodicity[:, :-2], aperiodicity[:, 1:-1], aperiodicity[:, 2:]
    dip = (middle < _MAX_APERIODICITY) & (middle <= left) & (middle < right)
    dip[:, : min_lag - 1] = False
    first = np.argmax(dip, axis=1)
    rows = np.arange(len(aperiodicity))
    a, b, c = left[rows, first], middle[rows, first], right[rows, first]
    curvature = a - 2 * b + c
    shift = np.divide(0.5 * (a - c), curvature, out=np.zeros_like(curvature), where=curvature > 0)
    return np.where(dip[rows, first], _ANALYSIS_RATE_HZ / (first + 1 + shift), np.nan)
