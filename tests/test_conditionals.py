"""Conditionals as a value, as bytes, and in the cache. No model."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from typing import Any

import pytest

pytest.importorskip("torch", reason="the light set has no model")

import torch
from safetensors.torch import load, save
from torch import Tensor

from synthesis.conditionals import ChatterboxConditionals, ConditionalsError
from synthesis.conditionals_cache import ConditionalsCache
from synthesis.engine import Conditionals

MARK = {"computed_from": "chatterbox-conditionals-1 weights:r1 audio:a1"}


def tensors(num_tokens: int = 30, num_frames: int | None = None) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "speaker_emb": torch.randn(1, 256, generator=generator),
        "cond_prompt_speech_tokens": torch.randint(6561, (1, 25), generator=generator),
        "prompt_token": torch.randint(6561, (1, num_tokens), generator=generator),
        "prompt_token_len": torch.tensor([num_tokens]),
        "prompt_feat": torch.randn(1, num_frames or 2 * num_tokens, 80, generator=generator),
        "embedding": torch.randn(1, 192, generator=generator),
    }


def blob_with(**changes: Tensor) -> bytes:
    return save({**tensors(), **changes}, metadata=MARK)


# The value and its bytes


@pytest.mark.parametrize("num_frames", [60, 61])  # audio that is no multiple of 40 ms has an odd number of frames
def test_bytes_and_back(num_frames: int) -> None:
    conditionals = ChatterboxConditionals(**tensors(30, num_frames))
    read = ChatterboxConditionals.from_bytes(conditionals.to_bytes("r1", "a1"), "r1", "a1", "cpu")
    assert {name: tensor.dtype for name, tensor in read.tensors().items()} == {
        name: tensor.dtype for name, tensor in tensors().items()
    }
    assert all(torch.equal(tensor, getattr(conditionals, name)) for name, tensor in read.tensors().items())


def test_size_is_that_of_the_tensors() -> None:
    assert ChatterboxConditionals(**tensors()).num_bytes == 4 * (256 + 60 * 80 + 192) + 8 * (25 + 30 + 1)


def test_bytes_are_plain_safetensors_and_always_the_same() -> None:
    blob = ChatterboxConditionals(**tensors()).to_bytes("r1", "a1")
    assert {ChatterboxConditionals(**tensors()).to_bytes("r1", "a1") for _ in range(20)} == {blob}
    length = int.from_bytes(blob[:8], "little")
    assert json.loads(blob[8 : 8 + length])["__metadata__"] == MARK
    assert load(blob).keys() == tensors().keys()


@pytest.mark.parametrize(
    "changes",
    [
        {"speaker_emb": torch.zeros(1, 255)},
        {"speaker_emb": torch.zeros(256)},
        {"embedding": torch.zeros(1, 192, dtype=torch.float64)},
        {"embedding": torch.full((1, 192), float("nan"))},
        {"prompt_feat": torch.full((1, 60, 80), float("inf"))},
        {"prompt_feat": torch.zeros(1, 58, 80)},
        {"prompt_feat": torch.zeros(1, 62, 80)},
        {"prompt_token": torch.zeros(1, 30)},  # what upstream's S3Gen makes of it
        {"prompt_token": torch.full((1, 30), 6561)},
        {"prompt_token": torch.zeros(1, 0, dtype=torch.long)},
        {"prompt_token_len": torch.tensor([31])},
        {"cond_prompt_speech_tokens": torch.full((1, 25), -1)},
        {"extra": torch.zeros(1)},
    ],
    ids=lambda changes: "-".join(f"{name} {tensor.dtype} {list(tensor.shape)}" for name, tensor in changes.items()),
)
def test_what_no_model_computes_is_refused(changes: dict[str, Tensor]) -> None:
    with pytest.raises(ConditionalsError):
        ChatterboxConditionals.from_bytes(blob_with(**changes), "r1", "a1", "cpu")


def test_a_missing_tensor_is_refused() -> None:
    incomplete = {name: tensor for name, tensor in tensors().items() if name != "embedding"}
    with pytest.raises(ConditionalsError):
        ChatterboxConditionals.from_bytes(save(incomplete, metadata=MARK), "r1", "a1", "cpu")


@pytest.mark.parametrize(("revision", "digest"), [("r2", "a1"), ("r1", "a2")])
def test_those_of_other_weights_or_audio_are_refused(revision: str, digest: str) -> None:
    with pytest.raises(ConditionalsError, match="other weights or other audio"):
        ChatterboxConditionals.from_bytes(blob_with(), revision, digest, "cpu")


@pytest.mark.parametrize("metadata", [None, {}, {"computed_from": "chatterbox-conditionals-0 weights:r1 audio:a1"}])
def test_unmarked_ones_are_refused(metadata: dict[str, str] | None) -> None:
    with pytest.raises(ConditionalsError):
        ChatterboxConditionals.from_bytes(save(tensors(), metadata=metadata), "r1", "a1", "cpu")


def test_every_truncation_is_refused() -> None:
    blob = blob_with()
    for length in [*range(0, 800, 7), *range(800, len(blob), 997)]:
        with pytest.raises(ConditionalsError):
            ChatterboxConditionals.from_bytes(blob[:length], "r1", "a1", "cpu")


@pytest.mark.parametrize("blob", [b"\x80\x04N.", b"\xff" * 100, b"\x02" + bytes(7) + b"[]", b"\x02" + bytes(7) + b"{}"])
def test_what_is_no_safetensors_is_refused(blob: bytes) -> None:
    with pytest.raises(ConditionalsError):
        ChatterboxConditionals.from_bytes(blob, "r1", "a1", "cpu")


# The cache


@dataclass(frozen=True)
class Sized(Conditionals):
    size: int

    @property
    def num_bytes(self) -> int:
        return self.size


def test_the_least_recently_used_go_first() -> None:
    cache = ConditionalsCache(max_bytes=30)
    kept = {key: cache.get(key, lambda: Sized(10)) for key in "abc"}
    assert cache.get("a", lambda: Sized(10)) is kept["a"]
    cache.get("d", lambda: Sized(10))
    assert cache.num_bytes == 30
    assert cache.get("a", lambda: Sized(0)) is kept["a"]
    assert cache.get("c", lambda: Sized(0)) is kept["c"]
    assert cache.get("b", lambda: Sized(5)) is not kept["b"]


def test_a_large_one_takes_the_place_of_several() -> None:
    cache = ConditionalsCache(max_bytes=30)
    for key in "abc":
        cache.get(key, lambda: Sized(10))
    cache.get("large", lambda: Sized(25))
    assert (len(cache), cache.num_bytes) == (1, 25)


def test_one_larger_than_the_cache_is_not_kept() -> None:
    cache = ConditionalsCache(max_bytes=30)
    small = cache.get("small", lambda: Sized(30))
    assert cache.get("huge", lambda: Sized(31)).num_bytes == 31
    assert cache.get("small", lambda: Sized(0)) is small


def test_many_threads_that_want_one_voice_compute_it_once() -> None:
    cache = ConditionalsCache(max_bytes=100)
    computed = []
    all_ask = threading.Barrier(8)

    def compute() -> Conditionals:
        computed.append(threading.get_ident())
        threading.Event().wait(0.2)  # long enough for the others to come and wait
        return Sized(1)

    def ask(results: list[Any]) -> None:
        all_ask.wait()
        results.append(cache.get("a", compute))

    results: list[Any] = []
    threads = [threading.Thread(target=ask, args=(results,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(computed) == 1
    assert len(results) == 8
    assert all(result is results[0] for result in results)


def test_while_one_voice_is_computed_others_are_not_held_up() -> None:
    cache = ConditionalsCache(max_bytes=100)
    begun, let_go = threading.Event(), threading.Event()

    def slow() -> Conditionals:
        begun.set()
        assert let_go.wait(10)
        return Sized(1)

    thread = threading.Thread(target=cache.get, args=("slow", slow))
    thread.start()
    assert begun.wait(10)
    assert cache.get("quick", lambda: Sized(2)).num_bytes == 2
    let_go.set()
    thread.join()
    assert len(cache) == 2


def test_a_failure_is_its_own_and_the_next_one_tries() -> None:
    cache = ConditionalsCache(max_bytes=100)

    def fail() -> Conditionals:
        raise ValueError("no voice")

    for _ in range(2):
        with pytest.raises(ValueError, match="no voice"):
            cache.get("a", fail)
    assert cache.get("a", lambda: Sized(3)).num_bytes == 3
