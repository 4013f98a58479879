"""How answers leave the worker: in chunks, inline, through a bucket, or not at all; in one process, on real parts."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import threading
import urllib.request
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from s3_servers import S3Server, make_bucket

from synthesis import SAMPLE_RATE_HZ
from synthesis.engine import Take
from synthesis.espeak import EspeakEngine
from voice_library import Voice
from voice_library.local import LocalLibrary
from voice_library.stores.folder import FolderStore
from voice_library.stores.interface import Store
from voice_library.stores.s3 import S3Store
from worker.core import Worker
from worker.delivery import MARGIN_BYTES, RUN_CAP_BYTES, RUNSYNC_CAP_BYTES, Delivery
from worker.request import Request
from worker.settings import Settings
from worker.streaming import MAX_CHUNK_BYTES

SENTENCES = "The first sentence is here. " * 40  # about 60 s of speech


def make_worker(tmp_path: Path, espeak: EspeakEngine, store: Store | None = None, cap: int | None = None) -> Worker:
    settings = Settings(embeddings_dir=tmp_path / "voices", engine="espeak", max_inline_bytes=cap)
    return Worker(settings, engine=espeak, store=store)


@pytest.fixture
def worker(tmp_path: Path, espeak: EspeakEngine) -> Worker:
    return make_worker(tmp_path, espeak)


def ask(worker: Worker, request: Request | None = None, **job_input: Any) -> dict[str, Any]:
    answer = worker.answer({"id": "test", "input": job_input}, request)
    assert "error" not in answer, answer
    return answer


def refusal(worker: Worker, request: Request | None = None, **job_input: Any) -> str:
    answer = worker.answer({"id": "test", "input": job_input}, request)
    assert set(answer) == {"error"}, answer
    return str(answer["error"])


def streamed(worker: Worker, **job_input: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The chunks of a stream and its totals."""
    chunks: list[dict[str, Any]] = []
    totals = ask(worker, Request("test", on_chunk=chunks.append), stream=True, **job_input)
    return chunks, totals


def joined(chunks: list[dict[str, Any]]) -> bytes:
    return b"".join(base64.b64decode(chunk["audio"]) for chunk in chunks)


# Streams


@pytest.mark.parametrize(("audio_format", "rate_hz"), [("pcm", None), ("pcm", 16_000), ("ulaw", None)])
@pytest.mark.parametrize("quality", ["off", "fast"])
def test_a_headerless_stream_is_the_whole_answer(
    worker: Worker, audio_format: str, rate_hz: int | None, quality: str
) -> None:
    job = {"text": SENTENCES, "seed": 1, "format": audio_format, "sample_rate": rate_hz, "quality": quality}
    chunks, _ = streamed(worker, **job)
    assert len(chunks) > 3
    assert joined(chunks) == base64.b64decode(ask(worker, **job)["audio"])


@pytest.mark.parametrize("audio_format", ["wav", "mp3", "opus"])
def test_a_stream_is_a_valid_file(worker: Worker, audio_format: str) -> None:
    chunks, totals = streamed(worker, text=SENTENCES, format=audio_format)
    samples, rate_hz = soundfile.read(io.BytesIO(joined(chunks)))
    assert rate_hz == totals["sample_rate"]
    assert len(samples) / rate_hz == pytest.approx(totals["duration"], abs=0.15)


def test_every_chunk_describes_itself_and_the_last_has_the_totals(worker: Worker) -> None:
    chunks, totals = streamed(worker, text=SENTENCES, format="pcm")
    position_s = 0.0
    for index, chunk in enumerate(chunks):
        assert (chunk["index"], chunk["format"], chunk["sample_rate"]) == (index, "pcm", SAMPLE_RATE_HZ)
        assert chunk["offset"] == pytest.approx(position_s, abs=0.001)
        assert chunk["last"] == (index == len(chunks) - 1)
        position_s += len(base64.b64decode(chunk["audio"])) / 2 / SAMPLE_RATE_HZ
    assert chunks[-1]["duration"] == totals["duration"] == pytest.approx(position_s, abs=0.001)
    assert (totals["num_chunks"], totals["engine"]) == (len(chunks), "espeak")
    assert (
        0
        < totals["timings"]["first_chunk_s"]
        < sum(totals["timings"][part] for part in ("queue_s", "prepare_s", "decode_s", "check_s", "encode_s"))
    )


