"""Who speaks, as vectors: CAMPPlus tells S3Gen, the voice encoder tells T3. Needed only when an unseen voice arrives.

Our own runs of chatterbox `s3gen/xvector.py:CAMPPlus` and `voice_encoder/voice_encoder.py:VoiceEncoder`.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from numpy.typing import NDArray
from torch import Tensor

from synthesis.native.layers import Conv, Tensors, Weights

PREFIX = "speaker_encoder."  # of CAMPPlus in s3gen.safetensors; the voice encoder has ve.safetensors to itself
_BLOCKS = ((12, 1), (24, 2), (16, 2))  # CAMPPlus: layers and dilation of each
_SEGMENT_FRAMES = 100  # that share one context in CAMPPlus


class BatchNorm:
    """With the statistics of training; scale and shift are missing from the last one."""

    def __init__(self, weights: Weights) -> None:
        self._mean, self._variance = weights["running_mean"], weights["running_var"]
        self._weight, self._bias = weights.get("weight"), weights.get("bias")

    def __call__(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, self._mean, self._variance, self._weight, self._bias)


class ImageBlock:
    """Two 3 x 3 convolutions over frequency and time, and a way around them. Stride is over frequency."""

    def __init__(self, weights: Weights, stride: int) -> None:
        self._stride = (stride, 1)
        self._first, self._second = weights["conv1.weight"], weights["conv2.weight"]
        self._first_norm, self._second_norm = BatchNorm(weights.below("bn1")), BatchNorm(weights.below("bn2"))
        self._shortcut = weights.get("shortcut.0.weight")
        self._shortcut_norm = None if self._shortcut is None else BatchNorm(weights.below("shortcut.1"))

    def __call__(self, x: Tensor) -> Tensor:
        y = F.relu(self._first_norm(F.conv2d(x, self._first, None, self._stride, 1)))
        y = self._second_norm(F.conv2d(y, self._second, None, 1, 1))
        if self._shortcut is not None and self._shortcut_norm is not None:
            x = self._shortcut_norm(F.conv2d(x, self._shortcut, None, self._stride))
        return F.relu(y + x)


class DenseLayer:
    """Adds 32 channels, weighted by what the whole clip and the second around a frame sound like."""

    def __init__(self, weights: Weights, dilation: int) -> None:
        context = weights.below("cam_layer")
        self._norm, self._narrow = BatchNorm(weights.below("nonlinear1.batchnorm")), weights.conv("linear1")
        self._narrow_norm = BatchNorm(weights.below("nonlinear2.batchnorm"))
        self._local: Conv = context.conv("linear_local", dilation)
        self._squeeze, self._weigh = context.conv("linear1"), context.conv("linear2")

    def __call__(self, x: Tensor) -> Tensor:
        y = F.relu(self._narrow_norm(self._narrow(F.relu(self._norm(x)))))
        context = y.mean(-1, keepdim=True) + _segment_means(y)
        return torch.cat([x, self._local(y) * torch.sigmoid(self._weigh(F.relu(self._squeeze(context))))], dim=1)


def _segment_means(x: Tensor) -> Tensor:
    """Each frame's segment's mean. (B, C, T) -> (B, C, T)"""
    means = F.avg_pool1d(x, kernel_size=_SEGMENT_FRAMES, stride=_SEGMENT_FRAMES, ceil_mode=True)
    return means.repeat_interleave(_SEGMENT_FRAMES, -1)[..., : x.shape[-1]]


class CamPlus:
    """S3Gen's speaker encoder."""

    def __init__(self, tensors: Tensors) -> None:
        """tensors: those of s3gen.safetensors that begin with PREFIX, on one device."""
        head, network = Weights(tensors, f"{PREFIX}head."), Weights(tensors, f"{PREFIX}xvector.")
        self._first, self._last = head["conv1.weight"], head["conv2.weight"]
        self._first_norm, self._last_norm = BatchNorm(head.below("bn1")), BatchNorm(head.below("bn2"))
        self._images = [
            ImageBlock(head.below(f"layer{layer}.{i}"), stride=2 if i == 0 else 1) for layer in (1, 2) for i in (0, 1)
        ]
        self._tdnn = network.strided_conv("tdnn.linear", stride=2, padding=2)
        self._tdnn_norm = BatchNorm(network.below("tdnn.nonlinear.batchnorm"))
        self._blocks = [
            (
                [DenseLayer(network.below(f"block{b}.tdnnd{i}"), dilation) for i in range(1, num_layers + 1)],
                BatchNorm(network.below(f"transit{b}.nonlinear.batchnorm")),
                network.conv(f"transit{b}.linear"),
            )
            for b, (num_layers, dilation) in enumerate(_BLOCKS, start=1)
        ]
        self._out_norm = BatchNorm(network.below("out_nonlinear.batchnorm"))
        self._dense, self._dense_norm = (
            network.conv("dense.linear"),
            BatchNorm(network.below("dense.nonlinear.batchnorm")),
        )

    @torch.inference_mode()
    def embedding(self, features: Tensor) -> Tensor:
        """`kaldi_filterbank`'s (T, 80) -> (1, 192) float32."""
        x = F.relu(self._first_norm(F.conv2d(features.T[None, None], self._first, None, 1, 1)))
        for block in self._images:
            x = block(x)
        x = F.relu(self._last_norm(F.conv2d(x, self._last, None, (2, 1), 1))).flatten(1, 2)  # (1, 320, T)
        x = F.relu(self._tdnn_norm(self._tdnn(x)))
        for layers, norm, transit in self._blocks:
            for layer in layers:
                x = layer(x)
            x = transit(F.relu(norm(x)))
        x = F.relu(self._out_norm(x))
        statistics = torch.cat([x.mean(dim=-1), x.std(dim=-1, unbiased=True)], dim=-1)
        return self._dense_norm(self._dense(statistics[..., None])[..., 0])


