"""Where lines are spoken: the one interface of `local`, `endpoint` and `ray_data`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from batch.answers import Answer
from batch.lines import Line


class Backend(Protocol):
    """Speaks lines, in any order, a bounded number at a time."""

    def answers(self, lines: Iterable[Line]) -> Iterator[Sequence[Answer]]:
        """Groups of answers as soon as they are there; takes lines only as they can be spoken. Raises BackendFailed."""

    @property
    def billed_s(self) -> float:
        """Seconds of machine time used so far, over all machines."""
