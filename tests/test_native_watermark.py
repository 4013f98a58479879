"""Our watermark against Perth's own: the same samples, and one that Perth's reader finds."""

from __future__ import annotations

import itertools
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from s3gen_oracle import quiet_imports

from synthesis import SAMPLE_RATE_HZ, Samples
from synthesis.native.watermark import MarkedStream, Watermarker


@pytest.fixture(scope="module")
def perth() -> Any:
    quiet_imports()
    import perth

    return perth.PerthImplicitWatermarker()


@pytest.fixture(scope="module")
def ours() -> Watermarker:
    return Watermarker.load()


def test_mark_is_perths(perth: Any, ours: Watermarker, speech: Samples) -> None:
    samples = speech[: 100 * 960]
    expected = perth.apply_watermark(samples, sample_rate=SAMPLE_RATE_HZ)
    marked = ours.mark(samples)
    assert marked.shape == expected.shape
    assert np.abs(marked - expected).max() <= 1e-6
    assert perth.get_watermark(samples, SAMPLE_RATE_HZ) == 0
    assert perth.get_watermark(marked, SAMPLE_RATE_HZ) == 1


@pytest.mark.parametrize("size", [0, 1, 500, 24_001])
def test_any_length_is_kept(ours: Watermarker, speech: Samples, size: int) -> None:
    assert len(ours.mark(speech[5000 : 5000 + size])) == size


def test_silence_stays_silent(ours: Watermarker) -> None:
    assert not ours.mark(np.zeros(24_000, dtype=np.float32)).any()


def test_stream_is_marked_without_a_seam(perth: Any, ours: Watermarker, speech: Samples) -> None:
    samples = speech[: 120 * 960]
    joins = [10 * 960, 60 * 960, 110 * 960]
    stream = MarkedStream(ours)
    edges = list(itertools.pairwise([0, *joins, len(samples)]))
    marked = np.concatenate([stream.mark(samples[a:b], is_last=b == len(samples)) for a, b in edges])
    assert perth.get_watermark(marked, SAMPLE_RATE_HZ) == 1
    added = marked - samples
    assert np.abs(added).max() > 0
    for join in joins:
        assert np.abs(added[join - 2 : join + 2]).max() <= 0.01 * np.abs(added).max()


def test_marking_imports_nothing_heavy() -> None:
    script = (
        "import sys, numpy; from synthesis.native.watermark import Watermarker\n"
        "Watermarker.load().mark(numpy.ones(24000, numpy.float32))\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert not {"perth", "librosa", "numba", "scipy", "torchaudio", "yaml", "pkg_resources"} & set(loaded)
