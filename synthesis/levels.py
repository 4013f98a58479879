"""How loud an utterance leaves the house: peak or loudness normalisation by one gain, never a limiter.

Knows nothing of engines or formats.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import soxr

from synthesis.engine import Samples

Normalisation = Literal["peak", "loudness"]

PEAK_DBFS = -1.0  # headroom for what resampling and lossy codecs add
LOUDNESS_LUFS = -18.0  # speech; AES TD1008 (2021), loudness of internet audio streaming and on-demand distribution
TRUE_PEAK_DBFS = -1.0  # the ceiling of the same recommendation
_OVERSAMPLING = 4  # ITU-R BS.1770, annex 2: true peak
_SILENCE_DBFS = -70.0  # the absolute gate of BS.1770; what is quieter is not amplified
_BLOCK_S = 0.4  # a gating block of BS.1770


def normalise(samples: Samples, sample_rate_hz: int, mode: Normalisation | None) -> Samples:
    """samples, (n,) float32 mono, with the gain that `mode` asks for; silence and mode None return them as they are.

    peak: the highest sample comes to PEAK_DBFS. loudness: the integrated loudness (ITU-R BS.1770) comes to
    LOUDNESS_LUFS, or less where the true peak would pass TRUE_PEAK_DBFS.
    """
    if mode is None or not len(samples) or _db(np.abs(samples).max()) < _SILENCE_DBFS:
        return samples
    gain_db = PEAK_DBFS - _db(np.abs(samples).max())
    if mode == "loudness":
        headroom_db = TRUE_PEAK_DBFS - _true_peak_dbfs(samples, sample_rate_hz)
        gain_db = min(LOUDNESS_LUFS - loudness_lufs(samples, sample_rate_hz), headroom_db)
    return (samples * 10 ** (gain_db / 20)).astype(np.float32)


def loudness_lufs(samples: Samples, sample_rate_hz: int) -> float:
    """Integrated loudness; audio shorter than a block is repeated until it fills one."""
    import pyloudnorm  # here, because it imports scipy.signal, which takes half a second

    block = int(np.ceil(_BLOCK_S * sample_rate_hz))
    audio = np.tile(samples, -(-block // len(samples))) if len(samples) < block else samples
    loudness = float(pyloudnorm.Meter(sample_rate_hz, block_size=_BLOCK_S).integrated_loudness(audio))
    return max(loudness, _SILENCE_DBFS)  # -inf where every block is below the gate


def _true_peak_dbfs(samples: Samples, sample_rate_hz: int) -> float:
    oversampled = soxr.resample(samples, sample_rate_hz, _OVERSAMPLING * sample_rate_hz)
    return max(_db(np.abs(oversampled).max()), _db(np.abs(samples).max()))


def _db(amplitude: float) -> float:
    return float(20 * np.log10(max(amplitude, 1e-10)))
