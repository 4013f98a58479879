"""Many mixed jobs through one worker, and the memory it holds meanwhile, for a test and for the benchmark."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runpod_platform import Job, Platform
    from worker_process import WorkerProcess

BATCH = 20  # jobs between two figures of the memory
LOOK_EVERY_S = 0.1  # for the lowest in between
MISSING = "Nobody"  # a voice that is asked for and is not there
TEXT = "One job of very many, each of which says a little. "


@dataclass(frozen=True)
class Soak:
    """What became of the jobs. memory_bytes: the lowest resident during every BATCH jobs. What is freed is given back
    only now and then (`worker.memory`); a single look tells no more than how long ago that was."""

    jobs: list[Job]
    memory_bytes: list[int]

    @property
    def growth(self) -> float:
        """Of the second half's median over the first half's: 0.05 is 5 percent."""
        middle = len(self.memory_bytes) // 2
        return median(self.memory_bytes[middle:]) / median(self.memory_bytes[:middle]) - 1

    def unexpected(self) -> list[str]:
        """Jobs that did not end as they should: refusals refused, all others completed."""
        wrong = [job for job in self.jobs if job.status != ("FAILED" if MISSING in job.input.values() else "COMPLETED")]
        return [f"{job.id}: {job.status} {job.error}" for job in wrong]


def soak(platform: Platform, worker: WorkerProcess, num_jobs: int, recording: bytes) -> Soak:
    """num_jobs mixed jobs, a batch at a time so that the queue is never empty for long."""
    inputs = mixed_inputs(base64.b64encode(recording).decode("ascii"))
    jobs: list[Job] = []
    memory_bytes: list[int] = []
    with ThreadPoolExecutor(1) as waiting:
        while len(jobs) < num_jobs:
            batch = [platform.submit(job_input) for job_input in itertools.islice(inputs, BATCH)]
            done = waiting.submit(platform.wait, *batch, timeout_s=300)
            looks = [worker.memory_bytes()]
            while wait([done], timeout=LOOK_EVERY_S).not_done:
                looks.append(worker.memory_bytes())
            done.result()
            jobs += batch
            memory_bytes.append(min(looks))
    return Soak(jobs, memory_bytes)


def mixed_inputs(recording: str) -> Iterator[dict[str, Any]]:
    """Every kind of job in turn, for ever; no two syntheses alike."""
    for number in itertools.count():
        text = f"{TEXT * (1 + number % 5)} {number}."
        yield {"text": text}
        yield {"text": text, "format": ("mp3", "flac", "ulaw", "pcm")[number % 4], "normalize": "peak"}
        yield {"text": text, "stream": True, "format": "wav"}
        yield {"text": text, "reference_audio": recording}
        yield {"text": text, "voice_name": MISSING}  # the one that is refused
        yield {"type": "register_voice", "reference_audio": recording, "voice_name": "Soak", "on_conflict": "replace"}
        yield {"type": "list_voices", "page_size": 5}
        yield {"type": "health"}
