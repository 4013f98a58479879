"""Tensors of a safetensors file, on the device and in the dtype they are used in.

On the CPU a tensor that needs no conversion is a view of the mapped file: nothing is read before it is used, and all
processes of a machine share one copy. Constructs no modules and knows nothing of what the tensors mean.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from synthesis.errors import WeightsNotFound


def read_tensors(
    path: Path, *, device: str = "cpu", dtype: torch.dtype | None = None, prefixes: tuple[str, ...] = ("",)
) -> dict[str, Tensor]:
    """The tensors whose names begin with one of prefixes; floating-point ones as dtype (None: as they are stored).

    Raises WeightsNotFound when the file is missing or is not a safetensors file.
    """
    try:
        with safe_open(path, framework="pt", device=device) as file:
            names = [name for name in file.keys() if name.startswith(prefixes)]  # noqa: SIM118 - not a dict
            return {name: _convert(file.get_tensor(name), dtype) for name in names}
    except (OSError, SafetensorError) as error:
        raise WeightsNotFound(
            f"{path.name} cannot be read ({error}); set MODEL_DIR to a folder with the model's weights, or fetch them: "
            "python builder/fetch_weights.py --model base --to DIR"
        ) from error


def _convert(tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    return tensor if dtype is None or not tensor.is_floating_point() else tensor.to(dtype)


def decoder_dtype(device: str) -> torch.dtype:
    """What T3 computes in. Decoding is bound by reading the weights: bf16 halves them, at the price of tokens that
    differ from upstream's. The CPU stays exact."""
    return torch.bfloat16 if device.startswith("cuda") else torch.float32
