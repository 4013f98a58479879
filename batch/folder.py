"""The folder of a batch: where everything lies in it, one run at a time, and files that are there whole or not at all.

audio/               one file a line
journal.jsonl        what became of every line (`journal`)
manifest.jsonl       every file and what is known of it, in the order of the lines (`manifest`); also as a table
failures.jsonl       lines that have none, and why
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from batch.errors import BatchError, FolderInUse


class Folder:
    """The output folder of one batch."""

    def __init__(self, path: Path) -> None:
        """Makes it where it is not there. Raises BatchError."""
        self.path = path
        self.audio = path / "audio"
        self.journal = path / "journal.jsonl"
        try:
            self.audio.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BatchError(f"{path} cannot be written ({error.strerror}); choose another --out") from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else's while the block runs; the system frees it when its holder dies. Raises FolderInUse."""
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o666)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise FolderInUse(
                    f"{self.path} is being written by another run; one at a time is allowed; "
                    "wait for it or use another --out"
                ) from error
            self._remove_debris()
            yield
        finally:
            os.close(descriptor)

    def keep(self, name: str, audio: bytes) -> None:
        """Write one file of audio; on the disk when this returns, but for its name (`sync_names`)."""
        write_whole(self.audio / name, audio)

    def sync_names(self) -> None:
        """Make the names of all files kept so far last through a power cut."""
        descriptor = os.open(self.audio, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def size_of(self, name: str) -> int | None:
        """Bytes of a file of audio; None where there is none."""
        try:
            return (self.audio / name).stat().st_size
        except FileNotFoundError:
            return None

    def _remove_debris(self) -> None:
        """Temporary files of a run that was killed."""
        for folder in (self.path, self.audio):
            for file in os.scandir(folder):
                if file.name.startswith(_TEMPORARY):
                    Path(file.path).unlink()


_TEMPORARY = ".writing-"  # names of lines never begin with a dot


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to, which takes the place of `path` when the block ends well, and is removed when it does not."""
    temporary = path.with_name(f"{_TEMPORARY}{secrets.token_hex(4)}-{path.name}")  # two may write the same file
    try:
        yield temporary
        descriptor = os.open(temporary, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        raise


def write_whole(path: Path, data: bytes) -> None:
    """Write a file atomically."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)
