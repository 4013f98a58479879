"""Subtitles read back by parsers that are not ours."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest
import srt
import webvtt
from hypothesis import given, settings
from hypothesis import strategies as st

from synthesis.subtitles import MAX_LINE_CHARS, MAX_LINES, Timed, grouped, subtitles

SAID = [
    Timed("Short.", 0.0, 1.0),
    Timed("A very long sentence " * 12 + "with <b>marks</b> & signs --> of its own.", 1.5, 3725.25),
]


def test_srt_is_read_by_a_parser() -> None:
    cues = list(srt.parse(subtitles(SAID, "srt")))
    assert [cue.index for cue in cues] == list(range(1, len(cues) + 1))
    assert cues[0].start == timedelta(0)
    assert cues[-1].end == timedelta(seconds=3725.25)
    assert " ".join(" ".join(cue.content.split()) for cue in cues) == " ".join(" ".join(s.text.split()) for s in SAID)


def test_vtt_is_read_by_a_parser() -> None:
    cues = list(webvtt.from_string(subtitles(SAID, "vtt")).captions)
    assert cues[0].start == "00:00:00.000"
    assert cues[-1].end == "01:02:05.250"
    assert "&lt;b&gt;marks&lt;/b&gt; &amp; signs --&gt;" in " ".join(cue.raw_text.replace("\n", " ") for cue in cues)


@given(
    st.lists(
        st.tuples(
            st.text(st.characters(exclude_categories=("C", "Zl", "Zp", "Zs")), min_size=1, max_size=300),
            st.floats(0.01, 30),
            st.floats(0, 2),
        ),
        min_size=1,
        max_size=8,
    )
)
@settings(max_examples=100)
def test_any_text_is_whole_in_order_and_fits_the_screen(parts: list[tuple[str, float, float]]) -> None:
    said, at_s = [], 0.0
    for text, length_s, pause_s in parts:
        said.append(Timed(text, at_s, at_s + length_s))
        at_s += length_s + pause_s
    cues = list(srt.parse(subtitles(said, "srt")))
    assert "".join("".join(cue.content.split()) for cue in cues) == "".join(text for text, *_ in parts)
    for cue, following in pairwise(cues):
        assert cue.start <= cue.end <= following.start
    for cue in cues:
        lines = cue.content.split("\n")
        assert len(lines) <= MAX_LINES
        assert max(map(len, lines)) <= MAX_LINE_CHARS


def test_words_are_grouped_by_their_own_times() -> None:
    words = [Timed(f"word{number:02}", number, number + 0.5) for number in range(30)]
    groups = list(grouped(words))
    assert " ".join(group.text for group in groups) == " ".join(word.text for word in words)
    assert all(len(group.text) <= MAX_LINE_CHARS * MAX_LINES for group in groups)
    assert [group.start_s for group in groups] == [float(group.text[4:6]) for group in groups]
    assert [group.end_s for group in groups] == [float(group.text[-2:]) + 0.5 for group in groups]


@pytest.mark.parametrize("subtitle_format", ["srt", "vtt"])
def test_nothing_said_is_an_empty_file(subtitle_format: str) -> None:
    assert subtitles([], subtitle_format) in ("", "WEBVTT\n")  # type: ignore[arg-type]
