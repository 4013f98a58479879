"""Every output format through libsndfile and back: level, pitch, length and rate survive."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile
from conftest import level_dbfs

from synthesis import FORMATS, SAMPLE_RATE_HZ, Samples, encode, output_sample_rate_hz
from synthesis.audio_formats import COMMON_RATES_HZ
from synthesis.errors import InvalidOption
from synthesis.pitch import median_f0_hz

EVERY_FORMAT_AND_RATE = [(name, rate_hz) for name in FORMATS for rate_hz in FORMATS[name].rates_hz]
MAGIC = {"wav": b"RIFF", "flac": b"fLaC", "mp3": (b"ID3", b"\xff"), "opus": b"OggS"}


def ulaw_decoded(encoded: bytes) -> Samples:
    """ITU-T G.711 mu-law, written here from the recommendation: inverted bits, sign, 3 bits segment, 4 bits step."""
    byte = ~np.frombuffer(encoded, np.uint8)
    segment, step = (byte >> 4) & 7, byte & 15
    magnitude = ((2 * step.astype(np.int32) + 33) << segment) - 33  # 14 bits
    return (np.where(byte & 128, -magnitude, magnitude) / 8192).astype(np.float32)


def decoded(encoded: bytes, name: str, rate_hz: int) -> Samples:
    if name == "pcm":
        return (np.frombuffer(encoded, "<i2") / 32768).astype(np.float32)
    if name == "ulaw":
        return ulaw_decoded(encoded)
    samples, found_rate_hz = soundfile.read(io.BytesIO(encoded), dtype="float32")
    assert found_rate_hz == rate_hz
    assert samples.ndim == 1
    return samples  # type: ignore[no-any-return]


@pytest.mark.parametrize(("name", "rate_hz"), EVERY_FORMAT_AND_RATE)
def test_speech_survives_the_round_trip(speech: Samples, name: str, rate_hz: int) -> None:
    speech = speech[: 3 * SAMPLE_RATE_HZ]
    heard = decoded(encode(speech, rate_hz, name), name, rate_hz)
    assert len(heard) / rate_hz == pytest.approx(len(speech) / SAMPLE_RATE_HZ, abs=0.001)
    assert level_dbfs(heard) == pytest.approx(level_dbfs(speech), abs=1.0)
    assert median_f0_hz(heard, rate_hz) == pytest.approx(median_f0_hz(speech, SAMPLE_RATE_HZ), rel=0.02)


@pytest.mark.parametrize("name", ["wav", "flac", "pcm"])
def test_sixteen_bits_are_exact_to_half_a_step(speech: Samples, name: str) -> None:
    heard = decoded(encode(speech, SAMPLE_RATE_HZ, name), name, SAMPLE_RATE_HZ)
    assert np.abs(heard * 32768 / 32767 - speech).max() <= 0.51 / 32767


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_too_loud_is_clipped_and_never_wraps(name: str) -> None:
    time_s = np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    overload = (3 * np.sin(2 * np.pi * 150 * time_s)).astype(np.float32)
    rate_hz = output_sample_rate_hz(name)
    heard = decoded(encode(overload, rate_hz, name), name, rate_hz)
    wave = np.sin(2 * np.pi * 150 * np.arange(rate_hz) / rate_hz)
    plateau = np.abs(wave) > 0.8  # well inside what is clipped
    plateau[: rate_hz // 10] = plateau[-rate_hz // 10 :] = False  # lossy codecs fade in and out
    assert (heard[:rate_hz] * np.sign(wave))[plateau].min() > 0.7


@pytest.mark.parametrize("name", FORMATS)
def test_resampling_takes_no_alias_along(name: str) -> None:
    """A tone above what 8 kHz can carry is gone, not mirrored."""
    time_s = np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    whistle = (0.5 * np.sin(2 * np.pi * 6_000 * time_s)).astype(np.float32)
    heard = decoded(encode(whistle, 8_000, name), name, 8_000)
    assert level_dbfs(heard[1000:-1000]) < -50


@pytest.mark.parametrize("name", FORMATS)
def test_the_file_says_what_it_is(speech: Samples, name: str) -> None:
    encoded = encode(speech, output_sample_rate_hz(name), name)
    assert encoded.startswith(MAGIC.get(name, b""))
    assert FORMATS[name].suffix == f".{name}"
    if name in ("mp3", "opus"):
        assert soundfile.info(io.BytesIO(encoded)).subtype == FORMATS[name].encoding


@pytest.mark.parametrize("name", FORMATS)
def test_the_size_can_be_told_beforehand(speech: Samples, name: str) -> None:
    encoded = encode(speech, output_sample_rate_hz(name), name)
    expected = FORMATS[name].bytes_per_s * len(speech) / SAMPLE_RATE_HZ
    assert 0.6 < len(encoded) / expected < 1.2


@pytest.mark.parametrize("num_samples", [1, 7, 100])
@pytest.mark.parametrize("name", FORMATS)
def test_very_short_audio_is_a_valid_file(name: str, num_samples: int) -> None:
    rate_hz = output_sample_rate_hz(name)
    heard = decoded(encode(np.full(num_samples, 0.1, np.float32), rate_hz, name), name, rate_hz)
    assert len(heard) == pytest.approx(num_samples * rate_hz / SAMPLE_RATE_HZ, abs=1)


@pytest.mark.parametrize("samples", [[], [np.nan], [0.1, np.inf]])
def test_what_is_no_audio_is_refused(samples: list[float]) -> None:
    with pytest.raises(ValueError, match="empty, or hold NaN"):
        encode(np.array(samples, np.float32), SAMPLE_RATE_HZ, "wav")


@pytest.mark.parametrize("name", FORMATS)
def test_the_default_rate_is_allowed_and_taken(name: str) -> None:
    assert output_sample_rate_hz(name) == FORMATS[name].default_rate_hz in FORMATS[name].rates_hz


@pytest.mark.parametrize("name", FORMATS)
def test_any_common_rate_is_given_or_refused_with_those_allowed(name: str) -> None:
    for rate_hz in COMMON_RATES_HZ:
        if rate_hz in FORMATS[name].rates_hz:
            assert output_sample_rate_hz(name, rate_hz) == rate_hz
        else:
            with pytest.raises(InvalidOption, match=f"{rate_hz}; allowed with {name} is 8000"):
                output_sample_rate_hz(name, rate_hz)


@pytest.mark.parametrize("rate_hz", [0, -1, 7_999, 23_999, 96_000])
def test_an_odd_rate_is_refused(speech: Samples, rate_hz: int) -> None:
    with pytest.raises(InvalidOption, match="24000"):
        encode(speech, rate_hz, "wav")


def test_an_unknown_format_is_refused_with_those_allowed() -> None:
    with pytest.raises(InvalidOption, match="'aac'; allowed is wav, flac, mp3, opus, pcm, ulaw"):
        output_sample_rate_hz("aac")
