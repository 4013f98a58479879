"""A recording as a voice that can be added to a bucket, in the writer's own format. Sends no requests."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generate_voice_embedding import (
    SAMPLE_RATE_HZ,
    About,
    Recording,
    candidate_voice_ids,
    encode_embedding,
    enrol,
    prepare_audio,
    utc_now,
    voice_digest,
    voice_metadata,
)
from voice_library.embedding_file import read_embedding
from voice_library.errors import UnsafeFile
from voice_library.mirror.keys import Metadata
from voice_library.mirror.names import name_in
from voice_library.mirror.truth import NewVoice


def new_voice(
    audio: NDArray[np.float32],
    sample_rate_hz: int,
    about: About,
    original_file: str | None,
    report: dict[str, Any] | None = None,
) -> NewVoice:
    """The voice of a recording. Raises VoiceEmbeddingError where the audio cannot be one.

    audio: (samples,) or (samples, channels) at sample_rate_hz.
    """
    samples = prepare_audio(audio, sample_rate_hz)  # (n,) float32 at 24 kHz
    made = enrol(Recording(samples))[1] if report is None else report
    created_at = utc_now()
    digest = voice_digest(samples, about.name)

    def is_same(voice_id: str, metadata: Metadata) -> bool:
        first_name = str(metadata.get("registered_as") or name_in(metadata, voice_id))
        its_digest = digest if first_name == about.name else voice_digest(samples, first_name)
        return next(each for each in candidate_voice_ids(its_digest) if len(each) >= len(voice_id)) == voice_id

    return NewVoice(
        about.name,
        encode_embedding(samples, about.name, created_at),
        candidates=functools.partial(candidate_voice_ids, digest),
        metadata_for=lambda voice_id: voice_metadata(
            voice_id,
            about.name,
            duration_s=len(samples) / SAMPLE_RATE_HZ,
            created_at=created_at,
            gender=about.gender,
            description=about.description,
            original_file=original_file or "array",
            report=made,
        ),
        is_same=is_same,
        has_audio_of=functools.partial(_holds, samples),
    )


def _holds(samples: NDArray[np.float32], compressed: bytes) -> bool:
    try:
        return np.array_equal(read_embedding(compressed).samples, samples)
    except UnsafeFile:
        return False
