"""Reference audio as the networks want to hear it: other rates, spectrograms, without the silence around it.

What upstream computes with librosa, numba, scipy and torchaudio, computed with numpy, soxr and torch alone, to the same
bits where the same operations exist (tests/test_native_reference.py has the differences). Waveforms are mono, full
scale ±1. Knows nothing of networks.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from numpy.typing import NDArray
from torch import Tensor

from synthesis.engine import SAMPLE_RATE_HZ, Samples

LOW_RATE_HZ = 16_000  # what the speech tokenizer and both speaker encoders hear
LOW_HOP = LOW_RATE_HZ // 100  # 10 ms
LOW_WINDOW = LOW_RATE_HZ // 40  # 25 ms


def resample(samples: Samples, from_hz: int, to_hz: int) -> Samples:
    """As `librosa.resample`: soxr's high quality, ceil(n * to / from) samples, float32."""
    import soxr  # only an unseen voice and the watermark need it

    size = math.ceil(len(samples) * to_hz / from_hz)
    resampled = np.zeros(size, dtype=np.float32)
    given = soxr.resample(samples, from_hz, to_hz, quality="soxr_hq")[:size]
    resampled[: len(given)] = given
    return resampled


def resample_by_sinc(wave: Tensor) -> Tensor:
    """24 to 16 kHz as torchaudio's default `Resample` has it: (n,) float32 -> (ceil(2n / 3),).

    A sinc of 6 zero crossings under a Hann window, cut off at 99 % of the lower rate, one kernel a phase.
    """
    crossings, rolloff = 6, 0.99
    step, num_phases = 3, 2  # 24 : 16
    rate = num_phases * rolloff
    width = math.ceil(crossings * step / rate)
    taps = torch.arange(-width, width + step, dtype=torch.float64)[None, None] / step
    times = (torch.arange(0, -num_phases, -1)[:, None, None] / num_phases + taps) * rate
    times = times.clamp(-crossings, crossings)
    window = torch.cos(times * math.pi / crossings / 2) ** 2
    times = times * math.pi
    kernels = torch.where(times == 0, 1.0, times.sin() / times) * (window * (rate / step))
    padded = F.pad(wave, (width, width + step))[None, None]
    phases = F.conv1d(padded, kernels.to(wave), stride=step)  # (1, 2, n / 3)
    return phases[0].T.reshape(-1)[: math.ceil(num_phases * len(wave) / step)]


@functools.cache
def mel_filters(rate_hz: int, fft_size: int, num_bins: int, max_hz: float) -> NDArray[np.float32]:
    """Triangles of equal area on Slaney's mel scale from 0 Hz on: `librosa.filters.mel`. (num_bins, fft_size/2 + 1)"""
    frequencies = np.fft.rfftfreq(n=fft_size, d=1.0 / rate_hz)
    edges = _slaney_hz(np.linspace(0.0, _slaney_mel(max_hz), num_bins + 2))
    ramps, widths = np.subtract.outer(edges, frequencies), np.diff(edges)
    filters = np.zeros((num_bins, len(frequencies)), dtype=np.float32)
    for i in range(num_bins):
        filters[i] = np.maximum(0, np.minimum(-ramps[i] / widths[i], ramps[i + 2] / widths[i + 1]))
    filters *= (2.0 / (edges[2:] - edges[:-2]))[:, None]
    return filters


_LINEAR_HZ = 200.0 / 3  # a mel below 1000 Hz; above it, 27 mels are a factor of 6.4
_KNEE_HZ = 1000.0
_LOG_STEP = np.log(6.4) / 27.0


def _slaney_mel(hz: float) -> float:
    return float(_KNEE_HZ / _LINEAR_HZ + np.log(hz / _KNEE_HZ) / _LOG_STEP) if hz >= _KNEE_HZ else hz / _LINEAR_HZ


def _slaney_hz(mels: NDArray[np.float64]) -> NDArray[np.float64]:
    knee = _KNEE_HZ / _LINEAR_HZ
    return np.where(mels >= knee, _KNEE_HZ * np.exp(_LOG_STEP * (mels - knee)), _LINEAR_HZ * mels)


def decoder_mel(wave: Tensor) -> Tensor:
    """S3Gen's mel: (n,) at 24 kHz -> (n / 480, 80) float32, natural log of magnitudes (`s3gen/utils/mel.py`)."""
    fft_size, hop = 1920, 480
    filters = torch.from_numpy(mel_filters(SAMPLE_RATE_HZ, fft_size, 80, 8000.0)).to(wave)
    side = (fft_size - hop) // 2
    padded = F.pad(wave[None, None], (side, side), mode="reflect")[0]
    window = torch.hann_window(fft_size, device=wave.device)
    spectrum = torch.view_as_real(torch.stft(padded, fft_size, hop, window=window, center=False, return_complex=True))
    magnitudes = torch.sqrt(spectrum.pow(2).sum(-1) + 1e-9)
    return torch.log(torch.clamp(filters @ magnitudes, min=1e-5))[0].T


