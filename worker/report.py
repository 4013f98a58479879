"""What an answer says of its segments: when each is heard, how good it is, and the same as subtitles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from synthesis.quality import Spoken
from synthesis.subtitles import SubtitleFormat, Timed, grouped, subtitles
from worker.request import Output


def report(spoken: Sequence[Spoken], subtitle_format: SubtitleFormat | None) -> Output:
    """`segments`, and `subtitles` where they are asked for."""
    return with_subtitles([_segment(each) for each in spoken], subtitle_format)


def with_subtitles(segments: Sequence[dict[str, Any]], subtitle_format: SubtitleFormat | None) -> Output:
    """The same from segments as answers have them."""
    if subtitle_format is None:
        return {"segments": segments}
    return {"segments": segments, "subtitles": subtitles(_timed(segments), subtitle_format)}


def _segment(spoken: Spoken) -> dict[str, Any]:
    words = {}
    if spoken.words is not None:
        words = {"words": [{"text": word.text, "start": word.start_s, "end": word.end_s} for word in spoken.words]}
    return {
        "text": spoken.text,
        "start": spoken.start_s,
        "end": spoken.end_s,
        "seed": spoken.seed,
        "score": spoken.score,
        "flags": list(spoken.flags),
        "retries": spoken.num_retries,
        **words,
    }


def _timed(segments: Sequence[dict[str, Any]]) -> Iterator[Timed]:
    """By the words where they were heard, else by the segments."""
    for segment in segments:
        if segment.get("words"):
            yield from grouped([Timed(word["text"], word["start"], word["end"]) for word in segment["words"]])
        elif segment["end"] > segment["start"]:
            yield Timed(segment["text"], segment["start"], segment["end"])
