"""Speech tokens in a voice to a waveform: flow, then vocoder, with random numbers of the request's own.

With the same seed the samples are upstream's (chatterbox `s3gen.py:S3Token2Wav.inference`): the generator is drawn from
in upstream's order, and a batch gives every utterance what it would get alone. Without state between calls.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from synthesis.conditionals import SPEECH_VOCABULARY, ChatterboxConditionals
from synthesis.engine import SAMPLE_RATE_HZ
from synthesis.native.estimator import NUM_MEL_BINS
from synthesis.native.excitation import NUM_HARMONICS, SAMPLES_PER_FRAME, Chance, draw_phase
from synthesis.native.flow import Flow, Passage, num_frames
from synthesis.native.graphs import CudaCapture
from synthesis.native.layers import Tensors
from synthesis.native.token_encoder import FRAMES_PER_TOKEN
from synthesis.native.vocoder import Vocoder

TENSOR_PREFIXES = ("flow.", "mel2wav.")  # of s3gen.safetensors, what decoding needs: half of it
_SILENT_SAMPLES = SAMPLE_RATE_HZ // 50  # of every utterance, then as many to fade in: hides the prompt's last sound
_CUDA_TOKEN_GRANULE = 32
# Silence that the distilled model is given behind every utterance (chatterbox `const.py:S3GEN_SIL`, `tts_turbo.py`).
_SILENCE_TOKEN, _NUM_SILENCE_TOKENS = 4299, 3
_MAX_BATCH = 16  # utterances; the CPU is busy with one (a ragged batch of four took 1.35 times as long as its rows)


class Utterance(NamedTuple):
    conditionals: ChatterboxConditionals
    tokens: Tensor  # (N,) integers; those that stand for no sound are left out
    generator: torch.Generator  # of this request alone, on any device


@dataclass(frozen=True, eq=False)
class Randomness:
    """All the random numbers of one utterance."""

    noise: Tensor  # (80, frames of prompt and tokens): where the mel starts from
    chance: Chance  # of the vocoder's excitation

    @classmethod
    def draw(
        cls, generator: torch.Generator, passage_frames: int, own_tokens: int, prompt_frames: int, is_meanflow: bool
    ) -> Randomness:
        """In upstream's order: the mel's noise, the harmonics' phase, the excitation's noise.

        The distilled model draws noise for the utterance's own frames before the rest, and puts it in their place.
        """
        own = _normal(generator, NUM_MEL_BINS, FRAMES_PER_TOKEN * own_tokens) if is_meanflow else None
        noise = _normal(generator, NUM_MEL_BINS, passage_frames)
        if own is not None:
            noise[:, passage_frames - own.shape[1] :] = own
        phase = draw_phase(generator)
        samples = (passage_frames - prompt_frames) * SAMPLES_PER_FRAME
        return cls(noise, Chance(phase, _normal(generator, NUM_HARMONICS, samples)))


def _normal(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator, device=generator.device)


def fade_in() -> Tensor:
    """What the first samples of an utterance are multiplied by. (960,) float32 in 0 to 1."""
    rising = (torch.cos(torch.linspace(torch.pi, 0, _SILENT_SAMPLES)) + 1) / 2
    return torch.cat([torch.zeros(_SILENT_SAMPLES), rising])


def sounding(tokens: Tensor) -> Tensor:
    """Without those that only steer T3: what S3Gen has no embedding for."""
    tokens = tokens.to(torch.int64)
    return tokens[tokens < SPEECH_VOCABULARY]


class S3Gen:
    def __init__(self, tensors: Tensors, estimator_dtype: torch.dtype = torch.float32) -> None:
        """tensors: those of s3gen.safetensors that begin with TENSOR_PREFIXES, float32, on the device to work on.

        estimator_dtype: bfloat16 no longer equals upstream. It pays on a GPU and on a CPU with instructions for it; on
        one without (AVX-512F alone, measured) it takes 2.7 times as long.
        """
        device = tensors["flow.input_embedding.weight"].device
        if device.type == "cuda":
            self.flow = Flow(tensors, estimator_dtype, _CUDA_TOKEN_GRANULE, CudaCapture())
        else:
            self.flow = Flow(tensors, estimator_dtype)
        self.vocoder = Vocoder(tensors)
        self._fade_in = fade_in().to(device)
        self.ending = torch.full((_NUM_SILENCE_TOKENS if self.flow.is_meanflow else 0,), _SILENCE_TOKEN)
        self._max_batch = 1 if device.type == "cpu" else _MAX_BATCH

    def warm_up(self) -> bool:
        """Do a piece of what makes later calls quicker; False when there is none. While the device is idle."""
        return self.flow.warm_up()

    @torch.inference_mode()
    def decode(self, utterances: list[Utterance], cfm_steps: int | None = None) -> list[Tensor]:
        """The waveform of each, (n,) float32 at 24 kHz on the device; empty where no token sounds.

        A token gives 960 samples, but a prompt with an odd number of mel frames takes 480 from the first, as upstream
        has it; the distilled model adds 120 ms of silence. cfm_steps: fewer are faster and rougher; None is the
        model's own number.
        """
        spoken = [utterance._replace(tokens=self._spoken(utterance.tokens)) for utterance in utterances]
        waves = [self._fade_in.new_zeros(0) for _ in spoken]
        places = [place for place, utterance in enumerate(spoken) if len(utterance.tokens)]
        for start in range(0, len(places), self._max_batch):
            batch = places[start : start + self._max_batch]
            for place, wave in zip(batch, self._decode([spoken[place] for place in batch], cfm_steps), strict=True):
                wave[: len(self._fade_in)] *= self._fade_in[: len(wave)]
                waves[place] = wave
        return waves

    def _spoken(self, tokens: Tensor) -> Tensor:
        """What sounds, with the silence that belongs behind it."""
        heard = sounding(tokens)
        return torch.cat([heard, self.ending.to(heard.device)]) if len(heard) else heard

    def _decode(self, utterances: list[Utterance], cfm_steps: int | None) -> list[Tensor]:
        drawn = [self._draw(utterance) for utterance in utterances]
        passages = [
            passage(utterance.conditionals, utterance.tokens, randomness.noise)
            for utterance, randomness in zip(utterances, drawn, strict=True)
        ]
        return self.vocoder.decode(self.flow.decode(passages, cfm_steps), [randomness.chance for randomness in drawn])

    def _draw(self, utterance: Utterance) -> Randomness:
        num_tokens, prompt_tokens = len(utterance.tokens), utterance.conditionals.prompt_token.shape[1]
        frames, prompt_frames = num_frames(prompt_tokens + num_tokens), prompt_size(utterance.conditionals)
        return Randomness.draw(utterance.generator, frames, num_tokens, prompt_frames, self.flow.is_meanflow)


def prompt_size(conditionals: ChatterboxConditionals) -> int:
    """Mel frames of the voice's prompt: two a token, or one more."""
    return conditionals.prompt_feat.shape[1]


def passage(conditionals: ChatterboxConditionals, tokens: Tensor, noise: Tensor, more_follows: bool = False) -> Passage:
    return Passage(
        prompt_tokens=conditionals.prompt_token[0],
        prompt_mel=conditionals.prompt_feat[0],
        speaker=conditionals.embedding[0],
        tokens=tokens,
        noise=noise,
        more_follows=more_follows,
    )
