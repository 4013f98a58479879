"""Look for faults in a store: every voice of the catalog must be readable, and every readable voice in the catalog.
Changes nothing. Works on a bucket and on a local tree alike, for both are the same tree."""

from __future__ import annotations

from collections.abc import Iterator

from tqdm import tqdm

from generate_voice_embedding import SAMPLE_RATE_HZ, parse_json_object
from voice_library.embedding_file import MAX_FILE_BYTES, read_embedding
from voice_library.errors import UnsafeFile
from voice_library.mirror.keys import (
    EMBEDDINGS_FOLDER,
    METADATA_FOLDER,
    TOMBSTONES_FOLDER,
    Claim,
    Metadata,
    embedding_key,
    metadata_key,
    name_key,
)
from voice_library.mirror.names import name_in
from voice_library.mirror.parallel import in_parallel
from voice_library.mirror.snapshot_reader import SnapshotReader
from voice_library.mirror.voice_cache import voice_from
from voice_library.stores.interface import Store


class Verification:
    """The state of a store's voices, read once; `faults` says what is wrong with it."""

    def __init__(self, store: Store, *, has_claims: bool) -> None:
        """has_claims: names are claimed (a bucket), not only mapped (a local tree)."""
        self._store = store
        self._has_claims = has_claims
        snapshots = SnapshotReader(store)
        self._catalog, self._names = snapshots.catalog(), snapshots.names()
        self._metadata_ids = set(self._ids(METADATA_FOLDER, ".json"))
        self._deleted_ids = set(self._ids(TOMBSTONES_FOLDER))
        self._embeddings = {item.key for item in store.list(EMBEDDINGS_FOLDER)}
        self._used: set[str] = set()  # embeddings that belong to a voice

    @property
    def num_voices(self) -> int:
        return len(self._voice_ids())

    def faults(self) -> Iterator[str]:
        """One line a fault, with the id or file first."""
        if self._catalog.damaged is not None:
            yield "voice_catalog.json: is damaged; rebuild makes it anew"
        for voice_id in sorted(self._deleted_ids & (self._metadata_ids | set(self._catalog.entries))):
            yield f"{voice_id}: was deleted, but has left something; sweep and rebuild remove it"
        voice_ids = sorted(self._voice_ids())
        with tqdm(total=len(voice_ids), desc="verifying", unit="voice") as progress:
            for voice_id, faults in in_parallel(self._faults_of, voice_ids):
                progress.update()
                yield from (f"{voice_id}: {fault}" for fault in faults)
        for key in sorted(self._embeddings - self._used):
            yield f"{key}: belongs to no voice; sweep removes it when it is old enough"
        for name, voice_id in self._names.names.items():
            if voice_id not in voice_ids:
                yield f"name_mapping.json: {name!r} means {voice_id}, which is no voice; rebuild removes it"

    def _voice_ids(self) -> set[str]:
        return (self._metadata_ids | set(self._catalog.entries)) - self._deleted_ids

    def _faults_of(self, voice_id: str) -> list[str]:
        metadata, faults = self._metadata(voice_id)
        if metadata is None:
            return faults
        key = embedding_key(voice_id, metadata)
        self._used.add(key)
        found = self._store.find(key, MAX_FILE_BYTES) if key in self._embeddings else None
        if found is None:
            return [*faults, f"{key} is missing; register the voice again"]
        try:
            read_embedding(found.body, voice_from(metadata, voice_id).sample_rate_hz or SAMPLE_RATE_HZ)
        except UnsafeFile as error:
            faults.append(str(error))
        return [*faults, *self._name_faults(voice_id, name_in(metadata, voice_id))]

    def _metadata(self, voice_id: str) -> tuple[Metadata | None, list[str]]:
        """The voice's metadata, and what is wrong with it or the catalog's."""
        entry = self._catalog.entries.get(voice_id)
        if voice_id not in self._metadata_ids:  # trees of older tools have only the catalog
            return (entry.metadata if entry else None), []
        found = self._store.find(metadata_key(voice_id))
        metadata = parse_json_object(found.body) if found else None
        if metadata is None:
            return (entry.metadata if entry else None), [f"{metadata_key(voice_id)} is damaged; register it again"]
        if entry is None:
            return metadata, ["is not in voice_catalog.json; rebuild adds it"]
        outdated = "voice_catalog.json says something else than its metadata; rebuild corrects it"
        return metadata, [] if entry.metadata == metadata else [outdated]

    def _name_faults(self, voice_id: str, name: str) -> list[str]:
        if name not in self._names.names and voice_id not in self._names.by_id:
            return [f"its name {name!r} is not in name_mapping.json; rebuild adds it"]
        if not self._has_claims:
            return []
        found = self._store.find(name_key(name))
        if found is None:
            return [f"its name {name!r} is not claimed; rebuild claims it"]
        claim = Claim.parse(found.body)
        is_shared = self._names.names.get(name, voice_id) != voice_id or claim.name != name  # as in older trees
        return [] if voice_id == claim.voice_id or is_shared else [f"its name {name!r} is claimed by {claim.voice_id}"]

    def _ids(self, folder: str, suffix: str = "") -> Iterator[str]:
        return (item.key.removeprefix(folder).removesuffix(suffix) for item in self._store.list(folder))
