"""Send texts to the queue and wait for their files: `python -m examples.celery_queue.submit "Hello there." ...`"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from typing import Any

from celery.result import AsyncResult

from examples.celery_queue.tasks import SETTINGS, JobRefused, speak


def submit(job_input: dict[str, Any]) -> AsyncResult:
    """Queue a job. The same job has the same task id, and so the same seed and the same file."""
    digest = hashlib.sha256(json.dumps(job_input, sort_keys=True).encode()).hexdigest()[:32]
    return speak.apply_async((job_input,), task_id=digest)


def main(texts: Sequence[str]) -> int:
    failed = 0
    for text, result in [(text, submit({"text": text})) for text in texts]:
        try:
            facts = result.get(timeout=600)
        except JobRefused as error:
            failed += 1
            print(f"{text[:40]!r}: {error}", file=sys.stderr)
        else:
            print(f"{SETTINGS.out / facts['file']}  {facts['duration']:.1f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
