"""What is said as subtitles, SRT or WebVTT. Knows text and times, nothing of sound."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

SubtitleFormat = Literal["srt", "vtt"]

MAX_LINE_CHARS, MAX_LINES = 42, 2  # what fits a screen and is read in time (Netflix, "English timed text style guide")
_MIN_CUE_S = 0.001


@dataclass(frozen=True)
class Timed:
    """A text and when it is said, in s."""

    text: str
    start_s: float
    end_s: float


def subtitles(said: Iterable[Timed], subtitle_format: SubtitleFormat) -> str:
    """A whole file; each text is cut into cues of two lines, whose times follow from their length."""
    cues = [cue for timed in said for cue in _cues(timed)]
    if subtitle_format == "vtt":
        blocks = [f"{_time(cue.start_s, '.')} --> {_time(cue.end_s, '.')}\n{_escaped(cue.text)}\n" for cue in cues]
        return "\n".join(["WEBVTT\n", *blocks])
    numbered = enumerate(cues, start=1)
    return "\n".join(
        f"{number}\n{_time(cue.start_s, ',')} --> {_time(cue.end_s, ',')}\n{cue.text}\n" for number, cue in numbered
    )


def grouped(words: Sequence[Timed]) -> Iterator[Timed]:
    """Words that were timed, joined to as many as a cue holds: their times are exact, not shared out."""
    start = 0
    for end in range(1, len(words) + 1):
        following = words[start : end + 1]
        if end == len(words) or len(" ".join(word.text for word in following)) > MAX_LINE_CHARS * MAX_LINES:
            text = " ".join(word.text for word in words[start:end])
            yield Timed(text, words[start].start_s, words[end - 1].end_s)
            start = end


def _cues(timed: Timed) -> Iterator[Timed]:
    lines = textwrap.wrap(timed.text, MAX_LINE_CHARS, break_on_hyphens=False) or [""]
    pages = ["\n".join(lines[first : first + MAX_LINES]) for first in range(0, len(lines), MAX_LINES)]
    total = sum(len(page) for page in pages) or 1
    length_s = max(timed.end_s - timed.start_s, _MIN_CUE_S * len(pages))
    said = 0
    for page in pages:
        start_s = timed.start_s + length_s * said / total
        said += len(page)
        if page:
            yield Timed(page, start_s, timed.start_s + length_s * said / total)


def _time(seconds: float, mark: str) -> str:
    milliseconds = round(seconds * 1000)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{milliseconds // 1000:02}{mark}{milliseconds % 1000:03}"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
