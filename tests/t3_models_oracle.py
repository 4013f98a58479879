"""Upstream's T3 of the turbo and the multilingual model and ours, on the same random weights of two layers, and what
upstream samples: twelve runs of each a session, as upstream decodes one request at a time. One of each in a process."""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import random_chatterbox
import torch
from s3gen_oracle import quiet_imports
from t3_oracle import random_voice

from synthesis.native.backbone import Head
from synthesis.native.decoder import Decoder
from synthesis.native.request import Request, SamplingParameters
from synthesis.native.t3 import T3
from synthesis.native.t3_base import MultilingualT3
from synthesis.native.t3_turbo import TurboT3
from synthesis.native.vocabulary import START_TEXT_TOKEN, STOP_SPEECH_TOKEN, STOP_TEXT_TOKEN

sys.path.insert(0, str(random_chatterbox.SCRIPT.parent))
import make_random_weights

NUM_LAYERS, MLP_SIZE = 2, 512  # of 24 or 30, and 4096: the code counts neither, and reading them takes the time
NUM_STEPS = 160
SEEDS = {"turbo": (1, 2, 3), "multilingual": (2, 3, 4)}  # with which no run ends by itself
TURBO_TEXT_VOCABULARY = 400  # of 50,276: text is embedded, and no more
NEVER = -20.0  # logit of the stop of turbo, which knows no other way to go on to the limit
WATCHED = ((1, 15), (0, 11), (1, 2))  # in place of the three heads in layers that are not there

TURBO = (
    SamplingParameters(cfg_weight=0.0, top_p=0.95, min_p=0.0),
    SamplingParameters(cfg_weight=0.0, top_p=0.6, temperature=1.0, repetition_penalty=1.0),
    SamplingParameters(cfg_weight=0.0, top_p=1.0, temperature=0.5, repetition_penalty=2.0),
    SamplingParameters(cfg_weight=0.0, top_p=0.9, temperature=1.7, repetition_penalty=1.4),
)
MULTILINGUAL = (
    SamplingParameters(repetition_penalty=2.0),
    SamplingParameters(repetition_penalty=1.2, temperature=1.0, cfg_weight=0.3),
    SamplingParameters(repetition_penalty=1.5, min_p=0.02, top_p=0.9),
    SamplingParameters(repetition_penalty=2.0, cfg_weight=0.0, temperature=0.6, top_p=0.8),
)


class FewMultilingual(MultilingualT3):
    aligned_heads = tuple(Head(*head) for head in WATCHED)


@dataclass(frozen=True)
class Pair:
    """A model of upstream's, and ours of its weights."""

    name: str
    upstream: Any
    ours: T3
    parameters: tuple[SamplingParameters, ...]

    def request(self, seed: int, sampling: SamplingParameters, max_tokens: int = NUM_STEPS) -> Request:
        """A request whose voice, text and length follow from its seed; so does the prompt of the voice for turbo."""
        generator = torch.Generator().manual_seed(seed)
        num_tokens = int(torch.randint(10, 60, (), generator=generator))
        text = torch.randint(3, 250, (num_tokens,), generator=generator).tolist()
        voice = random_voice(seed, num_prompt_tokens=150 if self.name == "multilingual" else 375 - 100 * (seed % 3))
        return Request(text, voice, 0.3 + 0.1 * seed, replace(sampling, seed=seed), max_tokens)

    def requests(self) -> list[Request]:
        return [self.request(seed, sampling) for seed in SEEDS[self.name] for sampling in self.parameters]

    def new_decoder(self, num_rows: int = 32) -> Decoder:
        return Decoder(self.ours, num_rows=num_rows)

    def upstream_tokens(self, request: Request) -> list[int]:
        """What upstream's own loop samples, its stop included."""
        torch.manual_seed(request.sampling.seed)
        return self._turbo(request) if self.name == "turbo" else self._multilingual(request)

    def _turbo(self, request: Request) -> list[int]:
        sampling = request.sampling
        tokens = self.upstream.inference_turbo(
            self._condition(request),
            torch.tensor([request.text_tokens]),
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            repetition_penalty=sampling.repetition_penalty,
            max_gen_len=request.max_tokens - 1,  # after the first
        )
        return list(tokens[0].tolist())

    def _multilingual(self, request: Request) -> list[int]:
        sampling = request.sampling
        tokens = self.upstream.inference(
            t3_cond=self._condition(request),
            text_tokens=torch.tensor([[START_TEXT_TOKEN, *request.text_tokens, STOP_TEXT_TOKEN]] * 2),
            max_new_tokens=request.max_tokens,
            temperature=sampling.temperature,
            cfg_weight=sampling.cfg_weight,
            repetition_penalty=sampling.repetition_penalty,
            min_p=sampling.min_p,
            top_p=sampling.top_p,
        )
        for layer in self.upstream.tfmr.layers:  # upstream leaves its hooks behind, and every one costs
            layer.self_attn._forward_hooks.clear()
        return list(tokens[0].tolist())

    @staticmethod
    def _condition(request: Request) -> Any:
        from chatterbox.models.t3.modules.cond_enc import T3Cond

        return T3Cond(
            speaker_emb=request.voice.speaker_emb,
            cond_prompt_speech_tokens=request.voice.cond_prompt_speech_tokens,
            emotion_adv=request.exaggeration * torch.ones(1, 1, 1),
        )


@functools.cache
def pair(name: str) -> Pair:
    return _turbo() if name == "turbo" else _multilingual()


@functools.cache
def expected(name: str) -> Mapping[tuple[int, SamplingParameters], list[int]]:
    """Upstream's tokens of `Pair.requests`, by seed and parameters."""
    both = pair(name)
    return {_key(request): both.upstream_tokens(request) for request in both.requests()}


def _key(request: Request) -> tuple[int, SamplingParameters]:
    return request.sampling.seed, request.sampling


def expected_of(name: str, request: Request) -> list[int]:
    return expected(name)[_key(request)]


def _turbo() -> Pair:
    upstream = _random_t3(make_random_weights.turbo_t3_config(TURBO_TEXT_VOCABULARY))
    for name, tensor in upstream.named_parameters():
        if name.endswith("bias"):  # zeros at first, which would leave them untested
            tensor.normal_(std=0.02)
    upstream.speech_head.bias[STOP_SPEECH_TOKEN] = NEVER
    return Pair("turbo", upstream, TurboT3(upstream.state_dict(), dtype=torch.float32, max_length=768), TURBO)


def _multilingual() -> Pair:
    quiet_imports()
    from chatterbox.models.t3.inference import alignment_stream_analyzer
    from chatterbox.models.t3.modules.t3_config import T3Config

    alignment_stream_analyzer.LLAMA_ALIGNED_HEADS = list(WATCHED)
    upstream = _random_t3(T3Config.multilingual())
    ours = FewMultilingual(upstream.state_dict(), dtype=torch.float32, max_length=512)
    return Pair("multilingual", upstream, ours, MULTILINGUAL)


def _random_t3(hp: Any) -> Any:
    quiet_imports()
    from chatterbox.models.t3 import T3 as UpstreamT3  # noqa: N811
    from chatterbox.models.t3 import t3

    t3.tqdm = lambda steps, **_: steps
    torch.manual_seed(0)
    with make_random_weights.t3_sizes(NUM_LAYERS, MLP_SIZE):
        return UpstreamT3(hp).eval().requires_grad_(False)
