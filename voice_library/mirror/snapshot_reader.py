"""The snapshots in a store, read again only when their ETags change. Writes nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from voice_library.mirror.keys import CATALOG_KEY, MAPPING_KEY, Metadata
from voice_library.mirror.snapshots import CatalogFile, NamesFile, id_named
from voice_library.stores.interface import Store

JUST_READ_S = 0.5  # within one lookup; a voice without metadata is never a new one
File = TypeVar("File", CatalogFile, NamesFile)


class SnapshotReader:
    """voice_catalog.json and name_mapping.json of one store. Safe for many threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._locks = {CATALOG_KEY: threading.Lock(), MAPPING_KEY: threading.Lock()}
        self._catalog, self._names = CatalogFile({}), NamesFile({})
        self._read_at: dict[str, float] = {}

    def catalog(self, max_age_s: float = 0.0) -> CatalogFile:
        """As it is now, or was `max_age_s` ago: 1 request, which carries the file only where it has changed."""
        with self._locks[CATALOG_KEY]:
            if self._is_older(CATALOG_KEY, max_age_s):
                self._catalog = self._refreshed(CATALOG_KEY, self._catalog, CatalogFile.parse, CatalogFile({}))
            return self._catalog

    def names(self, max_age_s: float = 0.0) -> NamesFile:
        """As it is now, or was `max_age_s` ago: 1 request, which carries the file only where it has changed."""
        with self._locks[MAPPING_KEY]:
            if self._is_older(MAPPING_KEY, max_age_s):
                self._names = self._refreshed(MAPPING_KEY, self._names, NamesFile.parse, NamesFile({}))
            return self._names

    def take_over(self, catalog: CatalogFile, names: NamesFile) -> None:
        """What was just written need not be read."""
        with self._locks[CATALOG_KEY]:
            self._catalog = catalog
        with self._locks[MAPPING_KEY]:
            self._names = names

    def entry(self, voice_id: str) -> Metadata | None:
        """The catalog's entry of a voice, its name completed from the mapping. No request right after `holder`."""
        catalog = self.catalog(JUST_READ_S)
        found = catalog.entries.get(voice_id)
        if found is None:
            return None
        if found.name:
            return found.metadata
        return {**found.metadata, "speaker_name": self.names(JUST_READ_S).by_id.get(voice_id, voice_id)}

    def holder(self, name: str) -> str | None:
        """The id of the voice that the snapshots know by this name. 1 or 2 requests."""
        return id_named(name, self.catalog(), self.names)

    def _is_older(self, key: str, max_age_s: float) -> bool:
        return time.monotonic() - self._read_at.get(key, float("-inf")) > max_age_s

    def _refreshed(self, key: str, known: File, parse: Callable[[bytes, str], File], absent: File) -> File:
        found = self._store.find_unless(key, known.etag) if known.etag else self._store.find(key)
        self._read_at[key] = time.monotonic()
        if found is None:
            return absent
        return known if known.etag and found.etag == known.etag else parse(found.body, found.etag)
