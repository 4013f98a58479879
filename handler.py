"""Entry point of the worker: `handler(job)` for queues that import it, RunPod's loop when run as a program.

    python handler.py                                     serve RunPod jobs, or speak test_input.json locally
    python handler.py --test_input '{"input": {...}}'     answer one job
    python handler.py --rp_serve_api                      serve /run and /runsync on localhost

Importing this module loads no model and reads no environment; the worker is made by the first job, or by `main` before
the first job is taken. RunPod's ping process imports this module a second time, so nothing may happen at import.
"""

from __future__ import annotations

import functools
import itertools
import json
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from synthesis.errors import SynthesisError
from voice_library.errors import LibraryError
from worker.core import Worker
from worker.errors import describe
from worker.settings import Settings, SettingsError


@functools.cache
def worker() -> Worker:
    """The worker of this process, from the environment. Raises SettingsError or LibraryError."""
    return Worker(Settings.from_environment(os.environ))


def handler(job: Mapping[str, Any]) -> dict[str, Any]:
    """The output of one job, or `{"error": "CODE: …"}`."""
    try:
        return worker().answer(job)
    except Exception as error:  # noqa: BLE001 - a queue gets the contract's errors and nothing else
        return {"error": describe(error)}


def become_ready() -> None:
    """Load the engine and look at the library: the cold start, and the worker's fitness check.

    Raises SettingsError, SynthesisError or LibraryError; a worker that raises here must take no jobs.
    """
    ready = worker()
    _ = ready.engine
    ready.library.count()


def main(arguments: Sequence[str]) -> int:
    """Load the engine, then hand the handler to RunPod's SDK, which serves until it is stopped."""
    os.environ.setdefault("RUNPOD_LOG_LEVEL", "INFO")  # the SDK's default logs inputs and outputs, audio included
    logging.basicConfig(level=logging.INFO, format="%(levelname)-7s| %(name)s | %(message)s", stream=sys.stderr)
    logging.getLogger("botocore").setLevel(logging.WARNING)
    fault = _test_input_fault(arguments)
    if fault:
        print(f"INVALID_INPUT: {fault}", file=sys.stderr)
        return 1

    import runpod  # after its log level is set: it reads the environment once, at import

    if os.environ.get("RUNPOD_WEBHOOK_GET_JOB"):
        # On the platform the SDK runs the check before the first job, and reports a failure as an unhealthy worker.
        runpod.serverless.register_fitness_check(become_ready)
    else:
        try:
            become_ready()
        except (SettingsError, SynthesisError, LibraryError) as error:
            print(describe(error), file=sys.stderr)
            return 1
    runpod.serverless.start({"handler": handler})
    return 0


def _test_input_fault(arguments: Sequence[str]) -> str | None:
    """What is wrong with --test_input, in words (the SDK would show a traceback); None when nothing is."""
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
