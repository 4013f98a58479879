"""A small client of the worker: by our HTTP server, or by RunPod's queue.

    from client import VoiceClient

    with VoiceClient("http://127.0.0.1:8000") as client:
        anna = client.voices.register("Anna", "anna.wav")
        client.speak_to_file("Hello there.", "hello.mp3", voice=anna)

Imports nothing of the worker: it can be copied alone. Needs httpx.
"""

from client.aio import AsyncVoiceClient
from client.download import Downloads
from client.errors import (
    Cancelled,
    InternalError,
    InvalidInput,
    JobRefused,
    NameTaken,
    NotAllowed,
    NotOffered,
    OutOfMemory,
    StorageUnavailable,
    TooLarge,
    TooManyRequests,
    UnexpectedAnswer,
    Unreachable,
    UnreadableAudio,
    UnsafeDownload,
    UnsafeFile,
    VoiceClientError,
    VoiceNotFound,
)
from client.retries import Retries
from client.sync import VoiceClient
from client.values import Speech, Voice, VoicePage

__all__ = [
    "AsyncVoiceClient",
    "Cancelled",
    "Downloads",
    "InternalError",
    "InvalidInput",
    "JobRefused",
    "NameTaken",
    "NotAllowed",
    "NotOffered",
    "OutOfMemory",
    "Retries",
    "Speech",
    "StorageUnavailable",
    "TooLarge",
    "TooManyRequests",
    "UnexpectedAnswer",
    "Unreachable",
    "UnreadableAudio",
    "UnsafeDownload",
    "UnsafeFile",
    "Voice",
    "VoiceClient",
    "VoiceClientError",
    "VoiceNotFound",
    "VoicePage",
]
