"""Layers made of loaded tensors: no module tree is built, so no random weights are made only to be thrown away.

Knows how tensors are named in a checkpoint and the few kinds of layer that S3Gen is made of; nothing of any model.
Convolutions work on (B, C, T), everything else on (B, T, C).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor

Tensors = Mapping[str, Tensor]
FEW_POSITIONS = 128

# How torch names the two halves of a weight-normed weight: magnitude, direction (new parametrization, old hook).
_WEIGHT_NORM_SUFFIXES = (
    ("parametrizations.weight.original0", "parametrizations.weight.original1"),
    ("weight_g", "weight_v"),
)


@dataclass(frozen=True)
class Linear:
    weight: Tensor  # (out, in)
    bias: Tensor | None

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`F.linear` for a decoder, whose x has few positions: (..., in) to (..., out), weight (out, in).

    On a CPU in float32 the product is that of the weight with x transposed: the same numbers but for the rounding, and
    with two positions MKL reads the weight three times as fast.
    """
    num_positions = x.numel() // x.shape[-1]
    if x.device.type != "cpu" or x.dtype != torch.float32 or num_positions > FEW_POSITIONS:
        return F.linear(x, weight, bias)
    product = torch.mm(weight, x.reshape(num_positions, -1).t()).t()
    return (product if bias is None else product + bias).reshape(*x.shape[:-1], -1)


@dataclass(frozen=True)
class LayerNorm:
    weight: Tensor  # (C,)
    bias: Tensor
    eps: float

    def __call__(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)


@dataclass(frozen=True)
class Conv:
    """A 1-D convolution. `pad` is (left, right) zeros; a causal one pads only on the left."""

    weight: Tensor  # (out, in / groups, kernel)
    bias: Tensor | None
    pad: tuple[int, int] = (0, 0)
    stride: int = 1
    dilation: int = 1

    def __call__(self, x: Tensor) -> Tensor:
        left, right = self.pad
        if left != right:  # only symmetric padding comes for free with the convolution
            x, right = F.pad(x, self.pad), 0
        return F.conv1d(x, self.weight, self.bias, self.stride, right, self.dilation)


@dataclass(frozen=True)
class ConvTranspose:
    weight: Tensor  # (in, out, kernel)
    bias: Tensor | None
    stride: int
    padding: int

    def __call__(self, x: Tensor) -> Tensor:
        return F.conv_transpose1d(x, self.weight, self.bias, self.stride, self.padding)


class Weights:
    """The tensors whose names begin with one prefix, as layers; KeyError names a tensor that is not there."""

    def __init__(self, tensors: Tensors, prefix: str = "", dtype: torch.dtype | None = None) -> None:
        self._tensors, self._prefix, self._dtype = tensors, prefix, dtype

    def below(self, name: str | int) -> Weights:
        return Weights(self._tensors, f"{self._prefix}{name}.", self._dtype)

    def cast(self, dtype: torch.dtype) -> Weights:
        """The same tensors, in `dtype` once they are taken."""
        return Weights(self._tensors, self._prefix, dtype)

    def get(self, name: str) -> Tensor | None:
        tensor = self._tensors.get(self._prefix + name)
        return None if tensor is None else self._as_wanted(tensor)

    def __contains__(self, name: str) -> bool:
        return self._prefix + name in self._tensors

    def __getitem__(self, name: str) -> Tensor:
        return self._as_wanted(self._tensors[self._prefix + name])

    def _as_wanted(self, tensor: Tensor) -> Tensor:
        return tensor if self._dtype is None else tensor.to(self._dtype)

    def linear(self, *names: str) -> Linear:
        """One layer; several names are layers of the same input, computed as one (rows in the order of the names)."""
        weights, biases = zip(*(self._weight_and_bias(name) for name in names), strict=True)
        if len(names) == 1:
            return Linear(weights[0], biases[0])
        return Linear(torch.cat(weights), None if biases[0] is None else torch.cat(biases))

    def norm(self, name: str, eps: float = 1e-5) -> LayerNorm:
        return LayerNorm(self[f"{name}.weight"], self[f"{name}.bias"], eps)

    def conv(self, name: str, dilation: int = 1) -> Conv:
        """As long out as in, with as much zero padding left as right."""
        weight, bias = self._weight_and_bias(name)
        padding = dilation * (weight.shape[-1] - 1) // 2
        return Conv(weight, bias, (padding, padding), dilation=dilation)

    def causal_conv(self, name: str) -> Conv:
        """As long out as in, looking only back."""
        weight, bias = self._weight_and_bias(name)
        return Conv(weight, bias, (weight.shape[-1] - 1, 0))

    def lookahead_conv(self, name: str) -> Conv:
        """As long out as in, looking only ahead."""
        weight, bias = self._weight_and_bias(name)
        return Conv(weight, bias, (0, weight.shape[-1] - 1))

    def strided_conv(self, name: str, stride: int, padding: int) -> Conv:
        weight, bias = self._weight_and_bias(name)
        return Conv(weight, bias, (padding, padding), stride)

    def conv_transpose(self, name: str, stride: int) -> ConvTranspose:
        """`stride` times as long out as in."""
        weight, bias = self._weight_and_bias(name)
        return ConvTranspose(weight, bias, stride, (weight.shape[-1] - stride) // 2)

    def _weight_and_bias(self, name: str) -> tuple[Tensor, Tensor | None]:
        layer = self.below(name)
        bias = layer.get("bias")
        for magnitude, direction in _WEIGHT_NORM_SUFFIXES:
            if magnitude in layer:  # folded once here, instead of at every call
                return torch._weight_norm(layer[direction], layer[magnitude], 0), bias
        return layer["weight"], bias


def visible(lengths: Tensor, size: int) -> Tensor:
    """Which of `size` positions are real in rows of such lengths. (B,) integers -> (B, size) bool."""
    return torch.arange(size, device=lengths.device) < lengths[:, None]
