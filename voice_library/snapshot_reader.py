"""The snapshots in a store, read again only when their ETags change. Writes nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from voice_library.mirror_keys import CATALOG_KEY, MAPPING_KEY, Metadata
from voice_library.snapshots import CatalogFile, NamesFile, ids_named
from voice_library.store import Store

File = TypeVar("File", CatalogFile, NamesFile)


class SnapshotReader:
    """voice_catalog.json and name_mapping.json of one store. Safe for many threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._locks = {CATALOG_KEY: threading.Lock(), MAPPING_KEY: threading.Lock()}
        self._catalog, self._names = CatalogFile({}), NamesFile({})

    def catalog(self) -> CatalogFile:
        """As it is now: 1 request, which carries the file only where it has changed."""
        with self._locks[CATALOG_KEY]:
            self._catalog = self._refreshed(CATALOG_KEY, self._catalog, CatalogFile.parse, CatalogFile({}))
            return self._catalog

    def names(self) -> NamesFile:
        """As it is now: 1 request, which carries the file only where it has changed."""
        with self._locks[MAPPING_KEY]:
            self._names = self._refreshed(MAPPING_KEY, self._names, NamesFile.parse, NamesFile({}))
            return self._names

    def take_over(self, catalog: CatalogFile, names: NamesFile) -> None:
        """What was just written need not be read."""
        with self._locks[CATALOG_KEY]:
            self._catalog = catalog
        with self._locks[MAPPING_KEY]:
            self._names = names

    def entry(self, voice_id: str) -> Metadata | None:
        """The catalog's entry of a voice, its name completed from the mapping."""
        catalog = self.catalog()
        found = catalog.entries.get(voice_id)
        if found is None:
            return None
        if found.name:
            return found.metadata
        return {**found.metadata, "speaker_name": self.names().by_id.get(voice_id, voice_id)}

    def holder(self, name: str) -> str | None:
        """The id of the voice that the snapshots know by this name. 2 requests."""
        return ids_named(name, self.catalog(), self.names())

    def _refreshed(self, key: str, known: File, parse: Callable[[bytes, str], File], absent: File) -> File:
        found = self._store.find_unless(key, known.etag) if known.etag else self._store.find(key)
        if found is None:
            return absent
        return known if known.etag and found.etag == known.etag else parse(found.body, found.etag)
