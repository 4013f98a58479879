"""A GPT-2 without embeddings and head: the transformer of the turbo model.

The arithmetic is that of upstream (transformers `modeling_gpt2.py`, with chatterbox
`llama_configs.py:GPT2_MEDIUM_CONFIG`): positions are learned and counted from the start of the prompt on, norms come
first and have a bias, as every projection has, and weights are stored as (in, out).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor

from synthesis.native.backbone import HEAD_SIZE, Backbone
from synthesis.native.layers import LayerNorm

PREFIXES = ("tfmr.h.", "tfmr.wpe.", "tfmr.ln_f.")  # of its tensors in T3's file
NORM_EPSILON = 1e-5


@dataclass(frozen=True)
class Projection:
    weight: Tensor  # (in, out)
    bias: Tensor  # (out,)

    def __call__(self, x: Tensor) -> Tensor:
        return torch.addmm(self.bias, x.reshape(-1, x.shape[-1]), self.weight).view(*x.shape[:-1], -1)


@dataclass(frozen=True)
class Layer:
    attention_norm: LayerNorm
    qkv: Projection  # C to 3 C
    output: Projection  # C to C
    mlp_norm: LayerNorm
    widen: Projection  # C to 4 C
    narrow: Projection  # 4 C to C


class Gpt2(Backbone[Layer, None]):
    def __init__(self, weights: Mapping[str, Tensor], max_length: int) -> None:
        """weights: all in the dtype to compute in."""
        self._embedded_positions = weights["tfmr.wpe.weight"]
        self._norm = _norm(weights, "tfmr.ln_f")
        num_layers = 1 + max(int(name.split(".")[2]) for name in weights if name.startswith("tfmr.h."))
        layers = [_layer(weights, f"tfmr.h.{index}.") for index in range(num_layers)]
        super().__init__(
            layers, channels=len(self._norm.weight), dtype=self._embedded_positions.dtype,
            device=self._embedded_positions.device.type, max_length=max_length,
        )  # fmt: skip

    def _enter(self, x: Tensor, positions: Tensor) -> tuple[Tensor, None]:
        return x + self._embedded_positions[positions], None

    def _attention_inputs(self, layer: Layer, x: Tensor, place: None) -> tuple[Tensor, Tensor, Tensor]:  # noqa: ARG002
        rows, num_positions, _ = x.shape
        joined = layer.qkv(layer.attention_norm(x))  # (R, n, 3 C)
        query, key, value = joined.view(rows, num_positions, 3, -1, HEAD_SIZE).permute(2, 0, 3, 1, 4)
        return query, key, value

    def _finish_layer(self, layer: Layer, x: Tensor, attended: Tensor) -> Tensor:
        x = x + layer.output(attended.transpose(1, 2).reshape(x.shape))
        return x + layer.narrow(F.gelu(layer.widen(layer.mlp_norm(x)), approximate="tanh"))

    def _leave(self, x: Tensor) -> Tensor:
        return self._norm(x)


def _layer(weights: Mapping[str, Tensor], prefix: str) -> Layer:
    return Layer(
        attention_norm=_norm(weights, f"{prefix}ln_1"),
        qkv=_projection(weights, f"{prefix}attn.c_attn"),
        output=_projection(weights, f"{prefix}attn.c_proj"),
        mlp_norm=_norm(weights, f"{prefix}ln_2"),
        widen=_projection(weights, f"{prefix}mlp.c_fc"),
        narrow=_projection(weights, f"{prefix}mlp.c_proj"),
    )


def _projection(weights: Mapping[str, Tensor], name: str) -> Projection:
    return Projection(weights[f"{name}.weight"], weights[f"{name}.bias"])


def _norm(weights: Mapping[str, Tensor], name: str) -> LayerNorm:
    return LayerNorm(weights[f"{name}.weight"], weights[f"{name}.bias"], NORM_EPSILON)
