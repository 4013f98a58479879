"""The HTTP server under load, with the eSpeak NG engine and the true process: 200 requests at a time and fewer, what
each waits, errors, memory from the first to the last, and what HTTP costs besides the job.

Writes benchmarks/results/server.md and .json; prints the table and, as its last line, the JSON. BENCH_HTTP_REQUESTS
sets the length of the longest part.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform as machine
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp
import httpx
import numpy as np
import psutil

from synthesis.espeak import EspeakEngine
from worker.core import Worker
from worker.settings import Settings

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # the process is started as the tests start it

from http_server import ServerProcess

RESULTS = Path(__file__).parent / "results"
SENTENCE = "A sentence of a usual length, as people send it."
CONCURRENCIES = (1, 10, 50, 200)
REQUESTS_EACH = 200
LONGEST_REQUESTS = int(os.environ.get("BENCH_HTTP_REQUESTS", "4000"))
OVERHEAD_REQUESTS = 100
SAMPLE_EVERY_S = 0.25
# Of ten requests: what callers of the three faces send.
MIX = ("json", "json", "json", "json", "openai", "openai", "openai", "stream", "stream", "voices")


@dataclass
class Load:
    """What one run found."""

    seconds_by_kind: dict[str, list[float]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    memory_bytes: list[int] = field(default_factory=list)
    total_s: float = 0.0

    @property
    def seconds(self) -> list[float]:
        return [value for values in self.seconds_by_kind.values() for value in values]


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        arguments = ("--requests-per-minute", "1000000")
        with ServerProcess(Path(home) / "voices", *arguments) as process:
            asyncio.run(load(process, 20, 4))  # the first requests are not measured
            runs = {str(number): asyncio.run(load(process, *_size(number))) for number in CONCURRENCIES}
            overhead = overhead_ms(process)
            ended = process.end()
    summary: dict[str, Any] = {
        "machine": {
            "cores": os.cpu_count(),
            "system": machine.platform(),
            "python": machine.python_version(),
            "load_after": os.getloadavg()[0],  # of other work and of this: above the cores, every figure suffers
        },
        "load": {number: _row(run) for number, run in runs.items()},
        "memory_mb": _memory(runs[str(CONCURRENCIES[-1])]),
        "overhead_ms": overhead,
        "exit_status": ended,
    }
    report = _table(summary)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "server.md").write_text(report, encoding="utf-8")
    (RESULTS / "server.json").write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    print(report)
    print(json.dumps(summary))
    assert not [error for run in runs.values() for error in run.errors], "there were errors"


def _size(concurrency: int) -> tuple[int, int]:
    return (LONGEST_REQUESTS if concurrency == CONCURRENCIES[-1] else REQUESTS_EACH), concurrency


async def load(process: ServerProcess, requests: int, concurrency: int) -> Load:
    """So many requests, so many at a time: each caller sends the next as soon as it has its answer."""
    found, left = Load(), iter(range(requests))
    server = psutil.Process(process.process.pid)

    async def caller(session: aiohttp.ClientSession) -> None:
        for number in left:
            kind = MIX[number % len(MIX)]
            start = time.perf_counter()
            try:
                await _ask(session, kind, number)
            except (aiohttp.ClientError, AssertionError, ValueError) as error:
                found.errors.append(f"{kind}: {type(error).__name__}: {error}")
            found.seconds_by_kind.setdefault(kind, []).append(time.perf_counter() - start)

    async def watch() -> None:
        while True:
            found.memory_bytes.append(server.memory_info().rss)
            await asyncio.sleep(SAMPLE_EVERY_S)

    connector = aiohttp.TCPConnector(limit=concurrency)
    timeout = aiohttp.ClientTimeout(total=300)
    async with aiohttp.ClientSession(process.url, connector=connector, timeout=timeout) as session:
        watching = asyncio.create_task(watch())
        start = time.perf_counter()
        await asyncio.gather(*(caller(session) for _ in range(concurrency)))
        found.total_s = time.perf_counter() - start
        watching.cancel()
    return found


async def _ask(session: aiohttp.ClientSession, kind: str, number: int) -> None:
    """One request, its answer read to the end and looked at."""
    text = f"{SENTENCE} Number {number}."
    if kind == "voices":
        async with session.get("/v1/voices") as response:
            assert response.status == 200, response.status
            assert "voices" in await response.json()
    elif kind == "openai":
        body = {"model": "tts-1", "voice": "alloy", "input": text}
        async with session.post("/v1/audio/speech", json=body) as response:
            assert response.status == 200, response.status
            assert len(await response.read()) > 5000
    elif kind == "json":
        async with session.post("/generate", json={"text": text, "format": "mp3"}) as response:
            assert response.status == 200, response.status
            assert (await response.json())["duration"] > 1
    else:
        async with session.post("/generate", json={"text": text, "format": "pcm", "stream": True}) as response:
            assert response.status == 200, response.status
            lines = [json.loads(line) async for line in response.content]
            assert lines[-1]["last"]


def overhead_ms(process: ServerProcess) -> dict[str, float]:
    """Medians of one sentence: by HTTP, and by `Worker.answer` in this process."""
    job = {"type": "synthesize", "text": SENTENCE, "seed": 1, "format": "mp3"}
    with tempfile.TemporaryDirectory() as home, httpx.Client(base_url=process.url) as client:
        worker = Worker(Settings(embeddings_dir=Path(home), engine="espeak"), engine=EspeakEngine())

        def timed(ask: Any) -> float:
            start = time.perf_counter()
            ask()
            return 1000 * (time.perf_counter() - start)

        pairs = [
            (timed(lambda: client.post("/generate", json=job)), timed(lambda: worker.answer({"id": "x", "input": job})))
            for _ in range(OVERHEAD_REQUESTS)
        ]
        ping = median(timed(lambda: client.get("/ping")) for _ in range(OVERHEAD_REQUESTS))
    return {"http": median(pair[0] for pair in pairs), "worker": median(pair[1] for pair in pairs), "ping": ping}


def _row(run: Load) -> dict[str, Any]:
    p50, p95, p99 = (float(np.percentile(run.seconds, share)) for share in (50, 95, 99))
    return {
        "requests": len(run.seconds),
        "errors": len(run.errors),
        "per_s": len(run.seconds) / run.total_s,
        "p50_s": p50,
        "p95_s": p95,
        "p99_s": p99,
        "max_s": max(run.seconds),
        "voices_p99_s": float(np.percentile(run.seconds_by_kind["voices"], 99)),
    }


def _memory(run: Load) -> dict[str, float]:
    """Resident memory of the server, MB: medians of the quarters of the longest run."""
    quarters = np.array_split(np.array(run.memory_bytes) / 1e6, 4)
    found = {f"quarter_{number}": float(np.median(quarter)) for number, quarter in enumerate(quarters, 1)}
    return {**found, "growth": found["quarter_4"] / found["quarter_2"] - 1}


def _table(summary: dict[str, Any]) -> str:
    system, overhead = summary["machine"], summary["overhead_ms"]
    quarters = ", ".join(f"{summary['memory_mb'][f'quarter_{number}']:.1f}" for number in range(1, 5))
    rows = "\n".join(
        f"| {number} | {row['requests']} | {row['errors']} | {row['per_s']:.1f} | {row['p50_s']:.2f} | "
        f"{row['p95_s']:.2f} | {row['p99_s']:.2f} | {row['voices_p99_s']:.2f} |"
        for number, row in summary["load"].items()
    )
    return f"""# The HTTP server under load

eSpeak NG, {system["cores"]} cores shared with the callers and with other work (load average at the end:
{system["load_after"]:.1f}), Python {system["python"]}, the true process on loopback, `python -m benchmarks server`.
Of ten requests four are `/generate`, three `/v1/audio/speech`, two streams, one a list of voices; every answer is
read to its end.

| at a time | requests | errors | a second | p50, s | p95, s | p99, s | p99 of a list of voices, s |
|---|---|---|---|---|---|---|---|
{rows}

eSpeak NG speaks one sentence at a time: with 200 callers a request waits for the 199 before it.

Resident memory of the server over the run with {CONCURRENCIES[-1]} at a time, medians of its quarters:
{quarters} MB ({summary["memory_mb"]["growth"]:+.1%} from the second to the last).

One sentence alone: {overhead["http"]:.1f} ms by HTTP, {overhead["worker"]:.1f} ms by `Worker.answer`;
`/ping` {overhead["ping"]:.1f} ms (medians).
"""


if __name__ == "__main__":
    main()
