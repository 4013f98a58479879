"""What the shapes in a decoding step depend on. Imports no torch."""

from __future__ import annotations

from typing import NamedTuple


class StepShape(NamedTuple):
    """slots: sequences; rows: of the cache, up to two a sequence; length: positions attended to; nucleus: whether
    anyone's top_p is below 1."""

    slots: int
    rows: int
    length: int
    nucleus: bool

    def covers(self, other: StepShape) -> bool:
        """Whether a step of this shape does all that one of the other would."""
        return all(mine >= theirs for mine, theirs in zip(self, other, strict=True))
