"""A Llama without embeddings and head: the transformer of the base and the multilingual model.

The arithmetic is that of upstream (transformers `modeling_llama.py`, with chatterbox
`llama_configs.py:LLAMA_520M_CONFIG_DICT`), operation by operation, so that fp32 gives the same tokens.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor

from synthesis.native.backbone import HEAD_SIZE, Backbone
from synthesis.native.layers import linear

PREFIXES = ("tfmr.layers.", "tfmr.norm.")  # of its tensors in T3's file
NORM_EPSILON = 1e-5
ROPE_BASE = 500_000.0
ROPE_FACTOR, ROPE_LOW_FREQUENCY, ROPE_HIGH_FREQUENCY, ROPE_ORIGINAL_LENGTH = 8.0, 1.0, 4.0, 8192

Rotation = tuple[Tensor, Tensor]  # cos and sin, (R or 1, 1, n, HEAD_SIZE)


@dataclass(frozen=True)
class Layer:
    """Weights of one layer. qkv and gate_up: one matrix each, or, on the CPU, where joining them would copy what is
    mapped from the file, the parts."""

    input_norm: Tensor  # (C,)
    qkv: tuple[Tensor, ...]  # together (3 C, C)
    output: Tensor  # (C, C)
    mlp_norm: Tensor  # (C,)
    gate_up: tuple[Tensor, ...]  # together (2 * 4 C, C)
    down: Tensor  # (C, 4 C)


class Llama(Backbone[Layer, Rotation]):
    def __init__(self, weights: Mapping[str, Tensor], max_length: int) -> None:
        """weights: all in the dtype to compute in."""
        self._norm = weights["tfmr.norm.weight"]
        num_layers = 1 + max(int(name.split(".")[2]) for name in weights if name.startswith("tfmr.layers."))
        layers = [_layer(weights, f"tfmr.layers.{index}.") for index in range(num_layers)]
        dtype, device = self._norm.dtype, self._norm.device.type
        super().__init__(layers, channels=len(self._norm), dtype=dtype, device=device, max_length=max_length)
        self._cos, self._sin = _rotations(max_length, dtype, device)  # (max_length, HEAD_SIZE)

    def _enter(self, x: Tensor, positions: Tensor) -> tuple[Tensor, Rotation]:
        return x, (self._cos[positions][:, None], self._sin[positions][:, None])

    def _attention_inputs(self, layer: Layer, x: Tensor, place: Rotation) -> tuple[Tensor, Tensor, Tensor]:
        rows, num_positions, _ = x.shape
        normed = _rms_norm(x, layer.input_norm)
        joined = torch.cat([linear(normed, weight) for weight in layer.qkv], dim=-1)  # (R, n, 3 C)
        query, key, value = joined.view(rows, num_positions, 3, -1, HEAD_SIZE).permute(2, 0, 3, 1, 4)
        return _rotate(query, place), _rotate(key, place), value

    def _finish_layer(self, layer: Layer, x: Tensor, attended: Tensor) -> Tensor:
        x = x + linear(attended.transpose(1, 2).reshape(x.shape), layer.output)
        normed = _rms_norm(x, layer.mlp_norm)
        projected = [linear(normed, weight) for weight in layer.gate_up]
        gate, up = projected if len(projected) == 2 else projected[0].chunk(2, dim=-1)
        return x + linear(F.silu(gate) * up, layer.down)

    def _leave(self, x: Tensor) -> Tensor:
        return _rms_norm(x, self._norm)


def _rms_norm(x: Tensor, weight: Tensor) -> Tensor:
    return F.rms_norm(x, (x.shape[-1],), weight, NORM_EPSILON)


def _rotate(x: Tensor, place: Rotation) -> Tensor:
    """Rotary position embedding: the two halves of a head are the parts of complex numbers."""
    cos, sin = place
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


def _rotations(length: int, dtype: torch.dtype, device: str) -> tuple[Tensor, Tensor]:
    """cos and sin of every position's angles, (length, HEAD_SIZE): Llama 3's frequencies (transformers
    `modeling_rope_utils.py:_compute_llama3_parameters`)."""
    exponents = torch.arange(0, HEAD_SIZE, 2, dtype=torch.int64).float() / HEAD_SIZE
    frequencies = 1.0 / ROPE_BASE**exponents  # (HEAD_SIZE / 2,) rad per position
    wavelengths = 2 * math.pi / frequencies
    longest, shortest = ROPE_ORIGINAL_LENGTH / ROPE_LOW_FREQUENCY, ROPE_ORIGINAL_LENGTH / ROPE_HIGH_FREQUENCY
    smooth = (ROPE_ORIGINAL_LENGTH / wavelengths - ROPE_LOW_FREQUENCY) / (ROPE_HIGH_FREQUENCY - ROPE_LOW_FREQUENCY)
    blended = (1 - smooth) * frequencies / ROPE_FACTOR + smooth * frequencies
    scaled = torch.where(wavelengths > longest, frequencies / ROPE_FACTOR, frequencies)
    scaled = torch.where((wavelengths >= shortest) & (wavelengths <= longest), blended, scaled)
    angles = torch.arange(length).float()[:, None] * scaled  # (length, HEAD_SIZE / 2)
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos().to(device, dtype), angles.sin().to(device, dtype)


def _layer(weights: Mapping[str, Tensor], prefix: str) -> Layer:
    attention, mlp = f"{prefix}self_attn.", f"{prefix}mlp."
    qkv = tuple(weights[f"{attention}{name}_proj.weight"] for name in "qkv")
    gate_up = tuple(weights[f"{mlp}{name}_proj.weight"] for name in ("gate", "up"))
    if qkv[0].device.type != "cpu":
        qkv, gate_up = (torch.cat(qkv),), (torch.cat(gate_up),)
    return Layer(
        input_norm=weights[f"{prefix}input_layernorm.weight"],
        qkv=qkv,
        output=weights[f"{attention}o_proj.weight"],
        mlp_norm=weights[f"{prefix}post_attention_layernorm.weight"],
        gate_up=gate_up,
        down=weights[f"{mlp}down_proj.weight"],
    )