def test_no_chunk_is_too_large_for_the_platform(worker: Worker) -> None:
    one_long_segment = "na " * 99  # 300 characters without a stop
    chunks, _ = streamed(worker, text=one_long_segment, format="pcm", sample_rate=48_000)
    assert max(len(base64.b64decode(chunk["audio"])) for chunk in chunks) == MAX_CHUNK_BYTES
    assert all(len(json.dumps({"output": chunk})) < 1_000_000 for chunk in chunks)


def test_a_stream_nobody_takes_comes_with_the_answer(worker: Worker) -> None:
    answer = ask(worker, text="One. Two. Three.", format="wav", stream=True)
    assert [chunk["index"] for chunk in answer["chunks"]] == list(range(answer["num_chunks"]))
    assert joined(answer["chunks"])[:4] == b"RIFF"


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"format": "flac"}, "with stream is wav"),
        ({"normalize": "peak"}, "normalize"),
        ({"delivery": "s3"}, "delivery"),
    ],
)
def test_what_cannot_be_streamed_is_refused(worker: Worker, fields: dict[str, Any], word: str) -> None:
    line = refusal(worker, text="Hello.", stream=True, **fields)
    assert line.startswith("INVALID_INPUT: ")
    assert word in line


# Requests


def test_a_cancelled_job_stops_speaking(worker: Worker) -> None:
    stopped, spoken = threading.Event(), []

    def take(chunk: dict[str, Any]) -> None:
        spoken.append(chunk)
        stopped.set()

    request = Request("test", cancelled=stopped.is_set, on_chunk=take)
    line = refusal(worker, request, text=SENTENCES, stream=True, format="ulaw")
    assert line.startswith("CANCELLED: ")
    assert len(spoken) == 1


def test_progress_counts_segments(worker: Worker) -> None:
    seen: list[tuple[int, int]] = []
    ask(worker, Request("test", on_progress=lambda done, total: seen.append((done, total))), text=SENTENCES)
    total = seen[0][1]
    assert total > 2
    assert seen == [(done, total) for done in range(1, total + 1)]


def test_a_job_that_comes_again_is_spoken_the_same(worker: Worker) -> None:
    again, another = ({"id": job_id, "input": {"text": "Hello."}} for job_id in ("a", "b"))
    first, second = worker.answer(again), worker.answer(again)
    assert first["seed"] == second["seed"] != worker.answer(another)["seed"]
    assert first["audio"] == second["audio"]


def test_a_short_job_does_not_wait_for_a_long_one(worker: Worker) -> None:
    started, done = threading.Event(), []

    def long_job() -> None:
        ask(worker, Request("long", on_progress=lambda *_: started.set()), text=SENTENCES * 3, format="flac")
        done.append("long")

    thread = threading.Thread(target=long_job)
    thread.start()
    started.wait(30)
    ask(worker, text="Hello.")
    done.append("short")
    thread.join()
    assert done == ["short", "long"]


class MeetingEngine(EspeakEngine):
    """eSpeak NG that speaks only while two jobs are inside it at once."""

    def __init__(self, batches: bool) -> None:
        super().__init__()
        self.batches = batches
        self.meeting = threading.Barrier(2)

    def takes(self, *arguments: Any) -> Any:
        with contextlib.suppress(threading.BrokenBarrierError):
            self.meeting.wait(1)
        return super().takes(*arguments)


@pytest.mark.parametrize("batches", [True, False])
def test_only_an_engine_that_batches_is_called_by_several_jobs_at_once(tmp_path: Path, batches: bool) -> None:
    engine = MeetingEngine(batches)
    worker = make_worker(tmp_path, engine)
    with ThreadPoolExecutor(2) as callers:
        list(callers.map(lambda text: ask(worker, text=text), ("One.", "Two.")))
    assert engine.meeting.broken is not batches


