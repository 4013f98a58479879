"""The scheduler and the thread that follows it, on a decoder without a model: no torch in here."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from typing import Any

import numpy as np
import pytest

from synthesis.errors import EngineUnavailable, OutOfDeviceMemory, SynthesisError
from synthesis.native.request import Chunk, Request, SamplingParameters, Status
from synthesis.native.runner import MAX_TRIES, Runner
from synthesis.native.scheduler import Scheduler
from synthesis.native.vocabulary import START_SPEECH_TOKEN, STOP_SPEECH_TOKEN

GUIDED, UNGUIDED = SamplingParameters(cfg_weight=0.5), SamplingParameters(cfg_weight=0.0)
WAIT_S = 20
NUM_WARM_UPS = 3


def new_request(length: int = 5, *, utterance: object = None, **settings: Any) -> Request:
    """A request that the fake decoder ends after so many tokens."""
    defaults = {"sampling": GUIDED, "max_tokens": 1000}
    return Request([length], None, 0.5, utterance=utterance or object(), **{**defaults, **settings})


class FakeDecoder:
    """A real decoder without a model: token i of a request is i, then the stop. Minds its rows as the real one does."""

    def __init__(self, num_rows: int) -> None:
        self.num_rows = num_rows
        self.decoding: dict[Request, int] = {}  # request: tokens sampled
        self.admissions: list[list[Request]] = []
        self.before: Callable[[], None] = lambda: None  # what happens to come between
        self.num_warm_ups = 0

    def warm_up(self) -> bool:
        assert not self.decoding, "warming up writes where requests decode"
        self.num_warm_ups += 1
        return self.num_warm_ups < NUM_WARM_UPS

    def admit(self, requests: list[Request]) -> list[tuple[Request, list[int]]]:
        self.before()
        for request in requests:
            assert request not in self.decoding
            self.decoding[request] = 0
        assert sum(request.num_rows for request in self.decoding) <= self.num_rows
        self.admissions.append(requests)
        return [(request, self._next(request, 1)) for request in requests]

    def decode(self, num_steps: int) -> list[tuple[Request, list[int]]]:
        self.before()
        assert self.decoding
        return [(request, self._next(request, num_steps)) for request in self.decoding]

    def remove(self, request: Request) -> None:
        del self.decoding[request]

    def _next(self, request: Request, number: int) -> list[int]:
        start, length = self.decoding[request], request.text_tokens[0]
        self.decoding[request] += number
        return [index if index < length else STOP_SPEECH_TOKEN for index in range(start, start + number)]


CHUNK = 3  # samples


class FakeRendering:
    """Done when it was asked often enough, like work that a device does beside other work."""

    def __init__(self, requests: Sequence[Request], chunks: list[Chunk], lateness: int, trouble: Exception | None):
        self.requests = requests
        self._chunks, self._lateness, self._trouble = chunks, lateness, trouble

    def is_done(self) -> bool:
        self._lateness -= 1
        return self._lateness < 0

    def chunks(self) -> list[Chunk]:
        if self._trouble:
            raise self._trouble
        return self._chunks


class FakeRenderer:
    """A renderer without a model: a token is a sample of its own number. Fails where it is told to, like a device."""

    def __init__(self, troubles: list[Exception]) -> None:
        self.troubles = troubles  # when work is launched
        self.late_trouble: Exception | None = None  # when its results are fetched
        self.lateness = 0
        self.spoken: list[list[Request]] = []  # batches of whole ones
        self.chunks: list[list[Request]] = []  # batches of streams
        self.num_warm_ups = 0

    def warm_up(self) -> bool:
        self.num_warm_ups += 1
        return self.num_warm_ups < NUM_WARM_UPS

    def whole(self, requests: Sequence[Request]) -> FakeRendering:
        self._trouble()
        self.spoken.append(list(requests))
        return self._rendering(
            requests, [Chunk(np.array(request.tokens, dtype=np.float32), True) for request in requests]
        )

    def _rendering(self, requests: Sequence[Request], chunks: list[Chunk]) -> FakeRendering:
        trouble, self.late_trouble = self.late_trouble, None
        return FakeRendering(requests, chunks, self.lateness, trouble)

    def is_ready(self, request: Request) -> bool:
        if request.stream is None:
            request.stream = 0  # samples said
        return len(request.tokens) > request.stream + CHUNK or (
            request.status is Status.FINISHED and not request.is_silent
        )

    def next_chunks(self, requests: Sequence[Request]) -> FakeRendering:
        self.chunks.append(list(requests))
        try:
            return self._rendering(requests, [self._next_chunk(request) for request in requests])
        except OutOfDeviceMemory:
            for request in requests:
                request.begin_stream_anew()
            raise

    def _next_chunk(self, request: Request) -> Chunk:
        said = request.tokens[request.stream : request.stream + CHUNK]
        request.stream += CHUNK
        self._trouble()
        is_last = request.status is Status.FINISHED and request.stream >= len(request.tokens)
        return Chunk(np.array(said, dtype=np.float32), is_last)

    def _trouble(self) -> None:
        if self.troubles:
            raise self.troubles.pop(0)


# The scheduler alone


def test_requests_are_admitted_in_order_while_there_are_rows() -> None:
    scheduler = Scheduler(num_rows=6)
    requests = [new_request(sampling=sampling) for sampling in (GUIDED, UNGUIDED, GUIDED, UNGUIDED, UNGUIDED)]
    for request in requests:
        scheduler.add(request)
    assert scheduler.admit() == requests[:4], "2 + 1 + 2 + 1 rows"
    assert scheduler.num_free_rows == 0
    assert scheduler.admit() == []
    assert scheduler.take([(requests[1], [STOP_SPEECH_TOKEN])]) == [requests[1]]
    assert scheduler.admit() == [requests[4]]


def test_one_row_too_few_is_waited_for() -> None:
    scheduler = Scheduler(num_rows=3)
    first, guided, unguided = new_request(), new_request(), new_request(sampling=UNGUIDED)
    for request in (first, guided, unguided):
        scheduler.add(request)
    assert scheduler.admit() == [first]
    assert scheduler.waiting == (guided, unguided), "the small one does not pass the one before it"


def test_a_long_text_shares_with_newcomers() -> None:
    scheduler = Scheduler(num_rows=8)
    long_text, short_text, another = object(), object(), object()
    long_requests = [new_request(utterance=long_text) for _ in range(10)]
    for request in long_requests:
        scheduler.add(request)
    assert scheduler.admit() == long_requests[:3], "the last rows are kept for others"
    newcomer, late = new_request(utterance=short_text), new_request(utterance=another)
    scheduler.add(newcomer)
    scheduler.add(late)
    assert scheduler.admit() == [newcomer], "before seven that came earlier"
    scheduler.take([(long_requests[0], [STOP_SPEECH_TOKEN])])
    assert scheduler.admit() == [late]


def test_a_text_alone_is_admitted_segment_by_segment() -> None:
    scheduler = Scheduler(num_rows=2)
    utterance = object()
    requests = [new_request(utterance=utterance) for _ in range(3)]
    for request in requests:
        scheduler.add(request)
    for request in requests:
        assert scheduler.admit() == [request]
        scheduler.take([(request, [STOP_SPEECH_TOKEN])])
    assert scheduler.is_idle


def test_what_can_never_run_is_refused() -> None:
    with pytest.raises(ValueError, match="needs 2 rows; the cache has 1"):
        Scheduler(num_rows=1).add(new_request())


def test_a_request_ends_at_its_stop_or_its_limit() -> None:
    stopped, limited = new_request(), new_request(max_tokens=3)
    for request in (stopped, limited):
        request.extend([1, 2])
    stopped.extend([STOP_SPEECH_TOKEN, 7, 8])
    limited.extend([3, 4, 5])
    assert (stopped.tokens, stopped.ended, stopped.status) == ([1, 2], True, Status.FINISHED)
    assert (limited.tokens, limited.ended, limited.status) == ([1, 2, 3], False, Status.FINISHED)


# The thread


class Fixture:
    """A runner whose decoders can be looked at, and held up between two steps."""

    def __init__(self, num_rows: int = 4, steps_per_look: int = 2) -> None:
        self.decoders: list[FakeDecoder] = []
        self.decoding = threading.Event()
        self.troubles: list[Exception] = []  # raised by the next decoding steps
        self.speech_troubles: list[Exception] = []
        self.renderer = FakeRenderer(self.speech_troubles)
        self.runner = Runner(self._new_decoder, self.renderer, num_rows=num_rows, steps_per_look=steps_per_look)

    def _new_decoder(self, num_rows: int) -> FakeDecoder:
        decoder = FakeDecoder(num_rows)
        decoder.before = self._trouble
        self.decoders.append(decoder)
        return decoder

    def _trouble(self) -> None:
        self.decoding.set()
        if self.troubles:
            raise self.troubles.pop(0)


@pytest.fixture
def fixture() -> Iterator[Fixture]:
    made = Fixture()
    yield made
    made.runner.close()


def lengths(requests: list[Request]) -> list[int]:
    return [len(request.speech.result(WAIT_S)) for request in requests]


def test_everyone_gets_their_own_speech(fixture: Fixture) -> None:
    requests = [new_request(length) for length in (5, 1, 12, 3, 8, 7)]
    fixture.runner.submit(requests)
    assert lengths(requests) == [5, 1, 12, 3, 8, 7]
    assert fixture.decoders[0].decoding == {}
    assert max(len(admitted) for admitted in fixture.decoders[0].admissions) == 2, "four rows hold two with guidance"


def test_threads_may_submit_at_the_same_time(fixture: Fixture) -> None:
    wanted = range(1, 41)
    requests = [new_request(length) for length in wanted]
    threads = [threading.Thread(target=fixture.runner.submit, args=([request],)) for request in requests]
    for thread in threads:
        thread.start()
    assert lengths(requests) == list(wanted)


def test_cancelling_frees_the_rows(fixture: Fixture) -> None:
    endless = [new_request(10**9, max_tokens=10**9) for _ in range(3)]
    fixture.runner.submit(endless)
    assert fixture.decoding.wait(WAIT_S)
    fixture.runner.cancel(endless)
    after = new_request(4)
    fixture.runner.submit([after])
    assert lengths([after]) == [4]
    for request in endless:
        assert request.status is Status.CANCELLED
        with pytest.raises(CancelledError):
            request.speech.result(WAIT_S)
    fixture.runner.cancel([after])
    assert after.status is Status.FINISHED, "it is too late for that"


def test_a_model_that_says_nothing_is_asked_again(fixture: Fixture) -> None:
    silent = new_request(0)
    fixture.runner.submit([silent])
    with pytest.raises(SynthesisError, match="said nothing in 3 tries"):
        silent.speech.result(WAIT_S)
    assert silent.num_tries == MAX_TRIES
    assert fixture.decoders[0].admissions == [[silent]] * MAX_TRIES


def test_tokens_that_only_steer_are_no_sound() -> None:
    request = new_request()
    request.extend([START_SPEECH_TOKEN, 8000])
    assert request.is_silent
    request.extend([START_SPEECH_TOKEN - 1])
    assert not request.is_silent


def test_out_of_memory_halves_the_rows_and_starts_over(fixture: Fixture) -> None:
    fixture.troubles.append(OutOfDeviceMemory("no memory"))
    requests = [new_request(9), new_request(6)]
    fixture.runner.submit(requests)
    assert lengths(requests) == [9, 6]
    assert [decoder.num_rows for decoder in fixture.decoders] == [4, 2]


def test_out_of_memory_while_speaking_loses_nothing_said(fixture: Fixture) -> None:
    fixture.speech_troubles.append(OutOfDeviceMemory("no memory"))
    request = new_request(6)
    fixture.runner.submit([request])
    assert lengths([request]) == [6]
    assert sum(len(decoder.admissions) for decoder in fixture.decoders) == 1


def test_out_of_memory_twice_is_the_callers(fixture: Fixture) -> None:
    fixture.troubles += [OutOfDeviceMemory("no memory"), OutOfDeviceMemory("still none")]
    request = new_request(6)
    fixture.runner.submit([request])
    with pytest.raises(OutOfDeviceMemory, match="still none"):
        request.speech.result(WAIT_S)
    after = new_request(3)
    fixture.runner.submit([after])
    assert lengths([after]) == [3]


def heard(request: Request) -> list[Chunk]:
    chunks = []
    while (chunk := request.chunks.get(timeout=WAIT_S)) is not None:
        chunks.append(chunk)
    return chunks


def test_a_stream_is_heard_while_it_decodes(fixture: Fixture) -> None:
    endless = new_request(10**9, max_tokens=10**9, is_streamed=True)
    fixture.runner.submit([endless])
    for start in (0, 3, 6):
        chunk = endless.chunks.get(timeout=WAIT_S)
        assert chunk is not None
        assert (chunk.samples.tolist(), chunk.is_last) == ([start, start + 1, start + 2], False)
    fixture.runner.cancel([endless])
    heard(endless)
    with pytest.raises(CancelledError):
        endless.speech.result(WAIT_S)


def test_streams_and_whole_requests_beside_each_other_are_all_said(fixture: Fixture) -> None:
    requests = [new_request(length, is_streamed=length % 2 == 0) for length in (5, 4, 12, 3, 8, 7)]
    fixture.runner.submit(requests)
    for request in requests:
        if request.is_streamed:
            chunks = heard(request)
            assert np.concatenate([chunk.samples for chunk in chunks]).tolist() == list(range(request.text_tokens[0]))
            assert [chunk.is_last for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
            assert len(request.speech.result(WAIT_S)) == 0
        else:
            assert len(request.speech.result(WAIT_S)) == request.text_tokens[0]


def test_others_decode_while_speech_is_rendered(fixture: Fixture) -> None:
    fixture.renderer.lateness = 50
    short, long = new_request(2), new_request(150)
    decoded_meanwhile = []
    short.speech.add_done_callback(lambda _: decoded_meanwhile.append(len(long.tokens)))
    fixture.runner.submit([short, long])
    assert lengths([short, long]) == [2, 150]
    assert 90 < decoded_meanwhile[0] < 110, "fifty looks of two steps"


def test_what_is_cancelled_while_it_is_rendered_is_not_handed_over(fixture: Fixture) -> None:
    fixture.renderer.lateness = 10**9
    unwanted, wanted = new_request(4), new_request(4)
    fixture.runner.submit([unwanted, wanted])
    while not fixture.renderer.spoken:
        time.sleep(0.001)
    fixture.runner.cancel([unwanted])
    with pytest.raises(CancelledError):
        unwanted.speech.result(WAIT_S)
    assert fixture.runner._rendering is not None
    fixture.runner._rendering._lateness = 0
    fixture.renderer.lateness = 0
    assert lengths([wanted]) == [4]


def test_a_fault_while_rendering_reaches_those_who_wait(fixture: Fixture) -> None:
    fixture.renderer.lateness, fixture.renderer.late_trouble = 5, RuntimeError("a fault")
    requests = [new_request(6), new_request(10**9, max_tokens=10**9), new_request(9)]
    fixture.runner.submit(requests)
    for request in requests:
        with pytest.raises(RuntimeError, match="a fault"):
            request.speech.result(WAIT_S)
    after = new_request(3)
    fixture.runner.submit([after])
    assert lengths([after]) == [3]


def test_a_fault_while_rows_are_halved_reaches_those_who_wait(fixture: Fixture) -> None:
    fixture.renderer.lateness, fixture.renderer.late_trouble = 10**9, RuntimeError("a fault")
    first, second = new_request(1), new_request(10**9, max_tokens=10**9)
    fixture.runner.submit([first, second])
    while not fixture.renderer.spoken:
        time.sleep(0.001)
    fixture.troubles.append(OutOfDeviceMemory("no memory"))
    for request in (first, second):
        with pytest.raises(RuntimeError, match="a fault"):
            request.speech.result(WAIT_S)
    fixture.renderer.lateness = 0
    after = new_request(3)
    fixture.runner.submit([after])
    assert lengths([after]) == [3]


def test_a_runner_closed_while_it_renders_leaves_nobody_waiting() -> None:
    fixture = Fixture()
    fixture.renderer.lateness = 10**9
    request = new_request(4)
    fixture.runner.submit([request])
    while not fixture.renderer.spoken:
        time.sleep(0.001)
    fixture.runner.close()
    with pytest.raises(CancelledError):
        request.speech.result(WAIT_S)


@pytest.mark.parametrize("lateness", [0, 3])
@pytest.mark.parametrize("where", ["troubles", "speech_troubles"])
def test_out_of_memory_in_a_stream_lets_nothing_be_heard_twice_or_never(
    fixture: Fixture, where: str, lateness: int
) -> None:
    fixture.renderer.lateness = lateness
    request = new_request(20, is_streamed=True)
    fixture.decoding.clear()
    fixture.runner.submit([request])
    first = request.chunks.get(timeout=WAIT_S)
    assert first is not None
    getattr(fixture, where).append(OutOfDeviceMemory("no memory"))
    rest = heard(request)
    assert [*first.samples, *(sample for chunk in rest for sample in chunk.samples)] == list(range(20))


def test_a_silent_stream_ends_with_the_error(fixture: Fixture) -> None:
    request = new_request(0, is_streamed=True)
    fixture.runner.submit([request])
    assert heard(request) == []
    with pytest.raises(SynthesisError, match="said nothing in 3 tries"):
        request.speech.result(WAIT_S)


def test_a_fault_ends_streams_too(fixture: Fixture) -> None:
    fixture.speech_troubles.append(RuntimeError("a fault"))
    request = new_request(9, is_streamed=True)
    fixture.runner.submit([request])
    heard(request)
    with pytest.raises(RuntimeError, match="a fault"):
        request.speech.result(WAIT_S)


def test_the_decoder_warms_up_only_while_nobody_decodes(fixture: Fixture) -> None:
    for length in (3, 5):
        request = new_request(length)
        fixture.runner.submit([request])
        assert lengths([request]) == [length]
    fixture.runner.close()
    assert fixture.decoders[0].num_warm_ups >= NUM_WARM_UPS
    assert fixture.renderer.num_warm_ups >= NUM_WARM_UPS


def test_a_fault_reaches_those_who_wait_and_the_thread_lives_on(fixture: Fixture) -> None:
    fixture.troubles.append(RuntimeError("a fault"))
    request = new_request(6)
    fixture.runner.submit([request])
    with pytest.raises(RuntimeError, match="a fault"):
        request.speech.result(WAIT_S)
    after = new_request(3)
    fixture.runner.submit([after])
    assert lengths([after]) == [3]
    assert fixture.decoders[-1].num_rows == 4


def test_a_closed_runner_leaves_nobody_waiting() -> None:
    fixture = Fixture()
    endless = [new_request(10**9, max_tokens=10**9) for _ in range(3)]
    fixture.runner.submit(endless)
    fixture.runner.close()
    for request in endless:
        with pytest.raises(CancelledError):
            request.speech.result(WAIT_S)
    with pytest.raises(EngineUnavailable, match="start the worker anew"):
        fixture.runner.submit([new_request()])
    fixture.runner.cancel(endless)
    fixture.runner.close()


def test_scheduling_imports_no_torch() -> None:
    program = "import sys, synthesis.native, synthesis.native.runner; print('torch' in sys.modules)"
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == "False"
