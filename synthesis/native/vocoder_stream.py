"""One utterance's waveform while its mel still grows: windows with enough context to equal the whole.

Knows nothing of tokens, of the flow, or of why mel comes in pieces.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from synthesis.native.estimator import NUM_MEL_BINS
from synthesis.native.excitation import SAMPLES_PER_FRAME
from synthesis.native.vocoder import CONTEXT_FRAMES, F0_CONTEXT_FRAMES, Extent, Vocoder

LAG_FRAMES = F0_CONTEXT_FRAMES + CONTEXT_FRAMES  # mel that must be known behind a sample before it is spoken
NoiseOf = Callable[[int, int], Tensor]  # frames from, to -> (NUM_HARMONICS, 480 a frame), always the same for a frame


class VocoderStream:
    """What of an utterance the vocoder has seen and said. Everything it said equals the whole's, but for rounding."""

    def __init__(self, vocoder: Vocoder, phase: Tensor, noise_of: NoiseOf) -> None:
        """phase: (NUM_HARMONICS, 1), as `excitation.draw_phase` has it."""
        self._vocoder, self._noise_of = vocoder, noise_of
        self._phase = phase[None].to(vocoder.device)
        self._mel = torch.zeros(1, NUM_MEL_BINS, 0, device=vocoder.device)
        self._excitation = torch.zeros(1, 0, device=vocoder.device)
        self._cycles: Tensor | None = None  # that the harmonics ran through the excitation so far
        self._num_spoken = 0  # frames

    @property
    def mel(self) -> Tensor:
        """What it was given so far, (80, T)."""
        return self._mel[0]

    @torch.inference_mode()
    def push(self, mel: Tensor, is_last: bool) -> Tensor:
        """More mel, (80, T) -> the samples that can now be said for good, (480 n,), n >= 0."""
        self._mel = torch.cat([self._mel, mel[None]], dim=2)
        num_frames = self._mel.shape[2]
        num_excited = self._excite(num_frames if is_last else num_frames - F0_CONTEXT_FRAMES)
        until = num_frames if is_last else num_excited - CONTEXT_FRAMES
        if until <= self._num_spoken:
            return self._excitation.new_zeros(0)
        start = max(0, self._num_spoken - CONTEXT_FRAMES)
        window, excitation = self._mel[..., start:num_excited], self._excitation[:, start * SAMPLES_PER_FRAME :]
        wave = self._vocoder.shape(window, excitation, _whole(window))[0]
        said = wave[(self._num_spoken - start) * SAMPLES_PER_FRAME : (until - start) * SAMPLES_PER_FRAME]
        self._num_spoken = until
        return said

    def _excite(self, until: int) -> int:
        """Have the excitation of all frames before `until`; how many frames have theirs."""
        done = self._excitation.shape[1] // SAMPLES_PER_FRAME
        if until <= done:
            return done
        start = max(0, done - F0_CONTEXT_FRAMES)
        window = self._mel[..., start : until + F0_CONTEXT_FRAMES]
        f0 = self._vocoder.f0(window, _whole(window))[:, done - start : until - start]
        noise = self._noise_of(done, until)[None].to(f0)
        excitation, self._cycles = self._vocoder.excitation(f0, self._phase, noise, self._cycles)
        self._excitation = torch.cat([self._excitation, excitation], dim=1)
        return until


def _whole(window: Tensor) -> Extent:
    return Extent(torch.tensor([window.shape[2]]).to(window.device), ragged=False)
