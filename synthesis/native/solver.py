"""From noise to mel: Euler's steps of flow matching, each one launch where the device can capture it.

A step is a thousand small launches, which take a big GPU longer to receive than to carry out. What is captured is the
eager step itself on inputs that stay where they are, so that the two ways cannot come apart. Shapes are captured when
they have been asked for twice, while the device has nothing else to do.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from synthesis.native.estimator import NUM_MEL_BINS, Estimator, Schedule
from synthesis.native.graphs import Capture

logger = logging.getLogger(__name__)

NUM_CFM_STEPS = 10  # chatterbox `s3gen.py:flow_inference`
NUM_MEANFLOW_STEPS = 2
MAX_GRAPHS = 64
_GUIDANCE = 0.7  # chatterbox `s3gen/configs.py:CFM_PARAMS.inference_cfg_rate`
_ASKED_OFTEN = 2


class SolveShape(NamedTuple):
    rows: int  # without those of guidance
    frames: int


class Solver:
    """capture: makes a graph of a function's launches; None leaves every step eager. expected: shapes to capture before
    anyone asks."""

    def __init__(
        self, estimator: Estimator, capture: Capture | None = None, expected: Iterable[SolveShape] = ()
    ) -> None:
        self._estimator, self._capture = estimator, capture
        self.needs_mask = capture is not None  # attention without one rounds differently, and a graph always has one
        self._asked = Counter[SolveShape]()  # of shapes without a graph
        if capture:
            self._asked.update(dict.fromkeys(expected, _ASKED_OFTEN))
        self._graphs: dict[SolveShape, _StepGraph] = {}  # the one used last stands last
        self._schedules: dict[int, Schedule] = {}

    @torch.inference_mode()
    def solve(self, noise: Tensor, condition: Tensor, real: Tensor | None, num_steps: int | None = None) -> Tensor:
        """The mel, (B, 80, T) float32, from noise (B, 80, T) float32.

        condition: (B, 240, T), what else the estimator sees. real: (B, 1, 1, T) bool, which frames are; None where all
        are, unless `needs_mask`. num_steps: None is the model's own number.
        """
        schedule = self._schedule(num_steps or (NUM_MEANFLOW_STEPS if self._estimator.is_meanflow else NUM_CFM_STEPS))
        condition = condition.to(self._estimator.dtype)
        if not self._estimator.is_meanflow:  # guidance: the same rows stand once more below with nothing to go by
            condition = torch.cat([condition, torch.zeros_like(condition)])
            real = None if real is None else torch.cat([real, real])
        shape = SolveShape(noise.shape[0], noise.shape[2])
        if shape in self._graphs:
            graph = self._graphs[shape] = self._graphs.pop(shape)
            return graph.solve(noise, condition, real, schedule)
        if self._capture:
            self._asked[shape] += 1
        for delta, times in zip(schedule.deltas, schedule.times, strict=True):
            noise = self._step(noise, condition, real, times, delta)
        return noise

    @torch.inference_mode()
    def capture_next(self) -> bool:
        """Capture the shape asked for most; False when there is none that was asked for often, or no more can be."""
        if self._capture is None or not self._asked:
            return False
        [(shape, times_asked)] = self._asked.most_common(1)
        if times_asked < _ASKED_OFTEN:
            return False
        del self._asked[shape]
        if len(self._graphs) == MAX_GRAPHS:
            del self._graphs[next(iter(self._graphs))]
        try:
            self._graphs[shape] = _StepGraph(shape, self._estimator, self._step, self._capture)
        except RuntimeError as error:  # torch's own class for all of them
            logger.warning("no graph of flow matching for %s, and none of other shapes: %s", shape, error)
            self._capture = None
            self._asked.clear()
            return False
        return True

    def _schedule(self, num_steps: int) -> Schedule:
        if num_steps not in self._schedules:
            self._schedules[num_steps] = self._estimator.schedule(num_steps)
        return self._schedules[num_steps]

    def _step(self, x: Tensor, condition: Tensor, real: Tensor | None, times: Tensor, delta: Tensor) -> Tensor:
        """x (B, 80, T) stays float32, only its direction is found in the estimator's dtype. times: of every block,
        (blocks, C, 1). delta: ()."""
        start = x.to(self._estimator.dtype)
        if self._estimator.is_meanflow:
            return x + delta * self._estimator(torch.cat([start, condition], dim=1), times, real).float()
        direction = self._estimator(torch.cat([torch.cat([start, start]), condition], dim=1), times, real).float()
        with_voice, without = direction.chunk(2)
        return x + delta * ((1.0 + _GUIDANCE) * with_voice - _GUIDANCE * without)


class _StepGraph:
    """A captured step, and the inputs that it reads."""

    def __init__(self, shape: SolveShape, estimator: Estimator, step: Callable[..., Tensor], capture: Capture) -> None:
        rows, frames = shape
        seen = rows if estimator.is_meanflow else 2 * rows
        schedule = estimator.schedule(1)  # for its shapes
        device = schedule.times.device
        self._x = torch.zeros(rows, NUM_MEL_BINS, frames, device=device)
        self._condition = torch.zeros(seen, 3 * NUM_MEL_BINS, frames, device=device, dtype=estimator.dtype)
        self._real = torch.ones(seen, 1, 1, frames, device=device, dtype=torch.bool)
        self._times, self._delta = schedule.times[0].clone(), schedule.deltas[0].clone()

        def step_in_place() -> None:
            self._x.copy_(step(self._x, self._condition, self._real, self._times, self._delta))

        self._replay = capture(step_in_place)

    def solve(self, noise: Tensor, condition: Tensor, real: Tensor | None, schedule: Schedule) -> Tensor:
        assert real is not None, "a graph has a mask"
        self._x.copy_(noise)
        self._condition.copy_(condition)
        self._real.copy_(real)
        for delta, times in zip(schedule.deltas, schedule.times, strict=True):
            self._delta.copy_(delta)
            self._times.copy_(times)
            self._replay()
        return self._x.clone()
