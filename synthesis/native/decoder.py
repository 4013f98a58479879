"""Requests decoded together: they join and leave between steps, whatever the others are doing.

Joins T3, the cache and the slots. Decides nothing: who is admitted, finished or cancelled is the scheduler's to say.
A request's tokens depend on its own prompt, parameters and generator, never on its neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from synthesis.chatterbox_device import translated_errors
from synthesis.native.alignment import Alignment
from synthesis.native.graphs import CudaCapture, StepGraphs, shapes_to_capture
from synthesis.native.request import Request
from synthesis.native.sampling import guide
from synthesis.native.slots import Slots
from synthesis.native.step_shape import StepShape
from synthesis.native.t3 import T3
from synthesis.native.t3_base import CONDITIONING_POSITIONS
from synthesis.native.vocabulary import START_SPEECH_TOKEN

Decoded = list[tuple[Request, list[int]]]  # what was sampled for whom since the last look
LENGTH_BUCKET = 64  # an eager step attends to a multiple of so many positions: few shapes, few wasted


@dataclass
class _Occupant:
    """A request being decoded. Its slot is its place in the decoder's list."""

    request: Request
    rows: list[int]  # of the cache; with guidance a second one
    length: int  # positions of a row in use
    nucleus: bool  # whether its top_p is below 1


