"""Speech tokens to mel: conditional flow matching, for a batch of rows of different lengths.

Follows chatterbox `s3gen/flow.py` and `flow_matching.py`, except that the noise is brought along by the caller and
that padding, whether between rows or up to a size of the device's liking, changes no row. Knows nothing of requests,
random generators or audio.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor

from synthesis.native.estimator import NUM_MEL_BINS, Estimator
from synthesis.native.graphs import Capture
from synthesis.native.layers import Tensors, Weights, visible
from synthesis.native.solver import Solver, SolveShape
from synthesis.native.token_encoder import FRAMES_PER_TOKEN, LOOKAHEAD_TOKENS, TokenEncoder

_EXPECTED_FRAMES = range(512, 1280)  # of one row: 10 s of a voice's prompt, and up to 15 s of speech


@dataclass(frozen=True, eq=False)
class Passage:
    """One row: the voice's prompt and the speech tokens that follow it, as if spoken in one go."""

    prompt_tokens: Tensor  # (P,) int64
    prompt_mel: Tensor  # (F, 80) float32, F = 2P or 2P + 1
    speaker: Tensor  # (192,) float32
    tokens: Tensor  # (N,) int64
    noise: Tensor  # (80, num_frames) float32: where the prompt's and then the tokens' frames start from
    more_follows: bool = False  # the last three tokens only tell what comes next; their frames are not decoded

    @property
    def num_tokens(self) -> int:
        return self.prompt_tokens.shape[0] + self.tokens.shape[0]

    @property
    def num_frames(self) -> int:
        """Mel frames of the whole row, the prompt's included."""
        return num_frames(self.num_tokens, self.more_follows)

    def __post_init__(self) -> None:
        assert self.noise.shape == (NUM_MEL_BINS, self.num_frames), "one column of noise a frame"


def num_frames(num_tokens: int, more_follows: bool = False) -> int:
    return FRAMES_PER_TOKEN * (num_tokens - LOOKAHEAD_TOKENS * more_follows)


def _round_up(number: int, granule: int) -> int:
    return -(-number // granule) * granule


class Flow:
    """Stateless between calls but for constants that depend on no request."""

    def __init__(
        self,
        tensors: Tensors,
        estimator_dtype: torch.dtype = torch.float32,
        token_granule: int = 1,
        capture: Capture | None = None,
    ) -> None:
        """tensors: s3gen.safetensors, or what begins with `flow.` in it, on one device.

        token_granule: rows are padded to multiples of so many tokens, so that a device sees few different shapes.
        capture: see `Solver`.
        """
        weights = Weights(tensors, "flow.")
        self._encoder = TokenEncoder(weights)
        self._speaker = weights.linear("spk_embed_affine_layer")
        estimator = Estimator(weights.below("decoder.estimator").cast(estimator_dtype))
        self.is_meanflow = estimator.is_meanflow
        self._token_granule, self._frame_granule = token_granule, FRAMES_PER_TOKEN * token_granule
        expected = (SolveShape(1, frames) for frames in _EXPECTED_FRAMES if frames % self._frame_granule == 0)
        self._solver = Solver(estimator, capture, expected)

    @property
    def device(self) -> torch.device:
        return self._speaker.weight.device

    @torch.inference_mode()
    def decode(self, passages: list[Passage], num_steps: int | None = None) -> list[Tensor]:
        """Mel of each row's tokens, its prompt cut off: (80, num_frames - F) float32, log scale, 50 Hz."""
        size = _round_up(max(passage.num_tokens for passage in passages), self._token_granule)
        ragged = any(passage.num_tokens != size for passage in passages)
        mean = self._encoder(self._tokens(passages, size), self._lengths(passages, "num_tokens") if ragged else None)
        size = _round_up(max(passage.num_frames for passage in passages), self._frame_granule)
        ragged = self._solver.needs_mask or any(passage.num_frames != size for passage in passages)
        real = visible(self._lengths(passages, "num_frames"), size)[:, None, None] if ragged else None
        noise, condition = self._noise_and_condition(passages, mean[..., :size], size)
        mel = self._solver.solve(noise, condition, real, num_steps)
        return [
            row[:, passage.prompt_mel.shape[0] : passage.num_frames] for row, passage in zip(mel, passages, strict=True)
        ]

    def warm_up(self) -> bool:
        """Do a piece of what makes later calls quicker; False when there is none. While the device is idle."""
        return self._solver.capture_next()

    def _lengths(self, passages: list[Passage], name: str) -> Tensor:
        return torch.tensor([getattr(passage, name) for passage in passages]).to(self.device)

    def _tokens(self, passages: list[Passage], size: int) -> Tensor:
        """(B, size) int64"""
        rows = torch.zeros(len(passages), size, dtype=torch.int64, device=self.device)
        for row, passage in zip(rows, passages, strict=True):
            row[: passage.num_tokens] = torch.cat([passage.prompt_tokens, passage.tokens.to(self.device)])
        return rows

    def _noise_and_condition(self, passages: list[Passage], mean: Tensor, size: int) -> tuple[Tensor, Tensor]:
        """(B, 80, size), and what else the estimator sees: mean, speaker and the prompt's mel, (B, 240, size)."""
        noise, prompt = torch.zeros(2, len(passages), NUM_MEL_BINS, size, device=self.device).unbind(0)
        for row, passage in enumerate(passages):
            noise[row, :, : passage.num_frames] = passage.noise.to(self.device)
            prompt[row, :, : passage.prompt_mel.shape[0]] = passage.prompt_mel.T
        speakers = self._speaker(F.normalize(torch.stack([passage.speaker for passage in passages]), dim=1))
        return noise, torch.cat([mean, speakers[:, :, None].expand(-1, -1, size), prompt], dim=1)
