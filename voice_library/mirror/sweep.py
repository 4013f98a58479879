"""Remove debris from a bucket: what registrations and deletions that died half-way have left. Only what is older than
an age, for a younger one may still be alive."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tqdm import tqdm

from voice_library.mirror.keys import (
    CONDITIONALS_FOLDER,
    EMBEDDINGS_FOLDER,
    METADATA_FOLDER,
    NAMES_FOLDER,
    PENDING_FOLDER,
    PROBE_FOLDER,
    TOMBSTONES_FOLDER,
    Claim,
    Marker,
    embedding_key,
)
from voice_library.mirror.names import bears_name
from voice_library.mirror.parallel import in_parallel
from voice_library.mirror.snapshot_reader import SnapshotReader
from voice_library.mirror.truth import Truth
from voice_library.stores.interface import Store

DEFAULT_AGE_S = 24 * 3600.0


@dataclass(frozen=True)
class Debris:
    """An object that nobody needs."""

    key: str
    reason: str
    age_s: float


class Sweep:
    """The debris of one store."""

    def __init__(self, store: Store, *, min_age_s: float = DEFAULT_AGE_S) -> None:
        self._store = store
        self._min_age_s = min_age_s
        snapshots = SnapshotReader(store)
        self._truth = Truth(store, snapshots.entry, lambda _: None)
        catalog = snapshots.catalog()
        self._deleted = {item.key.removeprefix(TOMBSTONES_FOLDER) for item in store.list(TOMBSTONES_FOLDER)}
        with_metadata = {
            item.key.removeprefix(METADATA_FOLDER).removesuffix(".json") for item in store.list(METADATA_FOLDER)
        }
        self._voice_ids = (with_metadata | set(catalog.entries)) - self._deleted
        named = {embedding_key(voice_id, entry.metadata) for voice_id, entry in catalog.entries.items()}
        self._embeddings = {embedding_key(voice_id) for voice_id in self._voice_ids} | {
            key for key in named if key.removeprefix(EMBEDDINGS_FOLDER).removesuffix(".pkl.gz") not in self._deleted
        }

    def debris(self) -> list[Debris]:
        """Everything that `remove` would remove."""
        found = [*self._of_voices(), *self._markers(), *self._claims()]
        return [item for item in found if item.age_s >= self._min_age_s]

    def remove(self, debris: list[Debris]) -> None:
        with tqdm(total=len(debris), desc="sweeping", unit="object") as progress:
            for _ in in_parallel(self._remove, debris):
                progress.update()

    def _remove(self, debris: Debris) -> None:
        # A claim may have been taken over since it was listed: it is looked at again just before it goes.
        if not debris.key.startswith(NAMES_FOLDER) or self._is_void(debris.key):
            self._store.delete(debris.key)

    def _of_voices(self) -> Iterator[Debris]:
        """Files of no voice, and of deleted ones."""
        for item in self._store.list(EMBEDDINGS_FOLDER):
            if item.key not in self._embeddings:
                yield Debris(item.key, "belongs to no voice", item.age_s)
        for item in self._store.list(METADATA_FOLDER):
            if item.key.removeprefix(METADATA_FOLDER).removesuffix(".json") in self._deleted:
                yield Debris(item.key, "its voice was deleted", item.age_s)
        for item in self._store.list(CONDITIONALS_FOLDER):
            if item.key.split("/")[1] not in self._voice_ids:
                yield Debris(item.key, "belongs to no voice", item.age_s)
        for item in self._store.list(PROBE_FOLDER):
            yield Debris(item.key, "left by a probe", item.age_s)

    def _markers(self) -> Iterator[Debris]:
        for item in self._store.list(PENDING_FOLDER):
            if Marker.parse(item.key).voice_id not in self._voice_ids | self._deleted:
                yield Debris(item.key, "its registration never came", item.age_s)

    def _claims(self) -> Iterator[Debris]:
        old = (item for item in self._store.list(NAMES_FOLDER) if item.age_s >= self._min_age_s)
        for item, is_void in in_parallel(lambda item: self._is_void(item.key), old):
            if is_void:
                yield Debris(item.key, "no voice has this name", item.age_s)

    def _is_void(self, key: str) -> bool:
        """Whether no voice has the name that a claim claims."""
        found = self._store.find(key)
        if found is None:
            return False
        claim = Claim.parse(found.body)
        return not any(
            each in self._voice_ids and bears_name(self._truth.find(each), each, claim.name)
            for each in (claim.voice_id, claim.previous)
            if each
        )
