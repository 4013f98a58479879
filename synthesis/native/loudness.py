"""How loud a clip is (ITU-R BS.1770), as upstream measures what the turbo model listens to: with pyloudnorm 0.2's
filters and gates, but without scipy, whose import takes half a second.

Filters work on the spectrum, which equals running them, as their responses are over in a fraction of a second.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from synthesis.engine import SAMPLE_RATE_HZ, Samples

_BLOCK_S, _STEP = 0.4, 0.25  # of a block, from one to the next
_FLOOR_LUFS = -70.0  # blocks below it are silence
_GATE_LU = -10.0  # blocks so far below the mean of the rest are pauses
_OFFSET_LUFS = -0.691
_SHELF_DB, _SHELF_Q, _SHELF_HZ = 4.0, 1 / math.sqrt(2), 1500.0  # the head
_HIGH_PASS_Q, _HIGH_PASS_HZ = 0.5, 38.0
_DECAY_SAMPLES = SAMPLE_RATE_HZ  # after a second the slower response is at e^-238


def at_loudness(samples: Samples, lufs: float) -> Samples:
    """The clip with the gain that brings it to `lufs`; as it is where it holds no sound. (n,) at 24 kHz -> (n,)"""
    gain = np.float32(10.0 ** ((lufs - integrated_lufs(samples)) / 20.0))
    return samples * gain if np.isfinite(gain) and gain > 0 else samples


def integrated_lufs(samples: Samples) -> float:
    """Of (n,) float32 at 24 kHz, n >= 0.4 s; -inf where nothing is above the floor."""
    filtered = _filtered(_filtered(samples, *_shelf()), *_high_pass())
    num_blocks = round((len(samples) / SAMPLE_RATE_HZ - _BLOCK_S) / (_BLOCK_S * _STEP)) + 1
    bounds = [
        (int(_BLOCK_S * (i * _STEP) * SAMPLE_RATE_HZ), int(_BLOCK_S * (i * _STEP + 1) * SAMPLE_RATE_HZ))
        for i in range(num_blocks)
    ]
    per_block = 1.0 / (_BLOCK_S * SAMPLE_RATE_HZ)
    powers = np.array([per_block * np.sum(np.square(filtered[start:end])) for start, end in bounds], dtype=np.float64)
    levels = _lufs(powers)
    loud = levels >= _FLOOR_LUFS
    if not loud.any():
        return -math.inf
    gate = float(_lufs(powers[loud].mean())) + _GATE_LU
    counted = (levels > gate) & (levels > _FLOOR_LUFS)
    return float(_lufs(powers[counted].mean()))


def _lufs(power: NDArray[np.float64] | np.floating) -> NDArray[np.float64]:
    with np.errstate(divide="ignore"):
        return np.asarray(_OFFSET_LUFS + 10.0 * np.log10(power))


Biquad = tuple[NDArray[np.float64], NDArray[np.float64]]  # numerator and denominator, by delay


def _shelf() -> Biquad:
    """A high shelf as in R. Bristow-Johnson's "Cookbook formulae for audio EQ biquad filter coefficients"."""
    amplitude = 10 ** (_SHELF_DB / 40.0)
    turn = 2 * math.pi * _SHELF_HZ / SAMPLE_RATE_HZ
    cosine, width = math.cos(turn), 2 * math.sqrt(amplitude) * math.sin(turn) / (2 * _SHELF_Q)
    more, less = amplitude + 1, amplitude - 1
    above = amplitude * np.array(
        [more + less * cosine + width, -2 * (less + more * cosine), more + less * cosine - width]
    )
    return above, np.array([more - less * cosine + width, 2 * (less - more * cosine), more - less * cosine - width])


def _high_pass() -> Biquad:
    """From the same cookbook."""
    turn = 2 * math.pi * _HIGH_PASS_HZ / SAMPLE_RATE_HZ
    cosine, width = math.cos(turn), math.sin(turn) / (2 * _HIGH_PASS_Q)
    above = (1 + cosine) * np.array([0.5, -1.0, 0.5])
    return above, np.array([1 + width, -2 * cosine, 1 - width])


def _filtered(samples: Samples, above: NDArray[np.float64], below: NDArray[np.float64]) -> Samples:
    size = 1 << (len(samples) + _DECAY_SAMPLES - 1).bit_length()  # a transform of an odd size takes 20 times as long
    response = np.fft.rfft(above, size) / np.fft.rfft(below, size)
    filtered = np.fft.irfft(np.fft.rfft(samples.astype(np.float64), size) * response, size)
    return filtered[: len(samples)].astype(np.float32)
