"""T3: what is said of a voice and a text, as embeddings, to the logits of the next speech token.

What all models have in common; `t3_base` and `t3_turbo` are the models themselves. Works on rows of a KV cache with a
position each; knows nothing of requests, sampling or when speech ends.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor

from synthesis.conditionals import ChatterboxConditionals
from synthesis.native.backbone import Backbone, Head
from synthesis.native.checkpoint import read_tensors
from synthesis.native.kv_cache import KVCache
from synthesis.native.layers import linear
from synthesis.native.sampling import Draw, sample

T3Model = TypeVar("T3Model", bound="T3")


class T3(ABC):
    """Shapes below: R rows, n positions, C channels, V vocabulary of speech."""

    prefixes: ClassVar[tuple[str, ...]]  # of the tensors it needs
    is_guided: ClassVar[bool] = True  # whether a request may have a second row, without the text
    penalises_start: ClassVar[bool] = True  # whether the start of speech counts as spoken after the first token, too
    aligned_heads: ClassVar[tuple[Head, ...]] = ()  # whose attention says where in the text speech is

    def __init__(self, tensors: dict[str, Tensor], *, dtype: torch.dtype, max_length: int) -> None:
        """max_length: positions a row can have. WeightsNotFound is raised by `load`; a KeyError here is a programming
        error or the weights of another model."""
        weights = {name: tensor.to(dtype) for name, tensor in tensors.items() if not name.startswith("cond_enc.")}
        self.dtype, self.max_length = dtype, max_length
        self._speech, self._text = weights["speech_emb.weight"], weights["text_emb.weight"]
        self._head, self._head_bias = weights["speech_head.weight"], weights.get("speech_head.bias")
        self.device = self._speech.device.type
        self.vocabulary = self._speech.shape[0]
        self.backbone = self._new_backbone(weights, max_length)

    @classmethod
    def load(cls: type[T3Model], path: Path, *, device: str, dtype: torch.dtype, max_length: int) -> T3Model:
        """T3 from its safetensors file. Raises WeightsNotFound."""
        return cls(read_tensors(path, device=device, prefixes=cls.prefixes), dtype=dtype, max_length=max_length)

    @staticmethod
    @abstractmethod
    def _new_backbone(weights: dict[str, Tensor], max_length: int) -> Backbone[Any, Any]: ...

    @staticmethod
    def sample(logits: Tensor, draw: Draw) -> Tensor:
        """The next token of each sequence, (B,), of logits (B, V)."""
        return sample(logits, draw)

    @staticmethod
    @abstractmethod
    def prompt_length(voice: ChatterboxConditionals, num_text_tokens: int) -> int:
        """Positions that `embed_prompt` takes of a row."""

    @abstractmethod
    def embed_prompt(
        self, voice: ChatterboxConditionals, exaggeration: float, text_tokens: list[int], *, guided: bool
    ) -> Tensor:
        """(2 if guided else 1, n, C): voice, text, and the start of speech; the second row, for guidance, lacks the
        text."""

    @abstractmethod
    def embed_tokens(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """(B, C) of speech tokens (B,) at speech positions (B,)."""

    @property
    def row_bytes(self) -> int:
        """What a row of the cache takes."""
        return self.backbone.row_bytes

    def new_cache(self, num_rows: int) -> KVCache:
        return self.backbone.new_cache(num_rows)

    def prefill(self, embeddings: Tensor, lengths: Tensor, cache: KVCache, first_row: int) -> Tensor:
        """Logits (R, V) float32 after prompts; see `Backbone.prefill`."""
        return self._logits(self.backbone.prefill(embeddings, lengths, cache, first_row))

    def decode(
        self, embeddings: Tensor, positions: Tensor, cache: KVCache, length: int
    ) -> tuple[Tensor, Tensor | None]:
        """Logits (R, V) float32 after one more token a row, and what the aligned heads attend to on average,
        (R, length) float32; None where the model has none. See `Backbone.decode`."""
        hidden, attention = self.backbone.decode(embeddings, positions, cache, length, self.aligned_heads)
        return self._logits(hidden), torch.stack(attention).mean(dim=0) if attention else None

    def _logits(self, x: Tensor) -> Tensor:
        return linear(x, self._head, self._head_bias).float()
