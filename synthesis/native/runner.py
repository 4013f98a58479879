"""The thread that owns the device: it admits, decodes, looks, speaks, and hands results to whoever waits for them.

Imports no torch: it sees the decoder and the way from tokens to speech as two interfaces, so that fakes can test it.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from synthesis.errors import EngineUnavailable, OutOfDeviceMemory, SynthesisError
from synthesis.native.request import Chunk, Request, Status
from synthesis.native.scheduler import Scheduler

logger = logging.getLogger(__name__)

MIN_ROWS = 2  # what one request with guidance needs
MAX_TRIES = 3  # for a text of which the model says nothing at all
_ASK_RENDERING_EVERY_S = 0.0005  # while nobody decodes


class Decoder(Protocol):
    """See `synthesis.native.decoder`. Raises OutOfDeviceMemory."""

    def warm_up(self) -> bool: ...

    def admit(self, requests: list[Request]) -> list[tuple[Request, list[int]]]: ...

    def decode(self, num_steps: int) -> list[tuple[Request, list[int]]]: ...

    def remove(self, request: Request) -> None: ...


class Rendering(Protocol):
    """Speech on its way: see `synthesis.native.renderer`."""

    requests: Sequence[Request]

    def is_done(self) -> bool: ...

    def chunks(self) -> list[Chunk]: ...


class Renderer(Protocol):
    """See `synthesis.native.renderer`. Raises OutOfDeviceMemory, and can then be asked the same again."""

    def warm_up(self) -> bool: ...

    def whole(self, requests: Sequence[Request]) -> Rendering: ...

    def is_ready(self, request: Request) -> bool: ...

    def next_chunks(self, requests: Sequence[Request]) -> Rendering: ...


class Runner:
    """Submit from any thread; each request's `speech` is its result.

    new_decoder: makes a decoder with so many rows. renderer: tokens to speech. steps_per_look: steps between two looks
    at what was sampled; a look waits for the device, a step after a request's end is wasted. max_spoken: how many are
    rendered together; while they are, others decode.
    """

    def __init__(
        self,
        new_decoder: Callable[[int], Decoder],
        renderer: Renderer,
        *,
        num_rows: int,
        steps_per_look: int = 1,
        max_spoken: int = 1,
    ) -> None:
        self._new_decoder, self._renderer = new_decoder, renderer
        self._steps_per_look, self._max_spoken = steps_per_look, max_spoken
        self._scheduler = Scheduler(num_rows)
        self._decoder: Decoder | None = new_decoder(num_rows)
        self._unspoken: list[Request] = []  # decoded, not rendered yet
        self._rendering: Rendering | None = None
        self._streams: list[Request] = []  # streamed requests of which not all is said yet
        self._may_shrink = True
        self._orders: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._closed = False
        self._gate = threading.Lock()  # between those who give orders and the end of the thread that follows them
        self._thread = threading.Thread(target=self._run, name="native-engine", daemon=True)
        self._thread.start()
        # A thread that is inside torch when the interpreter ends takes the process down with an abort.
        atexit.register(self.close)

    def submit(self, requests: Sequence[Request]) -> None:
        """Have requests spoken; those of one utterance are admitted in order. EngineUnavailable once it is closed."""
        self._order(lambda: self._add(requests))

    def cancel(self, requests: Sequence[Request]) -> None:
        """Forget requests: their rows are free after the steps in progress, what is not spoken yet never will be."""
        with contextlib.suppress(EngineUnavailable):
            self._order(lambda: self._cancel(requests))

    def close(self) -> None:
        """End the thread after the step it is in; what is not spoken yet is cancelled."""
        atexit.unregister(self.close)
        with contextlib.suppress(EngineUnavailable):
            self._order(self._end)
        self._thread.join()

    def _order(self, order: Callable[[], None]) -> None:
        with self._gate:
            if self._closed:
                raise EngineUnavailable("the engine has stopped; nothing can be spoken; start the worker anew")
            self._orders.put(order)

    def _run(self) -> None:
        try:
            patience_s: float | None = 0.0
            while not self._closed:
                self._follow_orders(patience_s)
                patience_s = self._turn()
        finally:
            with self._gate:
                self._closed = True
            while not self._orders.empty():
                self._orders.get()()
            self._cancel(self._pending())

    def _follow_orders(self, patience_s: float | None) -> None:
        """All that was ordered since the last turn, waiting so long for the first; None is for ever."""
        with contextlib.suppress(queue.Empty):
            if patience_s != 0:
                self._orders.get(timeout=patience_s)()
        while not self._orders.empty():
            self._orders.get()()

    def _turn(self) -> float | None:
        """Do what is next. How long there is nothing to do then unless something is ordered, in s; None is for ever."""
        try:
            patience_s = self._do_next()
        except OutOfDeviceMemory as error:
            self._shrink(error)
        except Exception as error:  # a thread has no caller: it is for those who wait to handle
            logger.exception("the device thread failed; what was being spoken is lost")
            self._start_anew(self._scheduler.num_rows, error)
        else:
            self._may_shrink = True
            return patience_s
        return 0.0

    def _do_next(self) -> float | None:
        """Hand over what is rendered, else render the next of whom someone listens to, else what is finished, else
        admit who is waiting, else decode for a while, else prepare for better times."""
        assert self._decoder is not None
        if self._rendering and self._rendering.is_done():
            self._hand_over()
        elif not self._rendering and (ready := [each for each in self._streams if self._renderer.is_ready(each)]):
            self._rendering = self._renderer.next_chunks(ready[: self._max_spoken])
        elif not self._rendering and self._unspoken:
            self._rendering = self._renderer.whole(self._unspoken[: self._max_spoken])
            del self._unspoken[: self._max_spoken]
        elif admitted := self._scheduler.admit():
            self._look(self._decoder.admit(admitted))
        elif self._scheduler.running:
            self._look(self._decoder.decode(self._steps_per_look))
        elif self._rendering:
            return _ASK_RENDERING_EVERY_S
        elif not (self._decoder.warm_up() or self._renderer.warm_up()):
            return None
        return 0.0

    def _look(self, decoded: list[tuple[Request, list[int]]]) -> None:
        assert self._decoder is not None
        for request in self._scheduler.take(decoded):
            self._decoder.remove(request)
            if not request.is_silent:
                if not request.is_streamed:
                    self._unspoken.append(request)
            elif request.num_tries < MAX_TRIES:
                request.try_again()
                self._scheduler.add(request)
            else:
                self._end_with(request, _said_nothing())

    def _hand_over(self) -> None:
        """What is rendered to whoever still waits for it. Waits for the device where it must."""
        assert self._rendering is not None
        for request, chunk in zip(self._rendering.requests, self._rendering.chunks(), strict=True):
            if request.speech.done():
                continue  # cancelled meanwhile
            if not request.is_streamed:
                request.speech.set_result(chunk.samples)
                continue
            request.hand_over(chunk)
            self._streams.remove(request)
            if chunk.is_last:
                request.speech.set_result(chunk.samples[:0])
            else:
                self._streams.append(request)  # in order of who spoke least recently
        self._rendering = None

    def _shrink(self, error: OutOfDeviceMemory) -> None:
        """Half the rows and another try; the error to everyone when that was tried last, or there are too few."""
        num_rows = self._scheduler.num_rows
        if not self._may_shrink or num_rows < 2 * MIN_ROWS:
            self._start_anew(num_rows, error)
            return
        logger.warning("out of memory with %d rows; going on with half of them", num_rows)
        try:
            if self._rendering:
                self._hand_over()  # a stream that starts over counts what was heard
        except Exception as failure:  # as in `_turn`
            logger.exception("the device failed; what was being spoken is lost")
            self._start_anew(num_rows, failure)
        else:
            self._start_anew(num_rows // 2, None)
            self._may_shrink = False

    def _start_anew(self, num_rows: int, error: Exception | None) -> None:
        """A new decoder, as the old one's state is lost. With an error everyone gets it, else everyone starts over."""
        decoding = [*self._scheduler.running, *self._scheduler.waiting]
        if error:
            for request in self._pending():
                self._end_with(request, error)
            self._rendering, self._unspoken = None, []
        self._decoder = None  # before there is a new one: there is no memory for both
        self._scheduler = Scheduler(num_rows)
        if not error:
            for request in decoding:
                request.start_over()
                self._scheduler.add(request)
        self._decoder = self._new_decoder(num_rows)

    def _add(self, requests: Sequence[Request]) -> None:
        for request in requests:
            self._scheduler.add(request)
            if request.is_streamed:
                self._streams.append(request)

    def _end_with(self, request: Request, error: Exception) -> None:
        if request in self._streams:
            self._streams.remove(request)
        if not request.speech.done():
            request.speech.set_exception(error)

    def _cancel(self, requests: Sequence[Request]) -> None:
        for request in requests:
            if request.speech.done():
                continue
            if request in self._streams:
                self._streams.remove(request)
            if request in self._unspoken:
                self._unspoken.remove(request)
            elif request.status in (Status.RUNNING, Status.WAITING):
                self._scheduler.remove(request)
                if request.status is Status.RUNNING and self._decoder is not None:
                    self._decoder.remove(request)
            request.status = Status.CANCELLED
            request.speech.cancel()

    def _pending(self) -> list[Request]:
        rendered = self._rendering.requests if self._rendering else ()
        running, waiting = self._scheduler.running, self._scheduler.waiting
        return list(dict.fromkeys((*rendered, *self._unspoken, *running, *waiting, *self._streams)))

    def _end(self) -> None:
        self._closed = True


def _said_nothing() -> SynthesisError:
    return SynthesisError(
        f"the model said nothing in {MAX_TRIES} tries; allowed is any text it can say; use another seed or a longer "
        "text"
    )
