"""What the vocoder shapes into speech: harmonics of the pitch where there is one, noise where there is none.

Follows chatterbox `s3gen/hifigan.py:SineGen` and `SourceModuleHnNSF`, with the random numbers brought along. The
harmonics' phase runs on from the first sample of an utterance; where an utterance is worked through in pieces, the
phase reached is handed from one to the next, so that pieces equal the whole.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from synthesis.engine import SAMPLE_RATE_HZ
from synthesis.native.layers import Weights

SAMPLES_PER_FRAME = 480  # 50 mel frames a second
NUM_HARMONICS = 9  # the pitch itself and 8 overtones
_VOICED_ABOVE_HZ = 10  # chatterbox `s3gen.py` and `hifigan.py`, as the rest
_SINE_AMPLITUDE = 0.1
_NOISE_WHEN_VOICED = 0.003


@dataclass(frozen=True, eq=False)
class Chance:
    """The random numbers of one stretch of excitation."""

    phase: Tensor  # (NUM_HARMONICS, 1) float32: where in its cycle each harmonic begins; the pitch itself at 0
    noise: Tensor  # (NUM_HARMONICS, samples) float32, standard normal


def draw_phase(generator: torch.Generator) -> Tensor:
    """(NUM_HARMONICS, 1) float32, uniform in -pi to pi as torch's `Uniform` scales it; the pitch itself at 0."""
    phase = torch.rand(NUM_HARMONICS, 1, generator=generator, device=generator.device) * (2 * math.pi) - math.pi
    phase[0] = 0
    return phase


class Excitation:
    def __init__(self, weights: Weights) -> None:
        """weights: what begins with `mel2wav.m_source.`."""
        self._merge = weights.linear("l_linear")

    def __call__(self, f0: Tensor, phase: Tensor, noise: Tensor, cycles: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The excitation, and how many cycles every harmonic has run when it ends.

        f0: (B, T) in Hz, one value a mel frame. phase: (B, NUM_HARMONICS, 1). noise: (B, NUM_HARMONICS, samples).
        cycles: (B, NUM_HARMONICS) that ran before, None at an utterance's start. -> (B, samples), (B, NUM_HARMONICS)
        """
        pitch = f0.repeat_interleave(SAMPLES_PER_FRAME, 1)[:, None]  # (B, 1, samples)
        harmonics = torch.arange(1, NUM_HARMONICS + 1, device=f0.device, dtype=f0.dtype)[None, :, None]
        per_sample = (pitch * harmonics / SAMPLE_RATE_HZ).to(_sum_dtype(f0.device))
        if cycles is not None:
            per_sample[..., 0] += cycles
        run = per_sample.cumsum(-1)  # torch adds float32 up in float64 on the CPU; said here, a piece can go on from it
        sines = _SINE_AMPLITUDE * torch.sin(2 * math.pi * (run.to(f0.dtype) % 1) + phase)
        voiced = (pitch > _VOICED_ABOVE_HZ).to(f0.dtype)
        loudness = voiced * _NOISE_WHEN_VOICED + (1 - voiced) * _SINE_AMPLITUDE / 3
        waves = sines * voiced + loudness * noise
        return torch.tanh(self._merge(waves.transpose(1, 2)))[..., 0], run[..., -1]


def _sum_dtype(device: torch.device) -> torch.dtype:
    return torch.float32 if device.type == "mps" else torch.float64  # MPS has no float64
