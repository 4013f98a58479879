"""Jobs whose speech is checked: what the answer says of its segments, retries, subtitles, words, streams."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import srt
import webvtt
from book import chapter

from synthesis import SAMPLE_RATE_HZ, Samples, SynthesisOptions
from synthesis.engine import CUT_OFF, Conditionals, Take, segment_seed, silence
from synthesis.espeak import EspeakEngine
from synthesis.levels import loudness_lufs
from synthesis.quality import FasterWhisper
from synthesis.text import Segment, normalised_text
from worker.core import Worker
from worker.request import Request
from worker.settings import Settings

TEXT = "The first sentence of a text is here. " * 10 + "And the last one is this."


class Careless(EspeakEngine):
    """eSpeak NG that spoils some takes: of a segment's index and its seed, how."""

    def __init__(self, spoil: Callable[[int, int], str | None], *, batches: bool = False) -> None:
        super().__init__()
        self.batches = batches
        self.spoil = spoil
        self.texts: list[str] = []
        self.asked: list[list[int]] = []

    def takes(
        self, segments: Sequence[Segment], seeds: Sequence[int], voice: Conditionals, *rest: Any
    ) -> Iterator[Take]:
        self.asked.append(list(seeds))
        self.texts = self.texts or [segment.text for segment in segments]
        for segment, seed, take in zip(segments, seeds, super().takes(segments, seeds, voice, *rest), strict=True):
            how = self.spoil(self.texts.index(segment.text), seed)
            if how == "cut":
                yield Take(take.samples[: -len(take.samples) // 3], seed)
            elif how == "silence":
                yield Take(np.insert(take.samples, 3000, silence(2.0)), seed)
            else:
                yield Take(take.samples, seed, (CUT_OFF,) if how == "flag" else ())


def make_worker(tmp_path: Path, engine: EspeakEngine, **parts: Any) -> Worker:
    settings = Settings(embeddings_dir=tmp_path / "voices", engine="espeak", max_inline_bytes=200_000_000)
    return Worker(settings, engine=engine, **parts)


def ask(worker: Worker, request: Request | None = None, **job_input: Any) -> dict[str, Any]:
    answer = worker.answer({"id": "test", "input": job_input}, request)
    assert "error" not in answer, answer
    return answer


def sound(answer: dict[str, Any]) -> Samples:
    samples, rate_hz = soundfile.read(io.BytesIO(base64.b64decode(answer["audio"])), dtype="float32")
    assert rate_hz == SAMPLE_RATE_HZ
    return np.asarray(samples)


def test_an_answer_says_what_it_is_made_of(tmp_path: Path, espeak: EspeakEngine) -> None:
    answer = ask(make_worker(tmp_path, espeak), text=TEXT, seed=7)
    segments = answer["segments"]
    planned = espeak.plan(TEXT, SynthesisOptions(seed=7))
    assert [segment["text"] for segment in segments] == [segment.text for segment in planned]
    assert [segment["seed"] for segment in segments] == [segment_seed(7, index) for index in range(len(planned))]
    assert {(segment["score"], segment["retries"], *segment["flags"]) for segment in segments} == {(1.0, 0)}
    times = [time for segment in segments for time in (segment["start"], segment["end"])]
    assert times == sorted(times)
    assert 0 <= times[0] < times[-1] <= answer["duration"]


@pytest.mark.parametrize("batches", [True, False])
def test_a_failing_segment_is_said_again_and_the_others_are_not(
    tmp_path: Path, espeak: EspeakEngine, batches: bool
) -> None:
    text = chapter().split("3 May")[1][300:1100]
    count = len(espeak.plan(text, SynthesisOptions()))
    assert count >= 3
    seeds = [segment_seed(7, index) for index in range(count)]
    bad = {(0, seeds[0]): "cut", (2, seeds[2]): "flag", (2, seeds[2] + 1): "silence"}
    engine = Careless(lambda index, seed: bad.get((index, seed)), batches=batches)
    answer = ask(make_worker(tmp_path, engine), text=text, seed=7)
    found = [(segment["seed"], segment["retries"]) for segment in answer["segments"]]
    once, twice = seeds[0] + 1, seeds[2] + 1
    assert found == [(once, 1), (seeds[1], 0), (twice + 1, 2), *((seed, 0) for seed in seeds[3:])]
    assert not any(segment["flags"] for segment in answer["segments"])
    again = [[once, twice], [twice + 1]] if batches else [[once], [twice], [twice + 1]]
    assert engine.asked == [seeds, *again]


def test_a_retry_is_what_a_request_with_that_seed_says(tmp_path: Path) -> None:
    engine = Careless(lambda _, seed: "cut" if seed == 7 else None)
    worker = make_worker(tmp_path, engine)
    retried, alone = ask(worker, text="Hello there.", seed=7), ask(worker, text="Hello there.", seed=8)
    assert retried["audio"] == alone["audio"]


def test_what_stays_bad_is_reported_and_heard(tmp_path: Path) -> None:
    engine = Careless(lambda *_: "cut")
    [segment] = ask(make_worker(tmp_path, engine), text="Hello there, my friend.", seed=7, max_retries=1)["segments"]
    assert (segment["flags"], segment["retries"], segment["seed"]) == (["cut_off"], 1, 7)
    assert segment["score"] < 0.7
    assert engine.asked == [[7], [8]]


def test_without_checks_it_is_what_the_engine_says(tmp_path: Path, espeak: EspeakEngine) -> None:
    answer = ask(make_worker(tmp_path, espeak), text=TEXT, seed=7, quality="off", format="pcm")
    spoken = espeak.synthesize(TEXT, espeak.builtin(), SynthesisOptions(seed=7))
    samples = np.frombuffer(base64.b64decode(answer["audio"]), "<i2") / 32768
    np.testing.assert_allclose(samples, spoken, atol=2 / 32768)
    assert {segment["score"] for segment in answer["segments"]} == {None}
    assert answer["segments"][-1]["end"] == pytest.approx(answer["duration"], abs=0.01)


def test_a_stream_is_checked_when_asked_and_then_has_its_segments(tmp_path: Path) -> None:
    first = segment_seed(7, 1)
    worker = make_worker(tmp_path, Careless(lambda _, seed: "cut" if seed == first else None))
    chunks: list[dict[str, Any]] = []
    totals = ask(worker, Request("test", on_chunk=chunks.append), text=TEXT, seed=7, stream=True, quality="fast")
    assert [segment["retries"] for segment in totals["segments"]] == [0, 1]
    assert "segments" not in ask(worker, text=TEXT, seed=7, stream=True)
    with_cues = ask(worker, text=TEXT, seed=7, stream=True, subtitles="srt")
    assert len(list(srt.parse(with_cues["subtitles"]))) >= 2


@pytest.mark.parametrize(
    ("job", "why"),
    [
        ({"quality": "best"}, "allowed are 'off', 'fast' or 'asr'"),
        ({"max_retries": 6}, "max_retries is 6"),
        ({"subtitles": "ass"}, "allowed are 'srt' or 'vtt'"),
        ({"subtitles": "srt", "quality": "off", "stream": True}, "leave quality out"),
    ],
)
def test_bad_wishes_are_refused(tmp_path: Path, espeak: EspeakEngine, job: dict[str, Any], why: str) -> None:
    error = make_worker(tmp_path, espeak).answer({"input": {"text": "Hello.", **job}})["error"]
    assert error.startswith("INVALID_INPUT: ")
    assert why in error


@dataclass
class HeardWord:
    """`faster_whisper.transcribe.Word`."""

    start: float
    end: float
    word: str
    probability: float = 0.9


@dataclass
class HeardSegment:
    """Of `faster_whisper.transcribe.Segment`, what is read."""

    words: list[HeardWord] | None


class WhisperModel:
    """`faster_whisper.WhisperModel` 1.2, as far as it is called: hears what it is told to."""

    def __init__(self, heard: list[str]) -> None:
        self.heard = heard

    def transcribe(
        self,
        audio: Samples,
        language: str | None = None,
        *,
        word_timestamps: bool = False,
        condition_on_previous_text: bool = True,
    ) -> tuple[Iterator[HeardSegment], object]:
        assert (language, word_timestamps, condition_on_previous_text) == ("en", True, False)
        assert audio.dtype == np.float32
        words = self.heard.pop(0).split()
        length_s = len(audio) / 16_000 / max(len(words), 1)
        heard = [HeardWord(i * length_s, (i + 0.9) * length_s, f" {word}") for i, word in enumerate(words)]
        return iter([HeardSegment(heard), HeardSegment(None)]), object()


def test_words_are_compared_and_timed(tmp_path: Path, espeak: EspeakEngine) -> None:
    model = WhisperModel(["Goodbye moon.", "hello WORLD it's me"])
    worker = make_worker(tmp_path, espeak, recogniser=FasterWhisper(model))
    answer = ask(worker, text="Hello world, it's me!", seed=3, quality="asr", subtitles="vtt")
    [segment] = answer["segments"]
    assert (segment["retries"], segment["seed"], segment["flags"], segment["score"]) == (1, 4, [], 1.0)
    assert [word["text"] for word in segment["words"]] == ["hello", "WORLD", "it's", "me"]
    starts = [word["start"] for word in segment["words"]]
    assert starts == sorted(starts)
    assert segment["words"][-1]["end"] <= answer["duration"] + 0.2
    [cue] = webvtt.from_string(answer["subtitles"]).captions
    assert cue.text == "hello WORLD it's me"


def test_without_a_recogniser_asr_is_one_clear_error(tmp_path: Path, espeak: EspeakEngine) -> None:
    try:
        import faster_whisper  # noqa: F401
    except ImportError:
        error = make_worker(tmp_path, espeak).answer({"input": {"text": "Hello.", "quality": "asr"}})["error"]
        assert error.startswith("INVALID_INPUT: quality is 'asr' and this worker has no faster-whisper; allowed here")


def test_a_chapter_in_one_job(tmp_path: Path, espeak: EspeakEngine) -> None:
    text = chapter()
    assert len(text) >= 30_000
    answer = ask(make_worker(tmp_path, espeak), text=text, seed=1, subtitles="srt")
    samples, segments = sound(answer), answer["segments"]
    planned = espeak.plan(text, SynthesisOptions(seed=1))
    assert [segment["text"] for segment in segments] == [segment.text for segment in planned]
    said = "".join(segment["text"] for segment in segments)
    assert "".join(said.split()) == "".join(normalised_text(text).split())

    cues = list(srt.parse(answer["subtitles"]))
    assert " ".join(" ".join(cue.content.split()) for cue in cues) == " ".join(s["text"] for s in segments)
    assert all(cue.start < cue.end for cue in cues)
    assert all(cue.end <= following.start for cue, following in pairwise(cues))

    loudness = []
    for this, following in zip(segments, [*segments[1:], None], strict=True):
        start, end = round(this["start"] * SAMPLE_RATE_HZ), round(this["end"] * SAMPLE_RATE_HZ)
        loudness.append(loudness_lufs(samples[start:end], SAMPLE_RATE_HZ))
        if following is not None:
            seam = round((this["end"] + following["start"]) / 2 * SAMPLE_RATE_HZ)
            step = np.abs(np.diff(samples[end : round(following["start"] * SAMPLE_RATE_HZ)])).max()
            assert step < 10 ** (-45 / 20)
            assert abs(samples[seam]) < 10 ** (-60 / 20)
    assert np.ptp(loudness) / 2 <= 1.0, (min(loudness), max(loudness))
    assert sum(len(segment["flags"]) > 0 for segment in segments) <= len(segments) * 0.02
