"""Upstream's S3Gen with random weights: what our own is held against. One of each kind in a process."""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Iterator
from typing import Any

import torch

from synthesis.conditionals import ChatterboxConditionals

# Random weights predict an F0 near zero, which would leave the voiced half of the source untested.
F0_HZ = 140.0
F0_SPREAD = 40.0


def quiet_imports() -> None:
    """What upstream's packages warn of when they are imported is not ours to mend."""
    warnings.filterwarnings("ignore")


@functools.cache
def upstream_s3gen() -> Any:
    """chatterbox `S3Gen`, float32 on the CPU, voiced, with running statistics that are not all zeros and ones."""
    quiet_imports()
    from chatterbox.models.s3gen import S3Gen

    torch.manual_seed(0)
    model = S3Gen().eval().requires_grad_(False)
    f0 = model.mel2wav.f0_predictor.classifier
    f0.weight.mul_(F0_SPREAD / f0.weight.abs().max())
    f0.bias.fill_(F0_HZ)
    for module in model.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
    return model


@contextlib.contextmanager
def as_meanflow(model: Any) -> Iterator[Any]:
    """The same model as the distilled variant: two steps, no guidance, and a layer that mixes a step's two ends."""
    estimator = model.flow.decoder.estimator
    estimator.time_embed_mixer = torch.nn.Linear(2048, 1024, bias=False).requires_grad_(False)
    torch.nn.init.normal_(estimator.time_embed_mixer.weight, std=0.02)
    model.meanflow = estimator.meanflow = True
    try:
        yield model
    finally:
        model.meanflow = estimator.meanflow = False
        estimator.time_embed_mixer = None


def random_voice(seed: int, num_tokens: int = 40, extra_frames: int = 0) -> dict[str, torch.Tensor]:
    """Conditionals for S3Gen as upstream's `embed_ref` has them."""
    generator = torch.Generator().manual_seed(seed)
    return {
        "prompt_token": torch.randint(0, 6561, (1, num_tokens), generator=generator),
        "prompt_token_len": torch.tensor([num_tokens]),
        "prompt_feat": torch.randn(1, 2 * num_tokens + extra_frames, 80, generator=generator) - 4,
        "embedding": torch.randn(1, 192, generator=generator),
    }


def random_tokens(seed: int, number: int) -> torch.Tensor:
    return torch.randint(0, 6561, (number,), generator=torch.Generator().manual_seed(1000 + seed))


def conditionals_of(voice: dict[str, torch.Tensor]) -> ChatterboxConditionals:
    """The same voice for our own, with nothing much for T3."""
    t3 = {"speaker_emb": torch.zeros(1, 256), "cond_prompt_speech_tokens": torch.zeros(1, 1, dtype=torch.int64)}
    return ChatterboxConditionals(**t3, **voice)


def max_difference(ours: Any, upstream: torch.Tensor) -> float:
    ours = torch.as_tensor(ours)
    assert ours.shape == upstream.shape
    return float((ours - upstream).abs().max())


def as_upstream(voice: dict[str, torch.Tensor]) -> dict[str, Any]:
    """A copy with the length upstream leaves open: it turns the tensors of the dictionary it is given to float32."""
    return {**voice, "prompt_feat_len": None}
