"""examples/celery_queue with a real Redis and real Celery workers, one of which is killed among its tasks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis_server
import soundfile

ROOT = Path(__file__).parent.parent
NUM_TASKS = 40
pytestmark = pytest.mark.skipif(redis_server.PROGRAM is None, reason="redis-server is not installed")

SUBMIT = f"""
import json
from examples.celery_queue.submit import answer, submit
jobs = [{{"text": f"Task number {{number}}."}} for number in range({NUM_TASKS})]
results = [submit(job) for job in jobs]
print(json.dumps([result.id for result in results]))
"""
ANSWERS = f"{SUBMIT}print(json.dumps([answer(*pair)['file'] for pair in zip(jobs, results)]))"


def environment(url: str, out: Path) -> dict[str, str]:
    return {
        **os.environ,
        "REDIS_URL": url,
        "SPEECH_DIR": str(out),
        "VISIBILITY_TIMEOUT_S": "2",
        "RESEND_AFTER_S": "12",  # what Redis has lost with the worker
        "ENGINE": "espeak",
        "VOICE_EMBEDDINGS_DIR": str(out.parent / "voices"),
    }


@contextmanager
def celery_worker(variables: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "celery", "-A", "examples.celery_queue.tasks", "worker"]
    command += ["--pool", "threads", "--concurrency", "2", "--without-gossip", "--without-mingle"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=variables, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def python(program: str, variables: dict[str, str]) -> str:
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=variables, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def wait_for_files(out: Path, count: int, log: Path, timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while len(list(out.glob("[!.]*.json"))) < count:
        assert time.monotonic() < deadline, log.read_text()[-3000:]
        time.sleep(0.02)


def test_tasks_of_a_killed_worker_are_done_once_by_another(tmp_path: Path) -> None:
    out, log = tmp_path / "speech", tmp_path / "worker.log"
    with redis_server.redis_server(tmp_path) as url:
        variables = environment(url, out)
        ids = json.loads(python(SUBMIT, variables))
        assert len(set(ids)) == NUM_TASKS
        with celery_worker(variables, log) as first:
            wait_for_files(out, 10, log)
            os.killpg(first.pid, signal.SIGKILL)
            first.wait()
        spoken_by_first = {path: path.stat().st_mtime_ns for path in out.glob("[!.]*.json")}
        assert len(spoken_by_first) < NUM_TASKS
        with celery_worker(variables, log):
            again, files = map(json.loads, python(ANSWERS, variables).splitlines())
    assert again == ids  # the same jobs
    assert files == [f"{task_id}.wav" for task_id in ids]
    kept = {path.name for path in out.iterdir() if not path.name.startswith(".writing-")}  # what a kill may leave
    assert kept == {f"{task_id}{suffix}" for task_id in ids for suffix in (".wav", ".json")}
    assert all(path.stat().st_mtime_ns == when for path, when in spoken_by_first.items())
    assert all(soundfile.info(path).duration > 0.3 for path in out.glob("[!.]*.wav"))
    assert len({path.read_bytes() for path in out.glob("[!.]*.wav")}) == NUM_TASKS


def test_a_refused_job_fails_its_task_with_the_workers_words(tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    with redis_server.redis_server(tmp_path) as url:
        variables = environment(url, tmp_path / "speech")
        with celery_worker(variables, log):
            refused = python(
                "from examples.celery_queue.submit import submit\nfrom examples.celery_queue.tasks import JobRefused\n"
                "try:\n    submit({'text': 'Hello.', 'voice_name': 'Nobody'}).get(timeout=60)\n"
                "except JobRefused as error:\n    print(error)",
                variables,
            )
    assert refused.startswith("VOICE_NOT_FOUND: ")
