"""One line spoken: the worker's output to audio and facts, tried again where that can help. Knows no backend."""

from __future__ import annotations

import base64
import binascii
import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from batch.lines import Line

Output = Mapping[str, Any]  # the contract's answer to a synthesize job, or its {"error": …}

PASSING_CODES = ("INTERNAL", "STORAGE_UNAVAILABLE", "OUT_OF_MEMORY", "CANCELLED", "TIMED_OUT")  # may not come again
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
NOT_FACTS = ("audio", "audio_url", "expires_at", "timings", "chunks")  # of an output: what is of no use later


@dataclass(frozen=True)
class Answer:
    """What became of a line: audio and what is known of it, or an error."""

    line: Line
    audio: bytes = b""
    facts: Output = field(default_factory=dict)
    error: str | None = None  # "CODE: what was wrong; what is allowed; what to do"
    attempts: int = 1


class Stop:
    """Whether the run is to end early: no line is begun any more, those in flight end or are found again later."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def request(self) -> None:
        self._event.set()

    @property
    def requested(self) -> bool:
        return self._event.is_set()

    def sleep(self, seconds: float) -> bool:
        """Sleep, but not longer than until a stop is requested; whether it was."""
        return self._event.wait(seconds)


def attempt(
    line: Line,
    speak: Callable[[Line], Output],
    *,
    max_attempts: int,
    stop: Stop,
    fetch: Callable[[str], bytes] | None = None,
) -> Answer | None:
    """The line's answer, after at most max_attempts; None if stopped before. fetch: what is behind an audio_url."""
    number = 1
    while True:
        answer = replace(answer_of(line, speak(line), fetch), attempts=number)
        code = (answer.error or "").partition(":")[0]
        if answer.error is not None and stop.requested:
            return None  # what stops the run may have failed the line: it is tried again with the next run
        if code not in PASSING_CODES or number >= max_attempts:
            return answer
        if stop.sleep(pause_s(number)):
            return None
        number += 1


def pause_s(number: int) -> float:
    """Before attempt `number` + 1: doubling, and anywhere in its upper half, so that many lines do not try at once."""
    longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** (number - 1))
    return longest * random.uniform(0.5, 1)


def answer_of(line: Line, output: Output, fetch: Callable[[str], bytes] | None = None) -> Answer:
    """A worker's output, decoded. Whatever cannot be a good file is an error."""
    if output.get("error"):
        return Answer(line, error=str(output["error"]))
    facts = {name: value for name, value in output.items() if name not in NOT_FACTS}
    try:
        if "audio" in output:
            audio = base64.b64decode(output["audio"], validate=True)
        elif "audio_url" in output and fetch is not None:
            audio = fetch(output["audio_url"])
        else:
            return _unusable(line, f"neither audio nor an audio_url among {', '.join(sorted(output)) or 'nothing'}")
    except (binascii.Error, TypeError, ValueError):
        return _unusable(line, "audio that is not base64")
    if not audio:
        return _unusable(line, "an empty file")
    return Answer(line, audio, facts)


def _unusable(line: Line, what: str) -> Answer:
    return Answer(line, error=f"INTERNAL: the answer has {what}; audio was asked for; look at the worker's log")
