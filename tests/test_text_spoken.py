"""What a job writes into its text, heard in the answer's audio."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from synthesis import SAMPLE_RATE_HZ, Samples
from synthesis.espeak import EspeakEngine
from worker.core import Worker
from worker.settings import Settings


@pytest.fixture
def worker(tmp_path: Path, espeak: EspeakEngine) -> Worker:
    return Worker(Settings(embeddings_dir=tmp_path, engine="espeak"), engine=espeak)


def spoken(worker: Worker, text: str, **fields: Any) -> Samples:
    answer = worker.answer({"id": "text", "input": {"text": text, "seed": 1, **fields}})
    assert "error" not in answer, answer
    samples, rate_hz = soundfile.read(io.BytesIO(base64.b64decode(answer["audio"])), dtype="float32")
    assert rate_hz == SAMPLE_RATE_HZ
    return np.asarray(samples, dtype=np.float32)


def longest_silence_s(samples: Samples) -> float:
    loud = np.flatnonzero(np.abs(samples) > 1e-3)
    return float(np.diff(loud).max() / SAMPLE_RATE_HZ)


def test_a_pause_tag_is_heard(worker: Worker) -> None:
    text = "We waited for a long time{} and then she came."
    assert longest_silence_s(spoken(worker, text.format(""))) < 0.5
    assert longest_silence_s(spoken(worker, text.format(" [pause:2]"))) == pytest.approx(2.0, abs=0.15)


def test_a_paragraph_is_heard(worker: Worker) -> None:
    text = "This is the first part of it.{}This is the second part of it."
    assert longest_silence_s(spoken(worker, text.format(" "))) < 0.5
    assert longest_silence_s(spoken(worker, text.format("\n\n"))) == pytest.approx(0.75, abs=0.15)


def test_a_pronunciation_is_heard(worker: Worker) -> None:
    asked = spoken(worker, "Here is Nguyen, my friend.", pronunciation={"Nguyen": "win"})
    np.testing.assert_array_equal(asked, spoken(worker, "Here is win, my friend."))
    assert len(asked) != len(spoken(worker, "Here is Nguyen, my friend."))


def test_a_number_is_heard_as_its_words(worker: Worker) -> None:
    np.testing.assert_array_equal(
        spoken(worker, "It cost $3.50 on May 3."),
        spoken(worker, "It cost three dollars and fifty cents on May third."),
    )
