"""How fast the machine at hand could do what the engine does, if it did nothing else and wasted nothing: from its
measured speed of reading and of multiplying (`engine_stages.limits`), the bytes of T3 and the operations of S3Gen.

Prompts, the KV cache, norms and activations are left out, so that nothing real comes to 100 %.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TOKENS_PER_S = 25
FIRST_CHUNK_TOKENS = 26  # decoded before a stream's first second can be spoken
_HALF_S_KEPT_BACK = 0.5  # of the first chunk


class Limits:
    """measured: what `engine_stages.limits` found. Every method gives the least time, s."""

    def __init__(self, measured: Mapping[str, Any], on_cuda: bool) -> None:
        self.read_bytes_per_s: float = measured["read_bytes_per_s"]
        self._flops_per_s = {False: measured["fp32_flops_per_s"], True: measured["bf16_flops_per_s"]}
        self._t3_bytes: float = measured["t3_step_bytes"]  # in float32
        self._s3gen_flops = {float(seconds): flops for seconds, flops in measured["s3gen_flops"].items()}
        self._on_cuda = on_cuda  # where both compute in bfloat16

    @property
    def flops_per_s(self) -> float:
        """Of S3Gen."""
        return self._flops_per_s[self._on_cuda]

    def s3gen_flops(self, audio_s: float) -> float:
        """With 10 s of prompt. A square in the length, as attention is: drawn through three that were counted."""
        total = 0.0
        for own, flops in self._s3gen_flops.items():
            others = [other for other in self._s3gen_flops if other != own]
            share = 1.0
            for other in others:
                share *= (audio_s - other) / (own - other)
            total += flops * share
        return total

    def t3_step_s(self, batch: int, half: bool | None = None) -> float:
        """One token of so many requests, with guidance. half: bfloat16; None is what this machine speaks in."""
        half = self._on_cuda if half is None else half
        parameters, rows = self._t3_bytes / 4, 2 * batch
        reading_s = parameters * (2 if half else 4) / self.read_bytes_per_s
        return max(reading_s, 2 * parameters * rows / self._flops_per_s[half])

    def s3gen_s(self, audio_s: float) -> float:
        return self.s3gen_flops(audio_s) / self.flops_per_s

    def clips_s(self, number: int, audio_s: float) -> float:
        """So many clips at once."""
        return TOKENS_PER_S * audio_s * self.t3_step_s(number) + number * self.s3gen_s(audio_s)

    def first_chunk_s(self) -> float:
        return FIRST_CHUNK_TOKENS * self.t3_step_s(1) + self.s3gen_s(1 - _HALF_S_KEPT_BACK)
