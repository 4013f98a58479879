"""The chatterbox engine's device: its choice, its random generators, its memory."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="the light set has no model")

import torch

from synthesis.chatterbox_device import RequestRandom, choose_device, translated_errors
from synthesis.errors import EngineUnavailable, OutOfDeviceMemory


def test_random_numbers_are_those_of_manual_seed_and_the_requests_own() -> None:
    torch.manual_seed(5)
    expected = torch.rand(4)
    mine, other = RequestRandom(5, "cpu"), RequestRandom(6, "cpu")
    drawn = []
    for _ in range(2):
        with mine.drawn():
            drawn.append(torch.rand(2))
        with other.drawn():
            torch.rand(3)
    assert torch.equal(torch.cat(drawn), expected)


def test_a_failing_request_gives_the_generators_back() -> None:
    state = torch.get_rng_state()
    with pytest.raises(IndexError), RequestRandom(1, "cpu").drawn():
        torch.rand(1)[2]
    assert torch.equal(torch.get_rng_state(), state)


def test_a_device_that_is_not_there_is_refused() -> None:
    absent = "mps" if torch.cuda.is_available() else "cuda"
    with pytest.raises(EngineUnavailable, match=f"'{absent}' is not on this machine"):
        choose_device(absent)
    with pytest.raises(EngineUnavailable, match="'abacus'"):
        choose_device("abacus")
    assert choose_device("cpu") == "cpu"
    assert choose_device(None) in ("cuda", "mps", "cpu")


def test_memory_that_runs_out_is_named() -> None:
    with pytest.raises(OutOfDeviceMemory, match="ran out of memory"), translated_errors():
        torch.empty(10**15)
    with pytest.raises(OutOfDeviceMemory), translated_errors():
        raise torch.OutOfMemoryError("CUDA out of memory")
    with pytest.raises(RuntimeError, match="shapes"), translated_errors():
        raise RuntimeError("shapes")
