"""What is measured of a piece of speech, once, for all the checks: levels, spectra, voicing. Vectorised; numpy alone.

Knows no defects: it says how loud, how voiced and how coloured every moment is.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from synthesis.engine import SAMPLE_RATE_HZ, Samples

Array = NDArray[np.float32]

HOP_S = 0.01
FRAME_S = 0.02  # long enough for two periods of a low voice, short enough to see a plosive
SPECTRUM_HOP_S = 0.02

_HOP, _FRAME = round(HOP_S * SAMPLE_RATE_HZ), round(FRAME_S * SAMPLE_RATE_HZ)
_SPECTRUM_HOP, _WINDOW = round(SPECTRUM_HOP_S * SAMPLE_RATE_HZ), 1024  # 43 ms: three periods at 70 Hz
_FFT = 2 * _WINDOW  # so that an autocorrelation does not wrap
_HANN = np.hanning(_WINDOW).astype(np.float32)
_MIN_F0_HZ, _MAX_F0_HZ = 70, 400
_LAGS = slice(SAMPLE_RATE_HZ // _MAX_F0_HZ, SAMPLE_RATE_HZ // _MIN_F0_HZ)
_NUM_BANDS = 24
_RUMBLE_HZ = 100.0
_LOWEST_BAND_HZ, _HIGHEST_BAND_HZ = 80.0, 8000.0
_SPEECH_RANGE_DB = 15.0  # what is that much below the loudest frames is between words, not in them
_NOTHING_DB = -120.0


def _autocorrelation_of_window() -> Array:
    spectrum = np.fft.rfft(_HANN.astype(np.float64), _FFT)
    correlation = np.fft.irfft(np.abs(spectrum) ** 2, _FFT)[:_WINDOW]
    return np.asarray(correlation / correlation[0], np.float32)


def _mel_bands() -> Array:
    """(bins, bands): triangles on the mel scale (O'Shaughnessy 1987), as wide as the ear's."""

    def mel(hz: float) -> float:
        return float(2595 * np.log10(1 + hz / 700))

    edges_mel = np.linspace(mel(_LOWEST_BAND_HZ), mel(_HIGHEST_BAND_HZ), _NUM_BANDS + 2)
    edges_hz = 700 * (10 ** (edges_mel / 2595) - 1)
    bins_hz = np.fft.rfftfreq(_FFT, 1 / SAMPLE_RATE_HZ)[:, None]
    rising = (bins_hz - edges_hz[:-2]) / (edges_hz[1:-1] - edges_hz[:-2])
    falling = (edges_hz[2:] - bins_hz) / (edges_hz[2:] - edges_hz[1:-1])
    return np.clip(np.minimum(rising, falling), 0, None).astype(np.float32)


_WINDOW_CORRELATION = _autocorrelation_of_window()
_MEL_BANDS = _mel_bands()


def decibels(power: Array | float) -> Array:
    """Of powers, full scale 0 dB."""
    return np.asarray(10 * np.log10(np.maximum(power, 10 ** (_NOTHING_DB / 10))), np.float32)


class Analysis:
    """samples: (n,) float32 at 24 kHz. Frames of levels come every HOP_S, those of spectra every SPECTRUM_HOP_S."""

    def __init__(self, samples: Samples) -> None:
        self.samples = samples
        self.duration_s = len(samples) / SAMPLE_RATE_HZ

    @cached_property
    def above_rumble(self) -> Samples:
        """Without what is below a voice: the rumble and hum of a room would count as sound in every pause."""
        from scipy.signal import butter, sosfilt  # here, because it takes half a second

        highpass = butter(2, _RUMBLE_HZ, "highpass", fs=SAMPLE_RATE_HZ, output="sos")
        return np.asarray(sosfilt(highpass, self.samples), np.float32)

    @cached_property
    def levels_db(self) -> Array:
        """(frames,) RMS of FRAME_S from i * HOP_S on, dBFS; the last ones hold what is left."""
        squares = np.concatenate([[0.0], np.cumsum(np.square(self.above_rumble, dtype=np.float64))])
        starts = np.arange(0, len(self.samples), _HOP)
        ends = np.minimum(starts + _FRAME, len(self.samples))
        return decibels((squares[ends] - squares[starts]) / np.maximum(ends - starts, 1))

    @cached_property
    def speech_db(self) -> float:
        """The level of what is said, without what is between the words, dBFS."""
        if not len(self.levels_db):
            return _NOTHING_DB
        loud = self.levels_db[self.levels_db > np.percentile(self.levels_db, 95) - _SPEECH_RANGE_DB]
        return float(decibels(np.mean(10 ** (loud / 10))))

    @cached_property
    def floor_db(self) -> float:
        """The level of the quietest moments, dBFS."""
        return float(np.percentile(self.levels_db, 5)) if len(self.levels_db) else _NOTHING_DB

    @cached_property
    def _spectra(self) -> NDArray[np.complex64]:
        """(frames, bins), Hann-windowed."""
        padded = np.pad(self.above_rumble, (_WINDOW // 2, _WINDOW))
        count = -(-len(self.samples) // _SPECTRUM_HOP)
        frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::_SPECTRUM_HOP][:count]
        return _rfft(frames * _HANN)

    @cached_property
    def powers(self) -> Array:
        """(frames, bins) power spectra; frame i is centred at i * SPECTRUM_HOP_S."""
        return np.square(self._spectra.real) + np.square(self._spectra.imag)

    @cached_property
    def voicing(self) -> Array:
        """(frames,) how periodic, 0 to 1: the highest normalised autocorrelation at a pitch (Boersma 1993)."""
        correlation = _irfft(self.powers)
        at_pitches = correlation[:, _LAGS] / _WINDOW_CORRELATION[_LAGS]
        return np.asarray(np.clip(at_pitches.max(axis=1) / np.maximum(correlation[:, 0], 1e-9), 0, 1), np.float32)

    @cached_property
    def bands_db(self) -> Array:
        """(frames, bands) of the mel scale."""
        return decibels(self.powers @ _MEL_BANDS)

    @cached_property
    def spectrum_levels_db(self) -> Array:
        """(frames,) level at the spectra's frames, dBFS."""
        window_power = float(np.square(_HANN).sum()) * _FFT / 2
        return decibels(self.powers.sum(axis=1) / window_power)


def _rfft(frames: Array) -> NDArray[np.complex64]:
    return np.fft.rfft(frames, _FFT).astype(np.complex64)


def _irfft(powers: Array) -> Array:
    return np.fft.irfft(powers, _FFT)[:, : _LAGS.stop].astype(np.float32)
