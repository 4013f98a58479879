"""The truth about voices in a bucket, one object each, so that no writer ever rewrites what another wrote.

    add      claim the name (create-only), embedding (create-only), marker, metadata (create-only): the commit
    rename   claim the new name, marker, metadata with the new name (compare-and-swap): the commit; release the old
    remove   marker, tombstone: the commit; then the claim, the metadata, the embedding and the conditionals

A crash at any step leaves either the committed voice or debris that `sweep` removes by age. The name comes first, so
that a name that is taken costs two requests and leaves nothing. Knows nothing of caches and snapshots, except that a
marker tells the fold (`fold`) what to look at.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from generate_voice_embedding import parse_json_object
from voice_library.errors import NameTaken, StorageUnavailable, VoiceNotFound
from voice_library.mirror.keys import (
    Claim,
    Marker,
    Metadata,
    conditionals_prefix,
    embedding_key,
    metadata_body,
    metadata_key,
    tombstone_key,
)
from voice_library.mirror.names import STALE_CLAIM_S, HeldClaim, Names, bears_name, name_in, taken
from voice_library.stores.interface import Store

log = logging.getLogger(__name__)
NUM_IDS_OF_TWINS = 8  # each but the first was used by a voice that is deleted, or is another's by chance
MAX_ATTEMPTS = 5  # how often a race for one name or one voice may be lost to others that then went away


@dataclass(frozen=True)
class NewVoice:
    """A voice that is to be added."""

    name: str
    embedding: bytes  # its .pkl.gz
    candidates: Callable[[], Iterator[str]]  # the ids it may get, in order
    metadata_for: Callable[[str], Metadata]
    is_same: Callable[[str, Metadata], bool]  # whether an existing voice (id, metadata) is this very voice
    has_audio_of: Callable[[bytes], bool]  # whether another .pkl.gz holds the same audio


@dataclass(frozen=True)
class Added:
    """What `add` did: a new voice, or the same one that was there."""

    voice_id: str
    metadata: Metadata
    is_new: bool
    replaced: str = ""  # the id of a voice that lost its name to this one, and was removed


@dataclass(frozen=True)
class _Held:
    """A name that is ours until we commit or give it back."""

    claim: Claim
    over: Claim | None  # what it replaced
    since: float  # time.monotonic()


class Truth:
    """The voices of one bucket. `catalog_entry` knows voices that have no metadata object (trees of older tools);
    `unclaimed_holder` knows the id of a voice that has a name without having claimed it."""

    def __init__(
        self,
        store: Store,
        catalog_entry: Callable[[str], Metadata | None],
        unclaimed_holder: Callable[[str], str | None],
    ) -> None:
        self.store = store
        self.names = Names(store, self.find)
        self._catalog_entry = catalog_entry
        self._unclaimed_holder = unclaimed_holder

    def find(self, voice_id: str) -> Metadata | None:
        """A voice's metadata; None where there is no such voice. 1 request, 3 where the metadata is not there."""
        return self._find_with_etag(voice_id)[0]

    def _find_with_etag(self, voice_id: str) -> tuple[Metadata | None, str]:
        found = self.store.find(metadata_key(voice_id))
        metadata = parse_json_object(found.body) if found else None
        if found is not None and metadata is not None:
            return metadata, found.etag
        entry = self._catalog_entry(voice_id)
        if entry is None or self.store.exists(tombstone_key(voice_id)):
            return None, ""
        return entry, found.etag if found else ""

    # ------------------------------------------------------------ add

    def add(self, new: NewVoice, *, replace: bool = False) -> Added:
        """Store the voice and give it its name. NameTaken where another voice has it and `replace` is not set."""
        for _ in range(MAX_ATTEMPTS):
            held = self._claim(new, replace)
            if isinstance(held, Added):
                return held
            if held is not None:
                return self._store_and_commit(new, held)
        raise NameTaken(f"the name {new.name!r} is fought over by others at this moment; try again")

    def add_unclaimed(self, new: NewVoice) -> Added:
        """Store a voice whose name another voice of the same older tree has: it is found by its id, and by its name
        where the mapping or the spelling tells the two apart."""
        voice_id = self._store_embedding(new)
        self.store.put(Marker(voice_id).new_key(), b"")
        return Added(voice_id, self._commit(new, voice_id), is_new=True)

    def _claim(self, new: NewVoice, replace: bool) -> _Held | Added | None:
        """Hold the name, or find the same voice there. None: a rival was quicker, look again."""
        since = time.monotonic()
        fresh = Claim(new.name, next(new.candidates()))
        unclaimed = self._unclaimed_holder(new.name)
        if unclaimed is None and self.names.take(fresh, None):
            return _Held(fresh, None, since)
        held = self.names.read(new.name)
        holder = self._holder(new.name, held, unclaimed)
        if holder is None:
            # An id that this voice may get too is a twin's, or our own earlier attempt's.
            if held is not None and held.claim.voice_id not in islice(new.candidates(), NUM_IDS_OF_TWINS):
                self.names.refuse_if_under_way(held)
        elif new.is_same(*holder):
            return Added(*holder, is_new=False)
        elif not replace:
            raise taken(new.name, holder[0])
        claim = Claim(new.name, fresh.voice_id, previous=holder[0] if holder else "")
        return _Held(claim, held.claim if held else None, since) if self.names.take(claim, held) else None

    def _holder(self, name: str, held: HeldClaim | None, unclaimed: str | None) -> tuple[str, Metadata] | None:
        """The voice that has the name. A snapshot may still show the old name of one that was renamed."""
        holder = self.names.voice_of(held.claim) if held else None
        if holder is not None or unclaimed is None:
            return holder
        metadata = self.find(unclaimed)
        if metadata is None or ("registered_as" in metadata and not bears_name(metadata, unclaimed, name)):
            return None
        return unclaimed, metadata

    def _store_and_commit(self, new: NewVoice, held: _Held) -> Added:
        try:
            voice_id = self._store_embedding(new)
            held = self._with_id(held, voice_id)
            self.store.put(Marker(voice_id).new_key(), b"")
            self._check_hold(held)
        except Exception:
            self._give_up(held)
            raise
        metadata = self._commit(new, voice_id)  # from here on nothing is undone: an unclear outcome may be a commit
        if held.claim.previous:
            self._remove_replaced(held.claim.previous)
        return Added(voice_id, metadata, is_new=True, replaced=held.claim.previous)

    def _commit(self, new: NewVoice, voice_id: str) -> Metadata:
        metadata = new.metadata_for(voice_id)
        if self.store.create(metadata_key(voice_id), metadata_body(metadata)):
            return metadata
        return self.find(voice_id) or metadata  # a twin that adds the same voice was quicker

    def _store_embedding(self, new: NewVoice) -> str:
        """Put the embedding under the first id that nobody has or had; that id."""
        for voice_id in new.candidates():
            if self.store.exists(tombstone_key(voice_id)):
                continue
            key = embedding_key(voice_id)
            if self.store.create(key, new.embedding):
                return voice_id
            metadata, there = self.find(voice_id), self.store.find(key)
            if metadata is not None and not (
                new.is_same(voice_id, metadata) and bears_name(metadata, voice_id, new.name)
            ):
                continue
            if there is not None and new.has_audio_of(there.body):
                self.store.put(key, there.body)  # left by a registration that died: young again, so no sweep takes it
                return voice_id
        raise NameTaken(f"no id is free for voice {new.name!r}; choose another name")

    def _with_id(self, held: _Held, voice_id: str) -> _Held:
        """The claim names the id that was free; its first guess nearly always is."""
        if held.claim.voice_id == voice_id:
            return held
        claim, current = Claim(held.claim.name, voice_id, held.claim.previous), self.names.read(held.claim.name)
        if current is None or current.claim.nonce != held.claim.nonce or not self.names.take(claim, current):
            raise _lost(held.claim.name)
        return _Held(claim, held.over, held.since)

    def _check_hold(self, held: _Held) -> None:
        """A claim that was taken over, or that others may by now take over, must still be ours when we commit."""
        is_slow = time.monotonic() - held.since > STALE_CLAIM_S / 2
        if (held.over is not None or is_slow) and not self.names.stands(held.claim):
            raise _lost(held.claim.name)

    def _give_up(self, held: _Held) -> None:
        """Best effort. Only the name is given back: a twin that adds the same voice may count on the rest, which is
        debris otherwise."""
        with contextlib.suppress(StorageUnavailable):
            self.names.give_back(held.claim, held.over)

    def _remove_replaced(self, voice_id: str) -> None:
        try:
            self.remove(voice_id, self.find(voice_id) or {}, keep_claim=True)
        except StorageUnavailable:
            log.warning("voice %s lost its name to a new one, but could not be deleted; delete it by its id", voice_id)

    # ------------------------------------------------------------ rename, remove

    def rename(self, voice_id: str, new_name: str) -> Metadata:
        """Give the voice another name. VoiceNotFound, NameTaken."""
        for _ in range(MAX_ATTEMPTS):
            metadata, etag = self._find_with_etag(voice_id)
            if metadata is None:
                raise VoiceNotFound(
                    f"no voice has the id {voice_id!r}; it may have been deleted; list_voices shows all"
                )
            held = self._claim_for(voice_id, new_name)
            if held is None:
                continue
            renamed = self._commit_name(voice_id, metadata, etag, new_name)
            if renamed is not None:
                old_name = name_in(metadata, voice_id)
                if not bears_name(renamed, voice_id, old_name):
                    self.names.release(old_name, voice_id)
                return renamed
            self.names.give_back(held.claim, held.over)
        raise NameTaken(f"voice {voice_id} or the name {new_name!r} is being changed by others; try again")

    def _claim_for(self, voice_id: str, new_name: str) -> _Held | None:
        since, claim = time.monotonic(), Claim(new_name, voice_id)
        unclaimed = self._unclaimed_holder(new_name)
        if unclaimed in (None, voice_id) and self.names.take(claim, None):
            return _Held(claim, None, since)
        held = self.names.read(new_name)
        holder = self._holder(new_name, held, unclaimed)
        if holder is not None and holder[0] != voice_id:
            raise taken(new_name, holder[0])
        if holder is None and held is not None and held.claim.voice_id != voice_id:
            self.names.refuse_if_under_way(held)
        return _Held(claim, held.claim if held else None, since) if self.names.take(claim, held) else None

    def _commit_name(self, voice_id: str, metadata: Metadata, etag: str, new_name: str) -> Metadata | None:
        """Metadata with the new name; None where the voice was changed or deleted meanwhile."""
        # The id is a digest over the first name; with it, the same recording is still known for the same.
        old_name = name_in(metadata, voice_id)
        renamed = {"voice_id": voice_id, "registered_as": old_name, **metadata, "speaker_name": new_name}
        self.store.put(Marker.renamed(voice_id, new_name).new_key(), b"")
        key, body = metadata_key(voice_id), metadata_body(renamed)
        done = self.store.replace(key, body, etag) is not None if etag else self.store.create(key, body)
        return renamed if done else None

    def remove(self, voice_id: str, metadata: Metadata, *, keep_claim: bool = False) -> None:
        """Delete the voice and everything beside it; may be repeated. The metadata goes before the embedding, so that
        no reader finds a voice without its file, and after the claim, which others may then take."""
        self.store.put(Marker(voice_id, "deleted").new_key(), b"")
        self.store.put(tombstone_key(voice_id), b"")
        if not keep_claim:
            self.names.release(name_in(metadata, voice_id), voice_id)
        self.store.delete(metadata_key(voice_id))
        self.store.delete(embedding_key(voice_id, metadata))
        for item in list(self.store.list(conditionals_prefix(voice_id))):
            self.store.delete(item.key)


def _lost(name: str) -> NameTaken:
    return NameTaken(f"the name {name!r} was given to another voice meanwhile; choose another, or try again")
