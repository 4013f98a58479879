"""Fold what has been committed into the snapshots, for readers that know only them. `fold_thread` decides when.

The mapping's ETag is read first, then the catalog; then the markers tell what the catalog lacks, and only metadata
that it lacks is fetched. Catalog, mapping and statistics are written in that order, the first two with
compare-and-swap; then the markers go. `fold.json` keeps the ETags that were written: where the catalog or mapping has
another, a writer that knows nothing of folds has overwritten it, and everything is compared with the truth (a heal).
An entry is dropped only for a tombstone, never because its metadata is missing: older trees have such entries.

Without compare-and-swap two folds may overwrite each other, so a marker then stays until a later pass finds its voice
in the files. The lease in `fold.json` only saves work; nothing relies on it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from generate_voice_embedding import parse_json_object
from voice_library.mirror.fold_state import FoldState, created
from voice_library.mirror.keys import (
    CATALOG_KEY,
    DAMAGED_CATALOG_KEY,
    MAPPING_KEY,
    METADATA_FOLDER,
    NAMES_FOLDER,
    PENDING_FOLDER,
    STATS_KEY,
    TOMBSTONES_FOLDER,
    Claim,
    Marker,
    Metadata,
    metadata_key,
    name_digest,
    name_key,
    tombstone_key,
)
from voice_library.mirror.parallel import in_parallel
from voice_library.mirror.snapshot_reader import SnapshotReader
from voice_library.mirror.snapshots import CatalogFile, Entry, NamesFile
from voice_library.stores.interface import Listed, Store

LEASE_S = 60  # a fold takes seconds; one that died blocks others for no longer than this
UNSETTLED_S = 900  # a marker whose commit never came is dropped after this: its writer is dead
MAX_CLAIMS_PER_PASS = 1000  # voices of a tree without claims, given theirs a part at a time


Progress = Callable[[Iterable[tuple[str, "Entry | None"]]], Iterable[tuple[str, "Entry | None"]]]


class Outcome(Enum):
    """How a pass ended."""

    DONE = "nothing is left to fold"
    AGAIN = "something is left for a later pass"
    BUSY = "another worker is folding"
    LOST = "another worker wrote first; look again"


@dataclass
class Changes:
    """What a pass found out."""

    put: dict[str, Entry] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)
    settled: list[str] = field(default_factory=list)  # marker keys that the written files make needless
    unsettled: int = 0  # young markers whose commit has not come


class Fold:
    """Passes over one store. One thread at a time."""

    def __init__(self, store: Store, snapshots: SnapshotReader) -> None:
        self._store = store
        self._snapshots = snapshots
        self._owner = secrets.token_hex(8)

    def run(self, known: Mapping[str, Metadata], *, respect_lease: bool = True) -> Outcome:
        """One pass. `known` holds metadata that this process has just committed and need not fetch. Raises
        StorageUnavailable."""
        state = FoldState.read(self._store)
        if respect_lease and state.holder not in ("", self._owner) and state.age_s < LEASE_S:
            return Outcome.BUSY
        markers = list(self._store.list(PENDING_FOLDER))
        names, catalog = self._snapshots.names(), self._snapshots.catalog()  # in this order: see the module's docstring
        heal = not state.catalog_etag or (state.catalog_etag, state.mapping_etag) != (catalog.etag, names.etag)
        if not markers and not heal and state.names_are_claimed:
            return Outcome.DONE
        leased = replace(state, holder=self._owner).written(self._store)
        if leased is None:
            return Outcome.LOST
        changes = self._changes(markers, catalog, names, known)
        if heal:
            self._compare_with_truth(changes, known=catalog.entries)
        return self._write(leased, catalog, names, changes, check_claims=heal or not state.names_are_claimed)

    def _changes(
        self, markers: Iterable[Listed], catalog: CatalogFile, names: NamesFile, known: Mapping[str, Metadata]
    ) -> Changes:
        """What the markers say, as far as it has been committed."""
        changes = Changes()
        named = set(names.names.values())

        def look(item: Listed) -> tuple[Entry | None, bool]:
            """(the voice's entry, whether it is deleted)."""
            marker = Marker.parse(item.key)
            if not marker.change and marker.voice_id in catalog.entries:
                return catalog.entries[marker.voice_id], False
            if not marker.change and marker.voice_id in known:
                return Entry.of(known[marker.voice_id]), False
            return self._look_up(marker)

        for item, (entry, is_deleted) in in_parallel(look, markers):
            marker = Marker.parse(item.key)
            if is_deleted:
                changes.removed.add(marker.voice_id)
            elif entry is not None:
                changes.put[marker.voice_id] = entry
            is_final = _is_committed(marker, entry, is_deleted)
            if is_final and not self._store.capabilities.compare_and_swap:  # another fold may overwrite this one
                is_final = catalog.entries.get(marker.voice_id) == entry and (is_deleted or marker.voice_id in named)
            if is_final or item.age_s > UNSETTLED_S:
                changes.settled.append(item.key)
            else:
                changes.unsettled += 1
        return changes

    def _look_up(self, marker: Marker) -> tuple[Entry | None, bool]:
        if marker.change == "deleted" and self._store.exists(tombstone_key(marker.voice_id)):
            return None, True
        entry = self._entry(marker.voice_id)
        return entry, entry is None and self._store.exists(tombstone_key(marker.voice_id))

    def _entry(self, voice_id: str) -> Entry | None:
        """The voice as the truth has it; None where it has no metadata object."""
        found = self._store.find(metadata_key(voice_id))
        metadata = parse_json_object(found.body) if found else None
        return Entry.of(metadata) if metadata is not None else None

    def rebuild(self, progress: Progress, *, dry_run: bool = False) -> tuple[int, int] | None:
        """Make the snapshots anew from the truth, reading every metadata object: the number of entries that were
        missing or outdated, and of those that are removed. None where another worker wrote meanwhile."""
        state = FoldState.read(self._store)
        markers = list(self._store.list(PENDING_FOLDER))
        names, catalog = self._snapshots.names(), self._snapshots.catalog()
        changes = self._changes(markers, catalog, names, {})
        self._compare_with_truth(changes, known={}, progress=progress)
        outdated = sum(catalog.entries.get(voice_id) != entry for voice_id, entry in changes.put.items())
        counts = outdated, len(changes.removed & set(catalog.entries))
        if dry_run:
            return counts
        leased = replace(state, holder=self._owner).written(self._store)
        known = set(catalog.entries) | set(changes.put)
        changes.removed |= {voice_id for voice_id in names.names.values() if voice_id not in known}
        if leased is None or self._write(leased, catalog, names, changes, check_claims=True) is Outcome.LOST:
            return None
        return counts

    def _compare_with_truth(
        self, changes: Changes, known: Container[str], progress: Progress = lambda items: items
    ) -> None:
        """Add every voice that is not known, drop every one that was deleted."""
        for item in self._store.list(TOMBSTONES_FOLDER):
            changes.removed.add(item.key.removeprefix(TOMBSTONES_FOLDER))
        listed = (
            item.key.removeprefix(METADATA_FOLDER).removesuffix(".json") for item in self._store.list(METADATA_FOLDER)
        )
        unknown = [each for each in listed if not (each in known or each in changes.put or each in changes.removed)]
        for voice_id, entry in progress(in_parallel(self._entry, unknown)):
            if entry is not None:
                changes.put[voice_id] = entry

    def _write(
        self, state: FoldState, catalog: CatalogFile, names: NamesFile, changes: Changes, *, check_claims: bool
    ) -> Outcome:
        changes.put = {voice_id: entry for voice_id, entry in changes.put.items() if voice_id not in changes.removed}
        new_catalog = catalog.with_changes(changes.put, changes.removed)
        new_names = names.completed(catalog, new_catalog, changes.put, changes.removed)
        if catalog.damaged is not None:
            self._store.put(DAMAGED_CATALOG_KEY, catalog.damaged)
        catalog_etag = self._written(CATALOG_KEY, new_catalog, catalog)
        mapping_etag = self._written(MAPPING_KEY, new_names, names) if catalog_etag else None
        if not catalog_etag or not mapping_etag:
            return Outcome.LOST  # the lease stands: this worker looks again at once, and others may after LEASE_S
        new_catalog, new_names = (
            CatalogFile(new_catalog.entries, catalog_etag),
            NamesFile(new_names.names, mapping_etag),
        )
        self._snapshots.take_over(new_catalog, new_names)
        if catalog_etag != catalog.etag:
            self._store.put(STATS_KEY, new_catalog.stats)
        are_claimed = self._claim_names(new_catalog, new_names) if check_claims else True
        done = FoldState(catalog_etag, mapping_etag, are_claimed, etag=state.etag)
        done.written(self._store)  # where that fails, the next pass compares with the truth once more
        for _ in in_parallel(self._store.delete, changes.settled):
            pass
        return Outcome.DONE if are_claimed and not changes.unsettled else Outcome.AGAIN

    def _written(self, key: str, new: CatalogFile | NamesFile, old: CatalogFile | NamesFile) -> str | None:
        """The new ETag; None where another worker wrote since `old` was read."""
        if new is old:
            return old.etag
        return self._store.replace(key, new.body, old.etag) if old.etag else created(self._store, key, new.body)

    def _claim_names(self, catalog: CatalogFile, names: NamesFile) -> bool:
        """Give voices of trees that know no claims the claims of their names; False where some are left for later."""
        claimed = {item.key for item in self._store.list(NAMES_FOLDER)}
        missing: dict[str, Claim] = {}
        for name, voice_id in names.names.items():
            key = name_key(name)
            entry = catalog.entries.get(voice_id)
            is_its_name = entry is not None and name_digest(entry.name or name) == name_digest(name)
            if key not in claimed and is_its_name:
                missing.setdefault(key, Claim(name, voice_id))
        part = list(missing.items())[:MAX_CLAIMS_PER_PASS]
        for _ in in_parallel(lambda item: self._store.create(item[0], item[1].body), part):
            pass
        return len(part) == len(missing)


def _is_committed(marker: Marker, entry: Entry | None, is_deleted: bool) -> bool:
    """Whether the change that the marker announced has come."""
    if is_deleted:
        return True
    if marker.change == "deleted" or entry is None:
        return False
    return marker.change != "renamed" or Marker.hash_of(entry.name) == marker.name_hash
