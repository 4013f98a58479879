"""Decoding steps captured as CUDA graphs: a step of a thousand launches becomes one.

Which shapes are captured, and which graph a step runs on, is decided here and tested without a GPU; what is captured is
the decoder's own `step`, so that the eager way and the graphs cannot come apart.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterable

import torch

from synthesis.native.step_shape import StepShape

logger = logging.getLogger(__name__)

BATCHES = (1, 2, 4, 8, 16, 32)
LENGTHS = (256, 512, 768, 1024, 1536, 2048)  # positions; a prompt is about 100, a second of speech 25

Replay = Callable[[], object]
Capture = Callable[[Callable[[], None]], Replay]  # makes a graph of a function's launches


def shapes_to_capture(max_rows: int, max_length: int, *, guided: bool = True) -> list[StepShape]:
    """In the order in which they are likely to be needed: small batches and short texts first, sampling with a top_p
    below 1 last. Requests without guidance run on graphs that have rows to spare.

    guided: whether the model knows guidance. The one that does not is usually asked for a top_p below 1.
    """
    rows_each = 2 if guided else 1
    shapes = [
        StepShape(slots=batch, rows=rows_each * batch, length=min(length, max_length), nucleus=nucleus)
        for nucleus, batch, length in itertools.product((False, True) if guided else (True,), BATCHES, LENGTHS)
        if rows_each * batch <= max_rows
    ]
    return list(dict.fromkeys(shapes))


class StepGraphs:
    """Runs a step on the smallest graph that covers it, or eagerly where none does.

    step: what to run and to capture. capture: makes a graph of a function's launches.
    """

    def __init__(
        self,
        step: Callable[[StepShape], None],
        shapes: Iterable[StepShape],
        capture: Capture,
    ) -> None:
        self._step = step
        self._uncaptured = list(shapes)
        self._capture = capture
        self._graphs: dict[StepShape, Replay] = {}

    def run(self, shape: StepShape) -> None:
        covering = [captured for captured in self._graphs if captured.covers(shape)]
        if covering:
            self._graphs[min(covering, key=_cost)]()
        else:
            self._step(shape)

    def capture_next(self) -> bool:
        """Capture one more shape; False when all are there, or no more can be.

        Only while no request is being decoded: warming up runs the step on whatever the slots hold. Where a capture
        fails, for want of memory or of something the driver has, steps go on as before, eagerly.
        """
        if not self._uncaptured:
            return False
        shape = self._uncaptured.pop(0)
        try:
            self._graphs[shape] = self._capture(lambda: self._step(shape))
        except RuntimeError as error:  # torch's own class for all of them
            logger.warning("no graph of %s, and none of larger shapes: %s", shape, error)
            self._uncaptured.clear()
            return False
        return True


def _cost(shape: StepShape) -> tuple[int, bool]:
    """What a step reads of the cache, which is all that differs between graphs, and then the sort for top_p."""
    return shape.rows * shape.length, shape.nucleus


class CudaCapture:
    """Graphs of one memory pool: they never run at the same time, so each may use the others' scratch memory."""

    def __init__(self) -> None:
        self._pool: object = None

    @torch.inference_mode()
    def __call__(self, launches: Callable[[], None]) -> Replay:
        self._pool = self._pool or torch.cuda.graph_pool_handle()  # type: ignore[no-untyped-call]
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):  # what libraries set up at their first call must not be captured
            launches()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()  # type: ignore[no-untyped-call]
        # Callers' threads make voices on the device meanwhile; only this thread's calls are part of the capture.
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            launches()
        return graph.replay
