"""What became of every line, on disk as soon as it is true: one JSON object a line, appended and flushed to the disk.

    {"event": "submitted", "id": …, "digest": …, "job": …}                    an endpoint has taken it as this job
    {"event": "done", "id": …, "digest": …, "file": …, "bytes": …, "sha256": …, "billed_s": …, …}    its file is on disk
    {"event": "failed", "id": …, "digest": …, "error": …, "billed_s": …}

A last line that a kill has torn was never acknowledged, and is cut off when the journal is opened. In memory there is
an index only: about 360 bytes a line.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from batch.errors import DamagedJournal
from batch.lines import Line

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Entry:
    """The last that was heard of a line."""

    event: str  # done, failed or submitted
    digest: str
    offset: int  # of the record in the journal
    size: int = 0  # bytes of a done line's file
    job: str = ""  # the endpoint's id of a submitted line


class Journal:
    """The journal of one folder. `append` may be called from several threads; one process at a time (see `folder`)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.billed_s = 0.0  # over all runs
        self._entries: dict[str, Entry] = {}
        self._lock = threading.Lock()
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        self._size = self._cut_torn_line()
        for offset, record in self._records():
            self._note(offset, record)

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _tb: TracebackType | None
    ) -> None:
        os.close(self._file)

    def append(self, records: Sequence[Record]) -> None:
        """Returns when the records are on the disk."""
        lines = [(json.dumps(record, ensure_ascii=False) + "\n").encode() for record in records]
        with self._lock:
            _write_all(self._file, b"".join(lines))
            os.fsync(self._file)
            for record, line in zip(records, lines, strict=True):
                self._note(self._size, record)
                self._size += len(line)

    def entry(self, line: Line) -> Entry | None:
        """What is known of this line as it is now; None also where it was another line when it was answered."""
        entry = self._entries.get(line.id)
        return entry if entry is not None and entry.digest == line.digest else None

    def record(self, entry: Entry) -> Record:
        """All that was noted, read back from the disk."""
        with self.path.open("rb") as file:
            file.seek(entry.offset)
            record: Record = json.loads(file.readline())
            return record

    def _note(self, offset: int, record: Record) -> None:
        try:
            event, line_id, digest = record["event"], record["id"], record["digest"]
        except (KeyError, TypeError) as error:
            raise self._damaged(offset) from error
        self.billed_s += record.get("billed_s", 0.0)
        self._entries[line_id] = Entry(event, digest, offset, record.get("bytes", 0), record.get("job", ""))

    def _cut_torn_line(self) -> int:
        """The journal's size in bytes, without what follows its last line break."""
        end = size = os.fstat(self._file).st_size
        while end > 0:
            start = max(0, end - 65536)
            found = os.pread(self._file, end - start, start).rfind(b"\n")
            end = start + found + 1
            if found >= 0:
                break
        if end < size:
            os.ftruncate(self._file, end)
            os.fsync(self._file)
        return end

    def _records(self) -> Iterator[tuple[int, Record]]:
        offset = 0
        with self.path.open("rb") as file:
            for line in file:
                try:
                    record = json.loads(line)
                except ValueError as error:
                    raise self._damaged(offset) from error
                yield offset, record
                offset += len(line)

    def _damaged(self, offset: int) -> DamagedJournal:
        return DamagedJournal(
            f"{self.path} holds something at byte {offset} that no run has written; one JSON object a line is allowed; "
            "restore it, or start with another --out"
        )


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
