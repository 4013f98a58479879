"""Chatterbox's models as this implementation has them: which files, which T3, which tokenizer, and how they listen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from synthesis.chatterbox_models import CHATTERBOX_MODELS, Model
from synthesis.conditionals import ChatterboxConditionals
from synthesis.native.multilingual_tokens import MultilingualTokenizer
from synthesis.native.reference import TURBO_LISTENING, Listening
from synthesis.native.t3 import T3
from synthesis.native.t3_base import BaseT3, MultilingualT3
from synthesis.native.t3_turbo import TurboT3
from synthesis.native.text_tokens import TextTokenizer, TextTokens
from synthesis.native.turbo_tokens import TurboTokenizer


@dataclass(frozen=True)
class Variant:
    """Files are names in the folder of the weights."""

    model: Model
    t3: type[T3]
    t3_file: str
    s3gen_file: str
    voice_file: str  # of the voice encoder
    new_tokenizer: Callable[[Path], TextTokens]  # of the folder
    listening: Listening = field(default_factory=Listening)
    max_length: int = 1536  # positions of a request in the cache: the prompt of a segment, and its speech

    def room(self, voice: ChatterboxConditionals, num_text_tokens: int) -> int:
        """How many speech tokens fit behind a prompt."""
        return self.max_length - self.t3.prompt_length(voice, num_text_tokens)


VARIANTS = {
    variant.model.name: variant
    for variant in (
        Variant(
            model=CHATTERBOX_MODELS["base"],
            t3=BaseT3,
            t3_file="t3_cfg.safetensors",
            s3gen_file="s3gen.safetensors",
            voice_file="ve.safetensors",
            new_tokenizer=lambda folder: TextTokenizer(folder / "tokenizer.json"),
        ),
        Variant(
            model=CHATTERBOX_MODELS["turbo"],
            t3=TurboT3,
            t3_file="t3_turbo_v1.safetensors",
            s3gen_file="s3gen_meanflow.safetensors",
            voice_file="ve.safetensors",
            new_tokenizer=TurboTokenizer,
            listening=TURBO_LISTENING,
        ),
        Variant(
            model=CHATTERBOX_MODELS["multilingual"],
            t3=MultilingualT3,
            t3_file="t3_mtl23ls_v2.safetensors",
            s3gen_file="s3gen.pt",
            voice_file="ve.pt",
            new_tokenizer=MultilingualTokenizer,
            max_length=2048,  # a Chinese character is five text tokens, and a segment of them as long as any
        ),
    )
}
