"""Make a voice embedding: turn a recording into a named voice in a tree of files.

    from generate_voice_embedding import create_voice_embedding
    voice = create_voice_embedding.from_file("my_voice.wav", "MyVoice", embeddings_dir="voice_embeddings")

    python generate_voice_embedding.py my_voice.wav MyVoice [--gender male] [--description ...] [--embeddings-dir D]

This one file may be copied into any application that has numpy (1.24 to 2.x), soundfile and librosa, whose resampler
it uses; it needs nothing else. It is the only writer of the format. It never reads an embedding back, and knows nothing
of engines or buckets.

The tree (`VoiceTree`) is safe with many processes on one disk: files are replaced whole, under an advisory lock, and
`metadata/` is the truth from which a damaged catalog, mapping or statistics are healed.

Errors, each a ValueError whose `code` says the kind and whose message is one line for the person who called:

    VoiceEmbeddingError
    ├── InvalidInput       INVALID_INPUT        a name, option, array or base64 string, or what the audio holds
    ├── UnreadableAudio    UNREADABLE_AUDIO     no such file, or nothing that libsndfile can decode
    ├── NameTaken          NAME_TAKEN           another voice has that name
    ├── TooLarge           TOO_LARGE            more bytes or more minutes than are taken
    └── StorageFailed      STORAGE_UNAVAILABLE  the disk did not do what was asked; nothing was registered
"""

from __future__ import annotations

import argparse
import base64
import binascii
import gzip
import hashlib
import io
import json
import os
import pickle
import re
import secrets
import shutil
import sys
import time
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

SAMPLE_RATE_HZ = 24_000  # what Chatterbox conditions on (its `s3gen/const.py:S3GEN_SR`)
MIN_DURATION_S = 1
MAX_DURATION_S = 600
MIN_SOURCE_RATE_HZ = 1_000  # below this nothing of a voice is left
MAX_SOURCE_FRAMES = MAX_DURATION_S * 192_000  # bounds memory: 460 MB of float32; rates above 192 kHz may be shorter
MAX_AUDIO_BYTES = MAX_SOURCE_FRAMES * 2 * 4  # an encoded recording: stereo, 32 bit
MAX_CHANNELS = 1024  # libsndfile's own limit (`common.h:SF_MAX_CHANNELS`)
SILENCE_PEAK = 1e-3  # -60 dBFS: above the dither of a silent 16-bit recording, below the quietest speech
EMBEDDING_TYPE = "chattts_embedding"  # what older readers look for
MAX_NAME_CHARS = 200
MAX_GENDER_CHARS = 50
MAX_DESCRIPTION_CHARS = 2_000
VOICE_ID_HEX_DIGITS = 8
SAFE_VOICE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")  # ours are hex; other tools' may be words; no paths
STALE_PARTIAL_S = 3600  # a temporary file this old has lost its writer

Samples = NDArray[np.float32]
Metadata = dict[str, Any]


class VoiceEmbeddingError(ValueError):
    """Base of everything this module raises on purpose."""

    code = "INVALID_INPUT"


class InvalidInput(VoiceEmbeddingError):
    """A name, option, array or base64 string, or what the audio holds, is not allowed."""


class UnreadableAudio(VoiceEmbeddingError):
    """There is no such file, or libsndfile cannot decode it."""

    code = "UNREADABLE_AUDIO"


class NameTaken(VoiceEmbeddingError):
    """Another voice has that name."""

    code = "NAME_TAKEN"


class TooLarge(VoiceEmbeddingError):
    """More bytes or more minutes than are taken."""

    code = "TOO_LARGE"


class StorageFailed(VoiceEmbeddingError):
    """The disk did not do what was asked; nothing was registered."""

    code = "STORAGE_UNAVAILABLE"


# ---------------------------------------------------------------- names and other text


def check_voice_name(name: object) -> str:
    """The name without surrounding space, or InvalidInput."""
    return _check_text("voice_name", name, MAX_NAME_CHARS)


def normalised_name(name: str) -> str:
    """What two names must differ in: case and surrounding space do not count."""
    return name.strip().casefold()


def _check_text(label: str, text: object, max_chars: int, allowed_controls: str = "") -> str:
    if not isinstance(text, str):
        raise InvalidInput(f"{label} is {type(text).__name__}; allowed is text; give a string")
    text = text.strip()
    categories = {unicodedata.category(character) for character in text if character not in allowed_controls}
    # Cc control, Cs lone surrogate, Zl and Zp line ends; Cf (joiners, marks) is part of some scripts, but shows nothing
    if categories & {"Cc", "Cs", "Zl", "Zp"}:
        raise InvalidInput(f"{label} holds control characters; allowed is printable text; remove them")
    if not categories - {"Cf", "Zs"}:
        raise InvalidInput(f"{label} is empty; allowed are 1 to {max_chars} characters; give one that can be read")
    if len(text) > max_chars:
        raise InvalidInput(f"{label} has {len(text)} characters; allowed are up to {max_chars}; shorten it")
    return text


# ---------------------------------------------------------------- audio


