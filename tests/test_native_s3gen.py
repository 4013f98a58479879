"""Our S3Gen against upstream's on random weights: the same seed gives the same mel and the same samples."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from s3gen_oracle import (
    as_meanflow,
    as_upstream,
    conditionals_of,
    max_difference,
    random_tokens,
    random_voice,
    upstream_s3gen,
)

from synthesis.native.flow import Flow, Passage
from synthesis.native.s3gen import TENSOR_PREFIXES, Randomness, S3Gen, Utterance, passage

# The same operations in the same order give the same bits; a batch or padding makes matrix products of other sizes,
# and their rounding is carried through the steps. Mels reach 6, waves 0.07.
SAME = 1e-6
MEL_ROUNDED = 3e-5
WAVE_EQUAL = 1e-5
HEAVY = ("librosa", "numba", "scipy", "diffusers", "transformers", "torchaudio", "chatterbox", "perth", "omegaconf")


@pytest.fixture(scope="module")
def upstream() -> Any:
    return upstream_s3gen()


@pytest.fixture(scope="module")
def ours(upstream: Any) -> S3Gen:
    state = upstream.state_dict()
    return S3Gen({name: tensor for name, tensor in state.items() if name.startswith(TENSOR_PREFIXES)})


def utterance(seed: int, num_tokens: int, num_prompt_tokens: int, extra_frames: int = 0) -> Utterance:
    voice = random_voice(seed, num_prompt_tokens, extra_frames)
    generator = torch.Generator().manual_seed(seed)
    return Utterance(conditionals_of(voice), random_tokens(seed, num_tokens), generator)


def noised(own: Utterance, is_meanflow: bool = False) -> Passage:
    prompt_tokens, prompt_frames = own.conditionals.prompt_token.shape[1], own.conditionals.prompt_feat.shape[1]
    frames = 2 * (prompt_tokens + len(own.tokens))
    drawn = Randomness.draw(own.generator, frames, len(own.tokens), prompt_frames, is_meanflow)
    return passage(own.conditionals, own.tokens, drawn.noise)


def upstream_mel(upstream: Any, seed: int, sizes: tuple[int, ...], num_steps: int | None) -> torch.Tensor:
    torch.manual_seed(seed)
    reference = as_upstream(random_voice(seed, *sizes[1:]))
    mel: torch.Tensor = upstream.flow_inference(
        random_tokens(seed, sizes[0]), ref_dict=reference, finalize=True, n_cfm_timesteps=num_steps
    )
    return mel[0]


SIZES = {1: (9, 14), 2: (20, 10, 1), 3: (5, 17)}  # per seed: tokens, prompt tokens, mel frames beyond two a token


@pytest.fixture(scope="module")
def upstream_mels(upstream: Any) -> dict[int, torch.Tensor]:
    return {seed: upstream_mel(upstream, seed, sizes, 2) for seed, sizes in SIZES.items()}


def test_mel_is_upstreams(upstream: Any, ours: S3Gen) -> None:
    mel = ours.flow.decode([noised(utterance(1, *SIZES[1]))])[0]
    assert max_difference(mel, upstream_mel(upstream, 1, SIZES[1], None)) <= SAME


@pytest.mark.parametrize("seed", SIZES)
def test_number_of_steps_is_an_option(ours: S3Gen, upstream_mels: dict[int, torch.Tensor], seed: int) -> None:
    mel = ours.flow.decode([noised(utterance(seed, *SIZES[seed]))], num_steps=2)[0]
    assert max_difference(mel, upstream_mels[seed]) <= SAME


def test_rows_of_a_ragged_batch_equal_their_single_runs(ours: S3Gen, upstream_mels: dict[int, torch.Tensor]) -> None:
    mels = ours.flow.decode([noised(utterance(seed, *sizes)) for seed, sizes in SIZES.items()], num_steps=2)
    for mel, upstream_mel in zip(mels, upstream_mels.values(), strict=True):
        assert max_difference(mel, upstream_mel) <= MEL_ROUNDED


def test_padding_to_a_granule_changes_nothing(upstream: Any, upstream_mels: dict[int, torch.Tensor]) -> None:
    flow = Flow(upstream.state_dict(), token_granule=32)
    mel = flow.decode([noised(utterance(1, *SIZES[1]))], num_steps=2)[0]
    assert max_difference(mel, upstream_mels[1]) <= MEL_ROUNDED


@torch.inference_mode()
def test_tokens_ahead_are_heard_but_not_decoded(upstream: Any, ours: S3Gen) -> None:
    """Upstream's `finalize=False` forgets to cut its mask and fails; here its two halves are called one by one."""
    own = utterance(4, 12, 10)
    noise = torch.randn(1, 80, 2 * (10 + 12 - 3), generator=torch.Generator().manual_seed(4))
    ahead = passage(own.conditionals, own.tokens, noise[0], more_follows=True)
    flow = upstream.flow
    tokens = torch.cat([own.conditionals.prompt_token[0], own.tokens])[None]
    mean = flow.encoder_proj(flow.encoder(flow.input_embedding(tokens), torch.tensor([22]))[0][:, :-6])
    condition = torch.zeros(1, 80, 38)
    condition[:, :, :20] = own.conditionals.prompt_feat[0].T
    speaker = flow.spk_embed_affine_layer(torch.nn.functional.normalize(own.conditionals.embedding, dim=1))
    times = 1 - torch.cos(torch.linspace(0, 1, 3) * 0.5 * torch.pi)
    mel = flow.decoder.solve_euler(
        noise, times, mean.transpose(1, 2).contiguous(), torch.ones(1, 1, 38), speaker, condition
    )
    assert max_difference(ours.flow.decode([ahead], num_steps=2)[0], mel[0, :, 20:]) <= SAME
    batched = ours.flow.decode([noised(utterance(2, *SIZES[2])), ahead], num_steps=2)[1]
    assert max_difference(batched, mel[0, :, 20:]) <= MEL_ROUNDED


