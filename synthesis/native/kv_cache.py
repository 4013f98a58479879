"""Keys and values of everything being decoded, in rows of fixed size.

Rows in use are always the first ones, so that a step reads them as one view; whoever frees a row in the middle moves
the last one there. Knows nothing of sequences, guidance or sampling.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor


class KVCache:
    """keys, values: (layers, rows, heads, length, head size). What was never written is zero, never NaN: masked
    positions are multiplied by a probability of 0."""

    def __init__(
        self, *, layers: int, rows: int, heads: int, length: int, head_size: int, dtype: torch.dtype, device: str
    ) -> None:
        shape = (layers, rows, heads, length, head_size)
        self.keys = _zeros(shape, dtype, device)
        self.values = _zeros(shape, dtype, device)
        self._rows = torch.arange(rows, device=device)

    def write_prompts(self, layer: int, first_row: int, keys: Tensor, values: Tensor) -> None:
        """keys, values: (R, heads, n, head size), at positions 0 to n of the R rows from first_row on."""
        rows, positions = slice(first_row, first_row + keys.shape[0]), slice(keys.shape[2])
        self.keys[layer, rows, :, positions] = keys
        self.values[layer, rows, :, positions] = values

    def write_tokens(self, layer: int, positions: Tensor, keys: Tensor, values: Tensor) -> None:
        """keys, values: (R, heads, 1, head size), row r at positions[r]; positions: (R,) int64."""
        # Not `scatter_`: on a CPU in bfloat16 torch 2.8 takes 30 ms for what takes 15 µs here.
        places = (self._rows[: len(positions)], positions)
        for cached, new in ((self.keys, keys), (self.values, values)):
            cached[layer, : len(positions)].transpose(1, 2).index_put_(places, new[:, :, 0])

    def view(self, layer: int, num_rows: int, length: int) -> tuple[Tensor, Tensor]:
        """The first `length` positions of the first rows, (num_rows, heads, length, head size) each."""
        return self.keys[layer, :num_rows, :, :length], self.values[layer, :num_rows, :, :length]

    def move_row(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` positions of a row."""
        for tensor in (self.keys, self.values):
            tensor[:, target, :, :length] = tensor[:, source, :, :length]


def _zeros(shape: tuple[int, ...], dtype: torch.dtype, device: str) -> Tensor:
    if device != "cpu":
        return torch.zeros(shape, dtype=dtype, device=device)
    # numpy's zeros are pages the kernel hands out when they are written: an unused slot costs no memory.
    num_bytes = math.prod(shape) * dtype.itemsize
    return torch.from_numpy(np.zeros(num_bytes, np.uint8)).view(dtype).view(shape)
