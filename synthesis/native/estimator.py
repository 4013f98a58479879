"""The network inside the flow matching: which way the mel moves at one step of the way from noise.

Our own run of chatterbox `s3gen/decoder.py:ConditionalDecoder`. Every convolution is causal, so padding on the right
reaches what is to its left through attention alone: one mask there keeps ragged rows exact. What depends on the time
step but not on the request is computed beforehand (`times`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor

from synthesis.native.layers import Conv, LayerNorm, Linear, Weights

NUM_MEL_BINS = 80
CHANNELS = 256
NUM_HEADS = 8
HEAD_SIZE = 64
NUM_MID_BLOCKS = 12
NUM_TRANSFORMERS = 4  # behind each residual block
_TIME_SIZE = 320  # sinusoids of the time step; as many as input channels
_TIME_SCALE = 1000  # chatterbox `matcha/decoder.py:SinusoidalPosEmb`


class CausalBlock:
    def __init__(self, weights: Weights) -> None:
        self._conv: Conv = weights.causal_conv("block.0")
        self._norm: LayerNorm = weights.norm("block.2")

    def __call__(self, x: Tensor) -> Tensor:
        return F.mish(self._norm(self._conv(x).transpose(1, 2))).transpose(1, 2)


class Residual:
    """Two causal blocks with the time step added between them."""

    def __init__(self, weights: Weights) -> None:
        self._first, self._second = CausalBlock(weights.below("block1")), CausalBlock(weights.below("block2"))
        self._shortcut: Conv = weights.conv("res_conv")
        self.time: Linear = weights.linear("mlp.1")

    def __call__(self, x: Tensor, time: Tensor) -> Tensor:
        """x: (B, C, T); time: (CHANNELS, 1), this block's own projection of the time step."""
        return self._second(self._first(x) + time) + self._shortcut(x)


class Transformer:
    def __init__(self, weights: Weights) -> None:
        self._attention_norm, self._feed_norm = weights.norm("norm1"), weights.norm("norm3")
        self._query_key_value = weights.linear("attn1.to_q", "attn1.to_k", "attn1.to_v")
        self._out = weights.linear("attn1.to_out.0")
        self._widen, self._narrow = weights.linear("ff.net.0.proj"), weights.linear("ff.net.2")

    def __call__(self, x: Tensor, real: Tensor | None) -> Tensor:
        """x: (B, T, CHANNELS); real: (B, 1, 1, T) bool, what may be looked at."""
        batch, length, _ = x.shape
        heads = self._query_key_value(self._attention_norm(x)).view(batch, length, 3, NUM_HEADS, HEAD_SIZE)
        query, key, value = heads.permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=real)
        x = x + self._out(attended.transpose(1, 2).reshape(batch, length, NUM_HEADS * HEAD_SIZE))
        return x + self._narrow(F.gelu(self._widen(self._feed_norm(x))))


class Block:
    """A residual block, its transformers and, at the two ends of the network, a convolution."""

    def __init__(self, weights: Weights) -> None:
        self.residual = Residual(weights.below(0))
        self._transformers = [Transformer(weights.below(f"1.{i}")) for i in range(NUM_TRANSFORMERS)]
        self.conv: Conv | None = weights.causal_conv("2") if "2.weight" in weights else None

    def __call__(self, x: Tensor, time: Tensor, real: Tensor | None) -> Tensor:
        x = self.residual(x, time).transpose(1, 2)
        for transformer in self._transformers:
            x = transformer(x, real)
        return x.transpose(1, 2)


@dataclass(frozen=True)
class Schedule:
    """The steps of one way from noise to mel. Holds nothing of any request."""

    deltas: Tensor  # (steps,) float32, how far each step goes; they sum to 1
    times: Tensor  # (steps, blocks, CHANNELS, 1), what each block adds


class Estimator:
    def __init__(self, weights: Weights) -> None:
        """weights: what begins with `flow.decoder.estimator.`, already in the dtype to compute in."""
        names = ["down_blocks.0", *(f"mid_blocks.{i}" for i in range(NUM_MID_BLOCKS)), "up_blocks.0"]
        self._blocks = [Block(weights.below(name)) for name in names]
        self._final_block, self._final = CausalBlock(weights.below("final_block")), weights.conv("final_proj")
        self._time_in, self._time_out = weights.linear("time_mlp.linear_1"), weights.linear("time_mlp.linear_2")
        self._mixer = weights.linear("time_embed_mixer") if "time_embed_mixer.weight" in weights else None
        self.dtype = self._final.weight.dtype

    @property
    def is_meanflow(self) -> bool:
        """A distilled model: it also knows where a step ends, takes two of them, and needs no guidance."""
        return self._mixer is not None

    def schedule(self, num_steps: int) -> Schedule:
        """The steps as chatterbox `flow_matching.py:CausalConditionalCFM.forward` spaces them."""
        times = torch.linspace(0, 1, num_steps + 1)
        if not self.is_meanflow:
            times = 1 - torch.cos(times * 0.5 * torch.pi)
        # As many equal rows as upstream has, with or without guidance: products of other heights round differently.
        rows = times[:, None].expand(-1, 1 if self.is_meanflow else 2)
        steps = [self._time(start, end) for start, end in pairwise(rows)]
        return Schedule((times[1:] - times[:-1]).to(steps[0].device), torch.stack(steps))

    def _time(self, start: Tensor, end: Tensor) -> Tensor:
        """What each block adds at the step from start to end, (blocks, CHANNELS, 1); equal rows, (n,) each."""
        time = self._embed(start)
        if self._mixer is not None:
            time = self._mixer(torch.cat([time, self._embed(end)], dim=1))
        return torch.stack([block.residual.time(F.mish(time))[0, :, None] for block in self._blocks])

    def _embed(self, times: Tensor) -> Tensor:
        """Times in 0 to 1, (n,) -> (n, 4 * CHANNELS)"""
        half = _TIME_SIZE // 2
        rates = torch.exp(torch.arange(half).float() * -(math.log(10000) / (half - 1)))
        angles = _TIME_SCALE * times[:, None] * rates[None]
        sinusoids = torch.cat((angles.sin(), angles.cos()), dim=-1).to(self._time_in.weight)
        return self._time_out(F.silu(self._time_in(sinusoids)))

    def __call__(self, x: Tensor, times: Tensor, real: Tensor | None) -> Tensor:
        """The direction at one step.

        x: (B, 4 * 80, T): the mel so far, its mean, the speaker, the prompt's mel. times: (blocks, CHANNELS, 1).
        real: (B, 1, 1, T) bool, or None where no row is padded. -> (B, 80, T); what stands behind a row's true end is
        meaningless.
        """
        down, *middle, up = self._blocks
        x = skip = down(x, times[0], real)
        x = _at_the_end(down, x)
        for block, time in zip(middle, times[1:-1], strict=True):
            x = block(x, time, real)
        x = up(torch.cat((x, skip), 1), times[-1], real)
        return self._final(self._final_block(_at_the_end(up, x)))


def _at_the_end(block: Block, x: Tensor) -> Tensor:
    assert block.conv is not None, "both ends of the network have a convolution"
    return block.conv(x)