def test_distilled_model(upstream: Any) -> None:
    with as_meanflow(upstream):
        expected = upstream_mel(upstream, 1, SIZES[1], None)
        flow = Flow(upstream.state_dict())
    assert flow.is_meanflow
    assert max_difference(flow.decode([noised(utterance(1, *SIZES[1]), is_meanflow=True)])[0], expected) <= SAME


def test_bfloat16_estimator_is_near(upstream: Any, upstream_mels: dict[int, torch.Tensor]) -> None:
    flow = Flow(upstream.state_dict(), estimator_dtype=torch.bfloat16)
    mel = flow.decode([noised(utterance(1, *SIZES[1]))], num_steps=2)[0]
    assert mel.dtype == torch.float32
    error = (mel - upstream_mels[1]).norm() / upstream_mels[1].norm()
    assert 0 < error < 0.05


def test_waveform_is_upstreams(upstream: Any, ours: S3Gen) -> None:
    torch.manual_seed(1)
    expected, _ = upstream.inference(random_tokens(1, 9), ref_dict=as_upstream(random_voice(1, 14)))
    wave = ours.decode([utterance(1, *SIZES[1])])[0]
    assert wave.dtype == torch.float32
    assert len(wave) == 9 * 960
    assert max_difference(wave, expected[0]) <= WAVE_EQUAL
    assert not wave[:480].any()


def test_a_request_draws_from_its_own_generator_only(ours: S3Gen) -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    alone = [ours.decode([utterance(seed, *SIZES[seed])], cfm_steps=1)[0] for seed in (3, 1)]
    together = ours.decode([utterance(3, *SIZES[3]), utterance(1, *SIZES[1])], cfm_steps=1)
    assert torch.equal(torch.get_rng_state(), before)
    for one, other in zip(alone, together, strict=True):
        assert max_difference(one, other) <= WAVE_EQUAL


def test_tokens_that_do_not_sound_are_left_out(ours: S3Gen) -> None:
    spoken, silent = utterance(3, *SIZES[3]), utterance(1, *SIZES[1])
    marked = torch.cat([torch.tensor([6561]), spoken.tokens[:2], torch.tensor([6562, 8193]), spoken.tokens[2:]])
    waves = ours.decode([silent._replace(tokens=torch.tensor([6562])), spoken._replace(tokens=marked)], cfm_steps=1)
    assert waves[0].shape == (0,)
    assert torch.equal(waves[1], ours.decode([utterance(3, *SIZES[3])], cfm_steps=1)[0])


def test_decoding_imports_nothing_heavy() -> None:
    script = (
        "import sys, synthesis.native.reference, synthesis.native.streaming, synthesis.native.watermark\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert not set(HEAVY) & set(loaded)
