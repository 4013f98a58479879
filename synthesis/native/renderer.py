"""Requests' speech tokens to audio: whole utterances together, streams a chunk at a time.

On a GPU beside the decoding of others, on a stream of its own. The only place that knows both requests and S3Gen. One
thread at a time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from synthesis.chatterbox_device import translated_errors
from synthesis.native.request import Chunk, Request, Status
from synthesis.native.s3gen import S3Gen, Utterance
from synthesis.native.side_stream import Launched, SideStream
from synthesis.native.streaming import SpeechStream, advance

Result = TypeVar("Result")


class Rendering:
    """What some requests say next, once the device has come to it. Holds their voices, which the device reads."""

    def __init__(self, requests: Sequence[Request], launched: Launched, are_last: Sequence[bool]) -> None:
        self.requests = requests
        self._launched, self._are_last = launched, are_last

    @translated_errors()
    def is_done(self) -> bool:
        return self._launched.is_done()

    @translated_errors()
    def chunks(self) -> list[Chunk]:
        """One a request, in their order. Waits for the device."""
        return [Chunk(*each) for each in zip(self._launched.arrays(), self._are_last, strict=True)]


class Renderer:
    def __init__(self, s3gen: S3Gen, device: str) -> None:
        self._s3gen, self._device = s3gen, device
        self._side_stream = SideStream(device)

    @translated_errors()
    def warm_up(self) -> bool:
        """Do a piece of what makes later calls quicker, while nothing is being rendered; False when all is done."""
        return self._s3gen.warm_up()

    @translated_errors()
    def whole(self, requests: Sequence[Request]) -> Rendering:
        """All that each has to say, as one chunk; continues the generator T3 drew the tokens from."""

        def spoken(batch: Sequence[Request], cfm_steps: int | None) -> list[Tensor]:
            utterances = [
                Utterance(request.voice, torch.tensor(request.tokens), request.generator) for request in batch
            ]
            return self._s3gen.decode(utterances, cfm_steps)

        launched = self._side_stream.launch(lambda: _by_steps(requests, spoken))
        return Rendering(requests, launched, [True] * len(requests))

    def is_ready(self, request: Request) -> bool:
        """Whether the next chunk of a streamed request can be decoded: its tokens are there."""
        finished = request.status is Status.FINISHED
        if not request.tokens:
            return False
        if request.stream is None:
            request.stream = _Stream(SpeechStream(self._s3gen, request.voice, self._generator(request)))
        stream: _Stream = request.stream
        return stream.take(request.tokens, finished)

    @translated_errors()
    def next_chunks(self, requests: Sequence[Request]) -> Rendering:
        """The next chunk of streamed requests that are ready; what they say depends on their tokens and seed alone."""

        def said(batch: Sequence[Request], cfm_steps: int | None) -> list[Tensor]:
            return advance(self._s3gen, [request.stream.speech for request in batch], cfm_steps)

        try:
            launched = self._side_stream.launch(lambda: _by_steps(requests, said))
        except Exception:
            for request in requests:  # half a step may have been taken
                request.begin_stream_anew()
            raise
        return Rendering(requests, launched, [request.stream.speech.is_over for request in requests])

    def _generator(self, request: Request) -> torch.Generator:
        """Not the one that T3 still draws from: what S3Gen would get of it depended on when it asks."""
        seed = hashlib.sha256(f"stream {request.sampling.seed} {request.num_tries}".encode()).digest()
        return torch.Generator(self._device).manual_seed(int.from_bytes(seed[:4], "big"))


class _Stream:
    """A speech stream, and how many of its request's tokens it has."""

    def __init__(self, speech: SpeechStream) -> None:
        self.speech = speech
        self._num_taken = 0
        self._has_all = False

    def take(self, tokens: list[int], finished: bool) -> bool:
        """Feed what is new; whether the next chunk can be decoded."""
        if not self._has_all:
            self.speech.feed(torch.tensor(tokens[self._num_taken :], dtype=torch.int64), is_last=finished)
            self._num_taken, self._has_all = len(tokens), finished
        return self.speech.is_ready


def _by_steps(
    requests: Sequence[Request], work: Callable[[Sequence[Request], int | None], list[Result]]
) -> list[Result]:
    """The results of work, in order, done together for requests with the same number of flow-matching steps."""
    results: dict[Request, Result] = {}
    for steps in dict.fromkeys(request.cfm_steps for request in requests):
        batch = [request for request in requests if request.cfm_steps == steps]
        results.update(zip(batch, work(batch, steps), strict=True))
    return [results[request] for request in requests]
