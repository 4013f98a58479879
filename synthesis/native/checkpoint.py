"""Tensors of a file of weights, on the device and in the dtype they are used in.

On the CPU a tensor that needs no conversion is a view of the mapped file: nothing is read before it is used, and all
processes of a machine share one copy. Constructs no modules and knows nothing of what the tensors mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from synthesis.errors import WeightsNotFound


def read_tensors(
    path: Path, *, device: str = "cpu", dtype: torch.dtype | None = None, prefixes: tuple[str, ...] = ("",)
) -> dict[str, Tensor]:
    """The tensors whose names begin with one of prefixes; floating-point ones as dtype (None: as they are stored).

    Of a safetensors file or, where its name ends in .pt, of what torch saved. Raises WeightsNotFound when the file is
    missing or is no such file.
    """
    read = _read_saved if path.suffix == ".pt" else _read_safetensors
    try:
        return {name: _convert(tensor, dtype) for name, tensor in read(path, device, prefixes)}
    except (OSError, SafetensorError, UnpicklingError, RuntimeError, EOFError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        raise WeightsNotFound(
            f"{path.name} cannot be read ({error}); set MODEL_DIR to a folder with the model's weights, or fetch them: "
            "python builder/fetch_weights.py --model MODEL --to DIR"
        ) from error


def _read_safetensors(path: Path, device: str, prefixes: tuple[str, ...]) -> Iterator[tuple[str, Tensor]]:
    with safe_open(path, framework="pt", device=device) as file:
        for name in file.keys():  # noqa: SIM118 - not a dict
            if name.startswith(prefixes):
                yield name, file.get_tensor(name)


def _read_saved(path: Path, device: str, prefixes: tuple[str, ...]) -> Iterator[tuple[str, Tensor]]:
    """Only tensors: what else a pickle could make is refused by torch's own reader for weights."""
    saved = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    for name, tensor in saved.items():
        if name.startswith(prefixes):
            yield name, tensor.to(device)


def _convert(tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    return tensor if dtype is None or not tensor.is_floating_point() else tensor.to(dtype)


def decoder_dtype(device: str) -> torch.dtype:
    """What T3 computes in. Decoding is bound by reading the weights: bf16 halves them, at the price of tokens that
    differ from upstream's. The CPU stays exact."""
    return torch.bfloat16 if device.startswith("cuda") else torch.float32
