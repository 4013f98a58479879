"""Makers of test audio and of trees as other tools wrote them, and what a sound tree must satisfy."""

from __future__ import annotations

import gzip
import io
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

RATE_HZ = 24_000
ROOT = Path(__file__).parent.parent
OTHER_NUMPY = ROOT / ".venv-numpy1" / "bin" / "python"  # numpy 1.25, made by `make setup-full`


def tone(seconds: float = 1.0, rate_hz: int = RATE_HZ, pitch_hz: float = 150.0) -> np.ndarray:
    """(seconds * rate_hz,) float32: a buzz with three harmonics."""
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    harmonics = sum(np.sin(2 * np.pi * pitch_hz * k * t) / k for k in (1, 2, 3))
    return (0.2 * harmonics).astype(np.float32)


def pitch_of(samples: np.ndarray, rate_hz: int = RATE_HZ) -> float:
    """Frequency of the strongest partial, in Hz."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * rate_hz / len(samples))


def audio_file(samples: np.ndarray, rate_hz: int = RATE_HZ, file_format: str = "WAV", **options: Any) -> bytes:
    """The bytes of an audio file. samples: (frames,) or (frames, channels)."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate_hz, format=file_format, **options)
    return buffer.getvalue()


def pickled(value: Any, protocol: int = 4) -> bytes:
    return gzip.compress(pickle.dumps(value, protocol), compresslevel=1)


def read_json(path: Path) -> dict[str, Any]:
    value = json.loads(path.read_text(encoding="utf-8"))
    assert isinstance(value, dict)
    return value


def older_tree(root: Path) -> dict[str, str]:
    """A tree as older tools left them: no metadata files, gaps in the catalog, several kinds of pickle.

    Returns {voice_id: name}. Every voice holds one second of `tone()`.
    """
    audio = tone()
    full = {"audio": audio, "sample_rate": RATE_HZ, "duration": 1.0, "format": "wav"}
    voices = {
        # voice_id: (catalog entry, file, what the pickle holds)
        "aaaa0001": ({"embedding_file": "embeddings/aaaa0001.pkl.gz"}, "aaaa0001", full),
        "aaaa0002": ({"embedding_file": "aaaa0002.pkl.gz", "gender": None}, "aaaa0002", full),
        "aaaa0003": ({"embedding_file": "embeddings\\aaaa0003.pkl.gz", "duration": "?"}, "aaaa0003", audio),
        "aaaa0004": ({}, "aaaa0004", {"audio": audio.astype(np.float64), "sample_rate": np.int64(RATE_HZ)}),
        "aaaa0005": ({"embedding_file": "C:\\old\\voices\\Five.pkl.gz", "gender": "female"}, "Five", full),
        "voice_six": ({"sample_rate": 48_000}, "voice_six", tone(rate_hz=48_000)),
        "aaaa0007": ({}, "aaaa0007", {"audio": (audio * 32767).astype(np.int16), "sample_rate": RATE_HZ}),
        "aaaa0008": ({"voice_id": "aaaa0008", "sample_rate": None}, "aaaa0008", np.stack([audio, audio], axis=1)),
    }
    names = {voice_id: f"Speaker {number}" for number, voice_id in enumerate(voices, start=1)}
    (root / "embeddings").mkdir(parents=True)
    for _, stem, content in voices.values():
        (root / "embeddings" / f"{stem}.pkl.gz").write_bytes(pickled(content))
    catalog = {voice_id: {"speaker_name": names[voice_id], **entry} for voice_id, (entry, _, _) in voices.items()}
    (root / "voice_catalog.json").write_text(json.dumps(catalog), encoding="utf-8")
    (root / "name_mapping.json").write_text(json.dumps({name: key for key, name in names.items()}), encoding="utf-8")
    return names


def assert_all_places_agree(root: Path) -> set[str]:
    """Catalog, mapping, statistics, metadata and embeddings tell of the same voices; returns their ids."""
    catalog, mapping = read_json(root / "voice_catalog.json"), read_json(root / "name_mapping.json")
    voice_ids = set(catalog)
    assert {path.name.removesuffix(".json") for path in (root / "metadata").iterdir()} == voice_ids
    assert {path.name.removesuffix(".pkl.gz") for path in (root / "embeddings").iterdir()} == voice_ids
    assert mapping == {entry["speaker_name"]: voice_id for voice_id, entry in catalog.items()}
    for voice_id, entry in catalog.items():
        assert entry == read_json(root / "metadata" / f"{voice_id}.json")
    stats = read_json(root / "stats.json")
    assert stats["total_voices"] == sum(stats["gender_distribution"].values()) == len(voice_ids)
    return voice_ids
