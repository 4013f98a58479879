"""What a report says of a recording, and which stretch of it is kept."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr

from generate_voice_embedding import (
    MODEL_LISTENS_S,
    SAMPLE_RATE_HZ,
    InvalidInput,
    Recording,
    create_voice_embedding,
    enrol,
    main,
)
from synthesis import Samples, SynthesisOptions
from synthesis.espeak import EspeakEngine
from voice_library import VoiceLibrary
from voice_library.local import LocalLibrary
from voice_library.mirror.file_cache import DiskCache
from voice_library.mirror.library import MirroredLibrary
from voice_library.stores.folder import FolderStore
from worker.core import Worker
from worker.settings import Settings

WORDS = "This is someone who reads a story aloud, slowly and clearly, so that others can learn the voice from it. "


@pytest.fixture(scope="module")
def voice(espeak: EspeakEngine) -> Samples:
    """Twelve seconds of clear speech in a quiet room, full scale 0.5."""
    samples = espeak.synthesize(WORDS * 2, espeak.builtin(), SynthesisOptions())[: 12 * SAMPLE_RATE_HZ]
    noise = np.random.default_rng(1).standard_normal(len(samples)).astype(np.float32) * 1e-4
    return np.asarray(samples / np.abs(samples).max() * 0.5 + noise, np.float32)


def report_on(samples: Samples, channels: int = 1) -> dict[str, Any]:
    return enrol(Recording(samples.astype(np.float32), channels))[1]


def noise_like(samples: Samples, below_peak_db: float) -> Samples:
    noise = np.random.default_rng(2).standard_normal(len(samples))
    return np.asarray(noise * np.abs(samples).max() * 10 ** (-below_peak_db / 20), np.float32)


def test_a_good_recording_needs_no_advice(voice: Samples) -> None:
    report = report_on(voice, channels=2)
    assert report["advice"] == []
    assert report["duration"] == pytest.approx(len(voice) / SAMPLE_RATE_HZ, abs=0.001)
    assert report["peak_dbfs"] == pytest.approx(-6, abs=0.2)
    assert report["clipping"] == 0
    assert report["noise_floor_dbfs"] == pytest.approx(-80, abs=3)
    assert report["speech_ratio"] > 0.85
    assert report["bandwidth_hz"] > 6_000
    assert report["channels"] == 2
    assert report["reference_window"] == {"start": 0.0, "end": report["duration"]}


@pytest.mark.parametrize(
    ("spoil", "field", "low", "high", "advice"),
    [
        (lambda voice: np.clip(voice, -0.2, 0.2), "clipping", 0.001, 0.2, "It is clipped"),
        (lambda voice: voice * 0.05, "peak_dbfs", -33, -31, "It is quiet"),
        (lambda voice: voice + noise_like(voice, 34), "snr_db", 5, 24, "The noise is only"),
        (lambda voice: voice[: 3 * SAMPLE_RATE_HZ], "duration", 3, 3, "It is 3.0 s long"),
        (
            lambda voice: np.concatenate([np.zeros(6 * SAMPLE_RATE_HZ), voice]),
            "speech_ratio",
            0.5,
            0.7,
            "Only 4",
        ),
        (
            lambda voice: soxr.resample(soxr.resample(voice, SAMPLE_RATE_HZ, 8_000), 8_000, SAMPLE_RATE_HZ),
            "bandwidth_hz",
            3_000,
            4_200,
            "as on a telephone",
        ),
        (lambda voice: np.concatenate([voice, voice]), "duration", 20, 24, "Only its first 10 s"),
    ],
    ids=["clipped", "quiet", "noisy", "short", "pauses", "telephone", "long"],
)
def test_what_is_wrong_is_measured_and_said(
    voice: Samples, spoil: Any, field: str, low: float, high: float, advice: str
) -> None:
    report = report_on(spoil(voice))
    assert low <= report[field] <= high
    [sentence] = [sentence for sentence in report["advice"] if advice in sentence]
    assert sentence.endswith(".")
    assert len(report["advice"]) <= 2


@pytest.mark.parametrize("place", [0, 1, 2])
def test_the_cleanest_stretch_is_found(voice: Samples, place: int) -> None:
    bad = np.concatenate([np.clip(voice, -0.1, 0.1) * 2 + noise_like(voice, 30), np.zeros(5 * SAMPLE_RATE_HZ)])
    parts = [bad, bad]
    parts.insert(place, voice)
    recording = np.concatenate(parts).astype(np.float32)
    kept, report = enrol(Recording(recording), "auto")
    start = sum(len(part) for part in parts[:place]) / SAMPLE_RATE_HZ
    window = report["reference_window"]
    assert start - 0.6 <= window["start"]
    assert window["end"] <= start + len(voice) / SAMPLE_RATE_HZ + 0.6
    assert MODEL_LISTENS_S - 1 <= window["end"] - window["start"] <= MODEL_LISTENS_S
    np.testing.assert_array_equal(
        kept, recording[round(window["start"] * SAMPLE_RATE_HZ) : round(window["end"] * SAMPLE_RATE_HZ)]
    )
    assert report["duration"] == pytest.approx(len(recording) / SAMPLE_RATE_HZ, abs=0.001)
    assert not [sentence for sentence in report["advice"] if "clipped" in sentence or "noise" in sentence]


def test_a_short_recording_is_kept_whole(voice: Samples) -> None:
    short = voice[: 9 * SAMPLE_RATE_HZ]
    np.testing.assert_array_equal(enrol(Recording(short), "auto")[0], short)
    with pytest.raises(InvalidInput, match="allowed are start and auto"):
        enrol(Recording(short), "best")


@pytest.mark.parametrize("kind", ["local", "mirrored"])
def test_the_report_is_kept_with_the_voice_and_answered(tmp_path: Path, voice: Samples, kind: str) -> None:
    settings = Settings(embeddings_dir=tmp_path / "tree", engine="espeak")
    library: VoiceLibrary = LocalLibrary(tmp_path / "tree")
    if kind == "mirrored":
        library = MirroredLibrary(FolderStore(tmp_path / "bucket"), DiskCache(tmp_path / "tree", 10**8))
    worker = Worker(settings, library, EspeakEngine())
    stereo = np.stack([voice, voice], axis=1)
    long = np.concatenate([np.zeros((8 * SAMPLE_RATE_HZ, 2), np.float32), stereo])
    file = io.BytesIO()
    soundfile.write(file, long, SAMPLE_RATE_HZ, format="FLAC")
    job = {"type": "register_voice", "voice_name": "Ann", "reference_audio": base64.b64encode(file.getvalue()).decode()}
    answer = worker.answer({"input": {**job, "reference_window": "auto"}})
    report = answer["report"]
    assert report["channels"] == 2
    assert report["reference_window"]["start"] > 7
    assert answer["duration"] == pytest.approx(
        report["reference_window"]["end"] - report["reference_window"]["start"], abs=0.002
    )
    stored = worker.answer({"input": {"type": "get_voice", "voice_name": "Ann"}})["report"]
    assert {**stored, "advice": report["advice"]} == report
    assert "advice" not in stored
    [listed] = worker.answer({"input": {"type": "list_voices"}})["voices"]
    assert "report" not in listed
    refused = worker.answer({"input": {**job, "reference_window": "middle"}})["error"]
    assert refused.startswith("INVALID_INPUT: reference_window is 'middle'; allowed are 'start' or 'auto'")
    library.close()


def test_the_command_line_gives_the_advice(tmp_path: Path, voice: Samples, capsys: pytest.CaptureFixture[str]) -> None:
    soundfile.write(tmp_path / "me.wav", np.clip(voice, -0.2, 0.2), SAMPLE_RATE_HZ)
    folder = ["--embeddings-dir", str(tmp_path / "tree"), "--reference-window", "auto"]
    assert main([str(tmp_path / "me.wav"), "Me", *folder]) == 0
    assert "It is clipped" in capsys.readouterr().out


def test_arrays_are_reported_as_files_are(tmp_path: Path, voice: Samples) -> None:
    result = create_voice_embedding.from_array(np.stack([voice, voice]), SAMPLE_RATE_HZ, "Ann", embeddings_dir=tmp_path)
    assert result["report"] == report_on(voice, channels=2)
