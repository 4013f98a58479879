"""Errors of the synthesis package.

    SynthesisError
    ├── InvalidOption          an option is outside its range, or the engine cannot honour it
    ├── EmptyText              nothing speakable is left of the text
    ├── UnusableReference      the reference audio is too short or silent for the engine
    ├── NoBuiltinVoice         the engine's weights bring no voice of their own
    ├── WeightsNotFound        no complete set of model weights is where it should be
    ├── EngineUnavailable      the engine cannot run on this machine
    ├── OutOfDeviceMemory      the device ran out of memory; the request may succeed on a fresh worker
    └── Cancelled              nobody wants the rest of the utterance any more

Foreign errors (torch, espeak, libsndfile) are translated to these where they enter the package.
"""

from __future__ import annotations


class SynthesisError(Exception):
    """Base of everything this package raises on purpose."""


class InvalidOption(SynthesisError):
    """An option is outside its range, or this engine cannot honour it."""


class EmptyText(SynthesisError):
    """Nothing speakable is left of the text."""


class UnusableReference(SynthesisError):
    """The reference audio cannot be turned into conditionals."""


class NoBuiltinVoice(SynthesisError):
    """The engine has no voice of its own; the request must name one."""


class WeightsNotFound(SynthesisError):
    """Model weights are missing or incomplete."""


class EngineUnavailable(SynthesisError):
    """The engine cannot run on this machine."""


class OutOfDeviceMemory(SynthesisError):
    """The device ran out of memory while speaking."""


class Cancelled(SynthesisError):
    """The request was cancelled while it was spoken."""

    def __init__(
        self, message: str = "the request was cancelled; nothing more is spoken; send it again if needed"
    ) -> None:
        super().__init__(message)
