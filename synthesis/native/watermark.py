"""The mark that says speech was synthesized: Perth's, from its own weights, without what its package imports.

Our own run of resemble-perth 1.0.1 `perth_watermarker.py:PerthImplicitWatermarker.apply_watermark`. The package itself
needs librosa, scipy and `pkg_resources` (gone from setuptools 81 on) to import; here only its weights are read. A mark
made here is found by Perth's own `get_watermark`. Stateless: any thread may mark while others decode.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor

from synthesis.engine import SAMPLE_RATE_HZ, Samples
from synthesis.errors import EngineUnavailable
from synthesis.native.audio_features import resample
from synthesis.native.layers import Tensors, Weights

_CHECKPOINT = "perth_net/pretrained/implicit/perth_net_250000.pth.tar"  # below the package; a dict under "model"
# The rest from hparams.yaml beside it, `model/encoder.py` and `utils.py`.
_RATE_HZ = 32_000
_FFT_SIZE, _HOP = 2048, 320
_MARKED_BINS = round((_FFT_SIZE // 2 + 1) * 2000 / (_RATE_HZ / 2))  # those up to 2 kHz
_NUM_LAYERS = 7
_QUIET = 0.05  # frames with less than this share of the loudest one's sum are left as they are
_MIN_MAGNITUDE = 1e-9
_FLOOR_DB = -180.0  # _MIN_MAGNITUDE; with the headroom, levels are scaled to 0 to 1
_HEADROOM_DB = 15.0
_GRANULE = _HOP * SAMPLE_RATE_HZ // _RATE_HZ  # samples at 24 kHz that are one hop
_MIN_SAMPLES = 4 * _GRANULE  # half a window, and more
_CONTEXT_SAMPLES = SAMPLE_RATE_HZ  # what a chunk is marked with: the network sees 0.2 s, loudness is relative to all
_FADE_SAMPLES = SAMPLE_RATE_HZ // 50


class Watermarker:
    def __init__(self, tensors: Tensors) -> None:
        """tensors: of Perth's network, those that begin with `encoder.`; on the CPU."""
        weights = Weights(tensors, "encoder.layers.")
        self._layers = [weights.conv(f"{i}.conv") for i in range(_NUM_LAYERS)]
        self._window = torch.hann_window(_FFT_SIZE)

    @classmethod
    def load(cls) -> Watermarker:
        """Raises EngineUnavailable where Perth is not installed or brings no weights."""
        try:
            checkpoint = torch.load(
                _package_directory() / _CHECKPOINT, map_location="cpu", weights_only=True, mmap=True
            )
        except OSError as error:
            raise EngineUnavailable(
                "the weights of the watermark are not there; allowed is resemble-perth 1.0.1; install the full "
                "requirement set: make setup-full"
            ) from error
        return cls(checkpoint["model"])

    @torch.inference_mode()
    def mark(self, samples: Samples) -> Samples:
        """The same speech, marked. (n,) float32 at 24 kHz -> (n,); 6.6 ms a second of audio."""
        size = max(-(-len(samples) // _GRANULE) * _GRANULE, _MIN_SAMPLES)  # the way back ends with the last whole hop
        padded = np.pad(samples, (0, size - len(samples)))
        if not padded.any():
            return samples
        wave = torch.from_numpy(resample(padded, SAMPLE_RATE_HZ, _RATE_HZ))
        spectrum = torch.stft(wave, _FFT_SIZE, _HOP, window=self._window, return_complex=True)
        decibels = 20 * torch.log10(spectrum.abs().clip(_MIN_MAGNITUDE))
        levels = self._marked((decibels - _FLOOR_DB) / (-_FLOOR_DB + _HEADROOM_DB))
        magnitudes = 10.0 ** ((levels * (-_FLOOR_DB + _HEADROOM_DB) + _FLOOR_DB) / 20).clip(max=10)
        marked = torch.istft(magnitudes * torch.exp(1.0j * torch.angle(spectrum)), _FFT_SIZE, _HOP, window=self._window)
        return resample(marked.numpy(), _RATE_HZ, SAMPLE_RATE_HZ)[: len(samples)]

    def _marked(self, levels: Tensor) -> Tensor:
        """Levels by frequency and frame, 0 to 1, with the network's mark added where speech covers it."""
        sums = levels.sum(dim=0)
        loud = (sums > sums.max() * _QUIET).float()
        x = levels[None, :_MARKED_BINS]
        for layer in self._layers[:-1]:
            x = F.leaky_relu(layer(x))
        mark = self._layers[-1](x)[0] * loud
        return torch.cat([levels[:_MARKED_BINS] + mark, levels[_MARKED_BINS:]])


def _package_directory() -> Path:
    spec = importlib.util.find_spec("perth")  # found, not imported
    if spec is None or spec.origin is None:
        raise EngineUnavailable(
            "resemble-perth, whose watermark every answer carries, is not installed; install the full requirement set: "
            "make setup-full"
        )
    return Path(spec.origin).parent


class MarkedStream:
    """One utterance's chunks, marked as they come.

    Each is marked together with what was heard just before it, and the mark, not the speech, fades out and in where
    chunks join: no sample waits for a later one, and where the network of one chunk ends no click is left.
    """

    def __init__(self, watermarker: Watermarker) -> None:
        self._watermarker = watermarker
        self._heard = np.zeros(0, dtype=np.float32)

    def mark(self, chunk: Samples, is_last: bool) -> Samples:
        """(n,) float32 at 24 kHz -> (n,)"""
        window = np.concatenate([self._heard, chunk])
        added = (self._watermarker.mark(window) - window)[len(self._heard) :]
        rising = np.linspace(0, 1, min(_FADE_SAMPLES, len(chunk)), dtype=np.float32)
        if len(self._heard):
            added[: len(rising)] *= rising
        if not is_last:
            added[len(chunk) - len(rising) :] *= rising[::-1]
        self._heard = window[-_CONTEXT_SAMPLES:]
        marked: Samples = chunk + added
        return marked
