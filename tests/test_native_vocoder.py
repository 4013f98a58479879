"""Our HiFT against upstream's, given the same mel; ragged batches and windows against whole single utterances."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from s3gen_oracle import max_difference, upstream_s3gen

from synthesis.native.excitation import SAMPLES_PER_FRAME, Chance, draw_phase
from synthesis.native.vocoder import CONTEXT_FRAMES, F0_CONTEXT_FRAMES, Extent, Vocoder

EQUAL = 1e-6  # of waves that reach 0.07
ROUNDED = 1e-5  # a batch rounds F0 differently in the sixth digit, and the harmonics' phase adds it up
LENGTHS = (30, 60, 11)


@pytest.fixture(scope="module")
def upstream() -> Any:
    return upstream_s3gen().mel2wav


@pytest.fixture(scope="module")
def ours() -> Vocoder:
    return Vocoder(upstream_s3gen().state_dict())


def mel(seed: int, length: int) -> torch.Tensor:
    return torch.randn(80, length, generator=torch.Generator().manual_seed(seed)) - 4


def chance(seed: int, length: int) -> Chance:
    generator = torch.Generator().manual_seed(seed)
    phase = draw_phase(generator)
    return Chance(phase, torch.randn(9, SAMPLES_PER_FRAME * length, generator=generator))


def whole(length: int) -> Extent:
    return Extent(torch.tensor([length]), ragged=False)


@pytest.fixture(scope="module")
def upstream_waves(upstream: Any) -> list[torch.Tensor]:
    waves = []
    for seed, length in enumerate(LENGTHS):
        torch.manual_seed(seed)
        waves.append(upstream.inference(mel(seed, length)[None])[0][0])
    return waves


def test_wave_is_upstreams(ours: Vocoder, upstream_waves: list[torch.Tensor]) -> None:
    for seed, (length, expected) in enumerate(zip(LENGTHS, upstream_waves, strict=True)):
        wave = ours.decode([mel(seed, length)], [chance(seed, length)])[0]
        assert max_difference(wave, expected) <= EQUAL


def test_rows_of_a_ragged_batch_equal_their_single_runs(ours: Vocoder, upstream_waves: list[torch.Tensor]) -> None:
    mels = [mel(seed, length) for seed, length in enumerate(LENGTHS)]
    chances = [chance(seed, length) for seed, length in enumerate(LENGTHS)]
    for wave, expected in zip(ours.decode(mels, chances), upstream_waves, strict=True):
        assert max_difference(wave, expected) <= ROUNDED


@torch.inference_mode()
def test_the_test_model_speaks_with_a_voice(upstream: Any, ours: Vocoder) -> None:
    """Were every frame unvoiced, as random weights have it, equal waves would say nothing about the harmonics."""
    f0 = ours.f0(mel(0, 30)[None], whole(30))
    assert torch.equal(f0, upstream.f0_predictor(mel(0, 30)[None]))
    assert f0.min() > 50
    assert f0.std() > 5


@torch.inference_mode()
def test_excitation_in_pieces_is_the_whole(ours: Vocoder) -> None:
    own = chance(7, 60)
    f0 = 120 + 60 * torch.rand(1, 60, generator=torch.Generator().manual_seed(7))
    f0[:, 20:25] = 0  # unvoiced
    expected, _ = ours.excitation(f0, own.phase[None], own.noise[None])
    cycles, pieces = None, []
    for start, end in ((0, 1), (1, 22), (22, 60)):
        noise = own.noise[None, :, start * SAMPLES_PER_FRAME : end * SAMPLES_PER_FRAME]
        piece, cycles = ours.excitation(f0[:, start:end], own.phase[None], noise, cycles)
        pieces.append(piece)
    assert max_difference(torch.cat(pieces, 1), expected) <= 2e-7


@torch.inference_mode()
def test_a_window_with_its_context_gives_the_samples_of_the_whole(ours: Vocoder) -> None:
    length, start, end = 80, 30, 45
    spectrum, own = mel(5, length)[None], chance(5, length)
    excitation, _ = ours.excitation(ours.f0(spectrum, whole(length)), own.phase[None], own.noise[None])
    expected = ours.shape(spectrum, excitation, whole(length))[:, start * SAMPLES_PER_FRAME : end * SAMPLES_PER_FRAME]
    first, last = start - CONTEXT_FRAMES, end + CONTEXT_FRAMES
    window = ours.shape(
        spectrum[..., first:last],
        excitation[:, first * SAMPLES_PER_FRAME : last * SAMPLES_PER_FRAME],
        whole(last - first),
    )
    inner = slice(CONTEXT_FRAMES * SAMPLES_PER_FRAME, (CONTEXT_FRAMES + end - start) * SAMPLES_PER_FRAME)
    assert max_difference(window[:, inner], expected) <= EQUAL


@torch.inference_mode()
def test_f0_of_a_window_with_its_context_is_that_of_the_whole(ours: Vocoder) -> None:
    spectrum = mel(5, 40)[None]
    expected = ours.f0(spectrum, whole(40))[:, 10:20]
    first, last = 10 - F0_CONTEXT_FRAMES, 20 + F0_CONTEXT_FRAMES
    window = ours.f0(spectrum[..., first:last], whole(last - first))[:, F0_CONTEXT_FRAMES:-F0_CONTEXT_FRAMES]
    assert max_difference(window, expected) <= 1e-4  # Hz
