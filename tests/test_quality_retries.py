"""Segments said again until they are good: which seeds, how often, in which order, and what is kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from synthesis.engine import Take
from synthesis.options import MAX_SEED
from synthesis.quality import Chosen, Judged, best_takes
from synthesis.text import Segment

SEGMENTS = [Segment("one"), Segment("two"), Segment("three"), Segment("four")]
SEEDS = [10, 20, 30, MAX_SEED]


class Engine:
    """Says what it is asked, and remembers it."""

    def __init__(self) -> None:
        self.asked: list[list[tuple[str, int]]] = []

    def say(self, segments: Sequence[Segment], seeds: Sequence[int]) -> Iterator[Take]:
        self.asked.append([(segment.text, seed) for segment, seed in zip(segments, seeds, strict=True)])
        for seed in seeds:
            yield Take(np.zeros(1, np.float32), seed)


def judge_by(good: dict[str, int], scores: dict[int, float] | None = None) -> object:
    """A take is good when its segment needs none, or this, seed."""

    def judge(take: Take, segment: Segment) -> Judged:
        fails = segment.text in good and take.seed != good[segment.text]
        score = (scores or {}).get(take.seed, 0.5 if fails else 1.0)
        return Judged(take, ("cut_off",) if fails else (), score, 0.0, 0.0)

    return judge


def result(chosen: list[Chosen]) -> list[tuple[str, int, int]]:
    return [(each.segment.text, each.judged.take.seed, each.num_retries) for each in chosen]


@pytest.mark.parametrize("together", [True, False])
def test_only_what_fails_is_said_again_with_the_next_seeds(together: bool) -> None:
    engine = Engine()
    judge = judge_by({"two": 22, "four": 0})
    chosen = list(best_takes(SEGMENTS, SEEDS, engine.say, judge, max_retries=3, together=together))  # type: ignore[arg-type]
    assert result(chosen) == [("one", 10, 0), ("two", 22, 2), ("three", 30, 0), ("four", 0, 1)]
    first, *again = engine.asked
    assert first == list(zip(["one", "two", "three", "four"], SEEDS, strict=True))
    if together:
        assert again == [[("two", 21), ("four", 0)], [("two", 22)]]
    else:
        assert again == [[("two", 21)], [("two", 22)], [("four", 0)]]


@pytest.mark.parametrize("together", [True, False])
def test_the_best_of_bad_takes_wins_and_the_first_of_equals(together: bool) -> None:
    judge = judge_by({"one": -1, "two": -1}, {10: 0.2, 11: 0.6, 12: 0.4, 20: 0.3, 21: 0.3, 22: 0.3})
    chosen = list(best_takes(SEGMENTS, SEEDS, Engine().say, judge, max_retries=2, together=together))  # type: ignore[arg-type]
    assert result(chosen)[:2] == [("one", 11, 2), ("two", 20, 2)]


@pytest.mark.parametrize("together", [True, False])
def test_without_retries_every_take_is_the_first(together: bool) -> None:
    engine = Engine()
    judge = judge_by({"two": -1})
    chosen = list(best_takes(SEGMENTS, SEEDS, engine.say, judge, max_retries=0, together=together))  # type: ignore[arg-type]
    assert [seed for _, seed, _ in result(chosen)] == SEEDS
    assert len(engine.asked) == 1


def test_what_is_settled_does_not_wait_for_the_rest() -> None:
    engine = Engine()
    chosen = best_takes(SEGMENTS, SEEDS, engine.say, judge_by({"two": 21}), max_retries=2, together=True)  # type: ignore[arg-type]
    assert next(chosen).segment.text == "one"
    assert len(engine.asked) == 1
    one_by_one = best_takes(SEGMENTS, SEEDS, engine.say, judge_by({"three": 31}), max_retries=2, together=False)  # type: ignore[arg-type]
    assert [next(one_by_one).segment.text for _ in range(2)] == ["one", "two"]
    assert len(engine.asked) == 2


def test_noise_that_is_trimmed_is_not_worth_a_retry() -> None:
    take = Take(np.zeros(1, np.float32), 1)
    assert not Judged(take, ("tail_noise", "trailing_burst", "hum"), 0.8, 0.0, 0.0).fails
    assert Judged(take, ("tail_noise", "silence"), 0.8, 0.0, 0.0).fails
