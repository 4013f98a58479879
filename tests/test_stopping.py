"""Speech that does not end by itself: how long it may be, and which loops end it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthesis.chatterbox_segments import MAX_SEGMENT_CHARS, MAX_SPEECH_TOKENS, SPEECH_TOKENS_PER_S
from synthesis.engine import REPETITION, SILENCE
from synthesis.native.request import Request, SamplingParameters, Status
from synthesis.stopping import LOOK_EVERY, MIN_CAP_S, first_loop, loop_at_end, token_cap

SPEECH = np.random.default_rng(1).integers(0, 6561, 400).tolist()  # tokens as speech has them: hardly two alike


@pytest.mark.parametrize(
    ("tokens", "flag", "num_kept"),
    [
        (SPEECH[:100] + [7] * 50, SILENCE, 101),
        (SPEECH[:100] + [7, 8] * 25, SILENCE, 102),
        (SPEECH[:100] + [7, 8, 9] * 17, REPETITION, 103),
        (SPEECH[:100] + SPEECH[300:340] * 3, REPETITION, 140),
        (SPEECH[:75] * 3, REPETITION, 75),
    ],
    ids=["AAA", "ABAB", "ABCABC", "a second three times", "three seconds three times"],
)
def test_a_loop_is_found_and_its_first_round_kept(tokens: list[int], flag: str, num_kept: int) -> None:
    loop = loop_at_end(tokens)
    assert loop is not None
    assert (loop.flag, loop.num_kept) == (flag, num_kept)


@pytest.mark.parametrize(
    "tokens",
    [
        [],
        SPEECH,
        [7] * 49,  # a pause of not quite 2 s
        SPEECH[:100] + [7] * 80 + SPEECH[200:210],  # over already
        SPEECH[:40] * 2,  # once more is no loop yet
    ],
    ids=["nothing", "speech", "a pause", "a loop that ended", "twice"],
)
def test_speech_is_no_loop(tokens: list[int]) -> None:
    assert loop_at_end(tokens) is None


@given(st.lists(st.integers(0, 6560), min_size=1, max_size=70), st.integers(3, 60), st.integers(0, 200))
@settings(max_examples=200)
def test_every_loop_is_found_within_a_look(phrase: list[int], rounds: int, num_before: int) -> None:
    rounds = max(rounds, -(-50 // len(phrase)) + 1)
    tokens = SPEECH[:num_before] + phrase * (rounds + 1 + LOOK_EVERY // len(phrase))
    loop = first_loop(tokens)
    assert loop is not None
    assert loop.num_kept <= num_before + len(phrase)


def test_the_cap_follows_the_text() -> None:
    short, usual = token_cap("Hi.", MAX_SPEECH_TOKENS), token_cap("A sentence of a usual length, nothing more.", 1000)
    assert short == MIN_CAP_S * SPEECH_TOKENS_PER_S
    assert short < usual < 400
    assert token_cap("word " * (MAX_SEGMENT_CHARS // 5), MAX_SPEECH_TOKENS) == MAX_SPEECH_TOKENS
    assert token_cap("A sentence of a usual length, nothing more.", 50) == 50


def request(stops_loops: bool, is_streamed: bool = False) -> Request:
    return Request(
        [1],
        None,
        0.5,
        SamplingParameters(),
        1000,
        stops_loops=stops_loops,
        is_streamed=is_streamed,
        status=Status.RUNNING,
    )


@pytest.mark.parametrize("per_look", [1, 8, 64])
def test_a_request_ends_at_its_loop_whenever_it_is_looked_at(per_look: int) -> None:
    tokens = SPEECH[:110] + [7] * 200
    stopped = request(stops_loops=True)
    for start in range(0, len(tokens), per_look):
        if stopped.status is Status.RUNNING:
            stopped.extend(tokens[start : start + per_look])
    assert (stopped.status, stopped.ended) == (Status.FINISHED, False)
    assert stopped.tokens == [*SPEECH[:110], 7]
    assert stopped.loop is not None
    assert stopped.loop == first_loop(tokens)


def test_what_was_streamed_is_not_taken_back_and_without_the_wish_nothing_ends() -> None:
    streamed, free = request(stops_loops=True, is_streamed=True), request(stops_loops=False)
    for each in (streamed, free):
        each.extend(SPEECH[:110] + [7] * 200)
    assert (streamed.status, len(streamed.tokens)) == (Status.FINISHED, 175)
    assert (free.status, len(free.tokens), free.loop) == (Status.RUNNING, 310, None)


def test_saying_it_again_forgets_the_loop() -> None:
    stopped = request(stops_loops=True)
    stopped.extend([7] * 50)
    stopped.try_again()
    assert (stopped.loop, stopped.tokens) == (None, [])
