"""Logits to speech tokens, every row by its own parameters and its own random numbers.

Upstream's processors in upstream's order (chatterbox `t3.py:inference`, transformers `logits_process.py`), as
operations on whole tensors: nothing branches on a value, nothing waits for the device.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def guide(logits: Tensor, rows: Tensor, guidance_rows: Tensor, weight: Tensor) -> Tensor:
    """Classifier-free guidance: (B, V) of logits (R, V); weight: (B, 1). A sequence whose guidance row is its own row
    keeps its logits exactly."""
    conditional, unconditional = logits[rows], logits[guidance_rows]
    return conditional + weight * (conditional - unconditional)


def sample(
    logits: Tensor,
    noise: Tensor,
    *,
    seen: Tensor,
    repetition_penalty: Tensor,
    temperature: Tensor,
    min_p: Tensor,
    nucleus_tail: Tensor | None,
) -> Tensor:
    """(B,) int64, one token a row of logits (B, V).

    noise: (B, V), exponential: the token with the largest probability / noise is a draw from the distribution, and the
    one `torch.multinomial` makes of the same numbers. seen: (B, V) bool, tokens to penalise. Parameters: (B, 1) each;
    nucleus_tail is 1 - top_p, None where every top_p is 1.
    """
    penalised = torch.where(logits < 0, logits * repetition_penalty, logits / repetition_penalty)
    logits = torch.where(seen, penalised, logits) / temperature
    probabilities = logits.softmax(dim=-1)
    unlikely = probabilities < min_p * probabilities.amax(dim=-1, keepdim=True)
    logits = logits.masked_fill(unlikely, -math.inf)
    if nucleus_tail is not None:
        logits = _nucleus(logits, nucleus_tail)
    return (logits.softmax(dim=-1) / noise).argmax(dim=-1)


def _nucleus(logits: Tensor, tail: Tensor) -> Tensor:
    """logits (B, V) without the least likely tokens that together have a probability of at most tail (B, 1)."""
    ascending, order = logits.sort(dim=-1)
    outside = ascending.softmax(dim=-1).cumsum(dim=-1) <= tail
    outside[:, -1] = False  # the likeliest always stays
    return logits.masked_fill(torch.zeros_like(outside).scatter(1, order, outside), -math.inf)
