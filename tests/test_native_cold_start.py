"""What the way from process start to the first audio may import. A heavy import costs seconds on every cold start."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="the light set has no model")
pytest.importorskip("chatterbox", reason="the light set has no model")

import random_chatterbox

HEAVY = {"chatterbox", "diffusers", "einops", "librosa", "numba", "omegaconf", "perth", "pkg_resources", "s3tokenizer",
         "pykakasi", "scipy", "sklearn", "spacy_pkuseg", "sympy", "torchaudio", "transformers", "torch._dynamo",
         "torch._inductor"}  # fmt: skip

PROGRAM = """
import sys
from pathlib import Path

import numpy as np

from synthesis import ReferenceAudio, SynthesisOptions
from synthesis.native.loading import load_native_engine

engine = load_native_engine(Path(sys.argv[1]), model=sys.argv[2], device="cpu", max_speech_tokens=3)
audio = engine.synthesize("Hello world.", engine.builtin(), SynthesisOptions())
assert len(audio) > 0
known_voice = set(sys.modules)
clip = np.random.default_rng(0).normal(0, 0.1, 125_000 if sys.argv[2] == "turbo" else 30_000)
engine.prepare(ReferenceAudio(clip.astype(np.float32)))
engine.close()
print(*known_voice)
print(*sys.modules)
"""


@pytest.fixture(scope="module", params=["base", "turbo", "multilingual"])
def loaded_modules(request: Any) -> list[set[str]]:
    """Modules loaded after the first audio, and after a new voice."""
    command = [sys.executable, "-c", PROGRAM, str(random_chatterbox.weights_folder(request.param)), request.param]
    root = Path(__file__).parents[1]
    run = subprocess.run(command, capture_output=True, text=True, cwd=root, check=True)
    return [set(line.split()) for line in run.stdout.splitlines()]


def test_the_first_audio_needs_nothing_heavy(loaded_modules: list[set[str]]) -> None:
    assert "torch" in loaded_modules[0]
    assert not loaded_modules[0] & HEAVY


def test_a_new_voice_needs_nothing_heavy(loaded_modules: list[set[str]]) -> None:
    assert not loaded_modules[1] & HEAVY
