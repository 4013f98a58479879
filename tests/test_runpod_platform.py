"""End to end: the true `python handler.py` under the SDK's real job loop, against RunPod's platform on loopback."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from bad_jobs import tone, wav
from runpod_platform import Job, Platform
from worker_process import WorkerProcess

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


def answer(platform: Platform, job: Job, timeout_s: float = 60) -> dict:
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


def test_nothing_private_is_logged(platform: Platform, worker: WorkerProcess) -> None:
    answer(platform, platform.submit({"text": "Confidential words.", "reference_audio": RECORDING}))
    log = worker.output()
    assert "Confidential" not in log
    assert RECORDING[:40] not in log
    assert "Anna" not in log


def test_a_worker_that_fails_its_fitness_check_says_so_and_ends(platform: Platform, tmp_path: Path) -> None:
    not_a_folder = tmp_path / "voices"
    not_a_folder.write_text("a file where the tree should be")
    with WorkerProcess(platform, "unfit", tmp_path / "log", {"VOICE_EMBEDDINGS_DIR": str(not_a_folder)}) as worker:
        assert worker.wait(60) == 1, worker.output()
    [ping] = [event.detail for event in platform.of_kind("ping") if event.worker == "unfit"]
    assert ping["status"] == "unhealthy"
    assert "check" in ping


def test_a_worker_told_to_stop_finishes_what_it_accepted(tmp_path: Path) -> None:
    with Platform() as platform, WorkerProcess(platform, "w1", tmp_path / "log", {}) as worker:
        worker.wait_until_ready()
        jobs = [platform.submit({"text": "Hello. " * 50}) for _ in range(5)]
        platform.until(lambda: jobs[1].workers != [], 30)
        worker.terminate()
        assert worker.wait(30) == 0, worker.output()
        accepted = [job for job in jobs if job.workers]
        assert accepted
        assert all(job.status == "COMPLETED" for job in accepted), [job.status for job in jobs]
