"""Bring a tree into a bucket, or a bucket's voices into a tree. Both may be repeated and resumed: a voice that is there
already is not sent again, and one that was deleted there does not come back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from generate_voice_embedding import Catalog, VoiceEmbeddingError, VoiceTree
from voice_library.embedding_file import MAX_FILE_BYTES, read_embedding
from voice_library.errors import DamagedVoice, LibraryError, NameTaken, StorageUnavailable, UnsafeFile
from voice_library.library import Voice
from voice_library.local import storage_errors
from voice_library.mirror.keys import CONDITIONALS_FOLDER, MAPPING_KEY, TOMBSTONES_FOLDER, embedding_key
from voice_library.mirror.library import MirroredLibrary
from voice_library.mirror.parallel import in_parallel
from voice_library.mirror.prefetch import every_voice
from voice_library.mirror.snapshots import NamesFile
from voice_library.mirror.truth import NewVoice
from voice_library.stores.folder import FolderStore
from voice_library.tree import voice_of

MAX_ATTEMPTS = 10
BATCH_BYTES = 64 * 1024 * 1024  # of embeddings in memory before a part of a pull is committed


@dataclass
class Report:
    """What became of each voice."""

    copied: int = 0
    already_there: int = 0
    deleted_there: int = 0
    problems: list[str] = field(default_factory=list)  # one line a voice

    def add(self, outcome: str) -> None:
        if outcome in ("copied", "already_there", "deleted_there"):
            setattr(self, outcome, getattr(self, outcome) + 1)
        else:
            self.problems.append(outcome)


class Push:
    """The voices of the tree at `root`, brought into the library's bucket."""

    def __init__(self, root: Path, library: MirroredLibrary, *, dry_run: bool = False) -> None:
        if not root.is_dir():
            raise StorageUnavailable(f"there is no folder {root}; give the folder of a voice tree")
        self._tree = VoiceTree(root)
        self._folder = FolderStore(root)
        self._library = library
        self._dry_run = dry_run
        with storage_errors():
            self._catalog: Catalog = self._tree.read()
        self._there: dict[str, Voice] = {}
        self._deleted: set[str] = set()

    def run(self) -> Report:
        """Every voice that is not there yet; the snapshots follow when the library is closed."""
        self._there = {voice.voice_id: voice for voice in every_voice(self._library)}
        listed = self._library.store.list(TOMBSTONES_FOLDER)
        self._deleted = {item.key.removeprefix(TOMBSTONES_FOLDER) for item in listed}
        report, voice_ids = Report(), self._mapped_first()
        with tqdm(total=len(voice_ids), desc="pushing", unit="voice") as progress:
            for _, outcome in in_parallel(self._push, voice_ids):
                report.add(outcome)
                progress.update()
        if not self._dry_run:
            self._add_other_names()
        return report

    def _add_other_names(self) -> None:
        """In older trees one voice may have several names; those that its metadata does not say go into the mapping."""
        others = {
            name: voice_id
            for name, voice_id in self._catalog.names.items()
            if voice_id in self._catalog.entries and self._catalog.name_of(voice_id) != name
        }
        for _ in range(MAX_ATTEMPTS):
            there = self._library.snapshots.names()
            missing = {name: voice_id for name, voice_id in others.items() if name not in there.names}
            if not missing:
                return
            body, store = NamesFile({**there.names, **missing}).body, self._library.store
            if store.replace(MAPPING_KEY, body, there.etag) if there.etag else store.create(MAPPING_KEY, body):
                return
        raise StorageUnavailable("other workers kept writing name_mapping.json; push again when they rest")

    def _mapped_first(self) -> list[str]:
        """Where two voices share a name, the one that the mapping means comes first, and gets the name."""
        mapped = {voice_id for voice_id in self._catalog.names.values() if voice_id in self._catalog.entries}
        return [*sorted(mapped), *sorted(set(self._catalog.entries) - mapped)]

    def _push(self, voice_id: str) -> str:
        """The name of a counter in Report, or a problem."""
        voice = voice_of(self._catalog, voice_id, self._tree)
        if voice_id in self._deleted:
            return "deleted_there"
        there = self._there.get(voice_id)
        if there is not None:
            is_same = voice.name in (there.name, there.metadata.get("registered_as"))
            return "already_there" if is_same else f"{voice_id} {voice.name!r}: the bucket's is named {there.name!r}"
        try:
            new = self._new_voice(voice)
            return "copied" if self._dry_run or self._add(new, voice_id) else "already_there"
        except (LibraryError, VoiceEmbeddingError) as error:
            return f"{voice_id} {voice.name!r}: {error}"

    def _add(self, new: NewVoice, voice_id: str) -> bool:
        """Whether the voice was not there before."""
        try:
            _, is_new = self._library.add(new)
        except NameTaken:
            held = self._library.truth.names.read(new.name)
            if held is None or held.claim.voice_id not in self._catalog.entries:
                raise  # a voice that is not of this tree has the name
            _, is_new = self._library.add(new, unclaimed=True)
        for item in self._folder.list(f"{CONDITIONALS_FOLDER}{voice_id}/"):
            found = self._folder.find(item.key)
            if found is not None:
                self._library.store.put(item.key, found.body)
        return is_new

    def _new_voice(self, voice: Voice) -> NewVoice:
        """The voice as its file holds it; UnsafeFile or DamagedVoice where the file is of no use."""
        found = self._folder.find(embedding_key(voice.voice_id, voice.metadata), MAX_FILE_BYTES)
        if found is None:
            raise DamagedVoice("its .pkl.gz is missing; register the voice again")
        samples = read_embedding(found.body, voice.sample_rate_hz or 24_000).samples

        def has_audio_of(compressed: bytes) -> bool:
            try:
                return np.array_equal(read_embedding(compressed).samples, samples)
            except UnsafeFile:
                return False

        known = {key: value for key, value in voice.metadata.items() if value is not None}
        return NewVoice(
            voice.name,
            found.body,
            candidates=lambda: iter([voice.voice_id]),
            metadata_for=lambda voice_id: {**known, "embedding_file": embedding_key(voice_id)},
            is_same=lambda voice_id, _: voice_id == voice.voice_id,
            has_audio_of=has_audio_of,
        )


