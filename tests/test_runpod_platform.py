"""End to end: the true `python handler.py` under the SDK's real job loop, against RunPod's platform on loopback."""

from __future__ import annotations

import base64
import io
import itertools
import re
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import runpod
import soundfile
from bad_jobs import tone, wav
from runpod_platform import Job, Platform
from s3_servers import S3Server, make_bucket
from soak import soak
from worker_process import WorkerProcess

SENTENCE = "Every sentence of this text is as long as the one before it, and says as little. "
RECORDING = base64.b64encode(wav(tone(2.5))).decode("ascii")


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    with Platform() as platform:
        yield platform


@pytest.fixture(scope="module")
def worker(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerProcess]:
    """One healthy worker for the tests that do no harm to it."""
    home = tmp_path_factory.mktemp("worker")
    with WorkerProcess(platform, "healthy", home / "log", {"VOICE_EMBEDDINGS_DIR": str(home / "voices")}) as worker:
        worker.wait_until_ready()
        yield worker


def answer(platform: Platform, job: Job, timeout_s: float = 60) -> dict[str, Any]:
    platform.wait(job, timeout_s=timeout_s)
    assert job.status == "COMPLETED", job.error
    assert isinstance(job.output, dict)
    return job.output


def test_a_registered_voice_speaks(platform: Platform, worker: WorkerProcess) -> None:
    registration = platform.submit({"type": "register_voice", "voice_name": "Anna", "reference_audio": RECORDING})
    voice = answer(platform, registration)
    spoken = answer(platform, platform.submit({"text": "Hello there.", "voice_name": "Anna"}))
    assert spoken["voice_id"] == voice["voice_id"]
    assert base64.b64decode(spoken["audio"])[:4] == b"RIFF"


def test_an_error_is_one_line_and_the_job_has_failed(platform: Platform, worker: WorkerProcess) -> None:
    job = platform.submit({"text": "Hello.", "voice_name": "Nobody"})
    platform.wait(job)
    assert job.status == "FAILED"
    assert job.error is not None
    assert job.error.startswith("VOICE_NOT_FOUND: ")
    assert "\n" not in job.error


def test_a_webhook_gets_the_answer_once(platform: Platform, worker: WorkerProcess) -> None:
    job = platform.submit({"text": "Hello."}, webhook=platform.webhook_url)
    answer(platform, job)
    platform.until(lambda: any(event.job == job.id for event in platform.of_kind("webhook-received")), 10)
    [received] = [event.detail for event in platform.of_kind("webhook-received") if event.job == job.id]
    assert (received["status"], received["output"]) == ("COMPLETED", job.output)


