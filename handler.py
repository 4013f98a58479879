"""Entry point of the worker: `handler(job)` for queues that import it, RunPod's loop when run as a program.

    python handler.py                                     serve RunPod jobs, or speak test_input.json locally
    python handler.py --test_input '{"input": {...}}'     answer one job
    python handler.py --rp_serve_api                      serve /run and /runsync on localhost

Importing this module loads no model and reads no environment; the worker is made by the first job, or by `main` before
the first job is taken. RunPod's ping process imports this module a second time, so nothing may happen at import.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import json
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from synthesis.errors import SynthesisError
from voice_library.errors import LibraryError
from worker import logs, memory, readiness
from worker.core import Worker
from worker.errors import describe
from worker.runpod_loop import Loop, serves_locally
from worker.settings import Settings, SettingsError


def worker() -> Worker:
    """The worker of this process, from the environment. Raises SettingsError or LibraryError."""
    with _MAKING:  # a queue's first jobs may come on several threads at once, and the model is loaded once
        return _only_worker()


_MAKING = threading.Lock()


@functools.cache
def _only_worker() -> Worker:
    return Worker(Settings.from_environment(os.environ))


def handler(job: Mapping[str, Any]) -> dict[str, Any]:
    """The output of one job, or `{"error": "CODE: …"}`. Waits for it; RunPod's loop uses the async `Loop.handle`."""
    try:
        return worker().answer(job)
    except Exception as error:  # noqa: BLE001 - a queue gets the contract's errors and nothing else
        return {"error": describe(error)}


def main(arguments: Sequence[str]) -> int:
    """Become ready, then hand the jobs to RunPod's SDK, which serves until it is stopped."""
    os.environ.setdefault("RUNPOD_LOG_LEVEL", "INFO")  # the SDK's default logs inputs and outputs, audio included
    local = serves_locally(arguments, os.environ)
    logs.configure(on_runpod=not local)
    memory.keep_trimmed()
    fault = _test_input_fault(arguments)
    if fault:
        print(f"INVALID_INPUT: {fault}", file=sys.stderr)
        return 1

    import runpod  # after its log level is set: it reads the environment once, at import

    loop = Loop(worker, on_platform=not local)
    if local:
        try:
            for check in readiness.checks(worker, for_one_job="--rp_serve_api" not in arguments):
                check()
        except (SettingsError, SynthesisError, LibraryError) as error:
            print(describe(error), file=sys.stderr)
            return 1
        runpod.serverless.start(loop.config())
    else:  # the SDK runs the checks before the first job, and reports a failure as an unhealthy worker
        for check in readiness.checks(worker):
            runpod.serverless.register_fitness_check(check)
        runpod.serverless.start(loop.config())
        asyncio.run(loop.finish_left_behind())
    return 0


def _test_input_fault(arguments: Sequence[str]) -> str | None:
    """What is wrong with --test_input, in words, where the SDK would show a traceback; None where nothing is."""
    given = [following for flag, following in itertools.pairwise(arguments) if flag == "--test_input"]
    given += [argument.partition("=")[2] for argument in arguments if argument.startswith("--test_input=")]
    example = """'{"input": {"text": "Hello."}}'"""
    for text in given:
        try:
            job = json.loads(text)
        except ValueError as error:
            return f"--test_input is not JSON ({error}); a JSON object is allowed; for example {example}"
        if not isinstance(job, dict) or job.get("input") is None:
            return f"--test_input has no input; an object with an input is allowed; for example {example}"
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
