"""Jobs that must be refused, each with the code of its refusal and a word its message must hold."""

from __future__ import annotations

import base64
import gzip
import io
import pickle
from typing import Any

import numpy as np
import soundfile

RATE_HZ = 24_000


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def wav(samples: np.ndarray, rate_hz: int = RATE_HZ, **kwargs: Any) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate_hz, format="WAV", **kwargs)
    return buffer.getvalue()


def tone(seconds: float) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * 150 * np.arange(int(seconds * RATE_HZ)) / RATE_HZ)).astype(np.float32)


class _Runs:
    """Pickles to a call of os.system: what an attacker would upload."""

    def __reduce__(self) -> tuple[Any, ...]:
        import os

        return os.system, ("touch pwned",)


def _embedding(content: Any) -> str:
    return _base64(gzip.compress(pickle.dumps(content)))


TWO_SECONDS = _base64(wav(tone(2)))
NAN = tone(2)
NAN[100] = np.nan
INFINITE = tone(2)
INFINITE[100] = np.inf


def _speak(**fields: Any) -> dict[str, Any]:
    return {"text": "Hello there.", **fields}


def _register(**fields: Any) -> dict[str, Any]:
    return {"type": "register_voice", "voice_name": "New", "reference_audio": TWO_SECONDS, **fields}


