"""The worker under Celery, with Redis as broker: `handler(job)` in a task that may be run twice and does its work once.

    redis-server --bind 127.0.0.1 &
    celery -A examples.celery_queue.tasks worker --pool threads --concurrency 3
    python -m examples.celery_queue.submit "Hello there." "And good night."

Threads, because a process holds one model, and the engine takes turns or batches by itself. A task's id is made of its
job, and its file is named after it: who sends the same job again gets the file that is there.
"""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

from celery import Celery, Task

from batch.folder import write_whole
from examples.celery_queue.settings import QueueSettings
from handler import handler

SETTINGS = QueueSettings.from_environment(os.environ)
PASSING_CODES = ("INTERNAL", "STORAGE_UNAVAILABLE", "OUT_OF_MEMORY")  # may not come again

app = Celery("voices")
app.conf.update(SETTINGS.celery())


class JobRefused(Exception):
    """The worker's error, for whoever waits for the task."""


@app.task(bind=True, name="voices.speak", max_retries=SETTINGS.max_retries)
def speak(task: Task, job_input: dict[str, Any]) -> dict[str, Any]:
    """Speak into the shared folder; what is known of the file. Raises JobRefused."""
    done = SETTINGS.out / f"{task.request.id}.json"  # written last: it says that the audio is there
    if done.exists():
        return _facts(done)
    answer = handler({"id": task.request.id, "input": {**job_input, "delivery": "inline"}})
    if "error" in answer:
        error = JobRefused(answer["error"])
        if answer["error"].partition(":")[0] in PASSING_CODES:
            raise task.retry(exc=error, countdown=SETTINGS.first_retry_s * 2**task.request.retries)
        raise error
    audio = done.with_suffix(f".{answer['format']}")
    audio.parent.mkdir(parents=True, exist_ok=True)
    write_whole(audio, base64.b64decode(answer.pop("audio")))
    write_whole(done, json.dumps({**answer, "file": audio.name}).encode())
    return _facts(done)


def _facts(done: Path) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(done.read_bytes())
    return facts
