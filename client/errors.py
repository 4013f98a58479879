"""Errors of the client: the contract's codes as types, and what can go wrong on the way.

VoiceClientError
├── JobRefused               the worker's answer; `code` is the contract's, the message has its three parts
│   ├── InvalidInput         INVALID_INPUT
│   ├── VoiceNotFound        VOICE_NOT_FOUND
│   ├── NameTaken            NAME_TAKEN
│   ├── UnreadableAudio      UNREADABLE_AUDIO
│   ├── UnsafeFile           UNSAFE_FILE
│   ├── TooLarge             TOO_LARGE
│   ├── StorageUnavailable   STORAGE_UNAVAILABLE
│   ├── OutOfMemory          OUT_OF_MEMORY
│   ├── Cancelled            CANCELLED
│   └── InternalError        INTERNAL, and codes this client does not know
├── NotAllowed               no key, a wrong one, or one without this right (401, 403)
├── TooManyRequests          429, also after all tries; `retry_after_s` is what the server asked for
├── Unreachable              no answer: no connection, a timeout, or 5xx from what stands before the worker
├── UnexpectedAnswer         an answer that is none of ours: a wrong address, a proxy's page
├── UnsafeDownload           an `audio_url` that must not be fetched, or whose file is not what was promised
└── NotOffered               what this kind of server has no way to do
"""

from __future__ import annotations

from typing import ClassVar


class VoiceClientError(Exception):
    """Base of all. request_id: the server's or the job's, where one is known; tell it when you report the error."""

    def __init__(self, message: str, *, request_id: str | None = None) -> None:
        super().__init__(message)
        self.request_id = request_id


class JobRefused(VoiceClientError):
    """The worker answered with an error."""

    default_code: ClassVar = "INTERNAL"

    def __init__(self, message: str, *, code: str | None = None, request_id: str | None = None) -> None:
        super().__init__(message, request_id=request_id)
        self.code = code or self.default_code

    def __str__(self) -> str:
        return f"{self.code}: {super().__str__()}"


class InvalidInput(JobRefused):
    default_code = "INVALID_INPUT"


class VoiceNotFound(JobRefused):
    default_code = "VOICE_NOT_FOUND"


class NameTaken(JobRefused):
    default_code = "NAME_TAKEN"


class UnreadableAudio(JobRefused):
    default_code = "UNREADABLE_AUDIO"


class UnsafeFile(JobRefused):
    default_code = "UNSAFE_FILE"


class TooLarge(JobRefused):
    default_code = "TOO_LARGE"


class StorageUnavailable(JobRefused):
    default_code = "STORAGE_UNAVAILABLE"


class OutOfMemory(JobRefused):
    default_code = "OUT_OF_MEMORY"


class Cancelled(JobRefused):
    default_code = "CANCELLED"


class InternalError(JobRefused):
    default_code = "INTERNAL"


class NotAllowed(VoiceClientError):
    pass


class TooManyRequests(VoiceClientError):
    def __init__(self, message: str, *, retry_after_s: float | None = None, request_id: str | None = None) -> None:
        super().__init__(message, request_id=request_id)
        self.retry_after_s = retry_after_s


class Unreachable(VoiceClientError):
    pass


class UnexpectedAnswer(VoiceClientError):
    pass


class UnsafeDownload(VoiceClientError):
    pass


class NotOffered(VoiceClientError):
    pass


OF_CODE: dict[str, type[JobRefused]] = {
    refusal.default_code: refusal
    for refusal in (
        InvalidInput,
        VoiceNotFound,
        NameTaken,
        UnreadableAudio,
        UnsafeFile,
        TooLarge,
        StorageUnavailable,
        OutOfMemory,
        Cancelled,
        InternalError,
    )
}


def refusal_of(line: str, *, request_id: str | None = None) -> JobRefused:
    """The contract's one line, `CODE: message`, as its type."""
    code, found, message = line.partition(": ")
    if not found or not code.isupper():
        return InternalError(line, request_id=request_id)
    return OF_CODE.get(code, InternalError)(message, code=code, request_id=request_id)
