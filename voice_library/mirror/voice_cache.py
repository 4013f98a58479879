"""Voices of a bucket as this machine holds them: in memory, then on its disk. Sends no requests.

What is kept under an id never changes but for its name and its end: a voice's audio is immutable. `is_due` says when a
voice that was served from here should be looked at again, so that a deletion elsewhere is noticed within a minute.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from generate_voice_embedding import Catalog, parse_json_object
from voice_library.library import Voice
from voice_library.mirror.file_cache import DiskCache
from voice_library.mirror.keys import (
    TREE,
    Claim,
    Metadata,
    conditionals_prefix,
    embedding_key,
    metadata_body,
    metadata_key,
    name_key,
)
from voice_library.tree import voice_of

MAX_VOICES_IN_MEMORY = 4096  # about 2 KB each
LOOK_AGAIN_S = 60.0
Value = TypeVar("Value")


class _Recent(Generic[Value]):
    """The most recently used values."""

    def __init__(self, max_values: int) -> None:
        self._values: OrderedDict[str, Value] = OrderedDict()
        self._max_values = max_values
        self._lock = threading.Lock()

    def get(self, key: str) -> Value | None:
        with self._lock:
            value = self._values.get(key)
            if value is not None:
                self._values.move_to_end(key)
            return value

    def put(self, key: str, value: Value) -> None:
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            while len(self._values) > self._max_values:
                self._values.popitem(last=False)

    def drop(self, key: str) -> None:
        with self._lock:
            self._values.pop(key, None)


@dataclass
class _Known:
    voice: Voice
    looked_at: float  # when the bucket was last asked about it


@dataclass(frozen=True)
class KnownClaim:
    """A claim as it was last seen; without an ETag where it comes from this machine's disk."""

    claim: Claim
    etag: str


def voice_from(metadata: Metadata, voice_id: str) -> Voice:
    """The voice of its metadata, completed."""
    return voice_of(Catalog({voice_id: dict(metadata)}, {}), voice_id, TREE)


class VoiceCache:
    """Voices, claims of names, and files of one bucket."""

    def __init__(self, disk: DiskCache, clock: Callable[[], float] = time.monotonic) -> None:
        self.disk = disk
        self._clock = clock
        self._voices: _Recent[_Known] = _Recent(MAX_VOICES_IN_MEMORY)
        self._claims: _Recent[KnownClaim] = _Recent(MAX_VOICES_IN_MEMORY)

    def voice(self, voice_id: str) -> Voice | None:
        known = self._voices.get(voice_id)
        if known is not None:
            return known.voice
        body = self.disk.read(metadata_key(voice_id))
        metadata = parse_json_object(body) if body is not None else None
        if metadata is None:
            return None
        voice = voice_from(metadata, voice_id)
        self._voices.put(voice_id, _Known(voice, 0.0))
        return voice

    def is_due(self, voice_id: str) -> bool:
        """Whether to ask the bucket about the voice again; True once per `LOOK_AGAIN_S`."""
        known, now = self._voices.get(voice_id), self._clock()
        if known is None or now - known.looked_at < LOOK_AGAIN_S:
            return False
        known.looked_at = now
        return True

    def keep_voice(self, voice_id: str, metadata: Metadata) -> Voice:
        voice = voice_from(metadata, voice_id)
        self._voices.put(voice_id, _Known(voice, self._clock()))
        self.disk.write(metadata_key(voice_id), metadata_body(metadata))
        return voice

    def forget(self, voice: Voice) -> None:
        """The voice is gone from the bucket."""
        self._voices.drop(voice.voice_id)
        self.disk.drop(metadata_key(voice.voice_id))
        self.disk.drop(embedding_key(voice.voice_id, voice.metadata))
        self.disk.drop(conditionals_prefix(voice.voice_id))

    def claim(self, name: str) -> KnownClaim | None:
        return self._claims.get(name_key(name))

    def claim_on_disk(self, name: str) -> KnownClaim | None:
        """For the time when the bucket cannot be asked."""
        body = self.disk.read(name_key(name))
        return KnownClaim(Claim.parse(body), "") if body is not None else None

    def keep_claim(self, name: str, claim: Claim, etag: str) -> None:
        self._claims.put(name_key(name), KnownClaim(claim, etag))
        self.disk.write(name_key(name), claim.body)

    def forget_claim(self, name: str) -> None:
        self._claims.drop(name_key(name))
        self.disk.drop(name_key(name))