# Inline, bucket, refusal


def test_the_caps_are_the_platforms() -> None:
    delivery = Delivery(None)
    assert delivery.cap_bytes(Request("0a1b-u1")) == RUN_CAP_BYTES - MARGIN_BYTES
    assert delivery.cap_bytes(Request("sync-0a1b-u1")) == RUNSYNC_CAP_BYTES - MARGIN_BYTES


def test_an_oversized_answer_names_the_formats_that_fit(tmp_path: Path, espeak: EspeakEngine) -> None:
    worker = make_worker(tmp_path, espeak, cap=1_500_000)
    line = refusal(worker, text=SENTENCES)
    assert line.startswith("TOO_LARGE: ")
    fitting = line.partition("ask for format ")[2].partition(",")[0].split(" or ")
    assert "mp3" in fitting
    assert "opus" in fitting
    for audio_format in fitting:
        ask(worker, text=SENTENCES, format=audio_format)


def test_a_hopeless_answer_is_refused_before_all_of_it_is_spoken(tmp_path: Path, espeak: EspeakEngine) -> None:
    worker, seen = make_worker(tmp_path, espeak, cap=3_000_000), []
    line = refusal(
        worker, Request("test", on_progress=lambda done, total: seen.append(done / total)), text=SENTENCES * 4
    )
    assert line.startswith("TOO_LARGE: ")
    assert max(seen) < 0.5


@pytest.fixture
def bucket(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "bucket")


def fetched(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=30) as reply:
        data: bytes = reply.read()
    return data


def test_an_oversized_answer_goes_to_the_bucket(tmp_path: Path, espeak: EspeakEngine, bucket: FolderStore) -> None:
    inline = ask(make_worker(tmp_path, espeak), text=SENTENCES, seed=3)
    answer = ask(make_worker(tmp_path, espeak, bucket, cap=1_000_000), text=SENTENCES, seed=3)
    assert fetched(answer["audio_url"]) == base64.b64decode(inline["audio"])
    assert "audio" not in answer
    assert answer["expires_at"] > "2026"
    assert answer["duration"] == inline["duration"]


def test_a_short_answer_goes_to_the_bucket_when_asked(
    tmp_path: Path, espeak: EspeakEngine, bucket: FolderStore
) -> None:
    answer = ask(make_worker(tmp_path, espeak, bucket), text="Hello.", delivery="s3", format="mp3")
    assert answer["audio_url"].endswith(".mp3")


def test_inline_stays_inline_also_with_a_bucket(tmp_path: Path, espeak: EspeakEngine, bucket: FolderStore) -> None:
    line = refusal(make_worker(tmp_path, espeak, bucket, cap=1_000_000), text=SENTENCES, delivery="inline")
    assert line.startswith("TOO_LARGE: ")
    assert "delivery auto" in line


def test_a_signed_address_is_open_to_anyone_and_named_for_players(s3_server: S3Server) -> None:
    settings = s3_server.settings(f"signed-{uuid.uuid4().hex[:8]}", prefix="team/a")
    make_bucket(settings)
    store = S3Store(settings)
    store.put("answers/x.mp3", b"sound")
    with urllib.request.urlopen(store.signed_url("answers/x.mp3", 60, "audio/mpeg"), timeout=30) as reply:
        assert (reply.read(), reply.headers["Content-Type"]) == (b"sound", "audio/mpeg")
    expired = store.signed_url("answers/x.mp3", 1, "audio/mpeg")
    assert "Expires=1&" in expired
    assert settings.secret_access_key not in expired
    store.close()


class CountingEngine(EspeakEngine):
    """eSpeak NG that counts how often it is asked to speak."""

    spoken = 0

    def takes(self, *arguments: Any) -> Any:
        self.spoken += 1
        return super().takes(*arguments)


