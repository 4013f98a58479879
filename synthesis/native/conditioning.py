"""What T3 hears of a voice before the text: speaker, a summary of how they spoke, and how emotional to be.

The arithmetic is upstream's (chatterbox `cond_enc.py:T3CondEnc`, `perceiver.py:Perceiver`). It runs once an utterance,
in float32 whatever T3 computes in. Knows nothing of requests or of T3's layers.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor

_PERCEIVER_HEADS = 4
_ATTENTION = "cond_enc.perceiver.attn."


class ConditioningEncoder:
    """Voice and exaggeration to the first positions of a prompt."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        """tensors: T3's, by upstream's names."""
        self._weights = {name: tensor.float() for name, tensor in tensors.items() if name.startswith("cond_enc.")}
        self._speech, self._positions = tensors["speech_emb.weight"], tensors["speech_pos_emb.emb.weight"]

    def encode(self, speaker_emb: Tensor, prompt_tokens: Tensor, exaggeration: float) -> Tensor:
        """(34, C) float32: one position for the speaker, 32 for the prompt, one for the emotion.

        speaker_emb: (1, 256) float32; prompt_tokens: (1, n) speech tokens of the reference, n <= 150.
        """
        speaker = self._linear(speaker_emb, "cond_enc.spkr_enc")  # (1, C)
        prompt = (self._speech[prompt_tokens[0]] + self._positions[: prompt_tokens.shape[1]]).float()  # (n, C)
        summary = self._attend(self._weights["cond_enc.perceiver.pre_attention_query"][0], prompt)  # (32, C)
        summary = self._attend(summary, summary)
        emotion = self._linear(torch.full_like(speaker[:, :1], exaggeration), "cond_enc.emotion_adv_fc")  # (1, C)
        return torch.cat((speaker, summary, emotion))

    def _attend(self, queries: Tensor, sources: Tensor) -> Tensor:
        """queries (m, C) after one attention block over sources (n, C); the block serves both of its uses."""
        normed_queries, normed_sources = self._norm(queries), self._norm(sources)
        query = self._heads(self._linear(normed_queries, f"{_ATTENTION}to_q"))
        key = self._heads(self._linear(normed_sources, f"{_ATTENTION}to_k"))
        value = self._heads(self._linear(normed_sources, f"{_ATTENTION}to_v"))
        attended = F.scaled_dot_product_attention(query, key, value)  # (1, heads, m, C / heads)
        joined = attended[0].transpose(0, 1).reshape(queries.shape)
        return queries + self._linear(joined, f"{_ATTENTION}proj_out")

    def _heads(self, x: Tensor) -> Tensor:
        """(n, C) to (1, heads, n, C / heads)."""
        return x.view(1, len(x), _PERCEIVER_HEADS, -1).transpose(1, 2)

    def _norm(self, x: Tensor) -> Tensor:
        weight, bias = self._weights[f"{_ATTENTION}norm.weight"], self._weights[f"{_ATTENTION}norm.bias"]
        return F.layer_norm(x, weight.shape, weight, bias)

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return F.linear(x, self._weights[f"{name}.weight"], self._weights.get(f"{name}.bias"))
