"""What the standalone writer refuses, and in which words: one clear line each, and nothing left behind."""

from __future__ import annotations

import base64
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from voices import RATE_HZ, audio_file, tone

import generate_voice_embedding as writer
from generate_voice_embedding import (
    InvalidInput,
    TooLarge,
    UnreadableAudio,
    VoiceEmbeddingError,
    create_voice_embedding,
    read_audio,
)

WAV = audio_file(tone(2))
SHORT_HEADER = WAV[:30]
NOT_FINITE = tone()
NOT_FINITE[500] = np.nan
INFINITE = tone()
INFINITE[500] = -np.inf


def from_array(audio: Any = None, rate_hz: Any = RATE_HZ, name: Any = "Ann", **options: Any) -> Callable[[Path], Any]:
    audio = tone() if audio is None else audio
    return lambda tree: create_voice_embedding.from_array(audio, rate_hz, name, embeddings_dir=tree, **options)


def from_base64(text: Any) -> Callable[[Path], Any]:
    return lambda tree: create_voice_embedding.from_base64(text, "Ann", embeddings_dir=tree)


def from_bytes(content: bytes, name: str = "recording.wav") -> Callable[[Path], Any]:
    def register(tree: Path) -> Any:
        file = tree.parent / name
        file.write_bytes(content)
        return create_voice_embedding.from_file(file, "Ann", embeddings_dir=tree)

    return register


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


