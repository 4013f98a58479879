"""The SDK's handler by itself: what it adds to an answer, and where it believes to be. Under the SDK it is tested in
`test_runpod_platform`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from synthesis.espeak import EspeakEngine
from worker.core import Worker
from worker.runpod_loop import Loop, serves_locally
from worker.settings import Settings


class ForgetfulEngine(EspeakEngine):
    """eSpeak NG on a machine without memory."""

    def takes(self, *_: Any) -> Any:
        raise MemoryError


def handled(tmp_path: Path, engine: EspeakEngine, **job_input: Any) -> dict[str, Any]:
    worker = Worker(Settings(embeddings_dir=tmp_path, engine="espeak"), engine=engine)
    return asyncio.run(Loop(lambda: worker, on_platform=False).handle({"id": "local_test", "input": job_input}))


def test_a_worker_without_memory_asks_to_be_replaced(tmp_path: Path) -> None:
    answer = handled(tmp_path, ForgetfulEngine(), text="Hello.")
    assert answer["error"].startswith("OUT_OF_MEMORY: ")
    assert answer["refresh_worker"] is True


@pytest.mark.parametrize("job_input", [{"text": "Hello."}, {"type": "health"}, {"type": "nonsense"}])
def test_other_answers_ask_for_nothing(tmp_path: Path, espeak: EspeakEngine, job_input: dict[str, Any]) -> None:
    assert "refresh_worker" not in handled(tmp_path, espeak, **job_input)


def test_the_sdk_is_told_how_many_jobs_at_once(tmp_path: Path, espeak: EspeakEngine) -> None:
    worker = Worker(Settings(embeddings_dir=tmp_path, max_concurrency=7), engine=espeak)
    assert Loop(lambda: worker, on_platform=True).config()["concurrency_modifier"](1) == 7


PLATFORM = {"RUNPOD_WEBHOOK_GET_JOB": "http://127.0.0.1:1/job-take/$ID?gpu=X"}


@pytest.mark.parametrize(
    ("arguments", "environment", "local"),
    [
        ([], {}, True),
        ([], PLATFORM, False),
        ([], {**PLATFORM, "RUNPOD_REALTIME_PORT": "0"}, False),
        ([], {**PLATFORM, "RUNPOD_REALTIME_PORT": "8000"}, True),
        (["--test_input", "{}"], PLATFORM, True),
        (["--test_input={}"], PLATFORM, True),
        (["--rp_serve_api"], PLATFORM, True),
        (["--rp_log_level", "INFO"], PLATFORM, False),
    ],
)
def test_where_it_serves(arguments: list[str], environment: dict[str, str], local: bool) -> None:
    assert serves_locally(arguments, environment) is local
