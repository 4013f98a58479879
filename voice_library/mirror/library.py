"""A voice library whose truth is a bucket and whose cache is this machine. It joins the parts, each of which knows
only its own work: the store, the truth per voice, the reader and its cache, the listing, the fold of the snapshots.

A voice that is known here is spoken without a request, and nothing is acknowledged that is not in the bucket. Knows
nothing of jobs or engines. `docs/s3.md` has the design on one page.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from generate_voice_embedding import About, check_voice_name
from voice_library.errors import InvalidRequest
from voice_library.library import DEFAULT_PAGE_SIZE, OnConflict, Page, Voice, VoiceLibrary
from voice_library.local import checked_id, not_found
from voice_library.mirror.background import Background
from voice_library.mirror.conditionals import MirroredConditionals
from voice_library.mirror.file_cache import DiskCache
from voice_library.mirror.fold import Fold
from voice_library.mirror.fold_state import FoldState
from voice_library.mirror.fold_thread import FoldThread
from voice_library.mirror.keys import embedding_key
from voice_library.mirror.listing import Listing
from voice_library.mirror.new_voice import new_voice
from voice_library.mirror.reader import MirrorReader
from voice_library.mirror.snapshot_reader import SnapshotReader
from voice_library.mirror.truth import Added, NewVoice, Truth
from voice_library.mirror.voice_cache import VoiceCache
from voice_library.stores.interface import Store


class MirroredLibrary(VoiceLibrary):
    """The voices of one bucket. Safe for many threads, and for many of these in many processes."""

    def __init__(self, store: Store, disk: DiskCache) -> None:
        self.store = store
        self.cache = VoiceCache(disk)
        self.snapshots = SnapshotReader(store)
        self.truth = Truth(store, self.snapshots.entry, self._unclaimed_holder)
        self.background = Background()
        self.reader = MirrorReader(store, self.truth, self.snapshots, self.cache, self.background)
        self.listing = Listing(store, self.snapshots, self.truth.find)
        self.fold = Fold(store, self.snapshots)
        self.fold_thread = FoldThread(self.fold.run)
        self._names_are_claimed = False
        self._listed_etag = ""

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
        about = About.checked(voice_name, gender, description, on_conflict)
        voice, _ = self.add(new_voice(audio, sample_rate_hz, about, original_file, report), replace=about.replace)
        return voice

    def add(self, new: NewVoice, *, replace: bool = False, unclaimed: bool = False) -> tuple[Voice, bool]:
        """Store a voice that is made already, and bring the snapshots up to date in the background: the voice, and
        whether it was not there before."""
        added = self.truth.add_unclaimed(new) if unclaimed else self.truth.add(new, replace=replace)
        return self._kept(new, added), added.is_new

    def get(self, *, voice_id: str | None = None, voice_name: str | None = None) -> Voice:
        if (voice_id is None) == (voice_name is None):
            raise InvalidRequest("a voice is found by voice_id or by voice_name; give one of the two")
        return self.reader.by_id(voice_id) if voice_id is not None else self.reader.by_name(str(voice_name))

    def reference_audio(self, voice: Voice) -> NDArray[np.float32]:
        checked_id(voice)
        return self.reader.audio(voice)

    def conditionals(self, voice: Voice) -> MirroredConditionals:
        return MirroredConditionals(checked_id(voice), self.store, self.cache.disk, self.background)

    def list_voices(
        self,
        *,
        page_size: int = DEFAULT_PAGE_SIZE,
        page_token: str | None = None,
        gender: str | None = None,
        name_prefix: str | None = None,
    ) -> Page:
        page, catalog_etag, is_behind = self.listing.page(page_size, page_token, gender, name_prefix)
        if is_behind or catalog_etag != self._listed_etag:  # another writer's catalog may lack voices; a fold finds out
            self._listed_etag = catalog_etag
            self.fold_thread.ask()
        return page

    def rename(self, voice: Voice, new_name: str) -> Voice:
        new_name = check_voice_name(new_name)
        metadata = self.truth.rename(checked_id(voice), new_name)
        self.cache.forget_claim(voice.name)
        self.fold_thread.ask()
        return self.cache.keep_voice(voice.voice_id, metadata)

    def delete(self, voice: Voice) -> None:
        voice_id = checked_id(voice)
        metadata = self.truth.find(voice_id)
        if metadata is None:
            self.cache.forget(voice)
            raise not_found("id", voice_id)
        self.truth.remove(voice_id, metadata)
        self.cache.forget(voice)
        self.fold_thread.ask()

    def count(self) -> int:
        return self.listing.count()

    def check(self) -> None:
        FoldState.read(self.store)  # one small GET; a bucket or key that is wrong is named by it

    def close(self) -> None:
        self.background.close()
        self.fold_thread.close()
        self.store.close()

    def _kept(self, new: NewVoice, added: Added) -> Voice:
        """The voice as this machine holds it from now on."""
        voice = self.cache.keep_voice(added.voice_id, added.metadata)
        if added.is_new:
            self.cache.disk.write(embedding_key(added.voice_id), new.embedding)
            self.fold_thread.ask(added.voice_id, added.metadata)
        if added.replaced:
            self.cache.forget(Voice(added.replaced, new.name))
        return voice

    def _unclaimed_holder(self, name: str) -> str | None:
        """The voice that has a name without a claim: only in trees that were not made by us, until a fold has given
        their voices claims."""
        if not self._names_are_claimed:
            self._names_are_claimed = FoldState.read(self.store).names_are_claimed
        return None if self._names_are_claimed else self.snapshots.holder(name)
