"""Read a voice embedding: the audio in a `.pkl.gz`, without ever running `pickle.load`.

What a file may hold: the dict that `generate_voice_embedding` writes, and what older trees have: a dict with fewer or
other keys, a pair of array and sample rate, or a bare array. All limits hold before memory is taken. Knows nothing of
trees or names in them.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generate_voice_embedding import (
    MAX_DURATION_S,
    MIN_SOURCE_RATE_HZ,
    SAMPLE_RATE_HZ,
    VoiceEmbeddingError,
    convert_audio,
)
from voice_library import pickle_machine
from voice_library.errors import UnsafeFile
from voice_library.numpy_pickles import MAX_ARRAY_VALUES

MAX_PICKLE_BYTES = MAX_ARRAY_VALUES * 4 + 64 * 1024  # the array as float32, and what describes it
MAX_FILE_BYTES = MAX_PICKLE_BYTES + MAX_PICKLE_BYTES // 1000  # gzip adds under 0.1 % to what it cannot compress
MAX_SOURCE_RATE_HZ = 768_000
PIECE_BYTES = 1024 * 1024


@dataclass(frozen=True)
class VoiceEmbedding:
    """What a `.pkl.gz` holds. samples: (n,) float32 mono at sample_rate_hz, full scale ±1."""

    samples: NDArray[np.float32]
    sample_rate_hz: int  # always SAMPLE_RATE_HZ: older files are resampled
    voice_name: str | None  # None where an older file does not say


def read_embedding(compressed: bytes, default_rate_hz: int = SAMPLE_RATE_HZ) -> VoiceEmbedding:
    """The voice in the bytes of a `.pkl.gz`. `default_rate_hz` is for older files that do not say.

    Raises UnsafeFile: not gzip, cut off, too large, or anything but what a voice needs.
    """
    value = pickle_machine.load(_decompressed(compressed))
    fields = _fields(value)
    audio = _audio(fields)
    rate_hz = _rate_hz(fields, default_rate_hz)
    if audio.size == 0 or max(audio.shape) > rate_hz * MAX_DURATION_S:
        raise UnsafeFile(
            f"the voice embedding holds {max(audio.shape) / rate_hz:.0f} s of audio; allowed are up to "
            f"{MAX_DURATION_S} s; register a shorter recording"
        )
    try:
        samples = convert_audio(audio, rate_hz)
    except VoiceEmbeddingError as error:
        raise UnsafeFile(f"the voice embedding cannot be used: {error}") from error
    name = fields.get("voice_name")
    if not samples.flags.writeable:  # still a view of the pickle: callers own what they get
        samples = samples.copy()
    return VoiceEmbedding(samples, SAMPLE_RATE_HZ, name if isinstance(name, str) else None)


def _decompressed(compressed: bytes) -> bytearray:
    """The pickle, read piece by piece up to the limit: a gzip bomb is not unpacked."""
    if len(compressed) > MAX_FILE_BYTES:
        raise _too_large()
    unpacked = bytearray()
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(compressed)) as stream:
            while piece := stream.read(PIECE_BYTES):
                unpacked += piece
                if len(unpacked) > MAX_PICKLE_BYTES:
                    raise _too_large()
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise UnsafeFile(
            "the voice embedding is no gzip file, or is damaged or cut off; send the whole file"
        ) from error
    return unpacked


def _too_large() -> UnsafeFile:
    return UnsafeFile(
        f"the voice embedding is too large; allowed are {MAX_PICKLE_BYTES // 2**20} MiB unpacked; "
        "register a shorter recording"
    )


def _fields(value: Any) -> Mapping[str, Any]:
    if isinstance(value, dict):
        return value
    if isinstance(value, tuple) and len(value) == 2:
        return {"audio": value[0], "sample_rate": value[1]}
    return {"audio": value}


def _audio(fields: Mapping[str, Any]) -> NDArray[Any]:
    """The array named audio, or else the only array there is."""
    arrays = [item for item in fields.values() if isinstance(item, np.ndarray)]
    audio = fields.get("audio", arrays[0] if len(arrays) == 1 else None)
    if not isinstance(audio, np.ndarray):
        raise UnsafeFile("the voice embedding holds no audio array; make it with generate_voice_embedding.py")
    return audio


def _rate_hz(fields: Mapping[str, Any], default_rate_hz: int) -> int:
    rate_hz = next((fields[key] for key in ("sample_rate", "sampling_rate", "sr") if fields.get(key) is not None), None)
    rate_hz = default_rate_hz if rate_hz is None else rate_hz
    if not isinstance(rate_hz, (int, float)) or not MIN_SOURCE_RATE_HZ <= rate_hz <= MAX_SOURCE_RATE_HZ:
        allowed = f"{MIN_SOURCE_RATE_HZ} to {MAX_SOURCE_RATE_HZ} Hz"
        raise UnsafeFile(f"the voice embedding's sample rate is impossible; allowed are {allowed}; make it again")
    return int(rate_hz)
