"""Speech while its tokens still come: chunks of mel that hold together, then the vocoder.

Flow matching looks at a whole passage at once, so a chunk is not what the whole utterance would give in its place:
every chunk is decoded with the voice's prompt and some tokens before it, each frame starts from noise that is its own
in every chunk it appears in, and the frames in which two chunks meet are mixed. The vocoder adds no difference. What is
said depends on the tokens and the request's generator, not on when the tokens came or whose chunks decoded together.

The generator is drawn from in another order than for whole utterances, whose noise depends on their length.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from synthesis.conditionals import ChatterboxConditionals
from synthesis.engine import Samples
from synthesis.native.estimator import NUM_MEL_BINS
from synthesis.native.excitation import NUM_HARMONICS, SAMPLES_PER_FRAME, draw_phase
from synthesis.native.flow import Passage, num_frames
from synthesis.native.s3gen import S3Gen, fade_in, passage, sounding
from synthesis.native.token_encoder import FRAMES_PER_TOKEN, LOOKAHEAD_TOKENS
from synthesis.native.vocoder_stream import VocoderStream

_BLOCK_FRAMES = 50  # of noise drawn at a time; part of what a seed means


@dataclass(frozen=True)
class Chunking:
    """How an utterance is cut. Smaller is sooner heard and more often computed, as the prompt is run with every chunk;
    so chunks grow: each may be as long as all that was said before it, which is what the listener still has to hear."""

    first_tokens: int = 25  # then speech begins, half a second short of what they say (`vocoder_stream.LAG_FRAMES`)
    tokens: int = 50  # of a later chunk, at least
    max_tokens: int = 150
    context_tokens: int = 50  # already said, decoded again so that a chunk goes on from where it is
    mixed_frames: int = 6  # in which a chunk fades into the next

    def __post_init__(self) -> None:
        kept_back = LOOKAHEAD_TOKENS + self.mixed_frames / FRAMES_PER_TOKEN
        assert min(self.first_tokens, self.tokens) > kept_back, "a chunk must be longer than what it keeps back"


class PinnedNoise:
    """Noise by absolute frame: of the mel and of the vocoder's excitation, drawn in blocks as frames are reached."""

    def __init__(self, generator: torch.Generator, prompt_frames: int) -> None:
        self._generator = generator
        self.prompt = self._normal(NUM_MEL_BINS, prompt_frames)
        self.phase = draw_phase(generator)
        self._mel = self._normal(NUM_MEL_BINS, 0)
        self._excitation = self._normal(NUM_HARMONICS, 0)

    def mel(self, start: int, end: int) -> Tensor:
        """(80, end - start)"""
        self._reach(end)
        return self._mel[:, start:end]

    def excitation(self, start: int, end: int) -> Tensor:
        """(NUM_HARMONICS, 480 * (end - start))"""
        self._reach(end)
        return self._excitation[:, start * SAMPLES_PER_FRAME : end * SAMPLES_PER_FRAME]

    def _reach(self, end: int) -> None:
        while self._mel.shape[1] < end:
            self._mel = torch.cat([self._mel, self._normal(NUM_MEL_BINS, _BLOCK_FRAMES)], dim=1)
            block = self._normal(NUM_HARMONICS, _BLOCK_FRAMES * SAMPLES_PER_FRAME)
            self._excitation = torch.cat([self._excitation, block], dim=1)

    def _normal(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self._generator, device=self._generator.device)