def test_runpods_own_client_speaks_streams_and_cancels(
    platform: Platform, worker: WorkerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runpod, "endpoint_url_base", f"{platform.url}/v2")
    endpoint = runpod.Endpoint("ep", api_key="test-key")
    assert endpoint.run_sync({"input": {"text": "Hello."}}, timeout=30)["engine"] == "espeak"
    chunks = list(endpoint.run({"input": {"text": SENTENCE * 12, "stream": True}}).stream())
    assert [chunk["last"] for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert chunks[-1]["num_chunks"] == len(chunks)
    unwanted = endpoint.run({"input": {"text": SENTENCE * 1200, "format": "mp3"}})
    unwanted.cancel()
    assert unwanted.status() == "CANCELLED"


def test_nothing_private_is_logged(platform: Platform, worker: WorkerProcess) -> None:
    answer(platform, platform.submit({"text": "Confidential words.", "reference_audio": RECORDING}))
    log = worker.output()
    assert "Confidential" not in log
    assert RECORDING[:40] not in log
    assert "Anna" not in log


def test_a_stream_arrives_in_pieces_before_the_answer(platform: Platform, worker: WorkerProcess) -> None:
    text = SENTENCE * 12
    job = platform.submit({"text": text, "stream": True, "format": "pcm", "seed": 1})
    totals = answer(platform, job)
    whole = answer(platform, platform.submit({"text": text, "format": "pcm", "seed": 1, "quality": "off"}))
    assert "audio" not in totals
    assert len(job.chunks) == totals["num_chunks"] > 3
    assert [chunk["index"] for chunk in job.chunks] == list(range(totals["num_chunks"]))
    assert "".join(chunk["audio"] for chunk in job.chunks[:-1])  # every piece is base64 on its own
    pieces = b"".join(base64.b64decode(chunk["audio"]) for chunk in job.chunks)
    assert pieces == base64.b64decode(whole["audio"])
    assert job.chunk_times_s[0] < job.chunk_times_s[-1] < job.done_s
    assert totals["timings"]["first_chunk_s"] < job.chunk_times_s[0] - job.taken_s < job.done_s - job.taken_s


def test_progress_is_reported_and_never_after_the_answer(platform: Platform, worker: WorkerProcess) -> None:
    job = platform.submit({"text": SENTENCE * 700, "stream": True, "format": "ulaw"})
    answer(platform, job, timeout_s=120)
    done = [update["segments_done"] for update in job.progress]
    assert done, "a job of many seconds reports progress"
    assert done == sorted(done)
    assert max(done) < job.progress[0]["segments"]
    gaps = [event.at_s for event in platform.of_kind("progress") if event.job == job.id]
    assert all(later - earlier > 1.5 for earlier, later in itertools.pairwise(gaps))
    time.sleep(0.5)
    assert [event for event in platform.of_kind("late-progress") if event.job == job.id] == []


def test_a_cancelled_job_stops_within_a_segment(platform: Platform, worker: WorkerProcess) -> None:
    job = platform.submit({"text": SENTENCE * 1200, "format": "mp3"})  # a minute of work and more
    platform.until(lambda: job.progress != [], 60)
    cancelled_s = time.monotonic()
    platform.cancel(job)
    pattern = re.compile(rf'"requestId": "{job.id}".*"CANCELLED"')
    platform.until(lambda: pattern.search(worker.output()) is not None, 10, lambda: worker.output()[-500:])
    assert time.monotonic() - cancelled_s < 5
    assert (job.status, job.answers) == ("CANCELLED", 0)
    answer(platform, platform.submit({"text": "The worker goes on."}))


UNFIT = {
    "check_settings": {"MAX_CONCURRENCY": "many"},
    "check_storage": {"VOICE_EMBEDDINGS_DIR": "a-file"},
    "check_engine": {"ENGINE": "auto", "MODEL_DIR": "nowhere", "HF_HOME": ".", "HF_ENDPOINT": "http://127.0.0.1:9"},
}


@pytest.mark.parametrize("check", UNFIT)
def test_a_worker_that_is_unfit_says_why_and_ends(platform: Platform, tmp_path: Path, check: str) -> None:
    (tmp_path / "a-file").write_text("not the folder that a tree would be")
    with WorkerProcess(platform, check, tmp_path / "log", UNFIT[check]) as worker:
        assert worker.wait(60) == 1, worker.output()
    [ping] = [event.detail for event in platform.of_kind("ping") if event.worker == check]
    assert (ping["status"], ping["check"]) == ("unhealthy", check)
    assert ping["reason"].count(";") >= 1, "what was wrong; what is allowed; what to do"


def test_nothing_accepted_is_lost_when_a_worker_is_told_to_stop(tmp_path: Path) -> None:
    environment = {"MAX_CONCURRENCY": "8"}
    with Platform() as platform, WorkerProcess(platform, "first", tmp_path / "log", environment) as first:
        first.wait_until_ready()
        jobs = [platform.submit({"text": SENTENCE, "format": "mp3"}) for _ in range(50)]
        platform.until(lambda: sum(bool(job.workers) for job in jobs) >= 20, 30)
        first.terminate()
        assert first.wait(30) == 0, first.output()
        accepted = [job for job in jobs if job.workers]
        assert 20 <= len(accepted) < 50
        assert all(job.status == "COMPLETED" for job in accepted)
        with WorkerProcess(platform, "second", tmp_path / "log2", environment):
            platform.wait(*jobs)
        assert [job.answers for job in jobs] == [1] * 50
        assert platform.of_kind("requeued") == []


def test_a_job_handed_to_a_worker_that_is_stopping_is_answered(tmp_path: Path) -> None:
    """The SDK alone loses it: its poll for jobs stays open after SIGTERM, and what comes in is never started."""
    with Platform() as platform, WorkerProcess(platform, "only", tmp_path / "log", {}) as worker:
        worker.wait_until_ready()
        worker.terminate()
        time.sleep(0.3)
        job = platform.submit({"text": "Just in time."})
        assert worker.wait(30) == 0, worker.output()
        assert job.workers == ["only"]
        assert job.status == "COMPLETED", worker.output()


def test_every_job_of_a_killed_worker_is_finished_once_by_the_next(tmp_path: Path) -> None:
    environment = {"MAX_CONCURRENCY": "4"}
    with Platform() as platform, WorkerProcess(platform, "first", tmp_path / "log", environment) as first:
        first.wait_until_ready()
        text = {"text": SENTENCE * 12}
        jobs = [platform.submit(text, webhook=platform.webhook_url) for _ in range(12)]
        platform.until(lambda: sum(bool(job.workers) for job in jobs) > 4, 30)  # its second round has begun
        first.kill()
        with WorkerProcess(platform, "second", tmp_path / "log2", environment):
            platform.wait(*jobs)
            platform.until(lambda: len(platform.of_kind("webhook-received")) >= 12, 10)
        again = [job for job in jobs if len(job.workers) > 1]
        assert again, "the worker was killed with jobs in hand"
        assert len(again) < 12, "and had finished some"
        assert [job.status for job in jobs] == ["COMPLETED"] * 12
        assert [job.answers for job in jobs] == [1] * 12
        assert sorted(event.job for event in platform.of_kind("webhook-received")) == sorted(job.id for job in jobs)


def test_a_platform_in_trouble_loses_no_job(tmp_path: Path) -> None:
    with Platform() as platform, WorkerProcess(platform, "only", tmp_path / "log", {"MAX_CONCURRENCY": "4"}) as worker:
        worker.wait_until_ready()
        platform.wait(platform.submit({"text": SENTENCE}))  # the others are then answered within the trouble
        platform.break_route("job-take-batch", 500, for_s=2)
        platform.break_route("job-stop", 500, for_s=2)
        platform.break_route("ping", 500, for_s=2)
        jobs = [platform.submit({"text": SENTENCE}) for _ in range(6)]
        platform.until(lambda: any(job.workers for job in jobs), 30)
        platform.break_route("job-done", 500, for_s=2)  # the SDK sends an answer three times
        platform.wait(*jobs)
        platform.break_route("job-take-batch", 429, for_s=platform.poll_s + 1)  # its open poll ends before that
        platform.until(lambda: any(event.detail["status"] == 429 for event in platform.of_kind("broken")), 10)
        late = platform.submit({"text": SENTENCE})
        platform.wait(late)
        troubles = {(event.detail["route"], event.detail["status"]) for event in platform.of_kind("broken")}
        assert {("job-take-batch", 500), ("job-done", 500), ("job-take-batch", 429)} <= troubles
        assert all(job.status == "COMPLETED" for job in [*jobs, late])


def test_an_answer_over_the_cap_is_refused_in_words_or_goes_to_the_bucket(
    platform: Platform, worker: WorkerProcess, moto: S3Server, tmp_path: Path
) -> None:
    long_job = {"text": SENTENCE * 50, "seed": 2}  # about 4 min: 16 MB as base64 WAV
    refused = platform.submit(long_job)
    platform.wait(refused)
    assert refused.error is not None
    assert refused.error.startswith("TOO_LARGE: ")
    assert answer(platform, platform.submit(long_job, kind="runsync"))["duration"] > 160

    bucket = moto.settings("answers")
    make_bucket(bucket)
    environment = {
        "BUCKET_ENDPOINT_URL": bucket.endpoint_url,
        "BUCKET_NAME": bucket.bucket,
        "BUCKET_ACCESS_KEY_ID": bucket.access_key_id,
        "BUCKET_SECRET_ACCESS_KEY": bucket.secret_access_key,
        "VOICE_EMBEDDINGS_DIR": str(tmp_path / "voices"),
    }
    with Platform() as other, WorkerProcess(other, "bucketed", tmp_path / "log", environment) as bucketed:
        bucketed.wait_until_ready()
        delivered = answer(other, other.submit(long_job))
        with urllib.request.urlopen(delivered["audio_url"], timeout=30) as reply:
            assert reply.headers["Content-Type"] == "audio/wav"
            assert soundfile.info(io.BytesIO(reply.read())).duration == pytest.approx(delivered["duration"], abs=0.01)
        again = answer(other, other.submit(long_job))
        assert again["cached"] is True
        assert bucket.secret_access_key not in bucketed.output()


def test_a_worker_out_of_memory_says_so_and_asks_to_be_replaced(tmp_path: Path) -> None:
    with Platform() as platform, WorkerProcess(platform, "small", tmp_path / "log", {}) as worker:
        worker.wait_until_ready()
        worker.limit_memory(48 * 2**20)
        job = platform.submit({"text": SENTENCE * 400, "format": "mp3"})  # 170 MB of samples
        platform.wait(job, timeout_s=120)
        assert job.status == "FAILED"
        assert job.error is not None
        assert job.error.startswith("OUT_OF_MEMORY: ")
        assert [event.job for event in platform.of_kind("stop-pod")] == [job.id]


def test_memory_stays_flat_over_many_mixed_jobs(tmp_path: Path) -> None:
    """`benchmarks/worker.py` does the same with 1,000 jobs; the SDK takes at most 3 a second at concurrency 3."""
    environment = {"MAX_CONCURRENCY": "3", "VOICE_EMBEDDINGS_DIR": str(tmp_path / "voices")}
    with Platform() as platform, WorkerProcess(platform, "soaked", tmp_path / "log", environment) as worker:
        worker.wait_until_ready()
        soak(platform, worker, 60, wav(tone(2.5)))  # caches and the allocator fill first
        result = soak(platform, worker, 200, wav(tone(2.5)))
        assert result.unexpected() == []
        assert result.growth <= 0.05, result.memory_bytes
