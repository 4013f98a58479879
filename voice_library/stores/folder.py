"""A folder as a store: the same tree on a disk. It knows nothing of voices and nothing of buckets.

Writes go to a temporary file beside the target and appear whole. Create-only is a hard link, which the file system
refuses where the name exists; compare-and-swap holds a lock file, so it is safe between processes of one machine.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from voice_library.errors import StorageUnavailable
from voice_library.stores.interface import ALL_CONDITIONS, Blob, Capabilities, Listed, Store, check_size

TEMPORARY = ".part-"  # files that are still being written; never listed


class FolderStore(Store):
    """Objects as files under `root`."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root)
        self.description = f"folder {self.root}"
        self.requests: Counter[str] = Counter()

    @property
    def capabilities(self) -> Capabilities:
        return ALL_CONDITIONS

    def find(self, key: str, max_bytes: int | None = None) -> Blob | None:
        with self._translated():
            try:
                with self.path(key).open("rb") as file:
                    status = os.fstat(file.fileno())
                    check_size(key, status.st_size, max_bytes)
                    body, age_s = file.read(), time.time() - status.st_mtime
            except (FileNotFoundError, NotADirectoryError):
                return None
        return Blob(body, _etag(body), max(0.0, age_s))

    def find_unless(self, key: str, etag: str) -> Blob | None:
        found = self.find(key)
        return Blob(b"", etag, found.age_s) if found and found.etag == etag else found

    def signed_url(self, key: str, expires_s: int, media_type: str) -> str:  # noqa: ARG002 - a folder signs nothing
        return self.path(key).absolute().as_uri()

    def exists(self, key: str) -> bool:
        return self.path(key).is_file()

    def put(self, key: str, body: bytes) -> str:
        with self._translated(), self._written(key, body) as temporary:
            temporary.replace(self.path(key))
        return _etag(body)

    def create(self, key: str, body: bytes) -> bool:
        with self._translated(), self._written(key, body) as temporary:
            try:
                os.link(temporary, self.path(key))
            except FileExistsError:
                return False
        return True

    def replace(self, key: str, body: bytes, etag: str) -> str | None:
        with self._translated(), self._locked():
            found = self.find(key)
            if found is None or found.etag != etag:
                return None
            return self.put(key, body)

    def delete(self, key: str) -> None:
        with self._translated():
            self.path(key).unlink(missing_ok=True)

    def list(self, prefix: str) -> Iterator[Listed]:
        folder = self.path(prefix.rpartition("/")[0])
        now = time.time()
        for directory, folders, names in os.walk(folder):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in names:
                path = Path(directory, name)
                key = path.relative_to(self.root).as_posix()
                if name.startswith(".") or not key.startswith(prefix):
                    continue
                with contextlib.suppress(FileNotFoundError):  # removed since it was listed
                    status = path.stat()
                    yield Listed(key, status.st_size, "", max(0.0, now - status.st_mtime))

    def path(self, key: str) -> Path:
        """The file of a key. Keys come from catalogs others wrote: none may lead out of the folder."""
        parts = key.split("/") if key else []
        if key.startswith("/") or "\\" in key or "\0" in key or ".." in parts:
            raise StorageUnavailable(f"{key!r} leads out of {self.description}; correct the catalog that names it")
        return self.root.joinpath(*parts)

    @contextlib.contextmanager
    def _written(self, key: str, body: bytes) -> Iterator[Path]:
        """A complete file beside the key's place, gone afterwards unless it was moved."""
        target = self.path(key)
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=TEMPORARY, dir=target.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
            Path(name).chmod(0o644)
            yield Path(name)
        finally:
            Path(name).unlink(missing_ok=True)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / ".store.lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StorageUnavailable(
                f"{self.description}: {error.strerror or error}; it must be there, writable and not full; repair it"
            ) from error


def _etag(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()  # as S3 names an object that was sent in one part