REFUSALS: dict[str, tuple[Callable[[Path], Any], type[VoiceEmbeddingError], str]] = {
    "no such file": (
        lambda tree: create_voice_embedding("none.wav", "Ann", embeddings_dir=tree),
        UnreadableAudio,
        "none",
    ),
    "a folder": (
        lambda tree: create_voice_embedding(tree.parent, "Ann", embeddings_dir=tree),
        UnreadableAudio,
        "no audio",
    ),
    "a path with NUL": (
        lambda tree: create_voice_embedding("a\0b", "Ann", embeddings_dir=tree),
        UnreadableAudio,
        "file",
    ),
    "no path": (lambda tree: create_voice_embedding(7, "Ann", embeddings_dir=tree), UnreadableAudio, "opened"),
    "an empty file": (from_bytes(b""), UnreadableAudio, "decoded"),
    "text": (from_bytes(b"not audio " * 100), UnreadableAudio, "decoded"),
    "half a header": (from_bytes(SHORT_HEADER), UnreadableAudio, "decoded"),
    "headerless samples": (from_bytes(tone().tobytes(), "recording.raw"), UnreadableAudio, "decoded"),
    "a file without frames": (from_bytes(audio_file(tone(0))), InvalidInput, "0.00 s"),
    "under a second": (from_array(tone(0.99)), InvalidInput, "0.99 s"),
    "a file under a second": (from_bytes(audio_file(tone(0.5))), InvalidInput, "0.50 s"),
    "over ten minutes": (from_array(np.zeros(601 * 1000, np.float32), 1000), TooLarge, "601 s"),
    "a file over ten minutes": (from_bytes(audio_file(np.zeros(601 * 1000), 1000)), TooLarge, "601 s"),
    "more frames than are decoded": (
        from_array(np.broadcast_to(np.float32(0), writer.MAX_SOURCE_FRAMES + 1), 2_000_000),
        TooLarge,
        "2000000 Hz",
    ),
    "silence": (from_array(np.zeros(RATE_HZ, np.float32)), InvalidInput, "silent"),
    "dither": (from_array(np.random.default_rng(0).integers(-2, 3, RATE_HZ).astype(np.int16)), InvalidInput, "silent"),
    "a constant": (from_array(np.full(RATE_HZ, 0.7)), InvalidInput, "silent"),
    "NaN": (from_array(NOT_FINITE), InvalidInput, "NaN"),
    "infinite": (from_array(INFINITE), InvalidInput, "infinite"),
    "infinite as float32": (from_array(np.full(RATE_HZ, 1e200)), InvalidInput, "infinite"),
    "NaN in a file": (from_bytes(audio_file(NOT_FINITE, subtype="FLOAT")), InvalidInput, "NaN"),
    "complex": (from_array(tone().astype(np.complex64)), InvalidInput, "complex64"),
    "objects": (from_array(np.array([None] * RATE_HZ)), InvalidInput, "object"),
    "text samples": (from_array("abc"), InvalidInput, "0.00 s"),
    "three axes": (from_array(np.zeros((1, RATE_HZ, 2))), InvalidInput, "shape"),
    "no channels": (from_array(np.zeros((RATE_HZ, 0))), InvalidInput, "shape"),
    "no rate": (from_array(rate_hz=0), InvalidInput, "sample_rate"),
    "a negative rate": (from_array(rate_hz=-24_000), InvalidInput, "sample_rate"),
    "half a hertz": (from_array(rate_hz=24_000.5), InvalidInput, "sample_rate"),
    "NaN hertz": (from_array(rate_hz=float("nan")), InvalidInput, "sample_rate"),
    "a rate in words": (from_array(rate_hz="24000"), InvalidInput, "sample_rate"),
    "an empty name": (from_array(name=""), InvalidInput, "empty"),
    "a blank name": (from_array(name=" \t "), InvalidInput, "empty"),
    "an invisible name": (from_array(name="\u200b\u200d"), InvalidInput, "empty"),
    "a control character": (from_array(name="a\x07b"), InvalidInput, "control"),
    "a line break": (from_array(name="a\nb"), InvalidInput, "control"),
    "a lone surrogate": (from_array(name="a\ud800"), InvalidInput, "control"),
    "a long name": (from_array(name="x" * 201), InvalidInput, "201 characters"),
    "a name that is no text": (from_array(name=7), InvalidInput, "int"),
    "a gender that is no text": (from_array(gender=["male"]), InvalidInput, "gender"),
    "a long description": (from_array(voice_description="x" * 2001), InvalidInput, "2001"),
    "an unknown conflict rule": (from_array(on_conflict="maybe"), InvalidInput, "on_conflict"),
    "not base64": (from_base64("This is not base64!"), InvalidInput, "base64"),
    "base64 without padding": (from_base64(encoded(b"four").rstrip("=")), InvalidInput, "base64"),
    "base64 that is not ASCII": (from_base64("ä" * 8), InvalidInput, "base64"),
    "empty base64": (from_base64(""), InvalidInput, "empty"),
    "base64 of no audio": (from_base64(encoded(b"no audio" * 50)), UnreadableAudio, "decoded"),
    "base64 that is no text": (from_base64(7), InvalidInput, "int"),
    "a data URL without base64": (from_base64("data:audio/wav,RIFF"), InvalidInput, "data: URL"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals_are_clear_and_leave_nothing_behind(case: str, tmp_path: Path) -> None:
    register, error_type, word = REFUSALS[case]
    with pytest.raises(VoiceEmbeddingError) as refused:
        register(tmp_path / "tree")
    assert type(refused.value) is error_type
    assert word in str(refused.value)
    assert "\n" not in str(refused.value)
    assert str(tmp_path) not in str(refused.value)
    assert not (tmp_path / "tree").exists()


def test_each_error_has_the_contracts_code() -> None:
    assert {error.__name__: error.code for error in VoiceEmbeddingError.__subclasses__()} == {
        "InvalidInput": "INVALID_INPUT",
        "UnreadableAudio": "UNREADABLE_AUDIO",
        "NameTaken": "NAME_TAKEN",
        "TooLarge": "TOO_LARGE",
        "StorageFailed": "STORAGE_UNAVAILABLE",
    }


def test_a_giant_file_is_refused_by_its_header(tmp_path: Path) -> None:
    giant = tmp_path / "giant.wav"
    giant.write_bytes(audio_file(tone(1, 8_000), 8_000))
    size = 800 * 2**20  # sparse: takes no room on the disk
    with giant.open("r+b") as file:
        file.truncate(size)
        for offset, value in ((4, size - 8), (40, size - 44)):  # RIFF and data chunk sizes
            file.seek(offset)
            file.write(value.to_bytes(4, "little"))
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(TooLarge, match="over 52429 s"):
        read_audio(giant)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 20 * 1024
    with giant.open("r+b") as file:
        file.truncate(10 * 2**30)
    with pytest.raises(TooLarge, match="bytes, the limit"):
        read_audio(giant)


def test_a_file_that_leaves_its_length_open_is_refused_for_what_it_is() -> None:
    """Encoders that write FLAC to a pipe leave the number of samples at zero; libsndfile cannot seek in such a file."""
    flac = bytearray(audio_file(tone(2), file_format="FLAC"))
    assert flac[:4] == b"fLaC"
    flac[21] &= 0xF0  # STREAMINFO: the low half of this byte and the next four are the number of samples
    flac[22:26] = bytes(4)
    with pytest.raises(UnreadableAudio, match="convert it to wav"):
        read_audio(bytes(flac))


def test_base64_over_the_limit_is_not_decoded() -> None:
    with pytest.raises(TooLarge):
        writer.decode_base64("A" * 200, max_bytes=100)
    assert writer.decode_base64(base64.encodebytes(bytes(100)), max_bytes=100) == bytes(100)