def test_the_same_request_is_answered_from_the_bucket(tmp_path: Path, bucket: FolderStore) -> None:
    engine = CountingEngine()
    job = {"text": "Hello.", "delivery": "s3", "seed": 5}
    first, second = (ask(make_worker(tmp_path, engine, bucket), **job) for _ in range(2))
    assert engine.spoken == 1
    assert (second["cached"], second["audio_url"]) == (True, first["audio_url"])
    assert second["timings"]["decode_s"] == second["timings"]["rtf"] == 0
    for answer in (first, second):
        del answer["timings"], answer["expires_at"]
    assert second == {**first, "cached": True}


@pytest.mark.parametrize("damage", ["lost audio", "damaged facts"])
def test_half_an_answer_in_the_bucket_is_spoken_again(tmp_path: Path, bucket: FolderStore, damage: str) -> None:
    worker = make_worker(tmp_path, CountingEngine(), bucket)
    job = {"text": "Hello.", "delivery": "s3", "seed": 5}
    first = ask(worker, **job)
    [facts] = [listed.key for listed in bucket.list("answers/") if listed.key.endswith(".json")]
    if damage == "lost audio":
        bucket.delete(facts.replace(".json", ".wav"))
    else:
        bucket.put(facts, b"{")
    assert "cached" not in ask(worker, **job)
    assert fetched(first["audio_url"])[:4] == b"RIFF"


@pytest.mark.parametrize(
    "change",
    [{"text": "Hullo."}, {"seed": 6}, {"format": "flac"}, {"normalize": "peak"}, {"quality": "off"}],
)
def test_another_request_is_spoken(tmp_path: Path, bucket: FolderStore, change: dict[str, Any]) -> None:
    engine, job = CountingEngine(), {"text": "Hello.", "delivery": "s3", "seed": 5}
    worker = make_worker(tmp_path, engine, bucket)
    assert ask(worker, **job)["audio_url"] != ask(worker, **{**job, **change})["audio_url"]
    assert engine.spoken == 2


def test_without_a_bucket_it_cannot_be_asked_for(worker: Worker) -> None:
    assert "no bucket" in refusal(worker, text="Hello.", delivery="s3")


# What must never leave


class OddEngine(EspeakEngine):
    """An engine that fails in a way of its own."""

    def __init__(self, failure: BaseException | None = None) -> None:
        super().__init__()
        self.failure = failure

    def takes(self, *_: Any) -> Any:
        if self.failure is not None:
            raise self.failure
        return iter([Take(np.full(SAMPLE_RATE_HZ, np.nan, np.float32), 0)])


@pytest.mark.parametrize(
    ("failure", "code"), [(SystemExit(3), "INTERNAL"), (MemoryError("9 GiB"), "OUT_OF_MEMORY"), (None, "INTERNAL")]
)
def test_whatever_happens_is_one_of_the_contracts_errors(
    tmp_path: Path, failure: BaseException | None, code: str
) -> None:
    assert refusal(make_worker(tmp_path, OddEngine(failure)), text="Hello.").startswith(f"{code}: ")


def test_an_answer_of_many_voices_stays_below_the_cap(tmp_path: Path, espeak: EspeakEngine) -> None:
    worker = make_worker(tmp_path, espeak, cap=1)
    for number in range(60):
        worker.library.register(
            np.sin(np.arange(24_000) / (10 + number)).astype(np.float32), 24_000, f"V{number}", description="x" * 2000
        )
    assert refusal(worker, type="list_voices").startswith("TOO_LARGE: the answer has 0.1 MB")
    assert len(ask(worker, type="list_voices", page_size=20)["voices"]) == 20


class OddLibrary(LocalLibrary):
    """A library whose voices say something that is no JSON."""

    odd: object = None

    def get(self, **_: Any) -> Voice:
        return Voice("0", "Odd", metadata={"odd": self.odd})


@pytest.mark.parametrize("odd", [b"bytes", float("nan"), "\ud83d", {1, 2}])
def test_an_answer_that_is_no_json_is_refused(tmp_path: Path, espeak: EspeakEngine, odd: object) -> None:
    library = OddLibrary(tmp_path)
    library.odd = odd
    worker = Worker(Settings(embeddings_dir=tmp_path, engine="espeak"), library, espeak)
    assert refusal(worker, type="get_voice", voice_id="0").startswith(
        "INTERNAL: the answer could not be written as JSON"
    )
