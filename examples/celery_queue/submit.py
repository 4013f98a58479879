"""Send texts to the queue and wait for their files: `python -m examples.celery_queue.submit "Hello there." ...`

With Redis as broker a worker takes a message off the list first and notes that it has it afterwards: one that is killed
in between takes the message along, whatever is acknowledged late. So a job without an answer is sent again, which costs
nothing where it is done or still waits: its id is made of it.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from typing import Any

from celery.exceptions import TimeoutError as NoAnswerYet
from celery.result import AsyncResult

from examples.celery_queue.tasks import SETTINGS, JobRefused, speak

MAX_SENDS = 5

Job = dict[str, Any]


def submit(job_input: Job) -> AsyncResult:
    """Queue a job. The same job has the same task id, and so the same seed and the same file."""
    digest = hashlib.sha256(json.dumps(job_input, sort_keys=True).encode()).hexdigest()[:32]
    return speak.apply_async((job_input,), task_id=digest)


def answer(job_input: Job, result: AsyncResult) -> Job:
    """What is known of the job's file. Raises JobRefused, or NoAnswerYet when it was sent MAX_SENDS times."""
    for send in range(1, MAX_SENDS + 1):
        try:
            facts: Job = result.get(timeout=SETTINGS.resend_after_s)
        except NoAnswerYet:
            if send == MAX_SENDS:
                raise
            submit(job_input)
        else:
            return facts
    raise AssertionError("the last send returns or raises")


def main(texts: Sequence[str]) -> int:
    failed = 0
    jobs = [{"text": text} for text in texts]
    for job_input, result in [(job_input, submit(job_input)) for job_input in jobs]:
        try:
            facts = answer(job_input, result)
        except (JobRefused, NoAnswerYet) as error:
            failed += 1
            print(f"{job_input['text'][:40]!r}: {error}", file=sys.stderr)
        else:
            print(f"{SETTINGS.out / facts['file']}  {facts['duration']:.1f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
