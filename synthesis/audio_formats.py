"""Samples encoded as an audio file or a raw byte stream, by libsndfile and soxr.

Knows nothing of engines, jobs or files on disk. A rate is refused, never silently replaced.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import soundfile
import soxr

from synthesis.engine import SAMPLE_RATE_HZ, Samples
from synthesis.errors import InvalidOption

COMMON_RATES_HZ = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
_OPUS_RATES_HZ = (8_000, 12_000, 16_000, 24_000, 48_000)  # RFC 6716, section 2
_ULAW_RATES_HZ = (8_000,)  # ITU-T G.711


@dataclass(frozen=True)
class AudioFormat:
    """How a format is written and what can be told about it without encoding."""

    media_type: str
    suffix: str  # of a file name
    container: str  # libsndfile's `format`
    encoding: str  # libsndfile's `subtype`
    rates_hz: tuple[int, ...]
    default_rate_hz: int
    bytes_per_s: int  # of speech at the default rate, about; exact for the uncompressed ones
    lossy: bool = False


FORMATS = {
    "wav": AudioFormat("audio/wav", ".wav", "WAV", "PCM_16", COMMON_RATES_HZ, SAMPLE_RATE_HZ, 2 * SAMPLE_RATE_HZ),
    "flac": AudioFormat("audio/flac", ".flac", "FLAC", "PCM_16", COMMON_RATES_HZ, SAMPLE_RATE_HZ, 30_000),
    "mp3": AudioFormat("audio/mpeg", ".mp3", "MP3", "MPEG_LAYER_III", COMMON_RATES_HZ, SAMPLE_RATE_HZ, 10_000, True),
    "opus": AudioFormat("audio/ogg", ".opus", "OGG", "OPUS", _OPUS_RATES_HZ, SAMPLE_RATE_HZ, 5_000, True),
    # Headerless: the reader has to know rate, width and byte order (little-endian).
    "pcm": AudioFormat("audio/pcm", ".pcm", "RAW", "PCM_16", COMMON_RATES_HZ, SAMPLE_RATE_HZ, 2 * SAMPLE_RATE_HZ),
    "ulaw": AudioFormat("audio/basic", ".ulaw", "RAW", "ULAW", _ULAW_RATES_HZ, 8_000, 8_000),
}


def output_sample_rate_hz(format_name: str, wanted_hz: int | None = None) -> int:
    """The rate to encode at: wanted_hz, or the format's default. InvalidOption for one the format cannot carry."""
    audio_format = _format(format_name)
    if wanted_hz is None:
        return audio_format.default_rate_hz
    if wanted_hz not in audio_format.rates_hz:
        allowed = ", ".join(map(str, audio_format.rates_hz))
        raise InvalidOption(f"sample_rate is {wanted_hz}; allowed with {format_name} is {allowed}; choose one of them")
    return wanted_hz


def encode(samples: Samples, sample_rate_hz: int, format_name: str) -> bytes:
    """samples, (n,) float32 mono at SAMPLE_RATE_HZ, as a file of format_name whose rate is sample_rate_hz.

    What exceeds full scale is clipped. Raises InvalidOption for an unknown format or a rate it cannot carry, ValueError
    for no samples at all, or samples that are no finite numbers.
    """
    audio_format = _format(format_name)
    rate_hz = output_sample_rate_hz(format_name, sample_rate_hz)
    if not len(samples) or not np.isfinite(samples).all():
        raise ValueError("samples are empty, or hold NaN or infinity")
    audio = np.clip(samples, -1.0, 1.0)  # before the resampler too, which would spread an overload
    if rate_hz != SAMPLE_RATE_HZ:
        audio = np.clip(soxr.resample(audio, SAMPLE_RATE_HZ, rate_hz), -1.0, 1.0)
    if not audio_format.lossy:  # 16 bits, rounded here: libsndfile truncates
        audio = np.rint(audio * 32767).astype(np.int16)
    buffer = io.BytesIO()
    soundfile.write(
        buffer,
        audio,
        rate_hz,
        format=audio_format.container,
        subtype=audio_format.encoding,
        endian=_endian(audio_format),
    )
    return buffer.getvalue()


def _endian(audio_format: AudioFormat) -> str:
    return "LITTLE" if audio_format.container == "RAW" and audio_format.encoding == "PCM_16" else "FILE"


def _format(name: str) -> AudioFormat:
    if name not in FORMATS:
        raise InvalidOption(f"format is {name!r}; allowed is {', '.join(FORMATS)}; choose one of them")
    return FORMATS[name]
