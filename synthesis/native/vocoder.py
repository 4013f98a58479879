"""Mel to waveform: HiFT, a neural source filter whose last step is an inverse Fourier transform.

Our own run of chatterbox `s3gen/hifigan.py:HiFTGenerator` and `f0_predictor.py`. Rows of a batch may differ in length:
after every convolution whatever stands behind a row's end is set back to the zeros it would have met there by itself.
A window of a longer utterance decodes to that utterance's samples, except within CONTEXT_FRAMES of a cut.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor

from synthesis.native.excitation import NUM_HARMONICS, SAMPLES_PER_FRAME, Chance, Excitation
from synthesis.native.layers import Tensors, Weights, visible

CONTEXT_FRAMES = 16  # how far a sample sees, in mel and excitation: the largest kernels reach 15.2 frames
F0_CONTEXT_FRAMES = 5  # how far a frame's F0 sees: five convolutions of 3
_F0_LAYERS = (0, 2, 4, 6, 8)  # the convolutions in `condnet`; an ELU follows each
_UPSAMPLING = (8, 5, 3)
_DILATIONS = (1, 3, 5)
_KERNELS_PER_LEVEL = 3
_SLOPE = 0.1
_FFT_SIZE, _HOP = 16, 4
_MAX_MAGNITUDE = 1e2
_LIMIT = 0.99  # of a sample


class Extent:
    """How much of each row is real, at the several rates of the network."""

    def __init__(self, lengths: Tensor, ragged: bool) -> None:
        """lengths: (B,) mel frames; ragged: whether any row is shorter than the batch."""
        self.lengths, self._ragged = lengths, ragged

    def mask(self, size: int, per_frame: int, extra: int = 0) -> Tensor | None:
        """(B, 1, size) float32 for a rate of so many positions a mel frame; None where there is nothing to mask."""
        return visible(self.lengths * per_frame + extra, size)[:, None].float() if self._ragged else None


def _cut(x: Tensor, mask: Tensor | None) -> Tensor:
    return x if mask is None else x * mask


@dataclass(frozen=True)
class Snake:
    """x + sin^2(ax) / a, a per channel."""

    rate: Tensor  # (1, C, 1)
    scale: Tensor

    @classmethod
    def of(cls, alpha: Tensor) -> Snake:
        rate = alpha[None, :, None]
        return cls(rate, 1.0 / (rate + 1e-9))

    def __call__(self, x: Tensor) -> Tensor:
        return x + self.scale * torch.sin(x * self.rate) ** 2


class ResBlock:
    def __init__(self, weights: Weights) -> None:
        self._steps = [
            (
                Snake.of(weights[f"activations1.{i}.alpha"]),
                weights.conv(f"convs1.{i}", dilation),
                Snake.of(weights[f"activations2.{i}.alpha"]),
                weights.conv(f"convs2.{i}"),
            )
            for i, dilation in enumerate(_DILATIONS)
        ]

    def __call__(self, x: Tensor, mask: Tensor | None) -> Tensor:
        for bend, dilated, bend_again, plain in self._steps:
            x = _cut(plain(bend_again(_cut(dilated(bend(x)), mask))) + x, mask)
        return x


class Level:
    """One upsampling: the signal grows, the excitation is mixed in at the new rate, three kernels refine the sum."""

    def __init__(self, weights: Weights, index: int) -> None:
        self._per_frame = 1
        for rate in _UPSAMPLING[: index + 1]:
            self._per_frame *= rate
        stride = SAMPLES_PER_FRAME // _HOP // self._per_frame  # spectrum frames of the excitation a position
        self._is_last = index == len(_UPSAMPLING) - 1
        self._up = weights.conv_transpose(f"ups.{index}", _UPSAMPLING[index])
        self._down = weights.strided_conv(f"source_downs.{index}", stride, stride // 2)
        self._source = ResBlock(weights.below(f"source_resblocks.{index}"))
        first = index * _KERNELS_PER_LEVEL
        self._refine = [ResBlock(weights.below(f"resblocks.{first + i}")) for i in range(_KERNELS_PER_LEVEL)]

    def __call__(self, x: Tensor, spectrum: Tensor, extent: Extent) -> Tensor:
        x = self._up(F.leaky_relu(x, _SLOPE))
        if self._is_last:
            x = F.pad(x, (1, 0), mode="reflect")  # as many positions as the spectrum has frames
        mask = extent.mask(x.shape[2], self._per_frame, extra=int(self._is_last))
        x = _cut(x, mask) + self._source(_cut(self._down(spectrum), mask), mask)
        first, second, third = (block(x, mask) for block in self._refine)
        return (first + second + third) / _KERNELS_PER_LEVEL


class Vocoder:
    """Stateless. Computes in float32."""

    def __init__(self, tensors: Tensors) -> None:
        """tensors: s3gen.safetensors, or what begins with `mel2wav.` in it, on one device."""
        weights = Weights(tensors, "mel2wav.")
        f0 = weights.below("f0_predictor")
        self._f0_layers = [f0.conv(f"condnet.{i}") for i in _F0_LAYERS]
        self._f0 = f0.linear("classifier")
        self.excitation = Excitation(weights.below("m_source"))
        self._first, self._last = weights.conv("conv_pre"), weights.conv("conv_post")
        self._levels = [Level(weights, i) for i in range(len(_UPSAMPLING))]
        self._window = torch.hann_window(_FFT_SIZE, device=self._f0.weight.device)

    @property
    def device(self) -> torch.device:
        return self._window.device

    @torch.inference_mode()
    def decode(self, mels: list[Tensor], chances: list[Chance]) -> list[Tensor]:
        """Whole utterances. mels: (80, T) float32 each; chances: of 480 T samples. -> (480 T,) float32 each."""
        lengths = [mel.shape[1] for mel in mels]
        extent = Extent(torch.tensor(lengths).to(self.device), ragged=min(lengths) != max(lengths))
        batch = _padded(mels, max(lengths), self.device)
        noise = _padded([chance.noise for chance in chances], max(lengths) * SAMPLES_PER_FRAME, self.device)
        phase = torch.stack([chance.phase for chance in chances]).to(self.device)
        assert noise.shape[1] == NUM_HARMONICS, "noise for each harmonic"
        excitation, _ = self.excitation(self.f0(batch, extent), phase, noise)
        waves = self.shape(batch, excitation, extent)
        return [wave[: length * SAMPLES_PER_FRAME] for wave, length in zip(waves, lengths, strict=True)]

    def f0(self, mel: Tensor, extent: Extent) -> Tensor:
        """(B, 80, T) -> (B, T) in Hz."""
        mask = extent.mask(mel.shape[2], 1)
        for conv in self._f0_layers:
            mel = _cut(F.elu(conv(mel)), mask)
        return self._f0(mel.transpose(1, 2)).squeeze(-1).abs()

    def shape(self, mel: Tensor, excitation: Tensor, extent: Extent) -> Tensor:
        """Mel (B, 80, T) and excitation (B, 480 T) -> waveform (B, 480 T)."""
        num_samples = extent.lengths[:, None] * SAMPLES_PER_FRAME
        spectrum = self._spectrum(excitation, num_samples)
        mask = extent.mask(spectrum.shape[2], SAMPLES_PER_FRAME // _HOP, extra=1)
        spectrum = _cut(spectrum, mask)
        x = _cut(self._first(mel), extent.mask(mel.shape[2], 1))
        for level in self._levels:
            x = level(x, spectrum, extent)
        x = self._last(F.leaky_relu(x))
        magnitude, phase = torch.exp(x[:, : _FFT_SIZE // 2 + 1]), torch.sin(x[:, _FFT_SIZE // 2 + 1 :])
        return self._wave(torch.polar(magnitude.clip(max=_MAX_MAGNITUDE), phase), mask).clamp(-_LIMIT, _LIMIT)

    def _spectrum(self, excitation: Tensor, num_samples: Tensor) -> Tensor:
        """(B, samples) -> real and imaginary parts, (B, 18, samples / 4 + 1); each row mirrored at its own ends."""
        half = _FFT_SIZE // 2
        index = torch.arange(-half, excitation.shape[1] + half, device=self.device)[None].abs()
        index = torch.where(index < num_samples, index, (2 * (num_samples - 1) - index).clamp(min=0))
        mirrored = excitation.gather(1, index.expand(excitation.shape[0], -1))
        spectrum = torch.stft(mirrored, _FFT_SIZE, _HOP, window=self._window, center=False, return_complex=True)
        return torch.cat([spectrum.real, spectrum.imag], dim=1)

    def _wave(self, spectrum: Tensor, mask: Tensor | None) -> Tensor:
        """Inverse of the transform, each row as if it ended at its own end. (B, 9, frames) -> (B, (frames - 1) * 4)"""
        frames = _cut(torch.fft.irfft(spectrum, _FFT_SIZE, 1) * self._window[None, :, None], mask)
        weights = _cut((self._window**2)[None, :, None].expand(1, -1, frames.shape[2]), mask)
        wave = self._overlapped(frames) / self._overlapped(weights).clamp(min=1e-11)
        half = _FFT_SIZE // 2
        return wave[:, half : wave.shape[1] - half]

    def _overlapped(self, frames: Tensor) -> Tensor:
        """Windowed frames added up where they overlap. (B, 16, frames) -> (B, (frames - 1) * 4 + 16)"""
        size = (frames.shape[2] - 1) * _HOP + _FFT_SIZE
        return F.fold(frames, (1, size), (1, _FFT_SIZE), stride=(1, _HOP))[:, 0, 0]


def _padded(rows: list[Tensor], size: int, device: torch.device) -> Tensor:
    """(C, T) each -> (B, C, size), zeros on the right."""
    batch = torch.zeros(len(rows), rows[0].shape[0], size, device=device)
    for padded, row in zip(batch, rows, strict=True):
        padded[:, : row.shape[1]] = row.to(device)
    return batch
