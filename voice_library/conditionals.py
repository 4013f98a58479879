"""Small files kept beside one voice: what an engine has computed from it, one `.safetensors` file for each key.

A cache: a file that is missing or cannot be read is computed again. Knows nothing of what the files hold.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from generate_voice_embedding import write_files
from voice_library.errors import InvalidRequest, StorageUnavailable

SAFE_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class ConditionalsFolder:
    """`conditionals/{voice_id}/` of one voice, as `VoiceConditionals`."""

    def __init__(self, folder: Path, is_deleted: Callable[[], bool]) -> None:
        """is_deleted: whether the voice is; nothing is kept beside it from then on."""
        self._folder = folder
        self._is_deleted = is_deleted

    def read(self, key: str) -> bytes | None:
        path = self._path(key)
        try:
            return path.read_bytes()
        except OSError:
            return None

    def write(self, key: str, blob: bytes) -> None:
        """Keep `blob`. Raises StorageUnavailable where the disk does not."""
        path = self._path(key)
        try:
            if not self._is_deleted():
                write_files({path: blob})
            if self._is_deleted():  # deleted while we wrote
                path.unlink(missing_ok=True)
        except OSError as error:
            raise StorageUnavailable("the voice's conditionals could not be kept; the disk refused them") from error

    def _path(self, key: str) -> Path:
        if not SAFE_KEY.fullmatch(key):
            raise InvalidRequest(f"the key {key[:40]!r} is not allowed; allowed are letters, digits and ._-; change it")
        return self._folder / f"{key}.safetensors"
