"""The child process that holds the eSpeak NG library: one run, one list of utterances in, their samples out.

A process of its own, because the library is one set of global variables: what it spoke before changes what it speaks
next (flutter, gain and phase are never reset), it frees less than it takes when a text mixes languages, and a text that
makes it crash must not take the worker along. It starts in about 30 ms, is run by path with the standard library alone,
and is never imported; `espeak_library` is its only caller.

Input, JSON on stdin: {"library": path, "data": path, "utterances": [{"voice", "pitch", "range", "seed", "text"}, ...]}
Output on stdout: one line of JSON {"version", "sample_rate_hz", "voices", "num_samples": [...]}, then the samples of
all utterances, 16-bit in the machine's byte order. A failure is one line on stderr and exit status 1.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from typing import Any

# speak_lib.h of eSpeak NG 1.52
SYNCHRONOUS = 2  # espeak_AUDIO_OUTPUT: espeak_Synth returns when the callback has had every sample
DONT_EXIT = 0x8000  # a missing data folder is a return value, not exit()
PITCH, RANGE = 3, 4  # espeak_PARAMETER
CHARS_UTF8 = 1
END_PAUSE = 0x1000  # without it the last sounds are cut at the end of the text
FLAGS = CHARS_UTF8 | END_PAUSE  # and nothing more: neither espeakSSML nor espeakPHONEMES, so markup is only text

SynthCallback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)


class Voice(ctypes.Structure):
    """espeak_VOICE, as far as it is read."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("languages", ctypes.POINTER(ctypes.c_char)),  # (priority byte, name, 0)*, 0
        ("identifier", ctypes.c_char_p),
    )


def load(library_path: str, data_path: str) -> tuple[ctypes.CDLL, int]:
    """The library, initialised, and its sample rate in Hz."""
    library = ctypes.CDLL(library_path)
    sample_rate_hz = library.espeak_Initialize(SYNCHRONOUS, 0, os.fsencode(data_path), DONT_EXIT)
    if sample_rate_hz <= 0:
        raise OSError(f"eSpeak NG does not start with the data in {data_path}")
    return library, sample_rate_hz


def version(library: ctypes.CDLL) -> str:
    library.espeak_Info.restype = ctypes.c_char_p
    return str(library.espeak_Info(None).decode())


def voices(library: ctypes.CDLL) -> list[dict[str, Any]]:
    """Every voice that speaks a language: its identifier and its languages with their priority (lower is better)."""
    library.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(Voice))
    listed = library.espeak_ListVoices(None)
    found = []
    index = 0
    while listed[index]:
        voice = listed[index].contents
        found.append({"identifier": voice.identifier.decode(), "languages": _languages(voice.languages)})
        index += 1
    return found


def _languages(packed: Any) -> dict[str, int]:
    languages = {}
    position = 0
    while packed[position] != b"\0":
        name = bytearray()
        end = position + 1
        while packed[end] != b"\0":
            name += packed[end]
            end += 1
        languages[name.decode("utf-8", "replace")] = packed[position][0]
        position = end + 1
    return languages


def speak(library: ctypes.CDLL, utterance: dict[str, Any]) -> bytes:
    """The samples of one utterance, 16-bit."""
    blocks: list[bytes] = []

    def keep(samples: int | None, num_samples: int, _events: int | None) -> int:
        if samples and num_samples > 0:
            blocks.append(ctypes.string_at(samples, 2 * num_samples))
        return 0  # go on

    callback = SynthCallback(keep)
    library.espeak_SetSynthCallback(callback)
    _check(library.espeak_SetVoiceByName(utterance["voice"].encode()), f"no voice {utterance['voice']}")
    library.espeak_SetParameter(PITCH, utterance["pitch"], 0)
    library.espeak_SetParameter(RANGE, utterance["range"], 0)
    library.espeak_ng_SetRandSeed(ctypes.c_long(utterance["seed"]))  # of the breath noise; it starts from the clock
    text = utterance["text"].encode() + b"\0"
    _check(library.espeak_Synth(text, ctypes.c_size_t(len(text)), 0, 0, 0, FLAGS, None, None), "not spoken")
    return b"".join(blocks)


def _check(status: int, problem: str) -> None:
    if status != 0:
        raise OSError(f"eSpeak NG: {problem} (status {status})")


def main() -> int:
    stdout = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever the library prints must not mix with the samples
    request = json.load(sys.stdin)
    try:
        library, sample_rate_hz = load(request["library"], request["data"])
        spoken = [speak(library, utterance) for utterance in request["utterances"]]
    except OSError as error:
        print(error, file=sys.stderr)
        return 1
    header = {
        "version": version(library),
        "sample_rate_hz": sample_rate_hz,
        "voices": voices(library) if not spoken else [],
        "num_samples": [len(samples) // 2 for samples in spoken],
    }
    stdout.write(json.dumps(header).encode() + b"\n")
    stdout.write(b"".join(spoken))
    stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
