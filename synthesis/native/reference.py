"""Reference audio to conditionals: what upstream's `prepare_conditionals` computes, without its imports.

The networks for it, half of all weights of S3Gen, are read when the first unseen voice arrives, not before. Knows
nothing of caches, digests or saved conditionals; a thread may prepare a voice while others decode.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from synthesis.conditionals import ChatterboxConditionals
from synthesis.engine import SAMPLE_RATE_HZ, Samples
from synthesis.native import speaker_encoders, speech_tokenizer
from synthesis.native.audio_features import (
    LOW_RATE_HZ,
    decoder_mel,
    kaldi_filterbank,
    resample,
    resample_by_sinc,
    tokenizer_mel,
    voice_mel,
    without_silence,
)
from synthesis.native.checkpoint import read_tensors
from synthesis.native.layers import Tensors
from synthesis.native.loudness import at_loudness
from synthesis.native.speaker_encoders import CamPlus, VoiceEncoder
from synthesis.native.speech_tokenizer import SpeechTokenizer

_DECODER_PROMPT_S = 10  # chatterbox `tts.py:DEC_COND_LEN`
_FRAMES_PER_TOKEN = 4  # mel frames of the tokenizer: 100 a second for 25 tokens
_TENSOR_PREFIXES = (speech_tokenizer.PREFIX, speaker_encoders.PREFIX)


@dataclass(frozen=True)
class Listening:
    """How much of a clip T3 listens to; the defaults are the base and the multilingual model's (`tts.py`)."""

    prompt_s: int = 6  # ENC_COND_LEN
    max_prompt_tokens: int = 150  # `t3_config.py:speech_cond_prompt_len`
    loudness_lufs: float | None = None  # what the clip is brought to first; None leaves it as it is


TURBO_LISTENING = Listening(prompt_s=15, max_prompt_tokens=375, loudness_lufs=-27.0)  # `tts_turbo.py`


class SpeakerListener:
    """Hears who speaks, as T3 is told."""

    def __init__(self, voice_tensors: Tensors, listening: Listening | None = None) -> None:
        """voice_tensors: of the voice encoder's file, float32 on the device to work on."""
        self._voice, self._listening = VoiceEncoder(voice_tensors), listening or Listening()
        self._device = next(iter(voice_tensors.values())).device

    @classmethod
    def load(cls, voice_file: Path, device: str, listening: Listening | None = None) -> SpeakerListener:
        """Raises WeightsNotFound."""
        return cls(read_tensors(voice_file, device=device, dtype=torch.float32), listening)

    def levelled(self, samples: Samples) -> Samples:
        loudness = self._listening.loudness_lufs
        return samples if loudness is None else at_loudness(samples, loudness)

    def speaker(self, samples: Samples) -> Tensor:
        """Of a clip, (n,) float32 at 24 kHz: (1, 256) float32 of length 1."""
        return self.speaker_of_low(resample(self.levelled(samples), SAMPLE_RATE_HZ, LOW_RATE_HZ))

    def speaker_of_low(self, low: Samples) -> Tensor:
        """The same of a clip that is levelled, at LOW_RATE_HZ."""
        return self._voice.embedding(voice_mel(without_silence(low))).to(self._device)


class Listener:
    """Everything that hears. Stateless once it is made."""

    def __init__(self, s3gen_tensors: Tensors, voice_tensors: Tensors, listening: Listening | None = None) -> None:
        """s3gen_tensors: of S3Gen's file, what belongs to tokenizer and speaker encoder; voice_tensors: of the voice
        encoder's. Both float32 on the device to work on."""
        self._tokenizer, self._speaker = SpeechTokenizer(s3gen_tensors), CamPlus(s3gen_tensors)
        self._who = SpeakerListener(voice_tensors, listening)
        self._listening = listening or Listening()
        self._device = next(iter(voice_tensors.values())).device

    @classmethod
    def load(cls, s3gen_file: Path, voice_file: Path, device: str, listening: Listening | None = None) -> Listener:
        """Raises WeightsNotFound."""
        s3gen = read_tensors(s3gen_file, device=device, dtype=torch.float32, prefixes=_TENSOR_PREFIXES)
        return cls(s3gen, read_tensors(voice_file, device=device, dtype=torch.float32), listening)

    @torch.inference_mode()
    def conditionals(self, samples: Samples) -> ChatterboxConditionals:
        """Of a clip, (n,) float32 at 24 kHz, long enough to speak a word in.

        Raises ConditionalsError when the networks make nothing usable of it.
        """
        samples = self._who.levelled(samples)
        low = resample(samples, SAMPLE_RATE_HZ, LOW_RATE_HZ)
        start = torch.from_numpy(low[: self._listening.prompt_s * LOW_RATE_HZ]).to(self._device)
        heard = tokenizer_mel(start)[..., : self._listening.max_prompt_tokens * _FRAMES_PER_TOKEN]
        prompt = torch.from_numpy(samples[: _DECODER_PROMPT_S * SAMPLE_RATE_HZ]).to(self._device)
        mel, prompt_low = decoder_mel(prompt), resample_by_sinc(prompt)
        # A clip that is no multiple of 40 ms gives a token too many for its frames.
        tokens = self._tokenizer.tokens(tokenizer_mel(prompt_low))[:, : mel.shape[0] // 2]
        return ChatterboxConditionals(
            speaker_emb=self._who.speaker_of_low(low),
            cond_prompt_speech_tokens=self._tokenizer.tokens(heard),
            prompt_token=tokens,
            prompt_token_len=torch.tensor([tokens.shape[1]], device=self._device),
            prompt_feat=mel[None],
            embedding=self._speaker.embedding(kaldi_filterbank(prompt_low)),
        )


class LazyListener:
    """A listener that is read when it is first needed, by whichever thread needs it; the others wait for that one."""

    def __init__(self, load: Callable[[], Listener]) -> None:
        self._load = load
        self._lock = threading.Lock()
        self._listener: Listener | None = None

    def conditionals(self, samples: Samples) -> ChatterboxConditionals:
        """As `Listener.conditionals`; raises what loading raises, and tries again at the next call."""
        return self.get().conditionals(samples)

    def get(self) -> Listener:
        """To have it read beforehand, in the background."""
        with self._lock:
            if self._listener is None:
                self._listener = self._load()
            return self._listener


class LazySpeaker:
    """Who speaks, for comparing takes with a voice: read when it is first needed, without the rest of the listener."""

    def __init__(self, load: Callable[[], SpeakerListener]) -> None:
        self._load = load
        self._lock = threading.Lock()
        self._listener: SpeakerListener | None = None

    def speaker(self, samples: Samples) -> Tensor:
        """As `SpeakerListener.speaker`; raises what loading raises, and tries again at the next call."""
        with self._lock:
            if self._listener is None:
                self._listener = self._load()
        return self._listener.speaker(samples)
