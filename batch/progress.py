"""How far a batch is: lines, time left, what it has cost. A bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
from types import TracebackType

from tqdm import tqdm

SECONDS_BETWEEN_LINES = 30.0  # where nobody watches: a log


class Progress:
    """A bar over all lines of a batch, those done before included."""

    def __init__(self, total: int, done: int, *, price_per_s: float | None) -> None:
        """price_per_s: of one second of machine time, in whatever currency; None shows no cost."""
        self._price_per_s = price_per_s
        self._failed = 0
        watched = sys.stderr.isatty()
        self._bar = tqdm(
            total=total,
            initial=done,
            unit="line",
            dynamic_ncols=watched,
            mininterval=0.2 if watched else SECONDS_BETWEEN_LINES,
            maxinterval=0.2 if watched else SECONDS_BETWEEN_LINES,
        )

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _tb: TracebackType | None
    ) -> None:
        self._bar.close()

    def add(self, *, done: int, failed: int, billed_s: float) -> None:
        """Some lines more; billed_s: of the whole batch so far."""
        self._failed += failed
        told = {"failed": self._failed} if self._failed else {}
        if self._price_per_s is not None:
            told |= {"cost": f"{billed_s * self._price_per_s:.2f}"}  # type: ignore[dict-item]
        self._bar.set_postfix(told, refresh=False)
        self._bar.update(done + failed)
