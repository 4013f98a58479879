"""The real chatterbox package on random weights, loaded once for all tests of a run.

Few layers of T3 instead of 30 (see builder/make_random_weights.py); everything else has its full size. The weights,
1.3 to 1.8 GB a model, are written once and kept in .cache.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from chatterbox.tts import ChatterboxTTS

from synthesis import SAMPLE_RATE_HZ, ReferenceAudio
from synthesis.chatterbox import ChatterboxEngine
from synthesis.chatterbox_model import ChatterboxModel

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "builder/make_random_weights.py"
NUM_T3_LAYERS = 2
# Of the multilingual model as many as there must be for the heads that are watched (the highest is in layer 13). Both
# have narrow MLPs.
FEW_LAYERS = {"base": NUM_T3_LAYERS, "turbo": 2, "multilingual": 14}
MLP_SIZE = {"base": 4096, "turbo": 512, "multilingual": 512}
MAX_SPEECH_TOKENS = 20  # 0.8 s: random weights hardly ever end a segment themselves


@functools.cache
def weights_folder(model: str = "base") -> Path:
    sizes = ["--num-layers", str(FEW_LAYERS[model]), "--mlp-size", str(MLP_SIZE[model])]
    made_with = f"{SCRIPT.read_text()} {model} {sizes} {version('torch')} {version('chatterbox-tts')}"
    folder = ROOT / ".cache/random-weights" / hashlib.sha256(made_with.encode()).hexdigest()[:12]
    command = [sys.executable, SCRIPT, "--to", folder, "--model", model, *sizes]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return folder


def expect_few_layers() -> None:
    """T3s built in this process fit the random weights from now on."""
    from chatterbox.models.t3.llama_configs import LLAMA_CONFIGS

    LLAMA_CONFIGS["Llama_520M"]["num_hidden_layers"] = NUM_T3_LAYERS


@dataclass
class Loaded:
    engine: ChatterboxEngine
    printed: str  # while it was loaded

    @property
    def model(self) -> ChatterboxModel:
        return self.engine._chatterbox

    @property
    def upstream(self) -> ChatterboxTTS:
        return self.model._upstream

    def engine_with(self, model: ChatterboxModel | None = None, **options: Any) -> ChatterboxEngine:
        """Another engine, with an empty cache, on the loaded weights."""
        defaults = {"model": "base", "device": "cpu", "revision": "r1", "max_speech_tokens": MAX_SPEECH_TOKENS}
        return ChatterboxEngine(model or self.model, **{**defaults, **options})


@functools.cache
def load() -> Loaded:
    folder = weights_folder()
    # One: threads that wait for each other spin, and on a machine with other work that takes ten times the time.
    torch.set_num_threads(1)
    expect_few_layers()
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        engine = ChatterboxEngine.load(folder, device="cpu", max_speech_tokens=MAX_SPEECH_TOKENS)
    return Loaded(engine, printed.getvalue())


def engine() -> ChatterboxEngine:
    return load().engine


def reference(pitch_hz: float, duration_s: float = 1.2) -> ReferenceAudio:
    """A voice-like clip: a buzz of the pitch, swelling and falling like syllables, and a little breath."""
    t = np.arange(round(duration_s * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    buzz = 2 * ((t * pitch_hz) % 1) - 1
    syllables = np.sin(2 * np.pi * 2 * t) ** 2
    breath = np.random.default_rng(round(pitch_hz)).normal(0, 0.01, len(t))
    return ReferenceAudio((0.3 * buzz * syllables + breath).astype(np.float32))
