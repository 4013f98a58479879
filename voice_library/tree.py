"""Read a tree of voices without reading it again for every question.

Wraps `generate_voice_embedding.VoiceTree`, which reads and heals the files, with an index that is kept as long as the
files' stamps stay the same. Completes what older tools left out of a voice's metadata. Writes nothing.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from generate_voice_embedding import (
    EMBEDDING_TYPE,
    SAFE_VOICE_ID,
    Catalog,
    VoiceTree,
    parse_json_object,
    voice_metadata,
)
from voice_library.library import Voice

Stamp = tuple[int, int, int] | None
# What the writer always says, in its order, for entries that do not.
GAPS = dict.fromkeys(voice_metadata("", "", duration_s=0, created_at="")) | {"type": EMBEDDING_TYPE}


@dataclass(frozen=True)
class TreeSnapshot:
    """All voices of a tree at one moment."""

    catalog: Catalog

    @cached_property
    def by_name(self) -> list[tuple[str, str]]:
        """(name, voice_id) of every voice, in the order of listings."""
        return sorted((self.catalog.name_of(voice_id), voice_id) for voice_id in self.catalog.entries)


class TreeReader:
    """The voices of one tree. Safe to use from several threads."""

    def __init__(self, tree: VoiceTree) -> None:
        self.tree = tree
        self._lock = threading.Lock()
        self._stamps: tuple[Stamp, ...] | None = None
        self._snapshot = TreeSnapshot(Catalog({}, {}))

    def snapshot(self) -> TreeSnapshot:
        """All voices; read again only after a file of the tree has changed."""
        with self._lock:
            stamps = self._current_stamps()  # before reading: a change while we read is seen next time
            if stamps != self._stamps:
                self._snapshot = TreeSnapshot(self.tree.read())
                self._stamps = stamps
            return self._snapshot

    def find(self, voice_id: str) -> Voice | None:
        """The voice with this id. Its metadata file is enough; the catalog is not read where there is one."""
        if not SAFE_VOICE_ID.fullmatch(voice_id) or self.tree.is_deleted(voice_id):
            return None
        try:
            entry = parse_json_object(self.tree.metadata_path(voice_id).read_bytes())
        except FileNotFoundError:
            entry = None
        catalog = self.snapshot().catalog if entry is None else Catalog({voice_id: entry}, {})
        return voice_of(catalog, voice_id, self.tree) if voice_id in catalog.entries else None

    def find_named(self, voice_name: str) -> Voice | None:
        """The voice with exactly this name, or else with one that differs in case and surrounding space only."""
        catalog = self.snapshot().catalog
        voice_ids = catalog.ids_named(voice_name)
        return voice_of(catalog, voice_ids[0], self.tree) if voice_ids else None

    def _current_stamps(self) -> tuple[Stamp, ...]:
        tree = self.tree
        folders = (tree.root / "metadata", tree.root / "tombstones")
        return tuple(_stamp(path) for path in (tree.catalog_path, tree.mapping_path, *folders))


def _stamp(path: Path) -> Stamp:
    """Differs whenever the file was replaced, or a file in the folder was."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def voice_of(catalog: Catalog, voice_id: str, tree: VoiceTree) -> Voice:
    """The voice of an entry, its metadata completed: older tools left out any of them."""
    entry = catalog.entries[voice_id]
    known = {
        "voice_id": voice_id,
        "speaker_name": catalog.name_of(voice_id),
        "gender": str(entry.get("gender") or "unknown"),
        "embedding_file": tree.embedding_path(voice_id, entry).relative_to(tree.root).as_posix(),
    }
    metadata: dict[str, Any] = {**GAPS, **entry, **known}
    duration_s, rate_hz = _number(metadata["duration"]), _number(metadata["sample_rate"])
    return Voice(
        voice_id,
        known["speaker_name"],
        known["gender"],
        duration_s,
        int(rate_hz) if rate_hz is not None else None,
        metadata,
    )


def _number(value: object) -> float | None:
    return value if isinstance(value, (int, float)) and 0 < value < 1e9 else None
