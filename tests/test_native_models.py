"""Our turbo and multilingual T3 against upstream's: three seeds, four sets of parameters, 160 steps; fp32, the CPU."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("torch", reason="the light set has no model")
pytest.importorskip("chatterbox", reason="the light set has no model")

import torch
from t3_models_oracle import NUM_STEPS, Pair, expected_of, pair
from t3_oracle import check_that_steps_can_be_captured, decode_to_the_end, take

from synthesis.native.alignment import Alignment
from synthesis.native.request import Request, SamplingParameters, Status
from synthesis.native.t3_base import ALIGNED_HEADS
from synthesis.native.vocabulary import START_SPEECH_TOKEN, STOP_SPEECH_TOKEN

MODELS = ("turbo", "multilingual")


@pytest.fixture(params=MODELS)
def both(request: Any) -> Iterator[Pair]:
    logging.disable(logging.WARNING)  # upstream's analyser warns of every token that comes twice
    torch.set_num_threads(1)  # threads wait for each other at every one of many small steps
    yield pair(request.param)
    logging.disable(logging.NOTSET)


@pytest.fixture
def multilingual() -> Pair:
    return pair("multilingual")


def test_tokens_are_upstreams_in_one_ragged_batch(both: Pair) -> None:
    """Prompts of different lengths, with and without guidance."""
    requests = both.requests()
    decode_to_the_end(both.new_decoder(), requests)
    for request in requests:
        upstreams = expected_of(both.name, request)
        assert len(upstreams) == NUM_STEPS, "a run that ended by itself shows less"
        assert request.tokens == upstreams, request.sampling
    assert len({tuple(request.tokens) for request in requests}) == len(requests)


def test_late_joins_early_ends_and_cancellations_disturb_nobody(both: Pair) -> None:
    """Everything that moves slots and rows; what each would say alone is what upstream said."""
    first, short, cancelled, other, late = both.requests()[::2][:5]
    short.max_tokens = 5
    decoder = both.new_decoder()
    take(decoder.admit([cancelled, first]))
    take(decoder.decode(3))
    take(decoder.admit([other, short]))
    for _ in range(4):
        take(decoder.decode(1))
    decoder.remove(short)
    decoder.remove(cancelled)
    take(decoder.decode(10))
    take(decoder.admit([late]))
    take(decoder.decode(22))
    lengths = {first: 40, short: 5, cancelled: 8, other: 37, late: 23}
    for request, length in lengths.items():
        assert request.tokens == expected_of(both.name, request)[:length]


def test_every_step_is_the_same_and_waits_for_nothing(both: Pair) -> None:
    """Multilingual's checks on its alignment included, for which upstream waits at every step."""
    decoder = both.new_decoder()
    decoder.admit(both.requests()[:4])
    check_that_steps_can_be_captured(decoder)


def test_speech_ends_where_upstreams_does(multilingual: Pair, caplog: pytest.LogCaptureFixture) -> None:
    """Here the check on its alignment has it stop, at a token that comes twice."""
    request = multilingual.request(1, SamplingParameters(repetition_penalty=1.2, temperature=1.0, cfg_weight=0.3))
    upstreams = multilingual.upstream_tokens(request)
    assert "forcing EOS token" in caplog.text
    assert upstreams[-1] == STOP_SPEECH_TOKEN
    decoder = multilingual.new_decoder()
    decoded = decoder.admit([request, multilingual.requests()[0]])
    while request.status is not Status.FINISHED:
        request.extend(decoded[0][1])
        decoded = decoder.decode(8)
    assert request.ended
    assert request.tokens == upstreams[:-1]
    assert request.tokens[-1] == request.tokens[-2]


def test_the_heads_watched_are_upstreams() -> None:
    from chatterbox.models.t3.inference import alignment_stream_analyzer

    pair("turbo")  # whose making changes nothing
    source = alignment_stream_analyzer.__file__
    assert source is not None
    with open(source, encoding="utf-8") as file:  # noqa: PTH123
        line = next(line for line in file if line.startswith("LLAMA_ALIGNED_HEADS"))
    assert eval(line.partition("=")[2]) == [tuple(head) for head in ALIGNED_HEADS]


TEXT_START, NUM_FRAMES = 34, 90


def walk(scenario: str, num_text: int, seed: int) -> torch.Tensor:
    """Attention of NUM_FRAMES tokens on a text, (NUM_FRAMES, num_text), as speech goes through it."""
    generator = torch.Generator().manual_seed(seed)
    attention = torch.rand(NUM_FRAMES, num_text, generator=generator) * 0.02
    speed = {"slow": 0.15, "steady": 0.7, "fast": 1.5, "lingers": 1.2, "repeats": 1.0}[scenario]
    for frame in range(NUM_FRAMES):
        at = int(frame * speed)
        if scenario == "repeats":
            at = at % num_text
        attention[frame, min(at, num_text - 1)] += 0.6
        if torch.rand((), generator=generator) < 0.05:  # a glitch
            attention[frame, int(torch.randint(num_text, (), generator=generator))] += 0.9
    return attention


