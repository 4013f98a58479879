"""Reference audio to speech tokens, 25 a second: the encoder half of the S3 tokenizer (version 2).

Our own run of s3tokenizer `model_v2.py:S3TokenizerV2` for one clip of at most 30 s, which is more than any model
listens to. Needed only when an unseen voice arrives.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor

from synthesis.native.layers import Tensors, Weights

PREFIX = "tokenizer."  # of its tensors in s3gen.safetensors
WIDTH = 1280
NUM_HEADS = 20
HEAD_SIZE = WIDTH // NUM_HEADS
NUM_LAYERS = 6
_MEMORY_KERNEL = 31  # positions that a layer's memory (FSMN) reaches over
_LEVELS, _DIGITS = 3, 8  # a token is a number of 8 digits, each of 3 levels: 3^8 = 6561


class Layer:
    """Attention with rotary positions and a memory over the values, then a feed-forward."""

    def __init__(self, weights: Weights) -> None:
        attention = weights.below("attn")
        self._attention_norm, self._feed_norm = weights.norm("attn_ln"), weights.norm("mlp_ln")
        self._query, self._key, self._value = (attention.linear(name) for name in ("query", "key", "value"))
        self._out, self._memory = attention.linear("out"), attention["fsmn_block.weight"]
        self._widen, self._narrow = weights.linear("mlp.0"), weights.linear("mlp.2")

    def __call__(self, x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
        """x: (1, T, WIDTH)"""
        x = x + self._attend(self._attention_norm(x), cosines, sines)
        return x + self._narrow(F.gelu(self._widen(self._feed_norm(x))))

    def _attend(self, x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
        heads = (*x.shape[:2], NUM_HEADS, HEAD_SIZE)
        query, key, value = self._query(x).view(heads), self._key(x).view(heads), self._value(x)
        query, key = (_rotated(part, cosines, sines) for part in (query, key))
        side = (_MEMORY_KERNEL - 1) // 2
        memory = F.conv1d(F.pad(value.transpose(1, 2), (side, side)), self._memory, groups=WIDTH).transpose(1, 2)
        scale = HEAD_SIZE**-0.25  # on either side of the product, as upstream rounds
        scores = (query.permute(0, 2, 1, 3) * scale) @ (key.permute(0, 2, 3, 1) * scale)
        mixed = scores.softmax(dim=-1) @ value.view(heads).permute(0, 2, 1, 3)
        return self._out(mixed.permute(0, 2, 1, 3).flatten(start_dim=2)) + (memory + value)


def _rotated(x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return x * cosines + torch.cat((-second, first), dim=-1) * sines


def _rotations(length: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and sines by position, (1, T, 1, HEAD_SIZE) each; both halves of a head turn alike."""
    rates = 1.0 / (10000.0 ** (torch.arange(0, HEAD_SIZE, 2).float() / HEAD_SIZE))
    angles = torch.outer(torch.arange(length), rates).float()
    turns = torch.view_as_real(torch.polar(torch.ones_like(angles), angles)).repeat(1, 2, 1)[None, :, None].to(device)
    return turns[..., 0], turns[..., 1]


class SpeechTokenizer:
    def __init__(self, tensors: Tensors) -> None:
        """tensors: those of s3gen.safetensors that begin with PREFIX, on one device."""
        encoder = Weights(tensors, f"{PREFIX}encoder.")
        self._convs = [encoder.strided_conv(name, stride=2, padding=1) for name in ("conv1", "conv2")]
        self._layers = [Layer(encoder.below(f"blocks.{i}")) for i in range(NUM_LAYERS)]
        self._digits = Weights(tensors, f"{PREFIX}quantizer._codebook.").linear("project_down")

    @torch.inference_mode()
    def tokens(self, mel: Tensor) -> Tensor:
        """Mel (1, 128, T) of `tokenizer_mel` -> (1, about T / 4) int64."""
        for conv in self._convs:
            mel = F.gelu(conv(mel))
        x = mel.permute(0, 2, 1)
        cosines, sines = _rotations(x.shape[1], x.device)
        for layer in self._layers:
            x = layer(x, cosines, sines)
        digits = (self._digits(x).tanh() * 0.9990000128746033).round() + 1
        places = torch.pow(_LEVELS, torch.arange(_DIGITS, device=x.device, dtype=x.dtype))
        return (digits * places).sum(dim=-1).long()
