"""Fixtures of several test files."""

from __future__ import annotations

import functools
import gc
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from s3_fixtures import gateway, moto, s3_server  # noqa: F401 - fixtures of every test that asks for them

from synthesis import SAMPLE_RATE_HZ, Samples, SynthesisOptions
from synthesis.espeak import EspeakEngine

# How long an example takes is the machine's business: tests run side by side.
hypothesis.settings.register_profile("default", deadline=None)
hypothesis.settings.load_profile("default")

MODULES_WITH_MODELS = ("random_chatterbox", "s3gen_oracle", "t3_models_oracle", "t3_oracle")


@pytest.fixture(scope="module", autouse=True)
def models_are_kept_for_one_file() -> Iterator[None]:
    """Loaded once a file, in seconds; all at once they are 8 GB."""
    yield
    for module in [sys.modules[name] for name in MODULES_WITH_MODELS if name in sys.modules]:
        for cached in vars(module).values():
            if isinstance(cached, functools._lru_cache_wrapper) and cached.__name__ != "weights_folder":
                cached.cache_clear()
    gc.collect()


@pytest.fixture(scope="session")
def espeak() -> EspeakEngine:
    return EspeakEngine()


@pytest.fixture(scope="session")
def speech(espeak: EspeakEngine) -> Samples:
    """About five seconds of real speech, (n,) float32 at 24 kHz."""
    text = "The quick brown fox jumps over the lazy dog, and then it does so once more for everyone who missed it."
    samples = espeak.synthesize(text, espeak.builtin(), SynthesisOptions())
    assert len(samples) > 3 * SAMPLE_RATE_HZ
    return samples


def tree_state(tree: Path) -> dict[str, bytes]:
    """Every file below `tree` with its content, lock files aside: two equal states mean that nothing was changed."""
    files = (path for path in sorted(tree.rglob("*")) if path.is_file() and not path.name.endswith(".lock"))
    return {str(path.relative_to(tree)): path.read_bytes() for path in files}


def level_dbfs(samples: Samples) -> float:
    """Root mean square of all samples, dB relative to full scale."""
    return float(20 * np.log10(np.sqrt(np.mean(np.square(samples, dtype=np.float64))) + 1e-12))
