"""Find voices of a bucket: on this machine where it knows them, else in the bucket; what is cached is served when the
bucket cannot be reached. Writes nothing into the bucket."""

from __future__ import annotations

import logging
import time

from numpy import float32
from numpy.typing import NDArray

from generate_voice_embedding import SAFE_VOICE_ID, SAMPLE_RATE_HZ
from voice_library.embedding_file import MAX_FILE_BYTES, read_embedding
from voice_library.errors import DamagedVoice, StorageUnavailable, UnsafeFile
from voice_library.library import Voice
from voice_library.local import not_found
from voice_library.mirror.background import Background
from voice_library.mirror.keys import Claim, embedding_key, name_key, tombstone_key
from voice_library.mirror.names import bears_name
from voice_library.mirror.snapshot_reader import SnapshotReader
from voice_library.mirror.truth import Truth
from voice_library.mirror.voice_cache import VoiceCache
from voice_library.stores.interface import Store

log = logging.getLogger(__name__)
TRY_AGAIN_S = 10.0  # after the bucket could not be reached, for names that this machine knows


class MirrorReader:
    """Voices by id and by name, and their audio."""

    def __init__(
        self, store: Store, truth: Truth, snapshots: SnapshotReader, cache: VoiceCache, background: Background
    ) -> None:
        self._store = store
        self._truth = truth
        self._snapshots = snapshots
        self._cache = cache
        self._background = background
        self._unreachable_until = 0.0  # time.monotonic(): nobody waits for the bucket again until then

    def by_id(self, voice_id: str) -> Voice:
        """No request where this machine knows the voice. VoiceNotFound."""
        if not SAFE_VOICE_ID.fullmatch(voice_id):
            raise not_found("id", voice_id)
        voice = self._cache.voice(voice_id)
        if voice is None:
            return self._fetched(voice_id)
        if self._cache.is_due(voice_id):
            self._background.submit(lambda: self._look_again(voice))
        return voice

    def by_name(self, name: str) -> Voice:
        """One request, which carries nothing where the name still belongs to a voice that is known. VoiceNotFound."""
        known = self._cache.claim(name)
        if time.monotonic() < self._unreachable_until and (voice := self._cached_by_name(name)):
            return voice
        try:
            found = self._store.find_unless(name_key(name), known.etag) if known else self._store.find(name_key(name))
        except StorageUnavailable as error:
            voice = self._cached_by_name(name)
            if voice is None:
                raise
            self._unreachable_until = time.monotonic() + TRY_AGAIN_S
            log.warning("voice %s is served from this machine: %s", voice.voice_id, error)
            return voice
        if found is None:
            self._cache.forget_claim(name)
            return self._unclaimed(name)
        claim = known.claim if known and found.etag == known.etag else Claim.parse(found.body)
        if known is None or found.etag != known.etag:
            self._cache.keep_claim(name, claim, found.etag)
        return self._claimed(name, claim) or self._unclaimed(name)

    def audio(self, voice: Voice) -> NDArray[float32]:
        """(n,) float32 mono at 24 kHz. No request where this machine has the file. DamagedVoice, UnsafeFile."""
        key = embedding_key(voice.voice_id, voice.metadata)
        rate_hz = voice.sample_rate_hz or SAMPLE_RATE_HZ
        body = self._cache.disk.read(key)
        if body is not None:
            try:
                return read_embedding(body, rate_hz).samples
            except UnsafeFile:
                self._cache.disk.drop(key)  # damaged on this disk, perhaps; the bucket's word counts
        found = self._store.find(key, MAX_FILE_BYTES)
        if found is None:
            self._raise_missing(voice)
            raise AssertionError("unreachable")
        samples = read_embedding(found.body, rate_hz).samples
        self._cache.disk.write(key, found.body)
        return samples

    def _raise_missing(self, voice: Voice) -> None:
        if self._store.exists(tombstone_key(voice.voice_id)):
            self._cache.forget(voice)
            raise not_found("id", voice.voice_id)
        raise DamagedVoice(
            f"the file of voice {voice.voice_id} is not in {self._store.description}; every voice needs its .pkl.gz; "
            "register the voice again"
        )

    def _fetched(self, voice_id: str) -> Voice:
        metadata = self._truth.find(voice_id)
        if metadata is None:
            raise not_found("id", voice_id)
        return self._cache.keep_voice(voice_id, metadata)

    def _look_again(self, voice: Voice) -> None:
        """Notice what other workers did to a voice that is served from this machine."""
        metadata = self._truth.find(voice.voice_id)
        if metadata is None:
            self._cache.forget(voice)
        else:
            self._cache.keep_voice(voice.voice_id, metadata)

    def _claimed(self, name: str, claim: Claim) -> Voice | None:
        """The voice of a claim; None where it has none. In older trees two voices may have names that differ in case
        only: one has the claim, the other is found by exactly its name."""
        if claim.name != name and (exact := self._snapshots.names().names.get(name)) not in (None, claim.voice_id):
            voice = self._existing(str(exact), name)
            if voice is not None and voice.name == name:
                return voice
        return self._existing(claim.voice_id, name) or self._existing(claim.previous, name)

    def _existing(self, voice_id: str, name: str) -> Voice | None:
        """The voice, if it exists and has this name; what this machine knows may be older than a rename."""
        voice = self._cache.voice(voice_id) if voice_id else None
        if voice is not None and bears_name(voice.metadata, voice_id, name):
            return voice
        metadata = self._truth.find(voice_id) if voice_id else None
        if metadata is None or not bears_name(metadata, voice_id, name):
            return None
        return self._cache.keep_voice(voice_id, metadata)

    def _unclaimed(self, name: str) -> Voice:
        """A voice that only the snapshots know by this name: its tree was not made by us."""
        voice_id = self._snapshots.holder(name)
        metadata = self._truth.find(voice_id) if voice_id else None
        if voice_id is None or metadata is None:
            raise not_found("name", name)
        if "registered_as" in metadata and not bears_name(metadata, voice_id, name):
            raise not_found("name", name)  # its old name; the snapshots have not caught up
        return self._cache.keep_voice(voice_id, metadata)

    def _cached_by_name(self, name: str) -> Voice | None:
        """What this machine knows, for as long as the bucket cannot be asked."""
        known = self._cache.claim(name) or self._cache.claim_on_disk(name)
        for voice_id in (known.claim.voice_id, known.claim.previous) if known else ():
            voice = self._cache.voice(voice_id) if voice_id else None
            if voice is not None and bears_name(voice.metadata, voice_id, name):
                return voice
        return None