def pull(library: MirroredLibrary, root: Path, *, dry_run: bool = False) -> Report:
    """Every voice of the bucket that the tree at `root` lacks."""
    tree, report, missing = VoiceTree(root), Report(), []
    with storage_errors():
        catalog = tree.read()
    for voice in every_voice(library):
        if voice.voice_id in catalog.entries:
            report.add("already_there")
        elif tree.tombstone_path(voice.voice_id).exists():
            report.add("deleted_there")
        elif holders := catalog.ids_named(voice.name):
            report.add(f"{voice.voice_id} {voice.name!r}: the tree's voice {holders[0]} has this name")
        else:
            missing.append(voice)
    with tqdm(total=len(missing), desc="pulling", unit="voice") as progress:
        for batch in _fetched(library, missing, report, progress):
            if not dry_run:
                _commit(tree, batch)
            for _ in batch:
                report.add("copied")
    return report


def _fetched(
    library: MirroredLibrary, voices: Sequence[Voice], report: Report, progress: tqdm
) -> Iterator[dict[str, tuple[Voice, bytes]]]:
    """The voices with their files, in parts that fit into memory; a file that is of no use is reported."""

    def fetch(voice: Voice) -> bytes | str:
        try:
            found = library.store.find(embedding_key(voice.voice_id, voice.metadata), MAX_FILE_BYTES)
            if found is None:
                return "its .pkl.gz is missing in the bucket"
            read_embedding(found.body, voice.sample_rate_hz or 24_000)
        except (UnsafeFile, StorageUnavailable) as error:
            return str(error)
        return found.body

    batch: dict[str, tuple[Voice, bytes]] = {}
    for voice, body in in_parallel(fetch, voices):
        progress.update()
        if isinstance(body, str):
            report.add(f"{voice.voice_id} {voice.name!r}: {body}")
            continue
        batch[voice.voice_id] = voice, body
        if sum(len(held) for _, held in batch.values()) > BATCH_BYTES:
            yield batch
            batch = {}
    yield batch


def _commit(tree: VoiceTree, batch: dict[str, tuple[Voice, bytes]]) -> None:
    put = {
        voice_id: {**{key: value for key, value in voice.metadata.items() if value is not None},
                   "embedding_file": embedding_key(voice_id)}
        for voice_id, (voice, _) in batch.items()
    }  # fmt: skip
    with storage_errors(), tree.locked():
        tree.commit(tree.read(), put=put, embeddings={voice_id: body for voice_id, (_, body) in batch.items()})