class Decoder:
    """num_rows: rows of the cache, two for a request with guidance. use_graphs: for CUDA; steps are eager until
    `warm_up` has captured them. One thread at a time."""

    def __init__(self, model: T3, *, num_rows: int, use_graphs: bool = False) -> None:
        self._num_rows = num_rows
        self._model = model
        self._cache = model.new_cache(num_rows)
        self._slots = Slots(num_rows, model.vocabulary, model.device)
        self._occupants: list[_Occupant] = []
        self._alignment = _alignment(model, num_rows)
        shapes = shapes_to_capture(num_rows, model.max_length, guided=model.is_guided) if use_graphs else []
        self._graphs = StepGraphs(self.step, shapes, CudaCapture())

    @translated_errors()
    def warm_up(self) -> bool:
        """Do a piece of what makes later steps quicker, while nothing is being decoded; False when all is done."""
        assert not self._occupants
        return self._graphs.capture_next()

    @translated_errors()
    @torch.inference_mode()
    def admit(self, requests: list[Request]) -> Decoded:
        """Read the prompts of requests, together, and sample the first token of each.

        The caller sees to it that there are rows for them.
        """
        first_slot, first_row = len(self._occupants), self._num_rows_used()
        prompts = [self._prompt(request) for request in requests]
        for request, prompt in zip(requests, prompts, strict=True):
            self._occupy(request, prompt.shape[1])
        self._arrange()
        rows = [row for prompt in prompts for row in prompt]
        lengths = torch.tensor([len(row) for row in rows], device=self._model.device)
        logits = self._model.prefill(pad_sequence(rows, batch_first=True), lengths, self._cache, first_row)
        admitted = slice(first_slot, len(self._occupants))
        self._draw(admitted)
        guided = self._guided(logits, admitted, first_row)
        if self._alignment:
            guided = self._alignment.begin(guided, admitted)
        drawn = self._model.sample(guided, self._slots.draw(admitted, nucleus=self._nucleus(admitted)))
        if not self._model.penalises_start:
            self._slots.seen[admitted, START_SPEECH_TOKEN] = False
        self._slots.take(admitted, drawn)
        tokens = self._slots.token[admitted].tolist()
        return [(request, [token]) for request, token in zip(requests, tokens, strict=True)]

    @translated_errors()
    @torch.inference_mode()
    def decode(self, num_steps: int) -> Decoded:
        """The next num_steps tokens of everyone. Waits for the device once, at the end: what a request samples after it
        has stopped is for the caller to drop."""
        everyone = slice(len(self._occupants))
        sampled = []
        for _ in range(num_steps):
            self._draw(everyone)
            self._graphs.run(self._shape())
            for occupant in self._occupants:
                occupant.length += 1
            sampled.append(self._slots.token[everyone].clone())
        columns = torch.stack(sampled, dim=1).tolist()  # (B, num_steps)
        return [(occupant.request, tokens) for occupant, tokens in zip(self._occupants, columns, strict=True)]

    def step(self, shape: StepShape) -> None:
        """Decode the token sampled last in every slot, and sample the next. No value on the device is looked at."""
        slots, everyone = self._slots, slice(shape.slots)
        owner = slots.owner[: shape.rows]
        embeddings = self._model.embed_tokens(slots.token[everyone], slots.num_sampled[everyone])  # (B, C)
        logits, attention = self._model.decode(embeddings[owner], slots.position[owner], self._cache, shape.length)
        slots.position[everyone] += slots.active[everyone]
        guided = self._guided(logits, everyone, 0)
        if self._alignment and attention is not None:
            looked_at, last = attention[slots.row[everyone]], slots.token[everyone]
            guided = self._alignment.check(guided, looked_at, last, slots.num_sampled[everyone], everyone)
        slots.take(everyone, self._model.sample(guided, slots.draw(everyone, nucleus=shape.nucleus)))

    @torch.inference_mode()
    def remove(self, request: Request) -> None:
        """Free a request's slot and rows; the last ones move there, so that those in use stay together."""
        slot = next(index for index, occupant in enumerate(self._occupants) if occupant.request is request)
        for row in sorted(self._occupants[slot].rows, reverse=True):
            self._free_row(row)
        last = len(self._occupants) - 1
        if slot != last:
            self._slots.move(last, slot)
            if self._alignment:
                self._alignment.move(last, slot)
            self._occupants[slot] = self._occupants[last]
        del self._occupants[last]
        self._slots.clear(last)
        self._arrange()

    def _free_row(self, row: int) -> None:
        last = self._num_rows_used() - 1
        holder = next(occupant for occupant in self._occupants if last in occupant.rows)
        if row != last:
            self._cache.move_row(last, row, holder.length)
            owner = next(occupant for occupant in self._occupants if row in occupant.rows)
            owner.rows.remove(row)
            holder.rows[holder.rows.index(last)] = row
        else:
            holder.rows.remove(row)

    def _prompt(self, request: Request) -> Tensor:
        """(rows of the request, n, C)."""
        return self._model.embed_prompt(
            request.voice, request.exaggeration, request.text_tokens, guided=request.num_rows == 2
        )

    def _occupy(self, request: Request, prompt_length: int) -> None:
        first_row, slot = self._num_rows_used(), len(self._occupants)
        assert first_row + request.num_rows <= self._num_rows, "the scheduler admitted more than there are rows"
        if request.generator is None:
            request.generator = torch.Generator(self._model.device).manual_seed(request.sampling.seed)
        self._slots.fill(slot, request.sampling, prompt_length, START_SPEECH_TOKEN)
        if self._alignment:
            self._alignment.fill(slot, len(request.text_tokens) + 2, START_SPEECH_TOKEN)
        rows = list(range(first_row, first_row + request.num_rows))
        self._occupants.append(_Occupant(request, rows, prompt_length, request.sampling.top_p < 1))

    def _draw(self, slots: slice) -> None:
        """New noise, V numbers a request from its own generator: upstream's draws in upstream's order."""
        for noise, occupant in zip(self._slots.noise[slots], self._occupants[slots], strict=False):
            noise.exponential_(generator=occupant.request.generator)

    def _guided(self, logits: Tensor, slots: slice, first_row: int) -> Tensor:
        """(B, V) for every one of slots, of logits (R, V) whose first row is first_row of the cache."""
        state = self._slots
        row, guidance_row = state.row[slots] - first_row, state.guidance_row[slots] - first_row
        return guide(logits, row, guidance_row, state.cfg_weight[slots])

    def _shape(self) -> StepShape:
        longest = 1 + max(occupant.length for occupant in self._occupants)
        buckets = -(-longest // LENGTH_BUCKET)
        length = min(buckets * LENGTH_BUCKET, self._model.max_length)
        everyone = slice(len(self._occupants))
        return StepShape(len(self._occupants), self._num_rows_used(), length, self._nucleus(everyone))

    def _nucleus(self, slots: slice) -> bool:
        return any(occupant.nucleus for occupant in self._occupants[slots])

    def _num_rows_used(self) -> int:
        return sum(len(occupant.rows) for occupant in self._occupants)

    def _arrange(self) -> None:
        self._slots.arrange([occupant.rows for occupant in self._occupants])


def _alignment(model: T3, num_slots: int) -> Alignment | None:
    """What watches over the text being said, of a model whose attention tells."""
    if not model.aligned_heads:
        return None
    return Alignment(num_slots, model.vocabulary, CONDITIONING_POSITIONS, model.device)
