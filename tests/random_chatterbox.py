"""The real chatterbox package on random weights, loaded once for all tests of a run.

Two layers of T3 instead of 30 (see builder/make_random_weights.py); everything else has its full size. The weights,
1.3 GB, are written once and kept in .cache.
"""

from __future__ import annotations

import functools
import hashlib
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from synthesis import SAMPLE_RATE_HZ, ReferenceAudio
from synthesis.chatterbox import ChatterboxEngine

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "builder/make_random_weights.py"
NUM_T3_LAYERS = 2
MAX_SPEECH_TOKENS = 20  # 0.8 s: random weights hardly ever end a segment themselves


@functools.cache
def weights_folder() -> Path:
    made_with = f"{SCRIPT.read_text()} {NUM_T3_LAYERS} {version('torch')} {version('chatterbox-tts')}"
    folder = ROOT / ".cache/random-weights" / hashlib.sha256(made_with.encode()).hexdigest()[:12]
    command = [sys.executable, SCRIPT, "--to", folder, "--num-layers", str(NUM_T3_LAYERS)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return folder


def expect_few_layers() -> None:
    """T3s built in this process fit the random weights from now on."""
    sys.path.insert(0, str(SCRIPT.parent))
    from make_random_weights import set_num_t3_layers

    set_num_t3_layers(NUM_T3_LAYERS)


@functools.cache
def engine() -> ChatterboxEngine:
    # One: threads that wait for each other spin, and on a machine with other work that takes ten times the time.
    torch.set_num_threads(1)
    expect_few_layers()
    return ChatterboxEngine.load(weights_folder(), device="cpu", max_speech_tokens=MAX_SPEECH_TOKENS)


def reference(pitch_hz: float, duration_s: float = 1.2) -> ReferenceAudio:
    """A voice-like clip: a buzz of the pitch, swelling and falling like syllables, and a little breath."""
    t = np.arange(round(duration_s * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    buzz = 2 * ((t * pitch_hz) % 1) - 1
    syllables = np.sin(2 * np.pi * 2 * t) ** 2
    breath = np.random.default_rng(round(pitch_hz)).normal(0, 0.01, len(t))
    return ReferenceAudio((0.3 * buzz * syllables + breath).astype(np.float32))
