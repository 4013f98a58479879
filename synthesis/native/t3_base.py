"""T3 of the base and the multilingual model: a Llama whose input embeddings are made here.

The arithmetic is that of upstream (chatterbox `t3.py`). Both models are one network with different weights; of the
multilingual one, three attention heads also tell where in the text speech is (`alignment`).
"""

from __future__ import annotations

import torch
from torch import Tensor

from synthesis.conditionals import ChatterboxConditionals
from synthesis.native.backbone import Head
from synthesis.native.conditioning import ConditioningEncoder
from synthesis.native.llama import PREFIXES, Llama
from synthesis.native.t3 import T3
from synthesis.native.vocabulary import START_SPEECH_TOKEN, START_TEXT_TOKEN, STOP_TEXT_TOKEN

CONDITIONING_POSITIONS = 34  # of `ConditioningEncoder.encode`


class BaseT3(T3):
    prefixes = (*PREFIXES, "cond_enc.", "text_emb.", "text_pos_emb.", "speech_emb.", "speech_pos_emb.", "speech_head.")

    def __init__(self, tensors: dict[str, Tensor], *, dtype: torch.dtype, max_length: int) -> None:
        super().__init__(tensors, dtype=dtype, max_length=max_length)
        self._conditioning = ConditioningEncoder(tensors)
        self._speech_positions = tensors["speech_pos_emb.emb.weight"].to(dtype)
        self._text_positions = tensors["text_pos_emb.emb.weight"].to(dtype)

    @staticmethod
    def _new_backbone(weights: dict[str, Tensor], max_length: int) -> Llama:
        return Llama(weights, max_length)

    @staticmethod
    def prompt_length(voice: ChatterboxConditionals, num_text_tokens: int) -> int:  # noqa: ARG004
        return CONDITIONING_POSITIONS + num_text_tokens + 4  # two marks around the text, two starts of speech

    def embed_prompt(
        self, voice: ChatterboxConditionals, exaggeration: float, text_tokens: list[int], *, guided: bool
    ) -> Tensor:
        """The second row keeps the positions of the text and loses the text. Upstream feeds the start of speech twice,
        both times at speech position 0 (`t3.py:inference`)."""
        conditioning = self._conditioning.encode(voice.speaker_emb, voice.cond_prompt_speech_tokens, exaggeration)
        tokens = torch.tensor([START_TEXT_TOKEN, *text_tokens, STOP_TEXT_TOKEN], device=self.device)
        positions = self._text_positions[: len(tokens)]
        start = (self._speech[START_SPEECH_TOKEN] + self._speech_positions[0])[None]  # (1, C)
        texts = [self._text[tokens] + positions, positions][: 2 if guided else 1]
        return torch.stack([torch.cat((conditioning.to(self.dtype), text, start, start)) for text in texts])

    def embed_tokens(self, tokens: Tensor, positions: Tensor) -> Tensor:
        return self._speech[tokens] + self._speech_positions[positions]


# chatterbox `alignment_stream_analyzer.py:LLAMA_ALIGNED_HEADS`; their mean is taken in this order
ALIGNED_HEADS = (Head(12, 15), Head(13, 11), Head(9, 2))


class MultilingualT3(BaseT3):
    aligned_heads = ALIGNED_HEADS
