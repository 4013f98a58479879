"""The transformer inside T3: embeddings in, hidden states out, over rows of a KV cache.

The two ways through it, for whole prompts and for one more token a row, are written down here; what a layer computes is
a kind of transformer's own (`llama`, `gpt2`). Knows nothing of text, speech, requests or sampling.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor

from synthesis.native.kv_cache import KVCache

HEAD_SIZE = 64  # of every kind

LayerT = TypeVar("LayerT")  # weights of one layer
PlaceT = TypeVar("PlaceT")  # what layers need to know of positions


class Head(NamedTuple):
    """One attention head of one layer."""

    layer: int
    head: int


class Backbone(ABC, Generic[LayerT, PlaceT]):
    """Shapes below: R rows, n positions, C channels."""

    def __init__(self, layers: Sequence[LayerT], *, channels: int, dtype: torch.dtype, device: str, max_length: int):
        self.layers = layers
        self.channels, self.dtype, self.device, self.max_length = channels, dtype, device, max_length
        self._positions = torch.arange(max_length, device=device)

    @abstractmethod
    def _enter(self, x: Tensor, positions: Tensor) -> tuple[Tensor, PlaceT]:
        """Embeddings (R, n, C) as the first layer takes them; positions: (R, n), or (1, n) where rows have the same."""

    @abstractmethod
    def _attention_inputs(self, layer: LayerT, x: Tensor, place: PlaceT) -> tuple[Tensor, Tensor, Tensor]:
        """Query, key, value, each (R, heads, n, HEAD_SIZE), of x (R, n, C)."""

    @abstractmethod
    def _finish_layer(self, layer: LayerT, x: Tensor, attended: Tensor) -> Tensor:
        """x (R, n, C) after the rest of the layer; attended: (R, heads, n, HEAD_SIZE)."""

    @abstractmethod
    def _leave(self, x: Tensor) -> Tensor:
        """The last norm, of (R, C)."""

    @property
    def row_bytes(self) -> int:
        """What a row of the cache takes: a key and a value of C channels, every position of every layer."""
        return 2 * len(self.layers) * self.max_length * self.channels * self.dtype.itemsize

    def new_cache(self, num_rows: int) -> KVCache:
        return KVCache(
            layers=len(self.layers), rows=num_rows, heads=self.channels // HEAD_SIZE, length=self.max_length,
            head_size=HEAD_SIZE, dtype=self.dtype, device=self.device,
        )  # fmt: skip

    def prefill(self, embeddings: Tensor, lengths: Tensor, cache: KVCache, first_row: int) -> Tensor:
        """Hidden states (R, C) after prompts (R, n, C), padded on the right to n; their lengths: (R,).

        Fills the R rows of the cache from first_row on. What padding leaves there lies beyond the row's position: it is
        masked until a token overwrites it.
        """
        x, place = self._enter(embeddings, self._positions[None, : embeddings.shape[1]])
        for index, layer in enumerate(self.layers):
            query, key, value = self._attention_inputs(layer, x, place)
            cache.write_prompts(index, first_row, key, value)
            attended = F.scaled_dot_product_attention(query, key, value, is_causal=True)
            x = self._finish_layer(layer, x, attended)
        return self._leave(x[torch.arange(len(lengths), device=x.device), lengths - 1])

    def decode(
        self, embeddings: Tensor, positions: Tensor, cache: KVCache, length: int, watched: Sequence[Head] = ()
    ) -> tuple[Tensor, list[Tensor]]:
        """Hidden states (R, C) after one more token a row, and the attention of the watched heads, (R, length) each.

        embeddings: (R, C), row r at positions[r] < length. Shapes depend on R and length alone, and nothing here waits
        for the device: a step can be captured.
        """
        num_rows = embeddings.shape[0]
        mask = (self._positions[:length] <= positions[:, None])[:, None, None]  # (R, 1, 1, length)
        attention: dict[Head, Tensor] = {}
        x, place = self._enter(embeddings[:, None], positions[:, None])  # (R, 1, C)
        for index, layer in enumerate(self.layers):
            query, key, value = self._attention_inputs(layer, x, place)
            cache.write_tokens(index, positions, key, value)
            keys, values = cache.view(index, num_rows, length)
            for head in watched:
                if head.layer == index:
                    attention[head] = _weights(query[:, head.head], keys[:, head.head], mask[:, 0, 0])
            attended = F.scaled_dot_product_attention(query, keys, values, attn_mask=mask)
            x = self._finish_layer(layer, x, attended)
        return self._leave(x[:, 0]), [attention[head] for head in watched]


def _weights(query: Tensor, keys: Tensor, mask: Tensor) -> Tensor:
    """What one head attends to, (R, length) float32: query (R, 1, HEAD_SIZE), keys (R, length, HEAD_SIZE). The fused
    attention does not give it away, so that it is computed once more."""
    scores = (query @ keys.transpose(1, 2))[:, 0] / math.sqrt(HEAD_SIZE)
    return scores.masked_fill(~mask, -math.inf).softmax(dim=-1, dtype=torch.float32)
