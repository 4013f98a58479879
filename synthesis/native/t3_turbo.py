"""T3 of the turbo model: a GPT-2 that hears the voice's prompt itself, without guidance and without emotion.

The arithmetic is that of upstream (chatterbox `t3.py:T3.inference_turbo`). Speech and text have no positions of their
own; the transformer counts from the start of the prompt on.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor

from synthesis.conditionals import ChatterboxConditionals
from synthesis.native.gpt2 import PREFIXES, Gpt2
from synthesis.native.sampling import Draw, sample_turbo
from synthesis.native.t3 import T3
from synthesis.native.vocabulary import START_SPEECH_TOKEN


class TurboT3(T3):
    prefixes = (*PREFIXES, "cond_enc.spkr_enc.", "text_emb.", "speech_emb.", "speech_head.")
    is_guided = False
    penalises_start = False

    def __init__(self, tensors: dict[str, Tensor], *, dtype: torch.dtype, max_length: int) -> None:
        super().__init__(tensors, dtype=dtype, max_length=max_length)
        self._speaker, self._speaker_bias = (
            tensors[f"cond_enc.spkr_enc.{name}"].float() for name in ("weight", "bias")
        )

    @staticmethod
    def _new_backbone(weights: dict[str, Tensor], max_length: int) -> Gpt2:
        return Gpt2(weights, max_length)

    @staticmethod
    def sample(logits: Tensor, draw: Draw) -> Tensor:
        return sample_turbo(logits, draw)

    @staticmethod
    def prompt_length(voice: ChatterboxConditionals, num_text_tokens: int) -> int:
        return 1 + voice.cond_prompt_speech_tokens.shape[1] + num_text_tokens + 1

    def embed_prompt(
        self, voice: ChatterboxConditionals, exaggeration: float, text_tokens: list[int], *, guided: bool
    ) -> Tensor:
        """One position for the speaker, one for each token of the voice's prompt and of the text, and the start."""
        del exaggeration  # which this model does not know
        assert not guided, "this model knows no guidance"
        speaker = F.linear(voice.speaker_emb, self._speaker, self._speaker_bias).to(self.dtype)  # (1, C)
        text = torch.tensor(text_tokens, dtype=torch.int64, device=self.device)
        prompt, start = self._speech[voice.cond_prompt_speech_tokens[0]], self._speech[START_SPEECH_TOKEN][None]
        return torch.cat((speaker, prompt, self._text[text], start))[None]

    def embed_tokens(self, tokens: Tensor, positions: Tensor) -> Tensor:  # noqa: ARG002
        return self._speech[tokens]
