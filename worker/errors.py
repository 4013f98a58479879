"""The contract's one shape of failure: `CODE: what was wrong; what is allowed; what to do`, on one line.

    JobError                   a refusal with its code; everything else that reaches `describe` is translated to one

This is the boundary where the rooms' own errors become codes. What is not known here becomes INTERNAL, without its
message: a message we did not write could carry a path or a key. The log has the traceback under the job's id.
"""

from __future__ import annotations

import re
from typing import Literal, get_args

from generate_voice_embedding import VoiceEmbeddingError
from synthesis import errors as synthesis_errors
from voice_library import errors as library_errors
from worker.settings import SettingsError

Code = Literal[
    "INVALID_INPUT",
    "VOICE_NOT_FOUND",
    "NAME_TAKEN",
    "UNREADABLE_AUDIO",
    "UNSAFE_FILE",
    "TOO_LARGE",
    "STORAGE_UNAVAILABLE",
    "OUT_OF_MEMORY",
    "CANCELLED",
    "INTERNAL",
]
CODES: tuple[Code, ...] = get_args(Code)

MAX_ERROR_CHARACTERS = 1000
INTERNAL_MESSAGE = (
    "something failed inside the worker; no input is known to cause this; try again, then report the job id"
)

# More specific types first: the first match decides.
_CODE_OF: tuple[tuple[type[Exception], Code], ...] = (
    (SettingsError, "INTERNAL"),
    (synthesis_errors.UnusableReference, "UNREADABLE_AUDIO"),
    (synthesis_errors.OutOfDeviceMemory, "OUT_OF_MEMORY"),
    (synthesis_errors.Cancelled, "CANCELLED"),
    (synthesis_errors.WeightsNotFound, "INTERNAL"),
    (synthesis_errors.EngineUnavailable, "INTERNAL"),
    (synthesis_errors.SynthesisError, "INVALID_INPUT"),
    (library_errors.VoiceNotFound, "VOICE_NOT_FOUND"),
    (library_errors.NameTaken, "NAME_TAKEN"),
    (library_errors.InvalidRequest, "INVALID_INPUT"),
    (library_errors.UnsafeFile, "UNSAFE_FILE"),
    (library_errors.DamagedVoice, "UNSAFE_FILE"),
    (library_errors.StorageUnavailable, "STORAGE_UNAVAILABLE"),
    (MemoryError, "OUT_OF_MEMORY"),
)


class JobError(Exception):
    """A refusal. message: "what was wrong; what is allowed; what to do"."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code


def describe(error: BaseException) -> str:
    """The one line a caller gets for `error`."""
    code, message = _code_and_message(error)
    line = re.sub(r"[\s\x00-\x1f\x7f]+", " ", f"{code}: {message}").strip()
    line = line.encode(errors="backslashreplace").decode()  # half a surrogate pair cannot be sent
    return line if len(line) <= MAX_ERROR_CHARACTERS else line[: MAX_ERROR_CHARACTERS - 1] + "…"


def _code_and_message(error: BaseException) -> tuple[Code, str]:
    if isinstance(error, JobError):
        return error.code, str(error)
    if isinstance(error, VoiceEmbeddingError) and error.code in CODES:
        return error.code, str(error)
    if isinstance(error, MemoryError):  # its message is the allocator's, not ours
        return (
            "OUT_OF_MEMORY",
            "the worker ran out of memory; this request needs more than it has; shorten it or use a larger machine",
        )
    for error_type, code in _CODE_OF:
        if isinstance(error, error_type):
            return code, str(error)
    return "INTERNAL", INTERNAL_MESSAGE
