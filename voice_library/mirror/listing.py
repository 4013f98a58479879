"""Listings of a bucket: the catalog, and what the markers say that it does not show yet. 1 GET and 1 LIST, plus one GET
for each voice that was registered or renamed since the last fold. Writes nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from generate_voice_embedding import normalised_name
from voice_library.library import Page, Voice
from voice_library.mirror.keys import PENDING_FOLDER, Marker, Metadata, tombstone_key
from voice_library.mirror.parallel import in_parallel
from voice_library.mirror.snapshot_reader import SnapshotReader
from voice_library.mirror.snapshots import CatalogFile, Entry
from voice_library.mirror.voice_cache import voice_from
from voice_library.paging import NamedId, page_of
from voice_library.stores.interface import Store


@dataclass(frozen=True)
class Overlay:
    """What the catalog does not show yet."""

    put: dict[str, Entry]
    removed: set[str]


class Listing:
    """The voices of one bucket, all of them. `find_metadata` gives a voice's metadata as it is now, or None."""

    def __init__(
        self, store: Store, snapshots: SnapshotReader, find_metadata: Callable[[str], Metadata | None]
    ) -> None:
        self._store = store
        self._snapshots = snapshots
        self._find_metadata = find_metadata

    def current(self) -> tuple[CatalogFile, Overlay]:
        """The catalog and what belongs over it. The markers first: one that a fold removes in between is shown."""
        markers = [Marker.parse(item.key) for item in self._store.list(PENDING_FOLDER)]
        catalog = self._snapshots.catalog()
        return catalog, self._overlay(catalog, markers)

    def count(self) -> int:
        catalog, overlay = self.current()
        new = sum(voice_id not in catalog.entries for voice_id in overlay.put)
        return len(catalog.entries) + new - sum(voice_id in catalog.entries for voice_id in overlay.removed)

    def page(
        self, page_size: int, page_token: str | None, gender: str | None, name_prefix: str | None
    ) -> tuple[Page, str, bool]:
        """A page, the ETag of the catalog it is from, and whether that catalog is behind the truth."""
        catalog, overlay = self.current()
        matches = self._ordered(catalog, overlay)
        if gender is not None:
            wanted = normalised_name(gender)
            matches = [match for match in matches if normalised_name(_entry(catalog, overlay, match).gender) == wanted]
        if name_prefix is not None:
            prefix = name_prefix.lstrip().casefold()
            matches = [match for match in matches if normalised_name(match[0]).startswith(prefix)]
        page, next_page_token = page_of(matches, page_size, page_token)
        voices = tuple(_voice(catalog, overlay, match) for match in page)
        return Page(voices, len(matches), next_page_token), catalog.etag, bool(overlay.put or overlay.removed)

    def _overlay(self, catalog: CatalogFile, markers: list[Marker]) -> Overlay:
        overlay = Overlay({}, set())

        def look(marker: Marker) -> tuple[Metadata | None, bool]:
            if marker.change == "deleted" and self._store.exists(tombstone_key(marker.voice_id)):
                return None, True
            return self._find_metadata(marker.voice_id), False

        unknown = [marker for marker in markers if marker.change or marker.voice_id not in catalog.entries]
        for marker, (metadata, is_deleted) in in_parallel(look, unknown):
            if is_deleted:
                overlay.removed.add(marker.voice_id)
            elif metadata is not None:
                overlay.put[marker.voice_id] = Entry.of(metadata)
        return Overlay(
            {key: entry for key, entry in overlay.put.items() if key not in overlay.removed}, overlay.removed
        )

    def _ordered(self, catalog: CatalogFile, overlay: Overlay) -> list[NamedId]:
        """(name, voice_id) of every voice, sorted."""
        hidden = overlay.removed | set(overlay.put)
        shown = [named for named in catalog.by_name if named[1] not in hidden] if hidden else catalog.by_name
        extra = [(entry.name or voice_id, voice_id) for voice_id, entry in overlay.put.items()]
        if catalog.has_nameless:
            names = self._snapshots.names().by_id
            nameless = (voice_id for voice_id, entry in catalog.entries.items() if not entry.name)
            extra += [(names.get(voice_id, voice_id), voice_id) for voice_id in nameless if voice_id not in hidden]
        return sorted([*shown, *extra]) if extra else shown


def _entry(catalog: CatalogFile, overlay: Overlay, match: NamedId) -> Entry:
    return overlay.put.get(match[1]) or catalog.entries[match[1]]


def _voice(catalog: CatalogFile, overlay: Overlay, match: NamedId) -> Voice:
    name, voice_id = match
    entry = _entry(catalog, overlay, match)
    return voice_from(entry.metadata if entry.name else {**entry.metadata, "speaker_name": name}, voice_id)
