"""Errors of a batch; each message says what is wrong, what is allowed, and what to do.

BatchError
├── BadLines         the file of jobs; every fault with its line number, found before anything is spoken
├── FolderInUse      another run is writing to the same folder
├── DamagedJournal   the journal holds what no run has written
└── BackendFailed    nothing can be spoken at all: no key, no endpoint, no engine
"""

from __future__ import annotations

from collections.abc import Sequence

MAX_SHOWN = 20


class BatchError(Exception):
    """Base of all."""


class BadLines(BatchError):
    """faults: one sentence each, with its line number; total: how many there are, shown or not."""

    def __init__(self, source: str, faults: Sequence[str], total: int) -> None:
        more = f"\n  … and {total - len(faults)} more" if total > len(faults) else ""
        lines = "\n  ".join(faults)
        super().__init__(
            f"{source}: {total} bad lines; nothing was started; correct them and run again\n  {lines}{more}"
        )
        self.faults = tuple(faults)


class FolderInUse(BatchError):
    pass


class DamagedJournal(BatchError):
    pass


class BackendFailed(BatchError):
    pass