_NUM_LSTM_LAYERS, _LSTM_SIZE = 3, 256
_LSTM_TENSORS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")  # of one layer, in the order torch wants them
_WINDOW_FRAMES = 160  # chatterbox `voice_encoder/config.py:ve_partial_frames`
_STEP_FRAMES = round(16_000 / 1.3 / _WINDOW_FRAMES)  # `rate` of `embeds_from_wavs`, Resemble's default
_MIN_COVERAGE = 0.8  # a last window with less sound in it is left out
_MAX_WINDOWS = 32  # at a time


class VoiceEncoder:
    """T3's speaker encoder: an LSTM over windows of 1.6 s, whose embeddings are averaged."""

    def __init__(self, tensors: Tensors) -> None:
        """tensors: ve.safetensors, on one device."""
        weights = Weights(tensors, "lstm.")
        self._lstm = [weights[f"{name}_l{layer}"] for layer in range(_NUM_LSTM_LAYERS) for name in _LSTM_TENSORS]
        self._project = Weights(tensors).linear("proj")

    @torch.inference_mode()
    def embedding(self, mel: NDArray[np.float32]) -> Tensor:
        """`voice_mel`'s (T, 40) -> (1, 256) float32 of length 1."""
        num_windows = number_of_windows(len(mel))
        frames = torch.zeros(max(len(mel), _WINDOW_FRAMES + _STEP_FRAMES * (num_windows - 1)), mel.shape[1])
        frames[: len(mel)] = torch.from_numpy(mel)
        starts = range(0, _STEP_FRAMES * num_windows, _STEP_FRAMES)
        windows = torch.stack([frames[start : start + _WINDOW_FRAMES] for start in starts])
        chunks = windows.to(self._project.weight.device).chunk(math.ceil(num_windows / _MAX_WINDOWS))
        mean = torch.cat([self._of_windows(chunk) for chunk in chunks]).cpu().mean(dim=0, keepdim=True)
        return _unit(mean)

    def _of_windows(self, windows: Tensor) -> Tensor:
        rest = torch.zeros(_NUM_LSTM_LAYERS, len(windows), _LSTM_SIZE, device=windows.device)
        _, hidden, _ = torch.lstm(
            windows, (rest, rest), self._lstm, True, _NUM_LSTM_LAYERS, 0.0, False, False, batch_first=True
        )
        raw = F.relu(self._project(hidden[-1]))
        return _unit(raw)


def _unit(rows: Tensor) -> Tensor:
    """Each row at length 1."""
    lengths: Tensor = torch.linalg.norm(rows, dim=1, keepdim=True)
    return rows / lengths


def number_of_windows(num_frames: int) -> int:
    """How many windows, a step apart, a mel of so many frames is heard in; at least one."""
    number, left = divmod(max(num_frames - _WINDOW_FRAMES + _STEP_FRAMES, 0), _STEP_FRAMES)
    overlap = _WINDOW_FRAMES - _STEP_FRAMES
    return number + 1 if number == 0 or (left + overlap) / _WINDOW_FRAMES >= _MIN_COVERAGE else number
