"""One segment of text on its way to speech: everything about it, in one object.

Imports no torch: what belongs to a device (voice, generator) is carried, never looked into.
"""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import Enum
from queue import SimpleQueue
from typing import Any, NamedTuple

from synthesis.engine import Samples
from synthesis.native.vocabulary import START_SPEECH_TOKEN, STOP_SPEECH_TOKEN
from synthesis.stopping import LOOK_EVERY, Loop, loop_at_end


@dataclass(frozen=True)
class SamplingParameters:
    """How the speech tokens of one request are drawn; ranges as in `synthesis.options`."""

    cfg_weight: float = 0.5
    temperature: float = 0.8
    repetition_penalty: float = 1.2
    min_p: float = 0.05
    top_p: float = 1.0
    seed: int = 0


class Chunk(NamedTuple):
    """A piece of a streamed request's speech."""

    samples: Samples  # (n,) float32 at 24 kHz
    is_last: bool


class Status(Enum):
    WAITING = "waiting"  # for rows of the cache
    RUNNING = "running"
    FINISHED = "finished"  # said all it had to say, or all it may
    CANCELLED = "cancelled"


@dataclass(eq=False)
class Request:
    """text_tokens: what to say, without start and stop. max_tokens: where speech that does not end is cut off.

    utterance: requests of one text share it; they compete for rows as one. voice: conditionals. generator: made from
    the seed when decoding starts, drawn from once a token, and then by S3Gen. is_streamed: its speech is handed over
    while it still decodes, as `chunks`; `speech` then has no samples, and tells only how it ended.
    """

    text_tokens: list[int]
    voice: Any
    exaggeration: float
    sampling: SamplingParameters
    max_tokens: int
    utterance: object = field(default_factory=object)
    cfm_steps: int | None = None  # of flow matching; None is the model's own number
    is_streamed: bool = False
    stops_loops: bool = False  # a loop is cut off: see `synthesis.stopping`
    generator: Any = None  # torch.Generator
    tokens: list[int] = field(default_factory=list)  # speech tokens so far, without the stop
    ended: bool = False  # the model ended its speech itself
    loop: Loop | None = None  # that it was caught in
    status: Status = Status.WAITING
    num_tries: int = 1
    speech: Future[Samples] = field(default_factory=Future)  # (n,) float32 at 24 kHz, or why there is none
    stream: Any = None  # what has become of its tokens so far, while it is streamed
    chunks: SimpleQueue[Chunk | None] = field(default_factory=SimpleQueue)  # None: no more come, ask `speech` why
    _num_heard: int = 0  # samples handed over
    _num_to_skip: int = 0  # of what a stream that began anew says: heard before

    def __post_init__(self) -> None:
        self.speech.add_done_callback(lambda _: self.chunks.put(None))

    @property
    def num_rows(self) -> int:
        """Rows of the cache: guidance decodes a second one, without the text."""
        return 2 if self.sampling.cfg_weight > 0 else 1

    @property
    def is_silent(self) -> bool:
        """Whether nothing of what was decoded is a sound."""
        return all(token >= START_SPEECH_TOKEN for token in self.tokens)

    def extend(self, tokens: list[int], stop_token: int = STOP_SPEECH_TOKEN) -> None:
        """Take what was decoded since the last look; what follows a stop, is beyond max_tokens, or is a loop's second
        round, was never said."""
        for token in tokens:
            if token == stop_token:
                self.ended, self.status = True, Status.FINISHED
                return
            self.tokens.append(token)
            if self.stops_loops and len(self.tokens) % LOOK_EVERY == 0 and (loop := loop_at_end(self.tokens)):
                self.loop, self.status = loop, Status.FINISHED
                if not self.is_streamed:  # what was said may be heard already
                    del self.tokens[loop.num_kept :]
                return
            if len(self.tokens) == self.max_tokens:
                self.status = Status.FINISHED
                return

    def hand_over(self, chunk: Chunk) -> None:
        """The next piece of speech; what was heard before the stream began anew is not heard twice."""
        fresh = chunk.samples[self._num_to_skip :]
        self._num_to_skip -= len(chunk.samples) - len(fresh)
        self._num_heard += len(fresh)
        if len(fresh) or chunk.is_last:
            self.chunks.put(Chunk(fresh, chunk.is_last))

    def begin_stream_anew(self) -> None:
        """What became of the tokens is lost; the same will be said again."""
        self.stream, self._num_to_skip = None, self._num_heard

    def try_again(self) -> None:
        """Say it once more, with other random numbers."""
        self.num_tries += 1
        self._forget()

    def start_over(self) -> None:
        """Say the same once more: what was decoded is lost."""
        self.generator = None
        self._forget()

    def _forget(self) -> None:
        self.tokens, self.ended, self.loop, self.status = [], False, None, Status.WAITING
        self.begin_stream_anew()