def tokenizer_mel(wave: Tensor) -> Tensor:
    """The speech tokenizer's mel: (n,) at 16 kHz -> (1, 128, n / 160), Whisper's scaling of log10 power."""
    filters = torch.from_numpy(mel_filters(LOW_RATE_HZ, LOW_WINDOW, 128, LOW_RATE_HZ / 2)).to(wave)
    window = torch.hann_window(LOW_WINDOW, device=wave.device)
    spectrum = torch.stft(wave[None], LOW_WINDOW, LOW_HOP, window=window, return_complex=True)
    power = torch.clamp(filters @ spectrum[..., :-1].abs() ** 2, min=1e-10).log10()
    return (torch.maximum(power, power.max() - 8.0) + 4.0) / 4.0


def kaldi_filterbank(wave: Tensor) -> Tensor:
    """Kaldi's log mel energies less their mean, as CAMPPlus hears: (n,) at 16 kHz -> (frames, 80).

    Frames of 25 ms every 10 ms, only whole ones; without dither, as upstream asks `torchaudio.compliance.kaldi.fbank`.
    """
    fft_size, preemphasis = 512, 0.97
    frames = wave.unfold(0, LOW_WINDOW, LOW_HOP)
    frames = frames - frames.mean(dim=1, keepdim=True)
    before = F.pad(frames[None], (1, 0), mode="replicate")[0, :, :-1]
    povey = torch.hann_window(LOW_WINDOW, periodic=False, device=wave.device).pow(0.85)
    frames = F.pad((frames - preemphasis * before) * povey, (0, fft_size - LOW_WINDOW))
    power = torch.fft.rfft(frames).abs().pow(2.0)
    energies = power @ _kaldi_filters(fft_size, 80).to(wave).T
    energies = torch.clamp(energies, min=torch.finfo(torch.float32).eps).log()
    return energies - energies.mean(dim=0, keepdim=True)


def _kaldi_filters(fft_size: int, num_bins: int) -> Tensor:
    """Triangles between 20 Hz and half the rate, of equal height and even on HTK's mel scale."""
    low, high = (1127.0 * math.log(1.0 + hz / 700.0) for hz in (20.0, LOW_RATE_HZ / 2))
    step = (high - low) / (num_bins + 1)
    bins = torch.arange(num_bins)[:, None]
    left, centre, right = low + bins * step, low + (bins + 1.0) * step, low + (bins + 2.0) * step
    mels = 1127.0 * (1.0 + LOW_RATE_HZ / fft_size * torch.arange(fft_size / 2) / 700.0).log()
    triangles = torch.min((mels - left) / (centre - left), (right - mels) / (right - centre))
    return F.pad(triangles.clamp(min=0), (0, 1))  # nothing of the last, highest frequency


def without_silence(samples: Samples, top_db: float = 20.0) -> Samples:
    """What is left between the first and the last frame less than top_db below the loudest: `librosa.effects.trim`."""
    frame, hop = 2048, 512
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(samples, frame // 2), frame)[::hop]
    power = np.mean(np.abs(frames) ** 2, axis=-1)
    power = np.sqrt(power) ** 2  # librosa goes through the amplitude, and rounds there
    floor = 1e-10
    level_db = 10 * np.log10(np.maximum(floor, power)) - 10 * np.log10(max(floor, power.max()))
    (sounding,) = np.nonzero(level_db > -top_db)
    if not len(sounding):
        return samples[:0]
    return samples[sounding[0] * hop : min(len(samples), (sounding[-1] + 1) * hop)]


def voice_mel(samples: Samples) -> NDArray[np.float32]:
    """The voice encoder's mel: (n,) at 16 kHz -> (1 + n / 160, 40) float32, power, not log (`melspec.py`)."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(LOW_WINDOW) / LOW_WINDOW)
    padded = np.pad(samples, LOW_WINDOW // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, LOW_WINDOW)[::LOW_HOP]
    spectrum = np.fft.rfft(frames * window.astype(np.float32), axis=-1).astype(np.complex64)
    filters = mel_filters(LOW_RATE_HZ, LOW_WINDOW, 40, LOW_RATE_HZ / 2)
    return np.asarray((filters @ (np.abs(spectrum) ** 2).T).T, dtype=np.float32)
