"""What an engine computed from a voice, kept beside it on this machine and in the bucket, so that no second worker
computes it again. A cache: a bucket that cannot be reached costs a computation, never an answer."""

from __future__ import annotations

import logging

from voice_library.conditionals import SAFE_KEY
from voice_library.errors import InvalidRequest, StorageUnavailable
from voice_library.mirror.background import Background
from voice_library.mirror.file_cache import DiskCache
from voice_library.mirror.keys import conditionals_prefix, tombstone_key
from voice_library.stores.interface import Store

log = logging.getLogger(__name__)


class MirroredConditionals:
    """`conditionals/{voice_id}/` of one voice, as `VoiceConditionals`."""

    def __init__(self, voice_id: str, store: Store, disk: DiskCache, background: Background) -> None:
        self._voice_id = voice_id
        self._store = store
        self._disk = disk
        self._background = background

    def read(self, key: str) -> bytes | None:
        """From this machine, else from the bucket; None where neither has it."""
        path = self._path(key)
        blob = self._disk.read(path)
        if blob is not None:
            return blob
        try:
            found = self._store.find(path)
        except StorageUnavailable as error:
            log.warning("conditionals are computed anew: %s", error)
            return None
        if found is None:
            return None
        self._disk.write(path, found.body)
        return found.body

    def write(self, key: str, blob: bytes) -> None:
        """Keep `blob` here at once, and in the bucket soon."""
        path = self._path(key)
        self._disk.write(path, blob)
        self._background.submit(lambda: self._upload(path, blob))

    def _upload(self, path: str, blob: bytes) -> None:
        self._store.put(path, blob)
        if self._store.exists(tombstone_key(self._voice_id)):  # deleted meanwhile
            self._store.delete(path)

    def _path(self, key: str) -> str:
        if not SAFE_KEY.fullmatch(key):
            raise InvalidRequest(f"the key {key[:40]!r} is not allowed; allowed are letters, digits and ._-; change it")
        return f"{conditionals_prefix(self._voice_id)}{key}.safetensors"
