"""A batch from its file of jobs to its folder: what is not done yet is spoken, kept, and written into the journal.

The order of things on the disk is the promise: first the file under its name, then the journal's "done". A run that is
killed in between speaks that line again, and gets the same bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from batch import manifest
from batch.answers import Answer
from batch.backends.interface import Backend
from batch.folder import Folder
from batch.journal import Journal, Record
from batch.lines import Line, Source
from batch.progress import Progress

FILES_AT_A_TIME = 8  # a disk flushes several files together in the time of one: 0.7 ms a file instead of 8 ms here


@dataclass(frozen=True)
class Summary:
    """What is there when a run ends."""

    total: int
    done: int  # over all runs
    failed: int  # in this run
    billed_s: float  # over all runs

    @property
    def left(self) -> int:
        return self.total - self.done - self.failed


def run(
    source: Source,
    folder: Folder,
    make_backend: Callable[[Journal], Backend],
    *,
    table: manifest.Table = "csv",
    price_per_s: float | None = None,
) -> Summary:
    """Speak what is not done. Raises BatchError; what was done until then stays done.

    make_backend: called when the jobs are found good and the folder is ours.
    """
    manifest.check_table(table)
    total = source.survey()
    with folder.locked(), Journal(folder.journal) as journal:
        done = sum(is_done(line, journal, folder) for line in source.lines())
        failed = 0
        try:
            if done < total:
                backend = make_backend(journal)
                with (
                    _Keeper(folder, journal, backend) as keeper,
                    Progress(total, done, price_per_s=price_per_s) as progress,
                ):
                    for group in backend.answers(_not_done(source, journal, folder)):
                        new_done, new_failed = keeper.keep(group)
                        done, failed = done + new_done, failed + new_failed
                        progress.add(done=new_done, failed=new_failed, billed_s=journal.billed_s)
        finally:
            manifest.write(source, journal, folder, table)
        return Summary(total, done, failed, journal.billed_s)


def is_done(line: Line, journal: Journal, folder: Folder) -> bool:
    """Whether the journal says so of the line as it is now, and the file is there with the size it was written with."""
    entry = journal.entry(line)
    return entry is not None and entry.event == "done" and folder.size_of(line.file) == entry.size


def _not_done(source: Source, journal: Journal, folder: Folder) -> Iterator[Line]:
    return (line for line in source.lines() if not is_done(line, journal, folder))


class _Keeper:
    """Puts answers on the disk: files, then their names, then the journal, once for each group."""

    def __init__(self, folder: Folder, journal: Journal, backend: Backend) -> None:
        self._folder, self._journal, self._backend = folder, journal, backend
        self._billed_s = 0.0  # of this run, in the journal already
        self._threads = ThreadPoolExecutor(FILES_AT_A_TIME, thread_name_prefix="keep")

    def __enter__(self) -> _Keeper:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._threads.shutdown()

    def keep(self, group: Sequence[Answer]) -> tuple[int, int]:
        """How many of them are done, and how many have failed."""
        if not group:
            return 0, 0
        records = list(self._threads.map(self._kept, group))
        self._folder.sync_names()
        billed_s = self._backend.billed_s
        records[-1]["billed_s"] = round(billed_s - self._billed_s, 3)
        self._journal.append(records)
        self._billed_s = billed_s
        num_failed = sum(answer.error is not None for answer in group)
        return len(group) - num_failed, num_failed

    def _kept(self, answer: Answer) -> Record:
        line = answer.line
        common = {"id": line.id, "digest": line.digest, "attempts": answer.attempts}
        if answer.error is not None:
            return {"event": "failed", **common, "error": answer.error}
        self._folder.keep(line.file, answer.audio)
        return {
            "event": "done",
            **common,
            "file": line.file,
            "bytes": len(answer.audio),
            "sha256": hashlib.sha256(answer.audio).hexdigest(),
            "facts": answer.facts,
        }
