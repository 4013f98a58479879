"""A folder of files from a store, bounded in bytes, shared by all processes of a machine. The files under the least
recently used keys go first. Knows nothing of voices; what is missing or damaged is fetched again.

Files are replaced whole, so readers need no lock. Each process looks at the folder's size after it has added a small
part of the bound, and evicts to well below it under a lock file; the bound is kept with many processes at once.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

log = logging.getLogger(__name__)
EVICT_ABOVE, EVICT_TO = 0.95, 0.9  # of the bound: room for what other processes add before they look
LOOK_EVERY = 1 / 256  # of the bound, added by this process
TEMPORARY = ".part-"
STALE_TEMPORARY_S = 3600  # its writer has died
FILE_OVERHEAD_BYTES = 4096  # a file takes whole blocks; thousands of small ones are not free


class DiskCache:
    """Bytes by key. Safe for many threads and processes. A disk that refuses is as good as an empty cache."""

    def __init__(self, root: Path, max_bytes: int) -> None:
        self.root = root
        self.max_bytes = max_bytes
        self._added_bytes = max_bytes  # the first write looks at what others have left
        self._lock = threading.Lock()

    def read(self, key: str) -> bytes | None:
        path = self.root / key
        try:
            body = path.read_bytes()
            os.utime(path)
        except OSError:
            return None
        return body

    def has(self, key: str) -> bool:
        return (self.root / key).is_file()

    def write(self, key: str, body: bytes) -> None:
        """Keep `body`, unless it is larger than the whole cache."""
        size = len(body) + FILE_OVERHEAD_BYTES
        if size > self.max_bytes * EVICT_TO:
            return
        try:
            self._write(self.root / key, body)
        except OSError as error:
            log.warning("the voice cache at %s cannot be written (%s); voices are fetched each time", self.root, error)
            return
        with self._lock:
            self._added_bytes += size
            is_due = self._added_bytes > self.max_bytes * LOOK_EVERY
            if is_due:
                self._added_bytes = 0
        if is_due:
            self._evict()

    def drop(self, key: str) -> None:
        """Forget a file, or everything below a key that ends in a slash."""
        if key.endswith("/"):
            shutil.rmtree(self.root / key, ignore_errors=True)
        with contextlib.suppress(OSError):
            (self.root / key).unlink()

    def size_bytes(self) -> int:
        """What the files take, as the bound counts it."""
        return sum(size for _, size, _ in self._files())

    @staticmethod
    def _write(path: Path, body: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=TEMPORARY, dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(body)  # not synced: after a power cut a damaged file is fetched again
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    def _evict(self) -> None:
        with contextlib.suppress(OSError), (self.root / ".lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            files = sorted(self._files())
            total = sum(size for _, size, _ in files)
            if total <= self.max_bytes * EVICT_ABOVE:
                return
            for _, size, path in files:
                if total <= self.max_bytes * EVICT_TO:
                    break
                with contextlib.suppress(OSError):
                    path.unlink()
                total -= size

    def _files(self) -> Iterator[tuple[float, int, Path]]:
        """(last use, bytes, path) of every file; temporary files of dead writers are removed."""
        for folder, _, names in os.walk(self.root):
            for name in names:
                path = Path(folder, name)
                with contextlib.suppress(FileNotFoundError):  # evicted by another process
                    status = path.stat()
                    if name.startswith(TEMPORARY) and status.st_mtime < time.time() - STALE_TEMPORARY_S:
                        path.unlink()
                    elif not name.startswith("."):
                        yield status.st_mtime, status.st_size + FILE_OVERHEAD_BYTES, path
