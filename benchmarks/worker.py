"""The worker under RunPod's SDK, with the eSpeak NG engine, the true process and the platform on loopback: jobs a
second, what a job costs besides its synthesis, how soon a stream is heard, and memory over many jobs.

Writes benchmarks/results/worker.md and .json; prints the table and, as its last line, the JSON. BENCH_SOAK_JOBS sets
the length of the last part.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform as machine
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from synthesis import SAMPLE_RATE_HZ, SynthesisOptions, encode
from synthesis.espeak import EspeakEngine
from worker.core import Worker
from worker.runpod_loop import Loop
from worker.settings import Settings

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # the platform is the tests'

from runpod_platform import Platform
from soak import soak
from worker_process import WorkerProcess

RESULTS = Path(__file__).parent / "results"
SENTENCE = "A sentence of a usual length, as people send it. "
CONCURRENCIES = (1, 2, 3, 8)
SECONDS_EACH = 12  # the SDK looks for jobs once a second when it is full: many such seconds
OVERHEAD_JOBS = 200
STREAM_SENTENCES = (1, 12, 48)
SOAK_JOBS = int(os.environ.get("BENCH_SOAK_JOBS", "1000"))
SOAK_CONCURRENCY = 3


def main() -> None:
    summary: dict[str, Any] = {
        "machine": {
            "cores": os.cpu_count(),
            "system": machine.platform(),
            "python": machine.python_version(),
            "load_before": os.getloadavg()[0],  # of other work: above the number of cores, every figure suffers
        },
        "jobs_per_s": {str(number): throughput(number) for number in CONCURRENCIES},
        "overhead_ms": overhead(),
        "stream": streams(),
        "soak": memory(),
    }
    report = _table(summary)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "worker.md").write_text(report, encoding="utf-8")
    (RESULTS / "worker.json").write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    print(report)
    print(json.dumps(summary))


def throughput(concurrency: int) -> float:
    """Jobs a second through the real loop, one short sentence each; from the first taken to the last answered."""
    with tempfile.TemporaryDirectory() as home, Platform() as platform, _worker(platform, home, concurrency):
        jobs = [platform.submit({"text": SENTENCE}) for _ in range(SECONDS_EACH * concurrency)]
        platform.wait(*jobs, timeout_s=300)
        return len(jobs) / (max(job.done_s for job in jobs) - min(job.taken_s for job in jobs))


def overhead() -> dict[str, float]:
    """Milliseconds between the SDK's call of our handler and its return that are not prepare, decode or encode."""

    async def measure(home: str) -> list[float]:
        worker = Worker(Settings(embeddings_dir=Path(home), engine="espeak"))
        loop = Loop(lambda: worker, on_platform=True)
        costs = []
        for number in range(OVERHEAD_JOBS):
            start = time.perf_counter()
            answer = await loop.handle({"id": f"{number}", "input": {"text": SENTENCE}})
            total_s = time.perf_counter() - start
            spent = answer["timings"]
            costs.append(total_s - spent["prepare_s"] - spent["decode_s"] - spent["check_s"] - spent["encode_s"])
        return costs[1:]  # the first one loads the engine

    with tempfile.TemporaryDirectory() as home:
        costs_ms = [1000 * cost for cost in asyncio.run(measure(home))]
    return {"p50": float(np.percentile(costs_ms, 50)), "p95": float(np.percentile(costs_ms, 95))}


def streams() -> list[dict[str, float]]:
    """Seconds from the worker's taking a job to its first chunk, and to the whole answer of the same job."""
    with tempfile.TemporaryDirectory() as home, Platform() as platform, _worker(platform, home, 1):
        rows = []
        for sentences in STREAM_SENTENCES:
            text = SENTENCE * sentences
            runs = [_one_stream(platform, text) for _ in range(5)]
            first_s, last_s, whole_s, audio_s = (median(column) for column in zip(*runs, strict=True))
            rows.append({"audio_s": audio_s, "first_chunk_s": first_s, "last_chunk_s": last_s, "whole_s": whole_s})
        return rows


def _one_stream(platform: Platform, text: str) -> tuple[float, float, float, float]:
    streamed = platform.submit({"text": text, "stream": True, "format": "mp3", "seed": 1})
    platform.wait(streamed)
    whole = platform.submit({"text": text, "format": "mp3", "seed": 1})
    platform.wait(whole)
    first_s, *_, last_s = streamed.chunk_times_s
    taken_s = streamed.taken_s
    return first_s - taken_s, last_s - taken_s, whole.done_s - whole.taken_s, whole.output["duration"]


def memory() -> dict[str, float]:
    """Resident memory of one worker over SOAK_JOBS mixed jobs."""
    engine = EspeakEngine()
    recording = encode(engine.synthesize(SENTENCE, engine.builtin(), SynthesisOptions()), SAMPLE_RATE_HZ, "flac")
    with (
        tempfile.TemporaryDirectory() as home,
        Platform() as platform,
        _worker(platform, home, SOAK_CONCURRENCY) as worker,
    ):
        start = time.monotonic()
        result = soak(platform, worker, SOAK_JOBS, recording)
        seconds = time.monotonic() - start
    assert not result.unexpected(), result.unexpected()
    middle = len(result.memory_bytes) // 2
    return {
        "jobs": len(result.jobs),
        "seconds": seconds,
        "first_half_mb": median(result.memory_bytes[:middle]) / 1e6,
        "second_half_mb": median(result.memory_bytes[middle:]) / 1e6,
        "growth": result.growth,
    }


def _worker(platform: Platform, home: str, concurrency: int) -> WorkerProcess:
    environment = {"MAX_CONCURRENCY": str(concurrency), "VOICE_EMBEDDINGS_DIR": f"{home}/voices"}
    worker = WorkerProcess(platform, "bench", Path(home) / "log", environment)
    worker.wait_until_ready()
    return worker


def _table(summary: dict[str, Any]) -> str:
    about, overhead_ms, soaked = summary["machine"], summary["overhead_ms"], summary["soak"]
    rates = "".join(f"| {number} | {rate:.2f} |\n" for number, rate in summary["jobs_per_s"].items())
    return f"""# The worker under RunPod's loop

eSpeak NG, {about["cores"]} cores (load of other work: {about["load_before"]:.1f}), Python {about["python"]}, the true
process and the platform on loopback.

| `MAX_CONCURRENCY` | jobs a second, one sentence each |
|---|---|
{rates}
The SDK looks for jobs once a second when it is full: about `MAX_CONCURRENCY` jobs a second is all it takes.

Overhead of a job besides its synthesis and the SDK's own:
p50 {overhead_ms["p50"]:.1f} ms, p95 {overhead_ms["p95"]:.1f} ms.

| speech | first chunk of a stream | its last chunk | the whole answer |
|---|---|---|---|
{"".join(_stream_row(row) for row in summary["stream"])}
{soaked["jobs"]} mixed jobs at concurrency {SOAK_CONCURRENCY} in {soaked["seconds"]:.0f} s: resident memory
{soaked["first_half_mb"]:.1f} MB in the first half, {soaked["second_half_mb"]:.1f} MB in the second
({soaked["growth"]:+.1%}).
"""


def _stream_row(row: dict[str, float]) -> str:
    first_s, last_s, whole_s = row["first_chunk_s"], row["last_chunk_s"], row["whole_s"]
    return f"| {row['audio_s']:.1f} s | {first_s:.3f} s | {last_s:.3f} s | {whole_s:.3f} s |\n"


if __name__ == "__main__":
    main()
