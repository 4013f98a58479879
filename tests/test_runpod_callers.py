"""Callers of a RunPod endpoint, against RunPod's public API on loopback and a true worker: the client, and batches."""

from __future__ import annotations

import asyncio
import base64
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from bad_jobs import tone, wav
from batch_jobs import ROOT, assert_all_done, command, records, rows, run, short_jobs, variables, write_jobs
from flaky_server import Reply, flaky_server
from runpod_platform import Platform
from s3_servers import S3Server, make_bucket
from worker_process import WorkerProcess

import client as package
from client import AsyncVoiceClient, Downloads, Retries, VoiceClient
from worker.core import Worker
from worker.settings import Settings

NUM_LINES = 60
QUICK = Retries(max_attempts=7, first_pause_s=0.1)


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, moto: S3Server) -> Iterator[Platform]:
    """An endpoint with one worker that has a bucket."""
    home = tmp_path_factory.mktemp("worker")
    bucket = moto.settings("callers")
    make_bucket(bucket)
    environment = {
        "VOICE_EMBEDDINGS_DIR": str(home / "voices"),
        "MAX_CONCURRENCY": "8",
        "BUCKET_ENDPOINT_URL": bucket.endpoint_url or "",
        "BUCKET_NAME": bucket.bucket,
        "BUCKET_ACCESS_KEY_ID": bucket.access_key_id or "",
        "BUCKET_SECRET_ACCESS_KEY": bucket.secret_access_key or "",
    }
    with Platform() as platform, WorkerProcess(platform, "callers", home / "log", environment) as worker:
        worker.wait_until_ready()
        yield platform


def address(platform: Platform) -> str:
    return f"{platform.url}/v2/ep"


def caller(platform: Platform, out: Path, **more: str) -> dict[str, str]:
    named = {"RUNPOD_ENDPOINT_URL": address(platform), "RUNPOD_API_KEY": "key", **more}
    return variables(out.parent / "voices", **named)


def spoken_here(tree: Path, **job_input: object) -> bytes:
    answer = Worker(Settings(embeddings_dir=tree, engine="espeak")).answer({"input": job_input})
    return b"".join(base64.b64decode(part["audio"]) for part in answer.get("chunks", [answer]))


# The client


def test_the_clients_methods_work_on_an_endpoint(platform: Platform, tmp_path: Path) -> None:
    with VoiceClient.runpod(address(platform), "key", retries=QUICK) as client:
        voice = client.voices.register("Anna", wav(tone(2.5)))
        assert client.voices.get("Anna").voice_id == voice.voice_id
        assert client.speak("Hello.", voice=voice).voice_name == "Anna"
        assert client.speak("Hello.", seed=5).audio == spoken_here(tmp_path, text="Hello.", seed=5)
        text = "A sentence that is streamed, and one more of the same. " * 20
        client.stream_to_file(text, tmp_path / "s.wav", seed=5)
        assert (tmp_path / "s.wav").read_bytes() == spoken_here(tmp_path, text=text, seed=5, stream=True)
        with pytest.raises(package.VoiceNotFound) as refused:
            client.speak("Hello.", voice="Nobody")
        assert refused.value.request_id in platform.jobs
        with pytest.raises(package.VoiceNotFound):
            list(client.stream("Hello.", voice="Nobody"))
        with pytest.raises(package.NotOffered):
            client.voices.download(tmp_path / "a.pkl.gz", voice)
        assert [found.name for found in client.voices.all()] == ["Anna"]
        assert client.voices.rename(voice, new_name="Berta").name == "Berta"
        client.voices.delete(voice)
        assert client.health()["engine"] == "espeak"


def test_an_answer_in_the_bucket_is_fetched_only_from_a_named_host(platform: Platform, tmp_path: Path) -> None:
    with (
        VoiceClient.runpod(address(platform), "key") as client,
        pytest.raises(package.UnsafeDownload, match="not https"),
    ):
        client.speak("Hello.", delivery="s3")
    with VoiceClient.runpod(address(platform), "key", downloads=Downloads(("127.0.0.1",))) as client:
        speech = client.speak("Hello.", delivery="s3", seed=5)
    assert speech.audio == spoken_here(tmp_path, text="Hello.", seed=5)


def test_many_at_once_and_through_trouble(platform: Platform) -> None:
    async def scenario() -> list[int]:
        async with AsyncVoiceClient.runpod(address(platform), "key", retries=QUICK) as client:
            platform.break_route("run", 429, 0.3)
            platform.break_route("status", 502, 0.5)
            speeches = await asyncio.gather(*(client.speak(f"Number {n}.", seed=n) for n in range(12)))
            return [speech.seed for speech in speeches]

    assert asyncio.run(scenario()) == list(range(12))
    assert platform.of_kind("broken")


def test_a_job_too_large_for_run_is_refused_here(platform: Platform) -> None:
    known = len(platform.jobs)
    with VoiceClient.runpod(address(platform), "key") as client, pytest.raises(package.TooLarge, match="10 MB"):
        client.speak("Hello.", reference_audio=b"x" * 8_000_000)
    assert len(platform.jobs) == known


def test_an_address_without_an_endpoint(platform: Platform) -> None:
    with (
        VoiceClient.runpod(f"{platform.url}/v2/none", "key") as client,
        pytest.raises(package.UnexpectedAnswer, match="404"),
    ):
        client.speak("Hello.")


