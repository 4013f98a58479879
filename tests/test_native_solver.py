"""Flow matching with captured steps: the same mel as step by step, and what is captured when. No GPU is needed: what
stands for a graph runs the captured launches anew, on inputs that stay where they are."""

from __future__ import annotations

from collections.abc import Callable

import pytest

pytest.importorskip("torch", reason="the light set has no model")

import torch
from s3gen_oracle import as_meanflow, upstream_s3gen

from synthesis.native import solver as solver_module
from synthesis.native.estimator import Estimator, Schedule
from synthesis.native.graphs import Capture
from synthesis.native.layers import Weights
from synthesis.native.solver import Solver, SolveShape


class Recorder:
    """Captures as `CudaCapture` does: runs the launches once, and again at every replay."""

    def __init__(self) -> None:
        self.num_captured = 0
        self.num_replayed = 0

    def __call__(self, launches: Callable[[], None]) -> Callable[[], object]:
        self.num_captured += 1
        launches()

        def replay() -> None:
            self.num_replayed += 1
            launches()

        return replay


class Halfway:
    """An estimator that leads halfway to its condition's first bins. Guidance leads further."""

    is_meanflow, dtype = False, torch.float32

    def schedule(self, num_steps: int) -> Schedule:
        return Schedule(torch.full((num_steps,), 1 / num_steps), torch.ones(num_steps, 1, 1, 1))

    def __call__(self, x: torch.Tensor, times: torch.Tensor, real: torch.Tensor | None) -> torch.Tensor:
        assert real is not None
        return times[0] * (x[:, 80:160] - x[:, :80]) / 2 * real[:, 0]


def question(shape: SolveShape, seed: int = 1) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Noise, condition and mask of a ragged batch: each row is four frames shorter than the one before it."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(shape.rows, 80, shape.frames, generator=generator)
    condition = torch.randn(shape.rows, 240, shape.frames, generator=generator)
    ends = shape.frames - 4 * torch.arange(shape.rows)[:, None]
    return noise, condition, (torch.arange(shape.frames) < ends)[:, None, None]


def halfway(recorder: Capture, *expected: SolveShape) -> Solver:
    return Solver(Halfway(), recorder, expected)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["guided", "distilled", "bfloat16"])
@torch.inference_mode()
def test_captured_steps_equal_eager_ones(kind: str) -> None:
    upstream = upstream_s3gen()
    if kind == "distilled":
        with as_meanflow(upstream):
            weights = Weights(dict(upstream.state_dict()), "flow.decoder.estimator.")
    else:
        weights = Weights(upstream.state_dict(), "flow.decoder.estimator.")
    estimator = Estimator(weights.cast(torch.bfloat16) if kind == "bfloat16" else weights)
    recorder, shape = Recorder(), SolveShape(2, 24)
    captured = Solver(estimator, recorder, [shape])
    assert captured.capture_next()
    assert not captured.capture_next()
    for num_steps, seed in ((None, 1), (3, 2), (1, 1)):
        asked = question(shape, seed)
        replayed_before = recorder.num_replayed
        mel = captured.solve(*asked, num_steps)
        assert torch.equal(mel, Solver(estimator).solve(*asked, num_steps))
        wanted = num_steps or (2 if kind == "distilled" else 10)
        assert recorder.num_replayed - replayed_before == wanted, "nothing of it was eager"


def test_an_answer_stays_what_it_was() -> None:
    shape = SolveShape(1, 8)
    solver = halfway(Recorder(), shape)
    solver.capture_next()
    first = solver.solve(*question(shape, 1))
    kept = first.clone()
    solver.solve(*question(shape, 2))
    assert torch.equal(first, kept), "the next one's inputs stand where its own stood"


def test_a_shape_asked_for_twice_is_captured() -> None:
    recorder, rare, common = Recorder(), SolveShape(3, 16), SolveShape(2, 16)
    solver = halfway(recorder)
    for shape in (rare, common, common):
        assert not solver.capture_next()
        solver.solve(*question(shape))
    assert solver.capture_next()
    solver.solve(*question(common), 4)
    assert (recorder.num_captured, recorder.num_replayed) == (1, 4)
    solver.solve(*question(rare), 4)
    assert recorder.num_replayed == 4, "it has no graph yet"
    assert solver.capture_next()
    assert not solver.capture_next()


def test_the_graph_unused_for_longest_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(solver_module, "MAX_GRAPHS", 2)
    recorder = Recorder()
    first, second, third = (SolveShape(1, frames) for frames in (8, 16, 24))
    solver = halfway(recorder, first, second)
    while solver.capture_next():
        pass
    for shape in (first, third, third):
        solver.solve(*question(shape), 1)
    assert solver.capture_next()
    recorder.num_replayed = 0
    for shape, replays in ((first, 1), (third, 2), (second, 2)):
        solver.solve(*question(shape), 1)
        assert recorder.num_replayed == replays


def test_where_capturing_fails_steps_stay_eager(caplog: pytest.LogCaptureFixture) -> None:
    def refuse(launches: Callable[[], None]) -> Callable[[], object]:
        raise torch.OutOfMemoryError("CUDA out of memory")

    shape = SolveShape(1, 8)
    solver = halfway(refuse, shape, SolveShape(1, 16))
    assert not solver.capture_next()
    assert not solver.capture_next()
    eager = Solver(Halfway()).solve(*question(shape))  # type: ignore[arg-type]
    assert torch.equal(solver.solve(*question(shape)), eager)
    assert "CUDA out of memory" in caplog.text
