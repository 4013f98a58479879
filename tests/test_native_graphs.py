"""Which graph a step runs on, and what is captured when: bookkeeping, tested without a GPU on recorded calls."""

from __future__ import annotations

from collections.abc import Callable

import pytest

pytest.importorskip("torch", reason="the light set has no model")

import torch

from synthesis.native.graphs import BATCHES, StepGraphs, shapes_to_capture
from synthesis.native.step_shape import StepShape

SMALL, LONG, WIDE = StepShape(1, 2, 256, False), StepShape(1, 2, 512, False), StepShape(4, 8, 256, False)
NUCLEUS = StepShape(1, 2, 256, True)


class Recorder:
    """Runs steps, and captures them as a graph does: once when they are captured, and again at every replay."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, StepShape]] = []
        self._way = "eager"

    def step(self, shape: StepShape) -> None:
        self.calls.append((self._way, shape))

    def capture(self, launches: Callable[[], None]) -> Callable[[], object]:
        def replay() -> None:
            self._way = "graph"
            launches()
            self._way = "eager"

        return replay


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


def test_a_step_is_eager_until_a_graph_covers_it(recorder: Recorder) -> None:
    graphs = StepGraphs(recorder.step, [SMALL, LONG], recorder.capture)
    graphs.run(SMALL)
    assert graphs.capture_next()
    graphs.run(SMALL)
    graphs.run(StepShape(1, 1, 200, False))  # without guidance: a row to spare
    graphs.run(LONG)
    graphs.run(NUCLEUS)
    assert recorder.calls == [
        ("eager", SMALL), ("graph", SMALL), ("graph", SMALL), ("eager", LONG), ("eager", NUCLEUS)
    ]  # fmt: skip
    assert graphs.capture_next()
    assert not graphs.capture_next(), "that was all"


def test_where_capturing_fails_steps_stay_eager(recorder: Recorder, caplog: pytest.LogCaptureFixture) -> None:
    def capture(launches: Callable[[], None]) -> Callable[[], object]:
        if recorder.calls:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return recorder.capture(launches)

    graphs = StepGraphs(recorder.step, [SMALL, LONG, NUCLEUS], capture)
    assert graphs.capture_next()
    graphs.run(SMALL)
    assert not graphs.capture_next()
    graphs.run(LONG)
    graphs.run(SMALL)
    assert recorder.calls == [("graph", SMALL), ("eager", LONG), ("graph", SMALL)]
    assert "CUDA out of memory" in caplog.text


def test_the_cheapest_graph_that_covers_a_step_runs(recorder: Recorder) -> None:
    graphs = StepGraphs(recorder.step, [WIDE, LONG, NUCLEUS, SMALL], recorder.capture)
    while graphs.capture_next():
        pass
    for shape in (SMALL, StepShape(1, 2, 300, False), StepShape(3, 5, 100, False), StepShape(1, 1, 10, True)):
        graphs.run(shape)
    assert recorder.calls == [("graph", SMALL), ("graph", LONG), ("graph", WIDE), ("graph", NUCLEUS)]


def test_shapes_begin_with_the_batch_of_one_and_fit_the_cache() -> None:
    shapes = shapes_to_capture(max_rows=16, max_length=1000)
    assert [shape.slots for shape in shapes[:5]] == [1, 1, 1, 1, 2], "1024 and more are one in a cache of 1000"
    assert max(shape.rows for shape in shapes) == 16
    assert max(shape.length for shape in shapes) == 1000
    assert len(set(shapes)) == len(shapes)
    assert [shape.nucleus for shape in shapes] == sorted(shape.nucleus for shape in shapes)
    assert {shape.slots for shape in shapes_to_capture(64, 1536)} == set(BATCHES)
