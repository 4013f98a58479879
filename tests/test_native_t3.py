"""Our T3 against upstream's, on random weights: two layers of 30 (the code does not count them), fp32, the CPU.

Upstream decodes slowly, so that only two of the twelve comparisons run for 160 steps here; all twelve do, on all 30
layers, in benchmarks/engine.py (`tokens_equal`).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the light set has no model")
pytest.importorskip("chatterbox", reason="the light set has no model")

import torch
from t3_oracle import (
    PARAMETERS,
    check_that_steps_can_be_captured,
    decode_to_the_end,
    new_decoder,
    new_request,
    our_t3,
    t3_file,
    take,
    tokens_alone,
    upstream_condition,
    upstream_t3,
    upstream_text,
    upstream_tokens,
)

from synthesis.errors import WeightsNotFound
from synthesis.native.checkpoint import read_tensors
from synthesis.native.decoder import Decoder
from synthesis.native.request import Request, SamplingParameters

SEEDS = (1, 2, 3)
NUM_STEPS, NUM_LONG_STEPS = 24, 160


def test_the_prompt_is_upstreams() -> None:
    request = new_request(1, SamplingParameters(), 1)
    upstream = upstream_t3()
    with torch.inference_mode():
        start = torch.full((2, 1), upstream.hp.start_speech_token)
        theirs, _ = upstream.prepare_input_embeds(
            t3_cond=upstream_condition(request), text_tokens=upstream_text(request), speech_tokens=start, cfg_weight=0.5
        )
        ours = Decoder(our_t3(), num_rows=2)._prompt(request)
    torch.testing.assert_close(ours[:, :-1], theirs, rtol=0, atol=1e-6)
    assert torch.equal(ours[:, -1], ours[:, -2]), "the start of speech stands twice at position 0"


def test_tokens_are_upstreams_in_one_ragged_batch() -> None:
    """Three seeds and four sets of parameters, prompts of different lengths, with and without guidance."""
    requests = [new_request(seed, replace(sampling, seed=seed), NUM_STEPS) for seed in SEEDS for sampling in PARAMETERS]
    for request in requests[::5][:2]:  # default parameters, and others
        request.max_tokens = NUM_LONG_STEPS
    decode_to_the_end(new_decoder(num_rows=24), requests)
    for request in requests:
        expected = upstream_tokens(request)
        assert request.tokens[: len(expected)] == expected, request.sampling
        assert len(set(expected)) > 1


def four_requests() -> list[Request]:
    return [new_request(seed, replace(PARAMETERS[seed], seed=seed), 40) for seed in range(4)]


@pytest.fixture(scope="module")
def alone() -> list[list[int]]:
    return [tokens_alone(request) for request in four_requests()]


def test_a_batch_says_what_each_says_alone(alone: list[list[int]]) -> None:
    requests = four_requests()
    decode_to_the_end(new_decoder(), requests, steps_per_look=8)
    assert [request.tokens for request in requests] == alone


def test_late_joins_early_ends_and_cancellations_disturb_nobody(alone: list[list[int]]) -> None:
    """Everything that moves slots and rows, the sole row of an unguided request among them."""
    guided, short, cancelled, unguided = requests = four_requests()
    short.max_tokens = 5
    decoder = new_decoder()
    take(decoder.admit([cancelled, guided]))
    for _ in range(3):
        take(decoder.decode(1))
    take(decoder.admit([unguided, short]))
    for _ in range(4):
        take(decoder.decode(1))
    decoder.remove(short)
    decoder.remove(cancelled)
    late = four_requests()[1]
    for step in range(32):
        if step == 10:
            take(decoder.admit([late]))
        take(decoder.decode(1))
    assert guided.tokens == alone[0]
    assert short.tokens == alone[1][:5]
    assert cancelled.tokens == alone[2][:8]
    assert unguided.tokens == alone[3][:37]
    assert late.tokens == alone[1][:23]
    assert requests[0].generator is not late.generator


def test_no_more_requests_than_rows() -> None:
    decoder = new_decoder(num_rows=3)
    decoder.admit([new_request(1, SamplingParameters(), 5)])
    with pytest.raises(AssertionError, match="than there are rows"):
        decoder.admit([new_request(2, SamplingParameters(), 5)])


def test_every_step_is_the_same_and_waits_for_nothing() -> None:
    decoder = new_decoder()
    decoder.admit(four_requests())
    check_that_steps_can_be_captured(decoder)


def test_bf16_is_close() -> None:
    """Half the bytes, not the same tokens; the logits stay near."""
    request = new_request(1, SamplingParameters(), 1)
    logits = []
    for dtype in (torch.float32, torch.bfloat16):
        model = our_t3(dtype)
        with torch.inference_mode():
            prompt = Decoder(model, num_rows=2)._prompt(request)
            lengths = torch.tensor([prompt.shape[1]] * 2)
            logits.append(model.prefill(prompt, lengths, model.new_cache(2), 0))
    assert logits[1].dtype == torch.float32
    assert (logits[1] - logits[0]).abs().max() < 0.05 * logits[0].abs().max()


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="Linux says what is mapped where")
def test_weights_are_views_of_the_file() -> None:
    """No copy is made of them at start, and processes share them."""
    address = our_t3().backbone.layers[0].qkv[0].data_ptr()
    mappings = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
    ranges = {tuple(int(end, 16) for end in mapping[0].split("-")): mapping[-1] for mapping in mappings}
    assert [name for (low, high), name in ranges.items() if low <= address < high] == [str(t3_file())]


def test_only_what_is_asked_for_is_read() -> None:
    tensors = read_tensors(t3_file(), prefixes=("speech_emb.", "tfmr.norm."), dtype=torch.bfloat16)
    assert sorted(tensors) == ["speech_emb.weight", "tfmr.norm.weight"]
    assert {tensor.dtype for tensor in tensors.values()} == {torch.bfloat16}


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "t3_cfg.safetensors").write_bytes(b"not weights")
    with pytest.raises(WeightsNotFound, match=r"t3_cfg\.safetensors cannot be read"):
        read_tensors(tmp_path / "t3_cfg.safetensors")
    with pytest.raises(WeightsNotFound, match="set MODEL_DIR"):
        read_tensors(tmp_path / "missing.safetensors")
