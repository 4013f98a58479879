"""Segments spoken until they are good, or often enough: the best take of each wins.

Knows neither engines nor sound: it is given how to say segments and how to judge takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from synthesis.engine import Take
from synthesis.options import MAX_SEED
from synthesis.quality.checks import Judged
from synthesis.text import Segment

DEFAULT_MAX_RETRIES, MAX_RETRIES = 2, 5

Say = Callable[[Sequence[Segment], Sequence[int]], Iterator[Take]]
Judge = Callable[[Take, Segment], Judged]


@dataclass(frozen=True)
class Chosen:
    """The best take of a segment, and how often it was said again."""

    segment: Segment
    judged: Judged
    num_retries: int


def best_takes(
    segments: Sequence[Segment], seeds: Sequence[int], say: Say, judge: Judge, *, max_retries: int, together: bool
) -> Iterator[Chosen]:
    """One for each segment, in order, as soon as it and all before it are settled. seeds: one a segment.

    A take that fails is said again with the next seed. together: those that fail are said again with one another, after
    all were said once, as suits an engine that batches; else each at once, so that what comes first is heard first.
    """
    rounds = _in_rounds if together else _one_by_one
    return rounds(segments, seeds, say, judge, max_retries)


def _one_by_one(
    segments: Sequence[Segment], seeds: Sequence[int], say: Say, judge: Judge, max_retries: int
) -> Iterator[Chosen]:
    for segment, seed, take in zip(segments, seeds, say(segments, seeds), strict=True):
        best = Chosen(segment, judge(take, segment), 0)
        for retry in range(1, max_retries + 1):
            if not best.judged.fails:
                break
            [again] = say([segment], [_next_seed(seed, retry)])
            best = _better(best, judge(again, segment), retry)
        yield best


def _in_rounds(
    segments: Sequence[Segment], seeds: Sequence[int], say: Say, judge: Judge, max_retries: int
) -> Iterator[Chosen]:
    best: list[Chosen] = []
    failing: list[int] = []
    for segment, take in zip(segments, say(segments, seeds), strict=True):
        best.append(Chosen(segment, judge(take, segment), 0))
        if best[-1].judged.fails:
            failing.append(len(best) - 1)
        if not failing:
            yield best[-1]
    sent = failing[0] if failing else len(best)
    for retry in range(1, max_retries + 1):
        retakes = say([segments[index] for index in failing], [_next_seed(seeds[index], retry) for index in failing])
        for index, take in zip(failing, retakes, strict=True):
            best[index] = _better(best[index], judge(take, segments[index]), retry)
        failing = [index for index in failing if best[index].judged.fails]
        if not failing:
            break
        yield from best[sent : failing[0]]
        sent = failing[0]
    yield from best[sent:]


def _next_seed(seed: int, retry: int) -> int:
    return (seed + retry) % (MAX_SEED + 1)


def _better(best: Chosen, judged: Judged, retry: int) -> Chosen:
    """The first of equals."""
    better = judged if (judged.score or 0.0) > (best.judged.score or 0.0) else best.judged
    return Chosen(best.segment, better, retry)
