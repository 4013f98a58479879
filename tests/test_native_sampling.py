"""Our sampling against the processors and the multinomial draw that upstream uses."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

pytest.importorskip("torch", reason="the light set has no model")
pytest.importorskip("transformers", reason="the light set has no model")

import torch
from torch import Tensor
from transformers.generation.logits_process import (
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from synthesis.native.request import SamplingParameters
from synthesis.native.sampling import Sampler, guide, sample, sample_turbo
from synthesis.native.slots import Slots

VOCABULARY = 8194
PARAMETERS = [
    SamplingParameters(),
    SamplingParameters(temperature=1.0, top_p=0.9),
    SamplingParameters(repetition_penalty=2.0, min_p=0.0, top_p=0.3),
    SamplingParameters(temperature=0.05, min_p=1.0, top_p=0.01),
    SamplingParameters(temperature=5.0, repetition_penalty=1.0, min_p=0.0, top_p=1.0),
]


def upstream_sample(logits: Tensor, ids: Tensor, sampling: SamplingParameters, generator: torch.Generator) -> Tensor:
    """chatterbox `t3.py:inference`, one step. logits: (1, V)."""
    logits = RepetitionPenaltyLogitsProcessor(float(sampling.repetition_penalty))(ids, logits)
    if sampling.temperature != 1.0:
        logits = logits / sampling.temperature
    logits = MinPLogitsWarper(sampling.min_p)(ids, logits)
    logits = TopPLogitsWarper(sampling.top_p)(ids, logits)
    return torch.multinomial(logits.softmax(dim=-1), 1, generator=generator)[0]


def upstream_turbo_sample(
    logits: Tensor, ids: Tensor, sampling: SamplingParameters, generator: torch.Generator
) -> Tensor:
    """chatterbox `t3.py:inference_turbo`, one step."""
    if sampling.temperature != 1.0:
        logits = TemperatureLogitsWarper(sampling.temperature)(ids, logits)
    logits = TopKLogitsWarper(1000)(ids, logits)
    if sampling.top_p < 1.0:
        logits = TopPLogitsWarper(sampling.top_p)(ids, logits)
    if sampling.repetition_penalty != 1.0:
        logits = RepetitionPenaltyLogitsProcessor(sampling.repetition_penalty)(ids, logits)
    return torch.multinomial(logits.softmax(dim=-1), 1, generator=generator)[0]


def our_sample(
    logits: Tensor, ids: list[Tensor], parameters: list[SamplingParameters], noise: Tensor, sampler: Sampler = sample
) -> Tensor:
    slots = Slots(len(parameters), VOCABULARY, "cpu")
    for slot, (sampling, seen) in enumerate(zip(parameters, ids, strict=True)):
        slots.fill(slot, sampling, 1, 6561)
        slots.seen[slot, seen[0]] = True
    slots.noise[:] = noise
    return sampler(logits, slots.draw(slice(None), nucleus=any(sampling.top_p < 1 for sampling in parameters)))


@pytest.mark.parametrize(("sampler", "theirs_of"), [(sample, upstream_sample), (sample_turbo, upstream_turbo_sample)])
@pytest.mark.parametrize("spread", [0.5, 4.0])
def test_a_batch_of_different_parameters_samples_as_upstream_does_one_by_one(
    spread: float, sampler: Sampler, theirs_of: Callable[..., Tensor]
) -> None:
    generator = torch.Generator().manual_seed(int(spread * 10))
    sampled = set()
    for seed in range(40):
        logits = torch.randn(len(PARAMETERS), VOCABULARY, generator=generator) * spread
        ids = [torch.randint(VOCABULARY, (1, 50), generator=generator) for _ in PARAMETERS]
        ids = [torch.cat([torch.tensor([[6561]]), seen], dim=1) for seen in ids]
        noise = torch.stack(
            [torch.empty(VOCABULARY).exponential_(generator=torch.Generator().manual_seed(seed)) for _ in PARAMETERS]
        )
        ours = our_sample(logits, ids, PARAMETERS, noise, sampler)
        for row, sampling in enumerate(PARAMETERS):
            theirs = theirs_of(logits[row : row + 1], ids[row], sampling, torch.Generator().manual_seed(seed))
            assert ours[row] == theirs[0], (seed, sampling)
            sampled.add(int(theirs[0]))
    assert len(sampled) > 50


def test_a_top_p_of_one_changes_nothing_beside_one_below() -> None:
    logits = torch.randn(1, VOCABULARY, generator=torch.Generator().manual_seed(1)) * 3
    noise = torch.empty(1, VOCABULARY).exponential_(generator=torch.Generator().manual_seed(2))
    ids = [torch.tensor([[6561]])]
    everything = SamplingParameters(min_p=0.0)
    alone = our_sample(logits, ids, [everything], noise)
    beside = our_sample(logits.repeat(2, 1), ids * 2, [everything, SamplingParameters(top_p=0.01)], noise.repeat(2, 1))
    assert beside[0] == alone[0]
    assert beside[1] == logits[0].where(torch.arange(VOCABULARY) != 6561, -math.inf).argmax()


def test_guidance_leads_away_from_the_unconditional_logits() -> None:
    logits = torch.tensor([[1.0, 2.0], [0.1, 0.3], [5.0, 7.0]])
    weight = torch.tensor([[0.5], [0.7]])
    guided = guide(logits, torch.tensor([0, 2]), torch.tensor([1, 2]), weight)
    assert torch.allclose(guided[0], torch.tensor([1.45, 2.85]))
    assert torch.equal(guided[1], logits[2]), "without a guidance row the logits are their own"
