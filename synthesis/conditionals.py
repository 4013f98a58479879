"""The conditionals of a voice for the chatterbox engine: an immutable value, and its form as bytes.

Knows how they look, not how they are computed (`chatterbox_model`) or where they are kept (`conditionals_cache`, and
the caller's `SavedConditionals`). Bytes are safetensors, never a pickle: reading them runs no code, and whatever is not
exactly what we wrote for this voice and these weights is refused, so that it is computed anew.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from synthesis.engine import Conditionals

FORMAT = "chatterbox-conditionals-1"  # changes with what upstream's code computes: package version 0.1.7
SPEECH_VOCABULARY = 6561  # speech tokens that stand for sound (chatterbox `s3tokenizer.py:SPEECH_VOCAB_SIZE`)

# Shape and dtype of every tensor. A dimension that depends on the audio is named; equal names are equal numbers.
_LAYOUT: Mapping[str, tuple[tuple[int | str, ...], torch.dtype]] = {
    "speaker_emb": ((1, 256), torch.float32),
    "cond_prompt_speech_tokens": ((1, "tokens of T3's prompt"), torch.int64),
    "prompt_token": ((1, "tokens of S3Gen's prompt"), torch.int64),
    "prompt_token_len": ((1,), torch.int64),
    "prompt_feat": ((1, "mel frames", 80), torch.float32),
    "embedding": ((1, 192), torch.float32),
}


class ConditionalsError(ValueError):
    """These are not the conditionals that were asked for; they must be computed anew."""


@dataclass(frozen=True, eq=False)
class ChatterboxConditionals(Conditionals):
    """What T3 and S3Gen compute from reference audio, on the engine's device. Nothing changes these tensors in place.

    Raises ConditionalsError when a tensor is not as `_LAYOUT` has it, or holds a value no model computes.
    """

    speaker_emb: Tensor  # (1, 256) float32: the speaker, for T3
    cond_prompt_speech_tokens: Tensor  # (1, up to 150) int64: the clip's first 6 s, for T3
    prompt_token: Tensor  # (1, n) int64, up to 250: the clip's first 10 s, for S3Gen
    prompt_token_len: Tensor  # (1,) int64: n
    prompt_feat: Tensor  # (1, 2n or 2n + 1, 80) float32: the same as mel frames
    embedding: Tensor  # (1, 192) float32: the speaker, for S3Gen

    def __post_init__(self) -> None:
        tensors = self.tensors()
        for name, tensor in tensors.items():
            _check(name, tensor)
        num_tokens, num_frames = self.prompt_token.shape[1], self.prompt_feat.shape[1]
        if self.prompt_token_len.item() != num_tokens or num_frames not in (2 * num_tokens, 2 * num_tokens + 1):
            raise ConditionalsError(f"{num_tokens} prompt tokens do not go with {num_frames} mel frames")

    def tensors(self) -> dict[str, Tensor]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def num_bytes(self) -> int:
        return sum(tensor.numel() * tensor.element_size() for tensor in self.tensors().values())

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor], device: str) -> ChatterboxConditionals:
        """From tensors by name, brought to the device and to the dtypes of `_LAYOUT`."""
        return cls(**{name: tensors[name].to(device, dtype) for name, (_, dtype) in _LAYOUT.items()})

    def to_bytes(self, revision: str, audio_digest: str) -> bytes:
        """As safetensors, marked with the weights and the audio they were computed with."""
        tensors = {name: tensor.cpu().contiguous() for name, tensor in self.tensors().items()}
        return bytes(save(tensors, metadata=_mark(revision, audio_digest)))

    @classmethod
    def from_bytes(cls, blob: bytes, revision: str, audio_digest: str, device: str) -> ChatterboxConditionals:
        """The reverse of `to_bytes`. Raises ConditionalsError for anything but that voice's, of those weights."""
        if _metadata(blob) != _mark(revision, audio_digest):
            raise ConditionalsError("they were saved for other weights or other audio")
        try:
            tensors = load(blob)
        except SafetensorError as error:
            raise ConditionalsError(str(error)) from error
        if tensors.keys() != _LAYOUT.keys():
            raise ConditionalsError(f"they hold {sorted(tensors)}")
        return cls(**{name: tensor.to(device) for name, tensor in tensors.items()})


def _check(name: str, tensor: Tensor) -> None:
    shape, dtype = _LAYOUT[name]
    fits = len(shape) == tensor.dim() and all(
        size > 0 if isinstance(expected, str) else size == expected
        for expected, size in zip(shape, tensor.shape, strict=True)
    )
    if tensor.dtype != dtype or not fits:
        raise ConditionalsError(f"{name} is {tensor.dtype} {tuple(tensor.shape)}; it must be {dtype} {shape}")
    # An index outside an embedding stops a GPU for good, and NaN speaks noise.
    if name.endswith(("_token", "_tokens")) and not ((tensor >= 0) & (tensor < SPEECH_VOCABULARY)).all():
        raise ConditionalsError(f"{name} holds tokens outside 0 to {SPEECH_VOCABULARY - 1}")
    if tensor.is_floating_point() and not tensor.isfinite().all():
        raise ConditionalsError(f"{name} holds values that are not finite")


def _mark(revision: str, audio_digest: str) -> dict[str, str]:
    # One entry: safetensors writes several in random order, and the same voice should be the same bytes.
    return {"computed_from": f"{FORMAT} weights:{revision} audio:{audio_digest}"}


def _metadata(blob: bytes) -> Any:
    """The `__metadata__` of a safetensors file (8 bytes header length, the header as JSON); None where it has none."""
    length = int.from_bytes(blob[:8], "little")
    try:
        return json.loads(blob[8 : 8 + length]).get("__metadata__")
    except (ValueError, AttributeError):
        return None