# name: (job input, code, a word of the message)
BAD_INPUTS: dict[str, tuple[Any, str, str]] = {
    "pause too long": (_speak(text="Wait [pause:99] for it"), "INVALID_INPUT", "at most 10 s"),
    "pause that is none": (_speak(text="Wait [pause:long] for it"), "INVALID_INPUT", "[pause:SECONDS]"),
    "SSML": (_speak(text="<speak>Hello</speak>"), "INVALID_INPUT", "SSML element <speak>"),
    "pronunciation without words": (_speak(pronunciation={"Nguyen": " "}), "INVALID_INPUT", "letter or digit"),
    "pronunciation of a number": (_speak(pronunciation={"Nguyen": 1}), "INVALID_INPUT", "pronunciation"),
    "too many pronunciations": (
        _speak(pronunciation={f"a{n}": "b" for n in range(501)}),
        "INVALID_INPUT",
        "501 entries",
    ),
    "input is a list": ([1], "INVALID_INPUT", "object"),
    "input is a string": ("hello", "INVALID_INPUT", "object"),
    "input is empty": ({}, "INVALID_INPUT", "type is missing"),
    "unknown type": ({"type": "sing"}, "INVALID_INPUT", "register_voice"),
    "type is a number": ({"type": 7}, "INVALID_INPUT", "unknown type 7"),
    "type is a list": ({"type": ["synthesize"]}, "INVALID_INPUT", "unknown type"),
    "unknown operation": ({"operation": "voice_conversion"}, "INVALID_INPUT", "voice_cloning"),
    "type and operation": ({"type": "synthesize", "operation": "tts", "text": "x"}, "INVALID_INPUT", "both"),
    "unknown field": (_speak(speed=2), "INVALID_INPUT", "'speed'"),
    "misspelt field": (_speak(voice_nme="Anna"), "INVALID_INPUT", "voice_name"),
    "text is missing": ({"type": "synthesize"}, "INVALID_INPUT", "text is missing"),
    "text is empty": (_speak(text=""), "INVALID_INPUT", "text"),
    "text is spaces": (_speak(text="  \n\t "), "INVALID_INPUT", "text"),
    "text is emoji": (_speak(text="🙂🙂"), "INVALID_INPUT", "text"),
    "text is punctuation": (_speak(text="?!... --"), "INVALID_INPUT", "text"),
    "text is a number": (_speak(text=12), "INVALID_INPUT", "text"),
    "text is null": ({"type": "synthesize", "text": None}, "INVALID_INPUT", "text"),
    "text is too long": (_speak(text="a" * 100_001), "INVALID_INPUT", "100,001"),
    "two voices": (_speak(voice_id="00000000", voice_name="Anna"), "INVALID_INPUT", "at most one"),
    "voice and reference": (_speak(voice_id="00000000", reference_audio=TWO_SECONDS), "INVALID_INPUT", "at most one"),
    "unknown voice id": (_speak(voice_id="00000000"), "VOICE_NOT_FOUND", "00000000"),
    "unknown voice name": (_speak(voice_name="Nobody"), "VOICE_NOT_FOUND", "Nobody"),
    "part of a voice name": (_speak(voice_name="Res"), "VOICE_NOT_FOUND", "Res"),
    "voice id with a path": (_speak(voice_id="../../etc/passwd"), "VOICE_NOT_FOUND", ""),
    "voice id is empty": (_speak(voice_id=""), "INVALID_INPUT", "voice_id"),
    "exaggeration too high": (_speak(exaggeration=9.0), "INVALID_INPUT", "0 to 2"),
    "exaggeration is text": (_speak(exaggeration="high"), "INVALID_INPUT", "exaggeration"),
    "cfg_weight negative": (_speak(cfg_weight=-0.1), "INVALID_INPUT", "0 to 1"),
    "temperature zero": (_speak(temperature=0), "INVALID_INPUT", "0.05 to 5"),
    "temperature is true": (_speak(temperature=True), "INVALID_INPUT", "temperature"),
    "top_p above one": (_speak(top_p=1.5), "INVALID_INPUT", "top_p"),
    "min_p above one": (_speak(min_p=2), "INVALID_INPUT", "min_p"),
    "repetition_penalty below one": (_speak(repetition_penalty=0.5), "INVALID_INPUT", "1 to 2"),
    "seed negative": (_speak(seed=-1), "INVALID_INPUT", "seed"),
    "seed is a fraction": (_speak(seed=1.5), "INVALID_INPUT", "seed"),
    "seed too large": (_speak(seed=2**32), "INVALID_INPUT", "seed"),
    "language unknown": (_speak(language="xx"), "INVALID_INPUT", "language"),
    "language malformed": (_speak(language="../en"), "INVALID_INPUT", "language"),
    "model not loaded": (_speak(model="gigantic"), "INVALID_INPUT", "gigantic"),
    "format unknown": (_speak(format="aiff"), "INVALID_INPUT", "'flac'"),
    "sample rate too low": (_speak(sample_rate=4000), "INVALID_INPUT", "sample_rate"),
    "sample rate too high": (_speak(sample_rate=192_000), "INVALID_INPUT", "sample_rate"),
    "opus at 44.1 kHz": (_speak(format="opus", sample_rate=44_100), "INVALID_INPUT", "48000"),
    "normalize unknown": (_speak(normalize="loud"), "INVALID_INPUT", "'peak'"),
    "delivery unknown": (_speak(delivery="pigeon"), "INVALID_INPUT", "'inline'"),
    "delivery s3 without a bucket": (_speak(delivery="s3"), "INVALID_INPUT", "bucket"),
    "reference is not base64": (_speak(reference_audio="not base64!"), "INVALID_INPUT", "base64"),
    "reference is not audio": (_speak(reference_audio=_base64(b"hello" * 100)), "UNREADABLE_AUDIO", ""),
    "reference is cut off": (_speak(reference_audio=_base64(wav(tone(2))[:60])), "INVALID_INPUT", "0.00 s"),
    "reference is half a header": (_speak(reference_audio=_base64(wav(tone(2))[:20])), "UNREADABLE_AUDIO", "wav"),
    "register without a name": (
        {"type": "register_voice", "reference_audio": TWO_SECONDS},
        "INVALID_INPUT",
        "voice_name",
    ),
    "register with an empty name": (_register(voice_name=""), "INVALID_INPUT", "name"),
    "register with a blank name": (_register(voice_name="   "), "INVALID_INPUT", "name"),
    "register with control characters": (_register(voice_name="a\x00b"), "INVALID_INPUT", "name"),
    "register with a long name": (_register(voice_name="n" * 201), "INVALID_INPUT", "200"),
    "register a taken name": (_register(voice_name="Resident"), "NAME_TAKEN", "Resident"),
    "register a taken name in other case": (_register(voice_name=" resident "), "NAME_TAKEN", "resident"),
    "register without audio": ({"type": "register_voice", "voice_name": "New"}, "INVALID_INPUT", "exactly one"),
    "register with two sources": (_register(voice_embedding=TWO_SECONDS), "INVALID_INPUT", "exactly one"),
    "register half a second": (_register(reference_audio=_base64(wav(tone(0.5)))), "INVALID_INPUT", "1 s"),
    "register silence": (_register(reference_audio=_base64(wav(tone(2) * 0))), "INVALID_INPUT", "silen"),
    "register NaN": (_register(reference_audio=_base64(wav(NAN, subtype="FLOAT"))), "INVALID_INPUT", ""),
    "register infinity": (_register(reference_audio=_base64(wav(INFINITE, subtype="FLOAT"))), "INVALID_INPUT", ""),
    "register eleven minutes": (
        _register(
            reference_audio=_base64(wav(np.zeros(11 * 60 * 8000, np.int8).astype(np.int16), 8000, subtype="PCM_U8"))
        ),
        "TOO_LARGE",
        "600 s",
    ),
    "on_conflict unknown": (_register(on_conflict="merge"), "INVALID_INPUT", "'replace'"),
    "embedding is not gzip": (
        {"type": "register_voice", "voice_name": "New", "voice_embedding": _base64(b"plain")},
        "UNSAFE_FILE",
        "",
    ),
    "embedding runs code": (
        {"type": "register_voice", "voice_name": "New", "voice_embedding": _embedding(_Runs())},
        "UNSAFE_FILE",
        "",
    ),
    "embedding holds no audio": (
        {"type": "register_voice", "voice_name": "New", "voice_embedding": _embedding({"sample_rate": 24_000})},
        "UNSAFE_FILE",
        "",
    ),
    "page size zero": ({"type": "list_voices", "page_size": 0}, "INVALID_INPUT", "page_size"),
    "page size huge": ({"type": "list_voices", "page_size": 10**9}, "INVALID_INPUT", "page_size"),
    "page token invented": ({"type": "list_voices", "page_token": "%%%"}, "INVALID_INPUT", "page_token"),
    "get nothing": ({"type": "get_voice"}, "INVALID_INPUT", "exactly one"),
    "get an unknown voice": ({"type": "get_voice", "voice_name": "Nobody"}, "VOICE_NOT_FOUND", "Nobody"),
    "rename to a taken name": (
        {"type": "rename_voice", "voice_name": "Other", "new_name": "RESIDENT"},
        "NAME_TAKEN",
        "RESIDENT",
    ),
    "rename without a new name": ({"type": "rename_voice", "voice_name": "Other"}, "INVALID_INPUT", "new_name"),
    "delete by both": (
        {"type": "delete_voice", "voice_id": "00000000", "voice_name": "Other"},
        "INVALID_INPUT",
        "exactly one",
    ),
    "health with a field": ({"type": "health", "verbose": True}, "INVALID_INPUT", "'verbose'"),
}
