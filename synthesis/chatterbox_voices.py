"""Conditionals of a voice for Chatterbox: from memory, from where the caller saves them, or computed.

Both implementations keep them here, under the same keys, so that each reads what the other saved. Knows nothing of how
they are computed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from synthesis.chatterbox_device import translated_errors
from synthesis.chatterbox_models import MIN_REFERENCE_S
from synthesis.conditionals import ChatterboxConditionals, ConditionalsError
from synthesis.conditionals_cache import ConditionalsCache
from synthesis.engine import SAMPLE_RATE_HZ, Conditionals, ReferenceAudio, Samples, SavedConditionals
from synthesis.errors import UnusableReference

logger = logging.getLogger(__name__)

SILENCE = 1e-4  # -80 dBFS, where 16-bit noise begins: a clip whose peak is below says nothing

CACHE_BYTES = 256 * 1024 * 1024  # about 1,500 voices of 10 s

Listen = Callable[[Samples], ChatterboxConditionals]


class Voices:
    """listen: computes conditionals of a clip; revision: what the weights are, as `weights_revision` says it."""

    def __init__(
        self,
        listen: Listen,
        *,
        model: str,
        revision: str,
        device: str,
        min_reference_s: float = MIN_REFERENCE_S,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self._listen, self._min_reference_s = listen, min_reference_s
        self._model, self._revision, self._device = model, revision, device
        self._cache = ConditionalsCache(cache_bytes)

    def prepare(self, reference: ReferenceAudio, saved: SavedConditionals | None = None) -> Conditionals:
        """Raises UnusableReference for a clip that is too short, silent or not finite; OutOfDeviceMemory."""
        return self._cache.get(reference.digest, lambda: self._load_or_compute(reference, saved))

    def _load_or_compute(self, reference: ReferenceAudio, saved: SavedConditionals | None) -> ChatterboxConditionals:
        key = f"chatterbox-{self._model}-{self._revision[:16]}-{reference.digest[:16]}"  # both again in full inside
        blob = None if saved is None else saved.read(key)
        if blob is not None:
            try:
                return ChatterboxConditionals.from_bytes(blob, self._revision, reference.digest, self._device)
            except ConditionalsError as error:
                logger.warning("saved conditionals %s are computed anew: %s", key, error)
        conditionals = self._compute(reference)
        if saved is not None:
            try:
                saved.write(key, conditionals.to_bytes(self._revision, reference.digest))
            except OSError as error:  # only the next worker's time is lost
                logger.warning("conditionals %s could not be saved: %s", key, error)
        return conditionals

    def _compute(self, reference: ReferenceAudio) -> ChatterboxConditionals:
        _check_usable(reference.samples, self._min_reference_s)
        try:
            with translated_errors():
                return self._listen(reference.samples)
        except ConditionalsError as error:
            raise UnusableReference(
                f"the reference audio gives no usable voice: {error}; record another clip"
            ) from error


def read_builtin_voice(path: Path, device: str) -> ChatterboxConditionals | None:
    """The voice that came with the weights: conds.pt, as upstream writes it, read without running its pickle's code;
    None where there is none."""
    if not path.is_file():
        return None
    stored = torch.load(path, map_location=device, weights_only=True)
    tensors = {**stored["t3"], **stored["gen"]}
    names = ChatterboxConditionals.__dataclass_fields__
    return ChatterboxConditionals(**{name: tensors[name] for name in names})


def _check_usable(samples: Samples, min_s: float) -> None:
    fault = None
    if samples.ndim != 1 or len(samples) < min_s * SAMPLE_RATE_HZ:
        fault = f"has {samples.size / SAMPLE_RATE_HZ:.2f} s; allowed is mono of {min_s:g} s or more"
    elif not np.isfinite(samples).all():
        fault = "holds NaN or infinite samples; allowed are finite ones"
    elif np.abs(samples).max() < SILENCE:
        fault = "is silent; allowed is a clip in which someone speaks"
    if fault:
        raise UnusableReference(f"the reference audio {fault}; record another clip")
