"""What a step reads and writes of every sequence being decoded, in tensors that never move.

A slot is a sequence's place in all of them; slots in use are always the first ones. Knows nothing of models or caches.
"""

from __future__ import annotations

import torch
from torch import Tensor

from synthesis.native.request import SamplingParameters
from synthesis.native.sampling import Draw


class Slots:
    """As many slots as the cache has rows, S, as a request may do with one. V: vocabulary of speech. Dtypes: int64,
    parameters float32."""

    def __init__(self, num_slots: int, vocabulary: int, device: str) -> None:
        def zeros(*shape: int, dtype: torch.dtype = torch.int64) -> Tensor:
            return torch.zeros(shape, dtype=dtype, device=device)

        self.token = zeros(num_slots)  # sampled last, not yet decoded
        self.num_sampled = zeros(num_slots)  # which is also the speech position of `token`
        self.position = zeros(num_slots)  # in the cache, where `token` will go
        self.active = zeros(num_slots)  # 1 where a sequence is, 0 where a captured step has a slot to spare
        self.seen = zeros(num_slots, vocabulary, dtype=torch.bool)  # tokens the repetition penalty is for
        self.noise = torch.ones(num_slots, vocabulary, device=device)  # drawn anew for every step
        self.cfg_weight, self.temperature, self.repetition_penalty, self.min_p, self.nucleus_tail = (
            torch.ones(num_slots, 1, device=device) for _ in range(5)
        )
        self.row, self.guidance_row = zeros(num_slots), zeros(num_slots)  # the same row without guidance
        self.owner = zeros(num_slots)  # slot of every row

    def fill(self, slot: int, sampling: SamplingParameters, prompt_length: int, start_token: int) -> None:
        """Set up a sequence whose prompt is about to be read."""
        self.num_sampled[slot], self.position[slot], self.active[slot] = 0, prompt_length, 1
        self.seen[slot] = False
        self.seen[slot, start_token] = True
        self.cfg_weight[slot], self.temperature[slot] = sampling.cfg_weight, sampling.temperature
        self.repetition_penalty[slot], self.min_p[slot] = sampling.repetition_penalty, sampling.min_p
        self.nucleus_tail[slot] = 1 - sampling.top_p  # here, as float64: upstream compares with the same number

    def draw(self, slots: slice, *, nucleus: bool) -> Draw:
        """What the next token of each is drawn with; nucleus: whether anyone's top_p is below 1."""
        return Draw(
            self.noise[slots], self.seen[slots], self.repetition_penalty[slots], self.temperature[slots],
            self.min_p[slots], self.nucleus_tail[slots] if nucleus else None,
        )  # fmt: skip

    def take(self, slots: slice, tokens: Tensor) -> None:
        """tokens (B,) have been sampled for the B slots."""
        self.token[slots] = tokens
        self.seen[slots].scatter_(1, tokens[:, None], True)
        self.num_sampled[slots] += self.active[slots]

    def move(self, source: int, target: int) -> None:
        """The sequence of one slot goes to another; rows are the cache's and are set by `arrange`."""
        for tensor in self._of_sequences():
            tensor[target] = tensor[source]

    def clear(self, slot: int) -> None:
        for tensor in (self.token, self.num_sampled, self.position, self.active):
            tensor[slot] = 0

    def arrange(self, rows: list[list[int]]) -> None:
        """Who has which rows of the cache: for every slot in use its row and, with guidance, a second one."""
        if not rows:
            return
        device = self.row.device
        self.row[: len(rows)] = torch.tensor([own[0] for own in rows], device=device)
        self.guidance_row[: len(rows)] = torch.tensor([own[-1] for own in rows], device=device)
        owners = {row: slot for slot, own in enumerate(rows) for row in own}
        self.owner[: len(owners)] = torch.tensor([owners[row] for row in range(len(owners))], device=device)

    def _of_sequences(self) -> tuple[Tensor, ...]:
        return (
            self.token, self.num_sampled, self.position, self.active, self.seen, self.cfg_weight, self.temperature,
            self.repetition_penalty, self.min_p, self.nucleus_tail,
        )  # fmt: skip