# Batches


def test_an_endpoint_gives_the_files_that_this_machine_gives(platform: Platform, tmp_path: Path) -> None:
    jobs = short_jobs(NUM_LINES)
    source = write_jobs(tmp_path / "jobs.jsonl", jobs)
    platform.break_route("run", 429, 0.5)
    arguments = ("--backend", "runpod", "--price-per-second", "0.1")
    result = run(source, tmp_path / "remote", *arguments, environment=caller(platform, tmp_path / "remote"))
    assert result.returncode == 0, result.stderr
    assert "cost=" in result.stderr
    assert_all_done(tmp_path / "remote", jobs)
    assert sum(record.get("billed_s", 0) for record in records(tmp_path / "remote", "done")) > 0
    assert run(source, tmp_path / "local").returncode == 0
    for file in (tmp_path / "local" / "audio").iterdir():
        assert file.read_bytes() == (tmp_path / "remote" / "audio" / file.name).read_bytes()


def test_jobs_of_a_killed_run_are_found_again_and_not_paid_twice(platform: Platform, tmp_path: Path) -> None:
    jobs, out = [{**job, "text": job["text"] * 3} for job in short_jobs(NUM_LINES)], tmp_path / "out"
    source = write_jobs(tmp_path / "jobs.jsonl", jobs)
    before = len(platform.jobs)
    arguments = ("--backend", "runpod", "--in-flight", "16")
    with subprocess.Popen(
        command(source, out, *arguments), cwd=ROOT, env=caller(platform, out), stderr=subprocess.DEVNULL
    ) as process:
        while not (out / "journal.jsonl").exists() or len(records(out, "done")) < 5:
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
    submitted = {record["job"] for record in records(out, "submitted")}
    unknown = set(list(platform.jobs)[before:]) - submitted  # taken, but killed before the journal knew
    assert 5 < len(submitted) < NUM_LINES
    result = run(source, out, *arguments, environment=caller(platform, out))
    assert result.returncode == 0, result.stderr
    assert_all_done(out, jobs)
    assert len(platform.jobs) - before == NUM_LINES + len(unknown)


def test_forgotten_jobs_are_sent_again(platform: Platform, tmp_path: Path) -> None:
    from batch.folder import Folder
    from batch.journal import Journal
    from batch.lines import Source

    jobs, out = short_jobs(3), tmp_path / "out"
    source = write_jobs(tmp_path / "jobs.jsonl", jobs)
    with Journal(Folder(out).journal) as journal:
        journal.append(
            [
                {"event": "submitted", "id": line.id, "digest": line.digest, "job": "forgotten"}
                for line in Source(source, {}).lines()
            ]
        )
    assert run(source, out, "--backend", "runpod", environment=caller(platform, out)).returncode == 0
    assert_all_done(out, jobs)


def test_answers_in_the_bucket_and_failures(platform: Platform, tmp_path: Path) -> None:
    jobs = [{"text": "One.", "delivery": "s3"}, {"text": "Two.", "voice_name": "Nobody"}, {"text": "Three."}]
    source, out = write_jobs(tmp_path / "jobs.jsonl", jobs), tmp_path / "out"
    refused = run(source, out, "--backend", "runpod", environment=caller(platform, out))
    assert refused.returncode == 1
    reasons = {failure["id"]: failure["error"] for failure in rows(out, "failures.jsonl")}
    assert "not https" in reasons["000001"]
    assert reasons["000002"].startswith("VOICE_NOT_FOUND")
    trusted = run(source, out, "--backend", "runpod", "--audio-host", "127.0.0.1", environment=caller(platform, out))
    assert "2 of 3 lines are done, 1 failed" in trusted.stdout
    assert (out / "audio" / "000001.wav").read_bytes()[:4] == b"RIFF"


def test_a_wrong_key_ends_the_run(platform: Platform, tmp_path: Path) -> None:
    source, out = write_jobs(tmp_path / "jobs.jsonl", short_jobs(3)), tmp_path / "out"
    with flaky_server(Reply(401)) as server:
        environment = caller(platform, out, RUNPOD_ENDPOINT_URL=server.url, RUNPOD_API_KEY="a-secret")
        result = run(source, out, "--backend", "runpod", environment=environment)
        assert all(headers["Authorization"] == "Bearer a-secret" for _, _, _, headers in server.requests)
    assert result.returncode == 1
    assert "does not take this API key" in result.stderr
    assert "a-secret" not in result.stderr + result.stdout + (out / "journal.jsonl").read_text()


def test_an_endpoint_that_is_not_there_ends_the_run_and_loses_nothing(platform: Platform, tmp_path: Path) -> None:
    source, out = write_jobs(tmp_path / "jobs.jsonl", short_jobs(3)), tmp_path / "out"
    for environment, words in (
        (caller(platform, out, RUNPOD_ENDPOINT_URL=f"{platform.url}/v2/none"), "there is no endpoint"),
        (caller(platform, out, RUNPOD_ENDPOINT_URL=""), "no endpoint is named"),
    ):
        result = run(source, out, "--backend", "runpod", environment=environment)
        assert result.returncode == 1
        assert words in result.stderr
        assert "Traceback" not in result.stderr
    assert rows(out, "failures.jsonl") == []
