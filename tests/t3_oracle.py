"""Upstream's T3 and ours on the same random weights, and requests that both can decode. One of each in a process."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import random_chatterbox
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from synthesis.conditionals import ChatterboxConditionals
from synthesis.native.decoder import Decoder
from synthesis.native.request import Request, SamplingParameters
from synthesis.native.t3_base import BaseT3
from synthesis.native.vocabulary import START_TEXT_TOKEN, STOP_TEXT_TOKEN

NO_STOP = -1  # no token: speech goes on to the limit
PARAMETERS = (
    SamplingParameters(),
    SamplingParameters(temperature=1.0, cfg_weight=0.3),
    SamplingParameters(repetition_penalty=2.0, min_p=0.02, top_p=0.9),
    SamplingParameters(cfg_weight=0.0, temperature=0.6, top_p=0.8),
)


def t3_file() -> Path:
    return random_chatterbox.weights_folder() / "t3_cfg.safetensors"


@functools.cache
def upstream_t3() -> Any:
    return random_chatterbox.engine()._chatterbox._upstream.t3


@functools.cache
def our_t3(dtype: torch.dtype = torch.float32) -> BaseT3:
    torch.set_num_threads(2)
    return BaseT3.load(t3_file(), device="cpu", dtype=dtype, max_length=512)


def random_voice(seed: int, num_prompt_tokens: int = 150) -> ChatterboxConditionals:
    generator = torch.Generator().manual_seed(seed)
    return ChatterboxConditionals(
        speaker_emb=torch.randn(1, 256, generator=generator),
        cond_prompt_speech_tokens=torch.randint(6561, (1, num_prompt_tokens), generator=generator),
        prompt_token=torch.randint(6561, (1, 25), generator=generator),
        prompt_token_len=torch.tensor([25]),
        prompt_feat=torch.randn(1, 50, 80, generator=generator),
        embedding=torch.randn(1, 192, generator=generator),
    )


def new_request(seed: int, sampling: SamplingParameters, max_tokens: int) -> Request:
    """A request whose voice, text and length follow from its seed."""
    generator = torch.Generator().manual_seed(seed)
    num_tokens = int(torch.randint(10, 60, (), generator=generator))
    text = torch.randint(3, 250, (num_tokens,), generator=generator).tolist()
    return Request(text, random_voice(seed), 0.3 + 0.1 * seed, sampling, max_tokens)


def upstream_condition(request: Request) -> Any:
    """Anew for every call, as upstream writes into it."""
    from chatterbox.models.t3.modules.cond_enc import T3Cond

    return T3Cond(
        speaker_emb=request.voice.speaker_emb,
        cond_prompt_speech_tokens=request.voice.cond_prompt_speech_tokens,
        emotion_adv=request.exaggeration * torch.ones(1, 1, 1),
    )


def upstream_text(request: Request) -> torch.Tensor:
    return torch.tensor([[START_TEXT_TOKEN, *request.text_tokens, STOP_TEXT_TOKEN]] * 2)


def upstream_tokens(request: Request) -> list[int]:
    """What upstream's own loop samples, its stop included."""
    sampling = request.sampling
    torch.manual_seed(sampling.seed)
    tokens = upstream_t3().inference(
        t3_cond=upstream_condition(request),
        text_tokens=upstream_text(request),
        max_new_tokens=request.max_tokens,
        temperature=sampling.temperature,
        cfg_weight=sampling.cfg_weight,
        repetition_penalty=sampling.repetition_penalty,
        min_p=sampling.min_p,
        top_p=sampling.top_p,
    )
    return list(tokens[0].tolist())


def new_decoder(num_rows: int = 32) -> Decoder:
    return Decoder(our_t3(), num_rows=num_rows)


def decode_to_the_end(decoder: Decoder, requests: list[Request], steps_per_look: int = 1) -> None:
    """Requests join together and leave as they reach their limits."""
    _take(decoder, decoder.admit(requests))
    while any(len(request.tokens) < request.max_tokens for request in requests):
        _take(decoder, decoder.decode(steps_per_look))


def tokens_alone(request: Request) -> list[int]:
    """What the request says with the decoder to itself."""
    decode_to_the_end(new_decoder(num_rows=2), [request])
    return request.tokens


def _take(decoder: Decoder, decoded: list[tuple[Request, list[int]]]) -> None:
    for request, tokens in decoded:
        request.extend(tokens, NO_STOP)
        if len(request.tokens) == request.max_tokens:
            decoder.remove(request)


def take(decoded: list[tuple[Request, list[int]]]) -> None:
    for request, tokens in decoded:
        request.extend(tokens, NO_STOP)


class Operations(TorchDispatchMode):
    """Every operation torch runs, with the shape it makes."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, tuple[int, ...] | None]] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        self.seen.append((function._schema.name, tuple(result.shape) if torch.is_tensor(result) else None))
        return result


def check_that_steps_can_be_captured(decoder: Decoder) -> None:
    """What a graph needs: no value read back, no shape that depends on one."""
    shape = decoder._shape()
    recorded = []
    with torch.inference_mode():
        for _ in range(2):
            with Operations() as operations:
                decoder.step(shape)
            recorded.append(operations.seen)
    assert recorded[0] == recorded[1]
    waiting = {"aten::_local_scalar_dense", "aten::nonzero", "aten::is_nonzero", "aten::masked_select"}
    assert not waiting & {name for name, _ in recorded[0]}
