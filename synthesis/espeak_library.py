"""The door to eSpeak NG: utterances in, samples out; each call is a fresh run of `espeak_process`.

So every call speaks from the same state, calls run side by side, and a crash in the library is an error here. Knows the
library's voices and its units, nothing of references, conditionals or options.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import soxr

from synthesis.engine import SAMPLE_RATE_HZ, Samples
from synthesis.errors import EngineUnavailable, SynthesisError

_PROCESS = Path(__file__).with_name("espeak_process.py")
_TIMEOUT_S = 120.0  # a segment takes milliseconds; this is for a library that hangs


@dataclass(frozen=True)
class Utterance:
    """One text and how to say it, in the library's own units."""

    text: str  # no control characters: the library takes them as commands
    voice: str  # a voice's identifier, with "+variant" if wanted: "gmw/en+f2"
    pitch: int = 50  # 0 to 99; 50 more doubles the base F0 of the voice
    range: int = 50  # 0 to 99; how far F0 moves around it, 0 is monotone
    seed: int = 0  # of the breath noise


@dataclass(frozen=True)
class Library:
    """What the installed library is."""

    version: str
    voices: dict[str, str]  # the identifier of the best voice of each language: "en", "en-us", "cmn"


@cache
def library() -> Library:
    """The installed library; EngineUnavailable where it is missing or does not start."""
    header, _ = _run([])
    ranked = sorted(
        (priority, len(voice["identifier"]), language, voice["identifier"])
        for voice in header["voices"]
        for language, priority in voice["languages"].items()
    )
    return Library(header["version"], {language: identifier for *_, language, identifier in reversed(ranked)})


def speak(utterances: Sequence[Utterance]) -> list[Samples]:
    """Each utterance's speech, (n,) float32 at SAMPLE_RATE_HZ; n is 0 where the text holds nothing to say."""
    header, pcm = _run(utterances)
    parts = np.split(np.frombuffer(pcm, dtype=np.int16), np.cumsum(header["num_samples"])[:-1])
    return [_resample(part, header["sample_rate_hz"]) for part in parts]


def _resample(pcm: np.ndarray[Any, np.dtype[np.int16]], sample_rate_hz: int) -> Samples:
    samples = (pcm / np.float32(32768)).astype(np.float32)
    resampled: Samples = soxr.resample(samples, sample_rate_hz, SAMPLE_RATE_HZ)
    return np.clip(resampled, -1.0, 1.0)  # the filter may overshoot full scale


def _run(utterances: Sequence[Utterance]) -> tuple[dict[str, Any], bytes]:
    """The header and the samples that the process answers."""
    library_path, data_path = _find_library()
    request = {"library": library_path, "data": data_path, "utterances": [asdict(each) for each in utterances]}
    command = [sys.executable, "-I", "-S", str(_PROCESS)]  # isolated: no site packages, no environment, a quick start
    try:
        done = subprocess.run(  # noqa: S603 - our own file, the text goes through stdin
            command,
            input=json.dumps(request).encode(),
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
            start_new_session=True,  # a terminal's Ctrl-C is its caller's to answer, who may want to finish this
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EngineUnavailable(f"eSpeak NG did not answer ({type(error).__name__}); try again") from error
    if done.returncode != 0:
        raise _failure(done, speaking=bool(utterances))
    header, _, pcm = done.stdout.partition(b"\n")
    return json.loads(header), pcm


def _find_library() -> tuple[str, str]:
    try:
        import espeakng_loader

        return espeakng_loader.get_library_path(), espeakng_loader.get_data_path()
    except (ImportError, RuntimeError) as error:
        raise EngineUnavailable("eSpeak NG is not installed; install the espeakng-loader package") from error


def _failure(done: subprocess.CompletedProcess[bytes], *, speaking: bool) -> SynthesisError:
    reason = " ".join(done.stderr.decode("utf-8", "replace").split())[-300:]
    if done.returncode < 0 and speaking:
        return SynthesisError(f"eSpeak NG crashed (signal {-done.returncode}) on this text; try other words")
    return EngineUnavailable(f"eSpeak NG does not run here: {reason or f'exit status {done.returncode}'}")
