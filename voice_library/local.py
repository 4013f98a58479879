"""A voice library on a tree of files that this machine can write. Knows nothing of buckets.

Many processes may use one tree: changes happen under its lock, and reads see whole files.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

import generate_voice_embedding as writer
from generate_voice_embedding import VoiceTree, check_voice_name, create_voice_embedding, normalised_name
from voice_library.conditionals import ConditionalsFolder
from voice_library.embedding_file import MAX_FILE_BYTES, read_embedding
from voice_library.errors import DamagedVoice, InvalidRequest, NameTaken, StorageUnavailable, UnsafeFile, VoiceNotFound
from voice_library.library import DEFAULT_PAGE_SIZE, OnConflict, Page, Voice, VoiceLibrary
from voice_library.paging import page_of
from voice_library.tree import TreeReader, voice_of


class LocalLibrary(VoiceLibrary):
    """The voices in the tree at `embeddings_dir`, which is made by the first registration. Safe for many threads."""

    def __init__(self, embeddings_dir: str | os.PathLike[str]) -> None:
        self.tree = VoiceTree(embeddings_dir)
        self.reader = TreeReader(self.tree)

    def register(
        self,
        audio: NDArray[np.float32],
        sample_rate_hz: int,
        voice_name: str,
        *,
        gender: str | None = None,
        description: str | None = None,
        original_file: str | None = None,
        on_conflict: OnConflict = "error",
        report: dict[str, Any] | None = None,
    ) -> Voice:
        with storage_errors():
            result = create_voice_embedding.from_array(
                audio,
                sample_rate_hz,
                voice_name,
                embeddings_dir=self.tree.root,
                gender=gender,
                voice_description=description,
                on_conflict=on_conflict,
                original_file=original_file,
                report=report,
            )
        return self.get(voice_id=result["voice_id"])

    def get(self, *, voice_id: str | None = None, voice_name: str | None = None) -> Voice:
        if (voice_id is None) == (voice_name is None):
            raise InvalidRequest("a voice is found by voice_id or by voice_name; give one of the two")
        with storage_errors():
            found = self.reader.find(voice_id) if voice_id is not None else self.reader.find_named(str(voice_name))
        if found is None:
            raise not_found("id", voice_id) if voice_id is not None else not_found("name", str(voice_name))
        return found

    def reference_audio(self, voice: Voice) -> NDArray[np.float32]:
        path = self.tree.embedding_path(checked_id(voice), voice.metadata)
        try:
            if path.stat().st_size > MAX_FILE_BYTES:
                raise UnsafeFile(
                    f"the file of voice {voice.voice_id} is over {MAX_FILE_BYTES} bytes; register it again"
                )
            compressed = path.read_bytes()
        except OSError as error:
            raise DamagedVoice(
                f"the file of voice {voice.voice_id} is missing or cannot be read; every voice needs its .pkl.gz; "
                "register the voice again"
            ) from error
        return read_embedding(compressed, voice.sample_rate_hz or writer.SAMPLE_RATE_HZ).samples

    def conditionals(self, voice: Voice) -> ConditionalsFolder:
        voice_id = checked_id(voice)
        return ConditionalsFolder(self.tree.conditionals_dir(voice_id), lambda: self.tree.is_deleted(voice_id))

    def list_voices(
        self,
        *,
        page_size: int = DEFAULT_PAGE_SIZE,
        page_token: str | None = None,
        gender: str | None = None,
        name_prefix: str | None = None,
    ) -> Page:
        with storage_errors():
            snapshot = self.reader.snapshot()
        catalog, matches = snapshot.catalog, snapshot.by_name
        if gender is not None:
            wanted = normalised_name(gender)
            genders = {key: str(entry.get("gender") or "unknown") for key, entry in catalog.entries.items()}
            matches = [match for match in matches if normalised_name(genders[match[1]]) == wanted]
        if name_prefix is not None:
            prefix = name_prefix.lstrip().casefold()
            matches = [match for match in matches if normalised_name(match[0]).startswith(prefix)]
        page, next_page_token = page_of(matches, page_size, page_token)
        voices = tuple(voice_of(catalog, voice_id, self.tree) for _, voice_id in page)
        return Page(voices, len(matches), next_page_token)

    def rename(self, voice: Voice, new_name: str) -> Voice:
        new_name = check_voice_name(new_name)
        with storage_errors(), self.tree.locked():
            catalog = self.tree.read()
            if voice.voice_id not in catalog.entries:
                raise not_found("id", voice.voice_id)
            others = [holder for holder in catalog.ids_named(new_name) if holder != voice.voice_id]
            if others:
                raise NameTaken(f"the name {new_name!r} belongs to voice {others[0]}; choose a name no other voice has")
            entry, old_name = catalog.entries[voice.voice_id], catalog.name_of(voice.voice_id)
            # The id is a digest over the first name; with it, the same recording is still known for the same.
            named = {"voice_id": voice.voice_id, "registered_as": old_name, **entry, "speaker_name": new_name}
            self.tree.commit(catalog, put={voice.voice_id: named})
        return self.get(voice_id=voice.voice_id)

    def delete(self, voice: Voice) -> None:
        with storage_errors(), self.tree.locked():
            catalog = self.tree.read()
            if voice.voice_id not in catalog.entries:
                raise not_found("id", voice.voice_id)
            self.tree.commit(catalog, remove={voice.voice_id})

    def count(self) -> int:
        with storage_errors():
            return len(self.reader.snapshot().catalog.entries)


def not_found(what: str, given: str) -> VoiceNotFound:
    return VoiceNotFound(f"no voice has the {what} {given[:200]!r}; list_voices shows what there is; register it first")


def checked_id(voice: Voice) -> str:
    """The id, which is about to become a file's name."""
    if not writer.SAFE_VOICE_ID.fullmatch(voice.voice_id):
        raise not_found("id", voice.voice_id)
    return voice.voice_id


@contextmanager
def storage_errors() -> Iterator[None]:
    """The disk's errors and the writer's errors of state, as this package's."""
    try:
        yield
    except writer.NameTaken as error:
        raise NameTaken(str(error)) from error
    except writer.StorageFailed as error:
        raise StorageUnavailable(str(error)) from error
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise StorageUnavailable(
            f"the voice tree could not be read ({reason}); check the disk and try again"
        ) from error
