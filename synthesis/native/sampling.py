"""Logits to speech tokens, every row by its own parameters and its own random numbers.

Upstream's processors in upstream's order (chatterbox `t3.py:inference` and `inference_turbo`, transformers
`logits_process.py`), as operations on whole tensors: nothing branches on a value, nothing waits for the device.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


def guide(logits: Tensor, rows: Tensor, guidance_rows: Tensor, weight: Tensor) -> Tensor:
    """Classifier-free guidance: (B, V) of logits (R, V); weight: (B, 1). A sequence whose guidance row is its own row
    keeps its logits exactly."""
    conditional, unconditional = logits[rows], logits[guidance_rows]
    return conditional + weight * (conditional - unconditional)


class Draw(NamedTuple):
    """What the next token of B sequences is drawn with; (B, 1) each where it is not said otherwise."""

    noise: Tensor  # (B, V), exponential: the token with the largest probability / noise is a draw from the
    # distribution, and the one `torch.multinomial` makes of the same numbers
    seen: Tensor  # (B, V) bool: tokens to penalise
    repetition_penalty: Tensor
    temperature: Tensor
    min_p: Tensor
    nucleus_tail: Tensor | None  # 1 - top_p; None where every top_p is 1


Sampler = Callable[[Tensor, Draw], Tensor]


def sample(logits: Tensor, draw: Draw) -> Tensor:
    """(B,) int64, one token a row of logits (B, V), as the base and the multilingual model sample."""
    logits = _penalised(logits, draw) / draw.temperature
    probabilities = logits.softmax(dim=-1)
    unlikely = probabilities < draw.min_p * probabilities.amax(dim=-1, keepdim=True)
    logits = logits.masked_fill(unlikely, -math.inf)
    if draw.nucleus_tail is not None:
        logits = _nucleus(logits, draw.nucleus_tail)
    return _drawn(logits, draw)


TURBO_TOP_K = 1000  # chatterbox `tts_turbo.py:generate`; no option of ours


def sample_turbo(logits: Tensor, draw: Draw) -> Tensor:
    """As `sample`, in the turbo model's order: what may be said is chosen before what was said is penalised. It knows
    no min_p."""
    logits = logits / draw.temperature
    least = logits.topk(min(TURBO_TOP_K, logits.shape[-1]), dim=-1).values[:, -1:]
    logits = logits.masked_fill(logits < least, -math.inf)
    if draw.nucleus_tail is not None:
        logits = _nucleus(logits, draw.nucleus_tail)
    return _drawn(_penalised(logits, draw), draw)


def _penalised(logits: Tensor, draw: Draw) -> Tensor:
    penalised = torch.where(logits < 0, logits * draw.repetition_penalty, logits / draw.repetition_penalty)
    return torch.where(draw.seen, penalised, logits)


def _drawn(logits: Tensor, draw: Draw) -> Tensor:
    return (logits.softmax(dim=-1) / draw.noise).argmax(dim=-1)


def _nucleus(logits: Tensor, tail: Tensor) -> Tensor:
    """logits (B, V) without the least likely tokens that together have a probability of at most tail (B, 1)."""
    ascending, order = logits.sort(dim=-1)
    outside = ascending.softmax(dim=-1).cumsum(dim=-1) <= tail
    outside[:, -1] = False  # the likeliest always stays
    return logits.masked_fill(torch.zeros_like(outside).scatter(1, order, outside), -math.inf)
