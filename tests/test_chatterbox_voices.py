"""Voices of the chatterbox engine: prepared, saved, read again, refused. The real package on random weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="the light set has no model")
pytest.importorskip("chatterbox", reason="the light set has no model")

import random_chatterbox
import torch
from chatterbox.tts import ChatterboxTTS, Conditionals
from random_chatterbox import Loaded, reference

from synthesis import ReferenceAudio
from synthesis.chatterbox_model import ChatterboxModel
from synthesis.conditionals import ChatterboxConditionals
from synthesis.errors import NoBuiltinVoice, UnusableReference

LOW = reference(100)


@pytest.fixture(scope="module")
def loaded() -> Loaded:
    return random_chatterbox.load()


class Store(dict[str, bytes]):
    """SavedConditionals in memory."""

    read = dict.get

    def write(self, key: str, blob: bytes) -> None:
        self[key] = blob


class FullStore(Store):
    def write(self, key: str, blob: bytes) -> None:
        raise OSError(28, "No space left on device")


def test_conditionals_are_saved_and_read_again(loaded: Loaded) -> None:
    store = Store()
    computed = loaded.engine_with().prepare(LOW, store)
    [key] = store
    assert key.replace("-", "").isalnum()
    assert key.startswith("chatterbox-base-r1-")
    assert isinstance(computed, ChatterboxConditionals)
    # What is read is what was saved: a marked copy comes back as it is.
    marked = ChatterboxConditionals(**{**computed.tensors(), "embedding": computed.embedding + 1})
    store[key] = marked.to_bytes("r1", LOW.digest)
    engine = loaded.engine_with()
    read = engine.prepare(LOW, store)
    assert isinstance(read, ChatterboxConditionals)
    assert torch.equal(read.embedding, computed.embedding + 1)
    store.clear()
    assert engine.prepare(LOW, store) is read  # from memory


@pytest.mark.parametrize("damage", [lambda blob: b"", lambda blob: blob[:-1]], ids=["empty", "cut short"])
def test_damaged_saved_conditionals_are_computed_anew(loaded: Loaded, damage: Any) -> None:
    store = Store()
    loaded.engine_with().prepare(LOW, store)
    [(key, blob)] = store.items()
    store[key] = damage(blob)
    loaded.engine_with().prepare(LOW, store)
    assert store[key] == blob


def test_conditionals_of_other_weights_are_not_used(loaded: Loaded) -> None:
    store = Store()
    loaded.engine_with(revision="r1").prepare(LOW, store)
    loaded.engine_with(revision="r2").prepare(LOW, store)
    assert len(store) == 2


def test_a_store_that_cannot_be_written_costs_only_time(loaded: Loaded, caplog: pytest.LogCaptureFixture) -> None:
    assert loaded.engine_with().prepare(LOW, FullStore()).num_bytes > 0
    assert "could not be saved" in caplog.text


@pytest.mark.parametrize(
    ("samples", "fault"),
    [
        (np.zeros(0, np.float32), "has 0.00 s"),
        (LOW.samples[:23_999], "has 1.00 s"),
        (np.zeros((24_000, 2), np.float32), "mono"),
        (np.full(24_000, 1e-5, np.float32), "silent"),
        (np.full(24_000, np.nan, np.float32), "NaN"),
    ],
)
def test_a_clip_without_a_voice_is_refused(loaded: Loaded, samples: np.ndarray, fault: str) -> None:
    with pytest.raises(UnusableReference, match=fault):
        loaded.engine_with().prepare(ReferenceAudio(samples))


def test_weights_without_a_usable_voice_bring_none(loaded: Loaded, caplog: pytest.LogCaptureFixture) -> None:
    upstream = loaded.upstream
    damaged = Conditionals(upstream.conds.t3, {**upstream.conds.gen, "embedding": torch.zeros(1, 10)})
    for conds in (None, damaged):
        bare = ChatterboxTTS(upstream.t3, upstream.s3gen, upstream.ve, upstream.tokenizer, "cpu", conds)
        with pytest.raises(NoBuiltinVoice, match="name one"):
            loaded.engine_with(ChatterboxModel(bare)).builtin()
    assert "conds.pt, cannot be used: embedding" in caplog.text
