"""Speech tokens to the mean of the mel they stand for: S3Gen's upsampling conformer (25 Hz in, 50 Hz out).

Our own run of chatterbox `s3gen/transformer/upsample_encoder.py` and of the projection behind it. A row may be padded
on the right: what stands there changes nothing to its left.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor

from synthesis.native.layers import LayerNorm, Linear, Weights, visible

WIDTH = 512
NUM_HEADS = 8
HEAD_SIZE = WIDTH // NUM_HEADS
NUM_TOKEN_LAYERS = 6  # at 25 Hz
NUM_FRAME_LAYERS = 4  # at 50 Hz, after upsampling
FRAMES_PER_TOKEN = 2
LOOKAHEAD_TOKENS = 3  # chatterbox `flow.py:pre_lookahead_len`
_NORM_EPS = 1e-12  # of a layer's own norms; the others keep torch's
_TABLE_GRANULE = 512  # positions; a projected table grows by whole granules, so that it rarely does


def relative_positions(length: int) -> Tensor:
    """Sinusoids for the distances length - 1 down to 1 - length. (2 * length - 1, WIDTH) float32.

    As chatterbox `transformer/embedding.py:EspnetRelPositionalEncoding`.
    """
    distances = torch.arange(length, dtype=torch.float32)[:, None]
    rates = torch.exp(torch.arange(0, WIDTH, 2, dtype=torch.float32) * -(math.log(10000.0) / WIDTH))
    past, future = torch.zeros(length, WIDTH), torch.zeros(length, WIDTH)
    past[:, 0::2], past[:, 1::2] = torch.sin(distances * rates), torch.cos(distances * rates)
    future[:, 0::2], future[:, 1::2] = torch.sin(-1 * distances * rates), torch.cos(-1 * distances * rates)
    return torch.cat([past.flip(0), future[1:]])


@dataclass
class PositionTable:
    """One layer's projection of the relative positions: the same for every request, so computed once per length."""

    projection: Linear
    _table: Tensor | None = field(default=None, repr=False)

    def heads(self, length: int) -> Tensor:
        """(1, NUM_HEADS, 2 * length - 1, HEAD_SIZE)"""
        table = self._table
        if table is None or table.shape[0] < 2 * length - 1:
            granules = -(-length // _TABLE_GRANULE)
            table = self.projection(relative_positions(granules * _TABLE_GRANULE).to(self.projection.weight.device))
            self._table = table
        centre = table.shape[0] // 2
        rows = table[centre - length + 1 : centre + length]
        return rows.view(1, -1, NUM_HEADS, HEAD_SIZE).transpose(1, 2)


class ConformerLayer:
    """Attention with relative positions (Transformer-XL), then a feed-forward; both normalised beforehand."""

    def __init__(self, weights: Weights) -> None:
        attention, feed_forward = weights.below("self_attn"), weights.below("feed_forward")
        self._attention_norm = weights.norm("norm_mha", _NORM_EPS)
        self._query_key_value = attention.linear("linear_q", "linear_k", "linear_v")
        self._out = attention.linear("linear_out")
        self._content_bias, self._position_bias = attention["pos_bias_u"], attention["pos_bias_v"]
        self._positions = PositionTable(attention.linear("linear_pos"))
        self._feed_norm = weights.norm("norm_ff", _NORM_EPS)
        self._widen, self._narrow = feed_forward.linear("w_1"), feed_forward.linear("w_2")

    def __call__(self, x: Tensor, padding: Tensor | None) -> Tensor:
        """x: (B, T, WIDTH); padding: (B, 1, 1, T) bool, True where nothing may be looked at."""
        x = x + self._attend(self._attention_norm(x), padding)
        return x + self._narrow(F.silu(self._widen(self._feed_norm(x))))

    def _attend(self, x: Tensor, padding: Tensor | None) -> Tensor:
        batch, length, _ = x.shape
        query, key, value = self._query_key_value(x).view(batch, length, 3, NUM_HEADS, HEAD_SIZE).unbind(2)
        content, position = (query + self._content_bias).transpose(1, 2), (query + self._position_bias).transpose(1, 2)
        content_scores = content @ key.transpose(1, 2).transpose(-2, -1)  # (B, H, T, T)
        position_scores = _by_distance(position @ self._positions.heads(length).transpose(-2, -1))
        # Written out, not as one fused attention: that rounds differently, and ten steps of flow matching amplify it.
        scores = (content_scores + position_scores) / math.sqrt(HEAD_SIZE)
        if padding is not None:
            scores = scores.masked_fill(padding, -math.inf)
        heads = scores.softmax(-1) @ value.transpose(1, 2)
        return self._out(heads.transpose(1, 2).reshape(batch, length, WIDTH))


def _by_distance(scores: Tensor) -> Tensor:
    """Scores against every distance to scores against every position: row i begins i columns further left.

    (B, H, T, 2T - 1) -> (B, H, T, T). The shift of Transformer-XL, appendix B: pad, reinterpret, cut.
    """
    batch, heads, length, distances = scores.shape
    shifted = F.pad(scores, (1, 0)).view(batch, heads, distances + 1, length)[:, :, 1:]
    return shifted.reshape(batch, heads, length, distances)[..., :length]


class Embedding:
    """Linear, norm, and the scale that goes with sinusoidal positions."""

    def __init__(self, weights: Weights) -> None:
        self._linear: Linear = weights.linear("out.0")
        self._norm: LayerNorm = weights.norm("out.1")

    def __call__(self, x: Tensor) -> Tensor:
        return self._norm(self._linear(x)) * math.sqrt(WIDTH)


class TokenEncoder:
    def __init__(self, weights: Weights) -> None:
        """weights: what begins with `flow.` in s3gen.safetensors."""
        encoder = weights.below("encoder")
        self._tokens = weights["input_embedding.weight"]
        self._embed, self._embed_frames = Embedding(encoder.below("embed")), Embedding(encoder.below("up_embed"))
        self._look_ahead = encoder.lookahead_conv("pre_lookahead_layer.conv1")
        self._look_back = encoder.causal_conv("pre_lookahead_layer.conv2")
        self._token_layers = [ConformerLayer(encoder.below(f"encoders.{i}")) for i in range(NUM_TOKEN_LAYERS)]
        self._upsample = encoder.causal_conv("up_layer.conv")
        self._frame_layers = [ConformerLayer(encoder.below(f"up_encoders.{i}")) for i in range(NUM_FRAME_LAYERS)]
        self._norm, self._project = encoder.norm("after_norm"), weights.linear("encoder_proj")

    def __call__(self, tokens: Tensor, lengths: Tensor | None = None) -> Tensor:
        """tokens: (B, N) int64, padded on the right to N unless `lengths` (B,) is None -> (B, 80, 2N) float32."""
        real = None if lengths is None else visible(lengths, tokens.shape[1])
        x = self._embed(self._tokens[tokens])
        if real is not None:
            x = x * real[..., None]  # the look-ahead must see zeros behind the true end, as at the end of a single row
        x = x + self._look_back(F.leaky_relu(self._look_ahead(x.transpose(1, 2)))).transpose(1, 2)
        x = _through(self._token_layers, x, real)
        x = self._upsample(x.transpose(1, 2).repeat_interleave(FRAMES_PER_TOKEN, 2))  # (B, WIDTH, 2N)
        real = None if real is None else real.repeat_interleave(FRAMES_PER_TOKEN, 1)
        x = _through(self._frame_layers, self._embed_frames(x.transpose(1, 2).contiguous()), real)
        return self._project(self._norm(x)).transpose(1, 2)


def _through(layers: list[ConformerLayer], x: Tensor, real: Tensor | None) -> Tensor:
    padding = None if real is None else ~real[:, None, None]
    for layer in layers:
        x = layer(x, padding)
    return x