class SpeechStream:
    """One utterance: its tokens so far, and how much of it has become mel and speech."""

    def __init__(
        self,
        s3gen: S3Gen,
        conditionals: ChatterboxConditionals,
        generator: torch.Generator,
        chunking: Chunking | None = None,
    ) -> None:
        """generator: this request's own, used by nothing else from here on."""
        self._conditionals, self._chunking = conditionals, chunking or Chunking()
        self._ending = s3gen.ending
        self._num_prompt_tokens = conditionals.prompt_token.shape[1]
        self._noise = PinnedNoise(generator, FRAMES_PER_TOKEN * self._num_prompt_tokens)
        self._vocoder = VocoderStream(s3gen.vocoder, self._noise.phase, self._noise.excitation)
        self._tokens = torch.zeros(0, dtype=torch.int64)
        self._is_complete = False  # no more tokens come
        self._num_decoded = 0  # tokens that were part of a chunk
        self._num_settled = 0  # frames whose mel will not change
        self._unsettled: Tensor | None = None  # the frames behind them as the last chunk had them
        self._num_said = 0  # samples
        self.is_over = False

    def feed(self, tokens: Tensor, is_last: bool = False) -> None:
        """More tokens, (n,) integers, n >= 0; those that stand for no sound are left out."""
        assert not self._is_complete, "tokens behind the last one"
        self._tokens = torch.cat([self._tokens, sounding(tokens).cpu()])
        if is_last and len(self._tokens):
            self._tokens = torch.cat([self._tokens, self._ending])
        self._is_complete = is_last
        self.is_over = is_last and not len(self._tokens)

    @property
    def mel(self) -> Tensor:
        """The mel that will not change any more, (80, T) log scale, 50 Hz."""
        return self._vocoder.mel

    @property
    def is_ready(self) -> bool:
        """Whether the next chunk can be decoded. Whether it is the last one must be known: one token more tells."""
        return not self.is_over and (self._is_complete or len(self._tokens) > self._boundary)

    @property
    def _boundary(self) -> int:
        """Tokens that the next chunk ends behind, unless the utterance ends before."""
        if not self._num_decoded:
            return self._chunking.first_tokens
        grown = min(max(self._num_decoded, self._chunking.tokens), self._chunking.max_tokens)
        return self._num_decoded + grown

    def next_passage(self) -> Passage:
        """The next chunk and its context, for `Flow.decode`."""
        assert self.is_ready, "too few tokens"
        end, is_last = self._next_end()
        start = self._context_start()
        tokens = self._tokens[start:end]
        frames = num_frames(len(tokens), more_follows=not is_last)
        first = FRAMES_PER_TOKEN * start
        noise = torch.cat([self._noise.prompt, self._noise.mel(first, first + frames)], dim=1)
        return passage(self._conditionals, tokens, noise, more_follows=not is_last)

    @torch.inference_mode()
    def speak(self, mel: Tensor) -> Tensor:
        """The mel of `next_passage` -> the next chunk of speech, (n,) float32 at 24 kHz on the device, n >= 0."""
        end, is_last = self._next_end()
        mel = mel[:, self._num_settled - FRAMES_PER_TOKEN * self._context_start() :]
        mel = _mixed(self._unsettled, mel)
        if not is_last:
            mel, self._unsettled = mel.tensor_split([mel.shape[1] - self._chunking.mixed_frames], dim=1)
        self._num_decoded, self._num_settled, self.is_over = end, self._num_settled + mel.shape[1], is_last
        return self._faded_in(self._vocoder.push(mel, is_last))

    def _next_end(self) -> tuple[int, bool]:
        """Where the next chunk ends, in tokens, and whether it is the last."""
        is_last = self._is_complete and len(self._tokens) <= self._boundary
        return (len(self._tokens) if is_last else self._boundary), is_last

    def _context_start(self) -> int:
        """The first token decoded again."""
        return max(0, self._num_settled // FRAMES_PER_TOKEN - self._chunking.context_tokens)

    def _faded_in(self, wave: Tensor) -> Tensor:
        fade = fade_in()[self._num_said : self._num_said + len(wave)].to(wave)
        wave[: len(fade)] *= fade
        self._num_said += len(wave)
        return wave


def _mixed(before: Tensor | None, after: Tensor) -> Tensor:
    """after (80, T), its first frames reached from before (80, at most T): weights even in steps, and sum to one."""
    if before is None:
        return after
    size = before.shape[1]
    rising = torch.linspace(0, 1, size + 2, device=after.device)[1:-1]
    return torch.cat([before * (1 - rising) + after[:, :size] * rising, after[:, size:]], dim=1)


def advance(s3gen: S3Gen, streams: list[SpeechStream], cfm_steps: int | None = None) -> list[Tensor]:
    """The next chunk of each, all ready; their mels are decoded together."""
    mels = s3gen.flow.decode([stream.next_passage() for stream in streams], cfm_steps)
    return [stream.speak(mel) for stream, mel in zip(streams, mels, strict=True)]


def stream_speech(s3gen: S3Gen, stream: SpeechStream, tokens: Tensor, cfm_steps: int | None = None) -> list[Samples]:
    """All chunks of an utterance whose tokens are all there, in order; those without a sample left out."""
    stream.feed(tokens, is_last=True)
    chunks = []
    while stream.is_ready:
        chunks += advance(s3gen, [stream], cfm_steps)
    return [chunk.cpu().numpy() for chunk in chunks if len(chunk)] or [np.zeros(0, dtype=np.float32)]