def decode_base64(text: str | bytes, max_bytes: int = MAX_AUDIO_BYTES) -> bytes:
    """The bytes of a base64 string (line breaks and a leading `data:...;base64,` are allowed).

    Raises InvalidInput where it is not base64, TooLarge above `max_bytes`, before anything is decoded.
    """
    if not isinstance(text, (str, bytes)):
        raise InvalidInput(f"the base64 text is {type(text).__name__}; allowed is a string; encode the file's bytes")
    if len(text) * 3 // 4 > max_bytes * 1.04:  # line breaks every 76 characters add up to 2.6 %
        raise TooLarge(f"the base64 holds over {max_bytes} bytes; that is the limit; send a shorter recording")
    try:
        encoded = text.encode("ascii") if isinstance(text, str) else text
        if encoded[:5].lower() == b"data:":
            header, _, encoded = encoded.partition(b",")
            if not header.lower().endswith(b";base64"):
                raise InvalidInput("the data: URL is not base64; allowed is data:audio/...;base64,...; encode it so")
        decoded = base64.b64decode(encoded.translate(None, b" \t\r\n"), validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise InvalidInput(
            "the text is not base64; allowed are A-Z a-z 0-9 + / with = padding; encode the file's bytes with base64"
        ) from error
    if not decoded:
        raise InvalidInput("the base64 text is empty; allowed is an encoded file; send the file's bytes")
    if len(decoded) > max_bytes:
        raise TooLarge(f"the base64 holds {len(decoded)} bytes; the limit is {max_bytes}; send a shorter recording")
    return decoded


def read_audio(source: str | os.PathLike[str] | bytes) -> Samples:
    """As `read_recording`, its samples alone."""
    return read_recording(source).samples


def read_recording(source: str | os.PathLike[str] | bytes) -> Recording:
    """Decode a file, or the bytes of one, to (samples,) float32 mono at SAMPLE_RATE_HZ, full scale ±1.

    Anything libsndfile reads (wav, flac, ogg, mp3, ...), at any rate and with any number of channels. The header is
    checked first, so an over-long file is not decoded. Raises UnreadableAudio, TooLarge or InvalidInput.
    """
    if isinstance(source, (bytes, bytearray)):
        if len(source) > MAX_AUDIO_BYTES:
            raise TooLarge(f"the audio has {len(source)} bytes; the limit is {MAX_AUDIO_BYTES}; send a shorter one")
        mono, rate_hz, channels = _decode(_AudioBytes(source))
    else:
        mono, rate_hz, channels = _decode(_existing_file(source))
    return Recording(prepare_audio(mono, rate_hz), channels)


def _existing_file(source: str | os.PathLike[str]) -> str:
    try:
        path = Path(source)
        if not path.is_file():  # neither a directory nor a pipe that would be waited for
            raise UnreadableAudio(f"there is no audio file {path.name!r}; check the path")
        if path.stat().st_size > MAX_AUDIO_BYTES:
            raise TooLarge(f"{path.name!r} is over {MAX_AUDIO_BYTES} bytes, the limit; cut out a shorter recording")
    except (TypeError, OSError, ValueError) as error:
        if isinstance(error, VoiceEmbeddingError):
            raise
        raise UnreadableAudio("the audio file cannot be opened; allowed is the path of an audio file") from error
    return str(path)


class _AudioBytes(io.BytesIO):
    """In damaged files libsndfile seeks to before the start, through a callback that can raise nothing: stay put."""

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        with suppress(ValueError):
            return super().seek(offset, whence)
        return self.tell()


def _decode(file: str | _AudioBytes) -> tuple[Samples, int, int]:
    """(frames,) float32 mono at the file's own rate, that rate in Hz, and the channels it had."""
    try:
        with soundfile.SoundFile(file) as sound:
            # Where an encoder left the length open this is SF_COUNT_MAX; what can be read is bounded below as well.
            if sound.frames < np.iinfo(np.int64).max:
                _check_duration(sound.frames, sound.samplerate)
            frames_per_block = max(1, 2**20 // sound.channels)
            blocks, num_frames = [], 0
            while len(block := sound.read(frames_per_block, dtype="float32", always_2d=True)):  # (frames, channels)
                num_frames += len(block)
                if num_frames > sound.samplerate * MAX_DURATION_S or num_frames > MAX_SOURCE_FRAMES:
                    raise _too_long(num_frames, sound.samplerate)
                blocks.append(block.mean(axis=1, dtype=np.float32))
            mono = np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
            return mono, sound.samplerate, sound.channels
    except VoiceEmbeddingError:
        raise
    except (RuntimeError, OSError, ValueError, TypeError, AssertionError) as error:  # soundfile's, for what it is given
        raise UnreadableAudio(
            "the audio cannot be decoded; allowed is what libsndfile reads: wav, flac, ogg, mp3, ...; convert it to wav"
        ) from error


def prepare_audio(audio: NDArray[Any], sample_rate_hz: int) -> Samples:
    """Any array of audio to (samples,) float32 mono at SAMPLE_RATE_HZ, full scale ±1; checked to be a usable voice.

    audio: (frames,), (frames, channels) or (channels, frames); the longer axis is time. float16/32/64 at full scale ±1
    (louder audio is scaled down to it), or uint8/int16/int32 PCM. Raises InvalidInput or TooLarge.
    """
    rate_hz = _check_rate(sample_rate_hz)
    audio = np.asarray(audio)
    _check_duration(max(audio.shape, default=0), rate_hz)
    samples = convert_audio(audio, rate_hz)
    if np.ptp(samples) < 2 * SILENCE_PEAK:
        raise InvalidInput("the audio is silent; allowed is audible speech; check the recording")
    return samples


def convert_audio(audio: NDArray[Any], sample_rate_hz: int) -> Samples:
    """As `prepare_audio`, but the length is the caller's to judge, and silence passes."""
    samples = _mono_float32(np.asarray(audio))
    if not np.isfinite(samples).all():
        raise InvalidInput("the audio holds NaN or infinite samples; allowed are numbers in -1 to 1; export it again")
    samples = _within_full_scale(samples)
    if sample_rate_hz != SAMPLE_RATE_HZ:
        samples = _within_full_scale(_resample(samples, sample_rate_hz))  # filters overshoot
    return np.ascontiguousarray(samples)


def _resample(samples: Samples, rate_hz: int) -> Samples:
    """To SAMPLE_RATE_HZ, sample for sample as `librosa.resample` does it.

    By librosa's own resampler, which is installed with it (since 0.10, the first for numpy 1.24): importing librosa
    itself and compiling its first resample take seconds, this takes milliseconds.
    """
    import soxr

    num_samples = -(-len(samples) * SAMPLE_RATE_HZ // rate_hz)
    resampled = np.asarray(soxr.resample(samples, rate_hz, SAMPLE_RATE_HZ, quality="HQ"), dtype=np.float32)
    return np.pad(resampled[:num_samples], (0, max(0, num_samples - len(resampled))))


def _within_full_scale(samples: Samples) -> Samples:
    peak = max(samples.max(initial=0.0), -samples.min(initial=0.0))
    return samples / peak if peak > 1 else samples


def _check_rate(sample_rate_hz: Any) -> int:
    with suppress(TypeError, ValueError, OverflowError):
        rate_hz = int(sample_rate_hz)
        if rate_hz == sample_rate_hz and rate_hz >= MIN_SOURCE_RATE_HZ:
            return rate_hz
    raise InvalidInput(
        f"sample_rate is {str(sample_rate_hz)[:40]}; allowed are whole numbers from {MIN_SOURCE_RATE_HZ} Hz; "
        "give the rate the audio was recorded at"
    )


def _check_duration(num_frames: int, rate_hz: int) -> None:
    if num_frames > rate_hz * MAX_DURATION_S or num_frames > MAX_SOURCE_FRAMES:
        raise _too_long(num_frames, rate_hz)
    if num_frames < rate_hz * MIN_DURATION_S:
        raise InvalidInput(
            f"the audio is {num_frames / rate_hz:.2f} s long; allowed are {MIN_DURATION_S} s to {MAX_DURATION_S} s; "
            "10 s of clear speech work best"
        )


def _too_long(num_frames: int, rate_hz: int) -> TooLarge:
    longest_s = min(MAX_DURATION_S, MAX_SOURCE_FRAMES / rate_hz)
    return TooLarge(
        f"the audio is over {num_frames / rate_hz:.0f} s long; allowed are up to {longest_s:.0f} s at {rate_hz} Hz; "
        "cut out 10 s of clear speech"
    )


def _mono_float32(audio: NDArray[Any]) -> Samples:
    """(frames,) float32 from (frames,), (frames, channels) or (channels, frames) of any admitted dtype."""
    if audio.ndim not in (1, 2) or (audio.ndim == 2 and not 1 <= min(audio.shape) <= MAX_CHANNELS):
        raise InvalidInput(f"the audio array has shape {audio.shape}; allowed are (frames,) and (frames, channels)")
    if audio.dtype.kind == "f":
        scale, offset = 1.0, 0.0
    elif audio.dtype in (np.int16, np.int32):
        scale, offset = float(-np.iinfo(audio.dtype).min), 0.0
    elif audio.dtype == np.uint8:
        scale, offset = 128.0, 128.0  # 8-bit PCM is unsigned, with silence at 128
    else:
        raise InvalidInput(f"the audio array is {audio.dtype}; allowed are float, int16, int32 and uint8; convert it")
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows becomes infinite, which is refused
        mono = audio.astype(np.float32, copy=False)
        if mono.ndim == 2:
            mono = mono.mean(axis=int(np.argmin(mono.shape)), dtype=np.float32)
    if scale != 1:  # in place: astype has made a copy
        mono -= np.float32(offset)
        mono /= np.float32(scale)
    return mono


# ---------------------------------------------------------------- what a recording is worth

MODEL_LISTENS_S = 10  # Chatterbox hears the first 6 s (T3) and 10 s (S3Gen) of a reference (its `tts.py:DEC_COND_LEN`)
REFERENCE_WINDOWS = ("start", "auto")
_FRAME = SAMPLE_RATE_HZ // 50  # 20 ms
_WINDOW_STEP_S = 0.5
_TOP, _SHOULDER = 0.97, 0.88  # of the peak: between them a wave's peak is a parabola, and at most half of it at the top
_MAX_FLATNESS, _MIN_FLAT_SAMPLES = 0.645, 16
_NOTHING_DB, _DIGITAL_SILENCE_DB = -100.0, -95.0
_MIN_NOISE_FRAMES = 5


@dataclass(frozen=True)
class Recording:
    """A decoded recording. samples: (n,) float32 mono at SAMPLE_RATE_HZ; channels: of the source."""

    samples: Samples
    channels: int = 1


def enrol(recording: Recording, reference_window: str = "start") -> tuple[Samples, Metadata]:
    """What to keep of a recording, and a report on it for people.

    reference_window: "start" keeps all of it, of which a model hears the beginning; "auto" keeps the MODEL_LISTENS_S
    with the most speech, the least noise and no clipping. The report holds `duration` (s), `peak_dbfs`, `clipping`
    (share of the samples), `noise_floor_dbfs`, `snr_db`, `speech_ratio`, `bandwidth_hz`, `channels`, `reference_window`
    (start and end in s) and `advice`, a list of sentences, empty where all is well. Raises InvalidInput.
    """
    if reference_window not in REFERENCE_WINDOWS:
        raise InvalidInput(f"reference_window is {reference_window!r}; allowed are start and auto; choose one")
    samples = recording.samples
    start, end = 0, len(samples)
    if reference_window == "auto" and len(samples) > MODEL_LISTENS_S * SAMPLE_RATE_HZ:
        start, end = _best_window(samples)
    heard = samples[start : min(end, start + MODEL_LISTENS_S * SAMPLE_RATE_HZ)]
    report = {"duration": round(len(samples) / SAMPLE_RATE_HZ, 3), **_measured(samples), "channels": recording.channels}
    report["reference_window"] = {"start": round(start / SAMPLE_RATE_HZ, 3), "end": round(end / SAMPLE_RATE_HZ, 3)}
    report["advice"] = _advice(report, _measured(heard), len(heard) / SAMPLE_RATE_HZ)
    return samples[start:end], report


def _measured(samples: Samples) -> Metadata:
    levels = _frame_levels_db(samples)
    speech_db, floor_db = _speech_db(levels), _noise_floor_db(levels)
    return {
        "peak_dbfs": round(20 * float(np.log10(max(float(np.abs(samples).max()), 1e-5))), 1),
        "clipping": round(_clipped_share(samples), 6),
        "noise_floor_dbfs": round(floor_db, 1),
        "snr_db": round(speech_db - floor_db, 1),
        "speech_ratio": round(float(_is_speech(levels).mean()), 3),
        "bandwidth_hz": _bandwidth_hz(samples, levels),
    }


def _frame_levels_db(samples: Samples) -> NDArray[np.float64]:
    """RMS of every 20 ms, dBFS."""
    frames = samples[: len(samples) // _FRAME * _FRAME].reshape(-1, _FRAME).astype(np.float64)
    return np.asarray(10 * np.log10(np.maximum(np.mean(np.square(frames), axis=1), 10 ** (_NOTHING_DB / 10))))


def _speech_db(levels: NDArray[np.float64]) -> float:
    loud = levels[levels >= np.percentile(levels, 95) - 15]
    return float(10 * np.log10(np.mean(10 ** (loud / 10))))


def _is_speech(levels: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Frames above the noise; short pauses between sounds count as speech."""
    speech_db = _speech_db(levels)
    loud = levels > max(speech_db - 35, min(_quietest_db(levels) + 9, speech_db - 15))
    bridge = np.ones(11)  # 220 ms: the closure of a plosive, the gap between two words
    return np.asarray(np.convolve(loud, bridge, "same") >= 3)


def _noise_floor_db(levels: NDArray[np.float64]) -> float:
    """Of the frames between words; where there are none, of the quietest."""
    between = levels[~_is_speech(levels) & (levels > _DIGITAL_SILENCE_DB)]
    return float(np.median(between)) if len(between) >= _MIN_NOISE_FRAMES else _quietest_db(levels)


def _quietest_db(levels: NDArray[np.float64]) -> float:
    """Without digital silence, which is put between takes and says nothing of the room."""
    audible = levels[levels > _DIGITAL_SILENCE_DB]
    return float(np.percentile(audible, 5)) if len(audible) else _NOTHING_DB


def _clipped_share(samples: Samples) -> float:
    """The share of samples on plateaus; 0 where the highest peaks are as round as a wave's."""
    magnitudes = np.abs(samples)
    peak = float(magnitudes.max(initial=0.0))
    at_top = int((magnitudes >= _TOP * peak).sum())
    if peak == 0 or at_top < _MIN_FLAT_SAMPLES:
        return 0.0
    edges = np.flatnonzero(np.diff(np.concatenate([[0], (magnitudes >= _SHOULDER * peak).astype(np.int8), [0]])))
    first, last = edges[::2], edges[1::2]
    tops = np.concatenate([[0], np.cumsum(magnitudes >= _TOP * peak)])
    highest = tops[last] > tops[first]
    return at_top / len(samples) if at_top / (last - first)[highest].sum() > _MAX_FLATNESS else 0.0


def _bandwidth_hz(samples: Samples, levels: NDArray[np.float64]) -> int:
    """Where the spectrum of the louder frames falls 60 dB below its peak, to 100 Hz."""
    length = 1024
    loud = np.flatnonzero(levels > np.percentile(levels, 60)) * _FRAME
    starts = loud[loud + length <= len(samples)][:: max(1, len(loud) // 500)]
    if not len(starts):
        return 0
    frames = samples[starts[:, None] + np.arange(length)] * np.hanning(length)
    power = np.mean(np.square(np.abs(np.fft.rfft(frames))), axis=0)
    smooth = np.convolve(power, np.ones(5) / 5, "same")
    highest = float(np.flatnonzero(smooth > smooth.max() * 1e-6)[-1])
    return round(highest * SAMPLE_RATE_HZ / length / 100) * 100


def _best_window(samples: Samples) -> tuple[int, int]:
    """First and one past the last sample of the cleanest MODEL_LISTENS_S; it begins and ends between words."""
    length, step = MODEL_LISTENS_S * SAMPLE_RATE_HZ, round(_WINDOW_STEP_S * SAMPLE_RATE_HZ)
    starts = range(0, len(samples) - length + 1, step)
    best = max(starts, key=lambda start: _worth(samples[start : start + length]))  # the first of equals
    levels = _frame_levels_db(samples)
    near = round(_WINDOW_STEP_S * SAMPLE_RATE_HZ / _FRAME)
    first = best // _FRAME
    lead = int(np.argmax(_is_speech(levels[first : first + length // _FRAME])))
    if lead >= near // 4:  # a pause: from shortly before the first word
        start = first + lead - near // 4
    else:
        start = first + int(np.argmin(levels[first : first + near])) if best else 0
    last = min(len(levels), start + length // _FRAME)
    end = last - near + int(np.argmin(levels[last - near : last])) + 1
    return start * _FRAME, end * _FRAME


def _worth(samples: Samples) -> float:
    """Of a stretch as a reference: much speech far above its noise, unclipped."""
    levels = _frame_levels_db(samples)
    above_noise_db = min(_speech_db(levels) - _noise_floor_db(levels), 40.0)
    clipped = 1.0 if _clipped_share(samples) else 0.0
    return 2 * min(float(_is_speech(levels).mean()), 0.9) + above_noise_db / 40 - clipped


def _advice(report: Metadata, heard: Metadata, heard_s: float) -> list[str]:
    """heard: measures of the part that a model listens to."""
    found = []
    if heard_s < MODEL_LISTENS_S * 0.6:
        found.append(f"It is {heard_s:.1f} s long; {MODEL_LISTENS_S} s of clear speech work best.")
    if heard["clipping"]:
        found.append("It is clipped: record again with less gain, or farther from the microphone.")
    if heard["peak_dbfs"] < -26:
        found.append(f"It is quiet (its peak is {heard['peak_dbfs']:.0f} dBFS): record again with more gain.")
    if heard["snr_db"] < 25:
        found.append(f"The noise is only {heard['snr_db']:.0f} dB below the speech: record in a quieter room.")
    if heard["speech_ratio"] < 0.6:
        share = f"{100 * heard['speech_ratio']:.0f} %"
        found.append(f"Only {share} of what is listened to is speech: cut out pauses, or take reference_window auto.")
    if heard["bandwidth_hz"] < 5_000:
        found.append(f"Nothing is above {heard['bandwidth_hz']} Hz, as on a telephone: the voice will sound so too.")
    if report["duration"] > MODEL_LISTENS_S * 1.5 and report["reference_window"]["start"] == 0:
        found.append(f"Only its first {MODEL_LISTENS_S} s are listened to; reference_window auto takes the cleanest.")
    return found


# ---------------------------------------------------------------- the format


def voice_digest(samples: Samples, voice_name: str) -> str:
    """SHA-256, 64 hex digits, over the 24 kHz samples and the name."""
    digest = hashlib.sha256(np.ascontiguousarray(samples, dtype="<f4").data)
    digest.update(voice_name.encode("utf-8", "surrogatepass"))  # an older tree may hold any JSON string
    return digest.hexdigest()


def candidate_voice_ids(digest: str) -> Iterator[str]:
    """The ids a voice may get, in order: the digest's first 8 hex digits, then one digit longer each time, without end
    (32 bits do collide among 100,000 voices, and an id is never given out again)."""
    while True:
        for num_digits in range(VOICE_ID_HEX_DIGITS, len(digest) + 1):
            yield digest[:num_digits]
        digest = hashlib.sha256(digest.encode()).hexdigest()


class _PortablePickler(pickle.Pickler):
    """Writes arrays by numpy's public names alone. By default numpy 2 writes `numpy._core`, which numpy 1 lacks, and
    numpy 1 writes `numpy.core`, which numpy 2 is retiring."""

    def reducer_override(self, value: object) -> Any:
        if isinstance(value, np.ndarray):
            state_version, is_fortran = 1, False
            state = (state_version, value.shape, value.dtype, is_fortran, value.tobytes())
            return np.ndarray, ((0,), value.dtype.str), state
        return NotImplemented


def encode_embedding(samples: Samples, voice_name: str, created_at: str) -> bytes:
    """The bytes of a `.pkl.gz`; the same arguments always give the same bytes.

    samples: (n,) float32 mono at SAMPLE_RATE_HZ. Loads with a plain `pickle.load` under numpy 1 and 2 alike.
    """
    embedding = {
        "audio": np.ascontiguousarray(samples, dtype="<f4"),
        "sample_rate": SAMPLE_RATE_HZ,
        "voice_name": voice_name,
        "created_at": created_at,
    }
    compressed = io.BytesIO()
    # Level 3: within 1 % of level 6 on speech-like audio, in a third of the time.
    with gzip.GzipFile(filename="", mode="wb", compresslevel=3, fileobj=compressed, mtime=0) as stream:
        _PortablePickler(stream, protocol=4).dump(embedding)
    return compressed.getvalue()


def voice_metadata(
    voice_id: str,
    voice_name: str,
    *,
    duration_s: float,
    created_at: str,
    gender: str | None = None,
    description: str | None = None,
    original_file: str | None = None,
    report: Metadata | None = None,
) -> Metadata:
    """What `metadata/{voice_id}.json` and the catalog hold about a voice."""
    metadata: Metadata = {
        "voice_id": voice_id,
        "speaker_name": voice_name,
        "gender": gender or "unknown",
        "original_file": original_file or "",
        "embedding_file": f"embeddings/{voice_id}.pkl.gz",
        "duration": round(duration_s, 3),
        "sample_rate": SAMPLE_RATE_HZ,
        "created_at": created_at,
        "type": EMBEDDING_TYPE,
    }
    if description:
        metadata["description"] = description
    if report:
        metadata["report"] = {name: value for name, value in report.items() if name != "advice"}  # numbers alone
    return metadata


def utc_now() -> str:
    """The time, ISO 8601 with the zone, to the millisecond."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


# ---------------------------------------------------------------- the tree


def parse_json_object(text: bytes) -> dict[str, Any] | None:
    """The JSON object in `text`, or None where it is damaged (half written, not UTF-8, not an object)."""
    with suppress(ValueError, RecursionError):
        value = json.loads(text.decode("utf-8-sig"))
        return value if isinstance(value, dict) else None
    return None


def format_json_object(value: Mapping[str, Any]) -> bytes:
    """JSON with one line for each key: readable, and much quicker to write than indented JSON."""
    encode = json.JSONEncoder(ensure_ascii=False).encode
    lines = (f"{encode(key)}: {encode(item)}" for key, item in value.items())
    # A lone surrogate from an older tool's escapes cannot be UTF-8; as a backslash escape it is the same JSON again.
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode("utf-8", "backslashreplace")


@dataclass
class Catalog:
    """All voices of a tree, and the index of their names."""

    entries: dict[str, Metadata]  # by voice_id; as found, so older entries may lack any field
    names: dict[str, str]  # name -> voice_id; older trees may give one voice several
    damaged_catalog: bytes | None = field(default=None, repr=False)  # what voice_catalog.json held if it was no JSON

    def name_of(self, voice_id: str) -> str:
        """The voice's name: its entry's, else the mapping's, else the id itself."""
        entry = self.entries[voice_id]
        named = (entry.get(key) for key in ("speaker_name", "voice_name", "name"))
        found = next((name for name in named if isinstance(name, str) and name.strip()), None)
        return found or self._mapped_names.get(voice_id, voice_id)

    def ids_named(self, name: str) -> list[str]:
        """Ids of the voices with exactly this name, or else the one voice whose name differs in case and surrounding
        space only. The best choice comes first: the mapping's, then the oldest."""
        mapped = self.names.get(name)
        exact = self._by_name.get(name, [])
        if mapped in self.entries:
            return [mapped, *(voice_id for voice_id in exact if voice_id != mapped)]
        return exact or self._by_normalised_name.get(normalised_name(name), [])[:1]

    @cached_property
    def _mapped_names(self) -> dict[str, str]:
        return {voice_id: name for name, voice_id in reversed(self.names.items())}

    @cached_property
    def _oldest_first(self) -> list[str]:
        return sorted(self.entries, key=lambda voice_id: (str(self.entries[voice_id].get("created_at", "")), voice_id))

    @cached_property
    def _by_name(self) -> dict[str, list[str]]:
        index: dict[str, list[str]] = {}
        for voice_id in self._oldest_first:
            index.setdefault(self.name_of(voice_id), []).append(voice_id)
        return index

    @cached_property
    def _by_normalised_name(self) -> dict[str, list[str]]:
        index: dict[str, list[str]] = {}
        for name, voice_ids in self._by_name.items():
            index.setdefault(normalised_name(name), []).extend(voice_ids)
        for name, voice_id in self.names.items():  # also where only an older mapping knows the name
            if voice_id in self.entries:
                index.setdefault(normalised_name(name), []).append(voice_id)
        return index

    def complete_names(self) -> dict[str, str]:
        """The mapping as it should stand: what it held, without voices that are gone, with those it lacked."""
        names = {name: voice_id for name, voice_id in self.names.items() if voice_id in self.entries}
        for name, voice_ids in self._by_name.items():
            names.setdefault(name, voice_ids[0])
        return names

    def with_changes(self, put: Mapping[str, Metadata], remove: set[str]) -> Catalog:
        """A new catalog with entries added or replaced, and others gone; a replaced entry loses its old names."""
        kept = {voice_id: entry for voice_id, entry in self.entries.items() if voice_id not in remove}
        names = {name: voice_id for name, voice_id in self.names.items() if voice_id not in remove | set(put)}
        return Catalog({**kept, **put}, names, self.damaged_catalog)


class VoiceTree:
    """The files of a tree and the lock on them. Changes happen inside `locked()`: read, then commit."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root)
        self.catalog_path = self.root / "voice_catalog.json"
        self.mapping_path = self.root / "name_mapping.json"
        self.stats_path = self.root / "stats.json"

    def metadata_path(self, voice_id: str) -> Path:
        return self.root / "metadata" / f"{voice_id}.json"

    def tombstone_path(self, voice_id: str) -> Path:
        return self.root / "tombstones" / voice_id

    def conditionals_dir(self, voice_id: str) -> Path:
        return self.root / "conditionals" / voice_id

    def embedding_path(self, voice_id: str, entry: Mapping[str, Any] | None = None) -> Path:
        """Where the embedding lies. Of what an entry says only the file's name counts: older trees wrote it with and
        without the folder, with backslashes, or as a path on another machine; it never leads out of the tree."""
        named = re.split(r"[/\\]", str((entry or {}).get("embedding_file", "")))[-1]
        is_safe = named.endswith(".pkl.gz") and SAFE_VOICE_ID.fullmatch(named)
        return self.root / "embeddings" / (named if is_safe else f"{voice_id}.pkl.gz")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the tree's lock against all other processes and threads; OSErrors inside become StorageFailed."""
        with _storage_errors():
            self.root.mkdir(parents=True, exist_ok=True)
            with _exclusive_lock(self.root / ".lock"):
                yield

    def read(self) -> Catalog:
        """All voices: the catalog's, completed from `metadata/` and the mapping, without deleted ones.

        Reading needs no lock: files are replaced whole, and the metadata that a catalog does not know yet is found.
        """
        text = _read_if_there(self.catalog_path)
        found = parse_json_object(text) if text is not None else {}
        entries = {key: entry for key, entry in (found or {}).items() if _is_entry(key, entry)}
        names = parse_json_object(_read_if_there(self.mapping_path) or b"{}") or {}
        newer = self._newer_metadata(entries)
        entries.update(newer)
        names = {name: key for name, key in names.items() if isinstance(key, str) and key not in newer}
        for name, voice_id in names.items():  # the last trace where an older tree's catalog is lost
            is_new = voice_id not in entries and SAFE_VOICE_ID.fullmatch(voice_id)
            if is_new and self.embedding_path(voice_id).is_file():
                entries[voice_id] = {"voice_id": voice_id, "speaker_name": name}
        for voice_id in self._deleted_ids():
            entries.pop(voice_id, None)
        return Catalog(entries, names, damaged_catalog=text if found is None else None)

    def _newer_metadata(self, entries: Mapping[str, Metadata]) -> dict[str, Metadata]:
        """Metadata that the catalog lacks, or that is newer than catalog or mapping (a writer died in between)."""
        snapshots_ns = min(_modified_ns(self.catalog_path), _modified_ns(self.mapping_path))
        newer: dict[str, Metadata] = {}
        for file in _files_in(self.root / "metadata"):
            voice_id, _, extension = file.name.rpartition(".")
            with suppress(OSError):  # deleted while we read, or damaged: no reason to lose the others
                if extension != "json" or (voice_id in entries and file.stat().st_mtime_ns < snapshots_ns):
                    continue
                entry = parse_json_object(Path(file.path).read_bytes())
                if entry is not None and _is_entry(voice_id, entry):
                    newer[voice_id] = entry
        return newer

    def is_deleted(self, voice_id: str) -> bool:
        """Whether the voice's tombstone is in force. One that names a successor waits for it, so that the successor's
        metadata, taking its place, completes a replacement in one step."""
        try:
            successor = self.tombstone_path(voice_id).read_text(encoding="ascii", errors="replace")
        except FileNotFoundError:
            return False
        if not SAFE_VOICE_ID.fullmatch(successor):
            return True
        return self.metadata_path(successor).exists() or self.tombstone_path(successor).exists()

    def _deleted_ids(self) -> set[str]:
        tombstones = _files_in(self.root / "tombstones")
        return {file.name for file in tombstones if file.stat().st_size == 0 or self.is_deleted(file.name)}

    def is_used(self, catalog: Catalog, voice_id: str) -> bool:
        """Whether the id belongs to a voice, or did to one that was deleted."""
        return voice_id in catalog.entries or self.tombstone_path(voice_id).exists()

    def is_same_voice(self, catalog: Catalog, voice_id: str, samples: Samples) -> bool:
        """Whether the voice `voice_id` was registered from these samples; its id tells, for ids are digests."""
        name = str(catalog.entries[voice_id].get("registered_as") or catalog.name_of(voice_id))
        for candidate in candidate_voice_ids(voice_digest(samples, name)):
            if candidate == voice_id or not self.is_used(catalog, candidate):
                return candidate == voice_id
        raise AssertionError("candidate_voice_ids does not end")

    def commit(
        self,
        catalog: Catalog,
        *,
        put: Mapping[str, Metadata] | None = None,
        remove: set[str] | None = None,
        embeddings: Mapping[str, bytes] | None = None,
    ) -> None:
        """Write changed and new voices, and remove others for good, in all places. Call it inside `locked()`.

        Everything is on the disk under temporary names before the first file takes its place, so a full disk changes
        nothing. Metadata and tombstones are what counts: where a process dies between two files, the next commit
        completes the rest. Voices removed while one is put are replaced by it: they stay until its metadata is there.
        """
        put, remove = put or {}, remove or set()
        after = catalog.with_changes(put, remove)
        names = after.complete_names()
        files = {self.embedding_path(voice_id): data for voice_id, data in (embeddings or {}).items()}
        successor = next(iter(put), "").encode()
        files |= {self.tombstone_path(voice_id): successor for voice_id in sorted(remove)}
        files |= {self.metadata_path(voice_id): _pretty(entry) for voice_id, entry in put.items()}
        if catalog.damaged_catalog is not None:
            files[self.catalog_path.with_suffix(".damaged.json")] = catalog.damaged_catalog
        files[self.catalog_path] = format_json_object(after.entries)
        files[self.mapping_path] = format_json_object(names)
        files[self.stats_path] = _pretty(_statistics(after.entries))
        write_files(files)
        self._sweep(catalog.entries)

    def _sweep(self, entries_before: Mapping[str, Metadata]) -> None:
        """Remove what deleted voices left, now or when an earlier deletion was cut short, and stale temporary files.

        The metadata goes last: as long as it is there, a later sweep knows that something is left.
        """
        with_metadata = {name.removesuffix(".json") for name in _names_in(self.root / "metadata")}
        for voice_id in self._deleted_ids() & (with_metadata | set(entries_before)):
            _remove(self.embedding_path(voice_id, entries_before.get(voice_id)))
            _remove(self.embedding_path(voice_id))
            shutil.rmtree(self.conditionals_dir(voice_id), ignore_errors=True)
            _remove(self.metadata_path(voice_id))
        for folder in (self.root, self.root / "embeddings", self.root / "metadata"):
            for name in _names_in(folder):
                stale_before_ns = time.time_ns() - STALE_PARTIAL_S * 10**9
                if name.endswith(".partial") and _modified_ns(folder / name) < stale_before_ns:
                    _remove(folder / name)


def _is_entry(voice_id: str, entry: object) -> bool:
    return isinstance(entry, dict) and SAFE_VOICE_ID.fullmatch(voice_id) is not None


def _statistics(entries: Mapping[str, Metadata]) -> Metadata:
    genders: dict[str, int] = {}
    for entry in entries.values():
        gender = str(entry.get("gender") or "unknown")
        genders[gender] = genders.get(gender, 0) + 1
    return {
        "total_voices": len(entries),
        "last_updated": utc_now(),
        "gender_distribution": dict(sorted(genders.items())),
    }


def _pretty(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")


def _read_if_there(path: Path) -> bytes | None:
    with suppress(FileNotFoundError):
        return path.read_bytes()
    return None


def _modified_ns(path: Path) -> int:
    with suppress(FileNotFoundError):
        return path.stat().st_mtime_ns
    return 0


def _files_in(folder: Path) -> Iterator[os.DirEntry[str]]:
    with suppress(FileNotFoundError), os.scandir(folder) as files:
        yield from files


def _remove(path: Path) -> None:
    """What is in the way of removing debris is met again by the next sweep."""
    with suppress(OSError):
        path.unlink()


def _names_in(folder: Path) -> Iterator[str]:
    return (file.name for file in _files_in(folder))


def write_files(files: Mapping[Path, bytes]) -> None:
    """Write whole files: all of them to temporary names beside their places and to the disk, then each into its place,
    in order. An OSError leaves nothing new behind."""
    partial: dict[Path, Path] = {}
    added: list[Path] = []
    try:
        for path, data in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            partial[path] = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.partial")
            _write_to_disk(partial[path], data)
        for path, temporary in partial.items():
            if not path.exists():
                added.append(path)
            temporary.replace(path)
    except BaseException:
        for path in [*added, *partial.values()]:
            path.unlink(missing_ok=True)
        raise
    for folder in {path.parent for path in files}:
        _sync_folder(folder)


def _write_to_disk(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Make renames in a folder last through a power cut; not every system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def _exclusive_lock(path: Path) -> Iterator[None]:
    """An advisory lock, waited for; the system frees it when its holder dies."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        _lock(descriptor)
        yield
    finally:
        os.close(descriptor)


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        while True:
            with suppress(PermissionError, OSError):  # LK_LOCK gives up after ten seconds
                return msvcrt.locking(descriptor, msvcrt.LK_LOCK, 1)
else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)


@contextmanager
def _storage_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise StorageFailed(
            f"the voice tree could not be written ({reason}); it needs a writable folder with free space; "
            "nothing was registered, so try again"
        ) from error


# ---------------------------------------------------------------- registering


class _CreateVoiceEmbedding:
    """`create_voice_embedding`: register a voice from a file, an array or base64.

    All ways take `embeddings_dir`, `gender` ("unknown" where not given), `voice_description`, `reference_window` (see
    `enrol`) and `on_conflict`:
    "error" refuses a name that another voice has, "replace" gives it to the new voice and deletes the old one. The
    same audio under the same name again changes nothing and returns the voice that is there.

    The result holds `success, voice_id, voice_name, embedding_file` (a path, usable as it is), `embedding_path` and
    `metadata_path` (relative to the tree), `duration` (s), `sample_rate`, `message` and `report` (see `enrol`). Raises
    VoiceEmbeddingError.
    """

    def __call__(self, audio_file: str | os.PathLike[str], voice_name: str, **options: Any) -> dict[str, Any]:
        return self.from_file(audio_file, voice_name, **options)

    def from_file(
        self,
        audio_file: str | os.PathLike[str],
        voice_name: str,
        embeddings_dir: str | os.PathLike[str] = "voice_embeddings",
        gender: str | None = None,
        voice_description: str | None = None,
        on_conflict: str = "error",
        reference_window: str = "start",
    ) -> dict[str, Any]:
        """From an audio file that libsndfile reads: wav, flac, ogg, mp3, ..."""
        about = About.checked(voice_name, gender, voice_description, on_conflict)
        samples, report = enrol(read_recording(audio_file), reference_window)
        return _register(samples, about, embeddings_dir, Path(audio_file).name, report)

    def from_array(
        self,
        audio_array: NDArray[Any],
        sample_rate: int,
        voice_name: str,
        embeddings_dir: str | os.PathLike[str] = "voice_embeddings",
        gender: str | None = None,
        voice_description: str | None = None,
        on_conflict: str = "error",
        original_file: str | None = None,
        reference_window: str = "start",
        report: Metadata | None = None,
    ) -> dict[str, Any]:
        """From audio in memory, shaped and scaled as `prepare_audio` says. `sample_rate` in Hz. report: where the audio
        was enrolled already."""
        about = About.checked(voice_name, gender, voice_description, on_conflict)
        samples = prepare_audio(audio_array, sample_rate)
        if report is None:
            shape = np.shape(audio_array)
            samples, report = enrol(Recording(samples, min(shape) if len(shape) == 2 else 1), reference_window)
        return _register(samples, about, embeddings_dir, original_file or "array", report)

    def from_base64(
        self,
        audio_base64: str,
        voice_name: str,
        embeddings_dir: str | os.PathLike[str] = "voice_embeddings",
        gender: str | None = None,
        voice_description: str | None = None,
        on_conflict: str = "error",
        reference_window: str = "start",
    ) -> dict[str, Any]:
        """From an audio file encoded as base64."""
        about = About.checked(voice_name, gender, voice_description, on_conflict)
        samples, report = enrol(read_recording(decode_base64(audio_base64)), reference_window)
        return _register(samples, about, embeddings_dir, "base64", report)


create_voice_embedding = _CreateVoiceEmbedding()


@dataclass(frozen=True)
class About:
    """What a caller says about a voice, checked before any audio is read."""

    name: str
    gender: str | None
    description: str | None
    replace: bool

    @classmethod
    def checked(cls, name: object, gender: str | None, description: str | None, on_conflict: str) -> About:
        if on_conflict not in ("error", "replace"):
            raise InvalidInput(f"on_conflict is {on_conflict!r}; allowed are error and replace; choose one")
        return cls(
            check_voice_name(name),
            None if gender in (None, "") else _check_text("gender", gender, MAX_GENDER_CHARS),
            None
            if description in (None, "")
            else _check_text("voice_description", description, MAX_DESCRIPTION_CHARS, allowed_controls="\n\t"),
            on_conflict == "replace",
        )


def _register(
    samples: Samples, about: About, embeddings_dir: str | os.PathLike[str], original_file: str, report: Metadata
) -> dict[str, Any]:
    tree = VoiceTree(embeddings_dir)
    with tree.locked():
        catalog = tree.read()
        holders = catalog.ids_named(about.name)
        same = next((holder for holder in holders if tree.is_same_voice(catalog, holder, samples)), None)
        others = set(holders) - {same}
        if others and not about.replace:
            raise NameTaken(
                f"the name {about.name!r} belongs to voice {holders[0]}; allowed is a name no other voice has; "
                'choose another, or pass on_conflict="replace"'
            )
        if same is None:
            voice_id, metadata = _new_voice(tree, catalog, samples, about, original_file, report)
            embedding = encode_embedding(samples, about.name, metadata["created_at"])
            tree.commit(catalog, put={voice_id: metadata}, remove=others, embeddings={voice_id: embedding})
            return _result(tree, voice_id, metadata, about.name, len(samples), "registered", report)
        if others:
            tree.commit(catalog, remove=others)
        name = catalog.name_of(same)
        return _result(tree, same, catalog.entries[same], name, len(samples), "was already registered", report)


def _new_voice(
    tree: VoiceTree, catalog: Catalog, samples: Samples, about: About, original_file: str, report: Metadata
) -> tuple[str, Metadata]:
    digest = voice_digest(samples, about.name)
    voice_id = next(candidate for candidate in candidate_voice_ids(digest) if not tree.is_used(catalog, candidate))
    return voice_id, voice_metadata(
        voice_id,
        about.name,
        duration_s=len(samples) / SAMPLE_RATE_HZ,
        created_at=utc_now(),
        gender=about.gender,
        description=about.description,
        original_file=original_file,
        report=report,
    )


def _result(
    tree: VoiceTree, voice_id: str, metadata: Metadata, name: str, num_samples: int, done: str, report: Metadata
) -> dict[str, Any]:
    embedding_file = tree.embedding_path(voice_id, metadata)
    return {
        "success": True,
        "voice_id": voice_id,
        "voice_name": name,
        "embedding_file": str(embedding_file),
        "embedding_path": embedding_file.relative_to(tree.root).as_posix(),
        "metadata_path": tree.metadata_path(voice_id).relative_to(tree.root).as_posix(),
        "duration": round(num_samples / SAMPLE_RATE_HZ, 3),
        "sample_rate": SAMPLE_RATE_HZ,
        "message": f"voice {name!r} ({voice_id}) {done}",
        "report": report,
    }


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Make a voice embedding from a recording.")
    parser.add_argument("audio_file", help="wav, flac, ogg, mp3, ...; 1 s to 10 min, 10 s of clear speech work best")
    parser.add_argument("voice_name")
    parser.add_argument("--gender")
    parser.add_argument("--description")
    parser.add_argument("--embeddings-dir", default="voice_embeddings")
    parser.add_argument("--on-conflict", choices=("error", "replace"), default="error", help="when the name is taken")
    parser.add_argument(
        "--reference-window", choices=REFERENCE_WINDOWS, default="start", help="auto keeps the cleanest 10 s of it"
    )
    given = parser.parse_args(arguments)
    try:
        result = create_voice_embedding.from_file(
            given.audio_file,
            given.voice_name,
            embeddings_dir=given.embeddings_dir,
            gender=given.gender,
            voice_description=given.description,
            on_conflict=given.on_conflict,
            reference_window=given.reference_window,
        )
    except VoiceEmbeddingError as error:
        print(f"{error.code}: {error}", file=sys.stderr)
        return 1
    print(f"{result['message']}  {result['duration']:.1f} s  {result['embedding_file']}")
    for sentence in result["report"]["advice"]:
        print(f"  {sentence}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