@pytest.mark.parametrize("scenario", ["slow", "steady", "fast", "lingers", "repeats"])
def test_alignment_decides_as_upstreams_analyser(scenario: str) -> None:
    """Texts of several lengths, in one batch of ours and one by one upstream; also what never comes to its end."""
    from chatterbox.models.t3.inference.alignment_stream_analyzer import AlignmentStreamAnalyzer

    lengths, vocabulary = (4, 6, 17, 40), 6600
    generator = torch.Generator().manual_seed(7)
    # A token comes twice now and then.
    tokens = torch.randint(0, 12, (NUM_FRAMES, len(lengths)), generator=generator)
    attention = [walk(scenario, length, seed) for seed, length in enumerate(lengths)]
    alignment = Alignment(len(lengths), vocabulary, TEXT_START, "cpu")
    everyone = slice(len(lengths))
    for slot, length in enumerate(lengths):
        alignment.fill(slot, length, START_SPEECH_TOKEN)
    analysers = [
        AlignmentStreamAnalyzer(_NoLayers(), None, (TEXT_START, TEXT_START + length), eos_idx=STOP_SPEECH_TOKEN)
        for length in lengths
    ]
    logits = torch.randn(len(lengths), vocabulary, generator=generator)
    seen: set[str] = set()
    for frame in range(NUM_FRAMES):
        positions = torch.rand(len(lengths), TEXT_START + max(lengths) + 2 + frame, generator=generator)
        for slot, length in enumerate(lengths):
            positions[slot, TEXT_START : TEXT_START + length] = attention[slot][frame]
        last = tokens[frame - 1] if frame else torch.full((len(lengths),), START_SPEECH_TOKEN)
        if frame:
            ours = alignment.check(logits, positions, last, torch.full((len(lengths),), frame), everyone)
        else:
            ours = alignment.begin(logits, everyone)
        for slot, analyser in enumerate(analysers):
            rows = positions[slot][None] if frame else positions[slot].expand(TEXT_START + lengths[slot] + 2, -1)
            analyser.last_aligned_attns = [rows] * 3
            try:
                theirs = analyser.step(logits[slot : slot + 1].clone(), next_token=int(last[slot]))
            except IndexError:  # upstream asks for the maximum of nothing once a text of five tokens or less is through
                assert lengths[slot] <= 5
                continue
            assert torch.equal(ours[slot], theirs[0]), (scenario, frame, lengths[slot])
            seen.add(("free", "early", "over")[int(theirs[0, STOP_SPEECH_TOKEN] < -1e4) + 2 * int(theirs[0, 0] < -1e4)])
    assert {"early", "over"} <= seen
    assert scenario == "slow" or any(analyser.complete for analyser in analysers)


class _NoLayers:
    """A transformer for upstream's hooks, which are not called here."""

    def __init__(self) -> None:
        attention = torch.nn.Identity()
        self.layers = [torch.nn.Module() for _ in range(14)]
        for layer in self.layers:
            layer.self_attn = attention
        self.config = None


def test_a_moved_slot_takes_its_alignment_along() -> None:
    alignment = Alignment(2, 6600, TEXT_START, "cpu")
    alignment.fill(1, 20, START_SPEECH_TOKEN)
    alignment.reached[1], alignment.complete[1], alignment.tail[1], alignment.repetition[1] = 9, True, 4.0, 3.0
    alignment.move(1, 0)
    state = (alignment.text_length, alignment.reached, alignment.complete, alignment.previous, alignment.repetition)
    assert all(tensor[0] == tensor[1] for tensor in state)
    assert torch.equal(alignment.tail[0], alignment.tail[1])


def test_turbo_reads_its_prompt_as_upstream_does() -> None:
    turbo = pair("turbo")
    request: Request = turbo.requests()[0]
    with torch.inference_mode():
        theirs, _ = turbo.upstream.prepare_input_embeds(
            t3_cond=turbo._condition(request),
            text_tokens=torch.tensor([request.text_tokens]),
            speech_tokens=torch.tensor([[START_SPEECH_TOKEN]]),
        )
        ours = turbo.new_decoder()._prompt(request)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)
    assert turbo.ours.prompt_length(request.voice, len(request.text_tokens)) == ours.shape[1]
