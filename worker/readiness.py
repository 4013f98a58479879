"""What must be true before a worker takes a job: its storage answers, its engine is loaded and has spoken once.

RunPod's SDK runs each check by name before the first job; one that raises makes the worker report itself unhealthy,
with that name and the message, and exit 1. Elsewhere `handler.main` runs them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from synthesis import SynthesisOptions
from synthesis.engine import Take
from synthesis.errors import NoBuiltinVoice
from synthesis.quality import Checks
from synthesis.text import Segment
from worker.core import Worker
from worker.logs import fields
from worker.request import Request

log = logging.getLogger("worker")

WARM_UP_TEXT = "Ready."


def checks(worker: Callable[[], Worker], *, for_one_job: bool = False) -> list[Callable[[], None]]:
    """The checks, cheapest first, of the worker that `worker` makes when it is first called. They raise SettingsError,
    LibraryError or SynthesisError. for_one_job: without the warm-up, which only later jobs gain by."""

    def check_settings() -> None:
        """The environment can be used."""
        worker()

    def check_storage() -> None:
        """The voices can be reached, and the bucket for long answers answers."""
        worker().library.check()
        worker().delivery.check()

    def check_engine() -> None:
        """The weights are there, the device too, and the one is loaded on the other."""
        _ = worker().engine

    def warm_up() -> None:
        """The first utterance compiles kernels and fills caches, and its checks import scipy; no caller shall wait for
        that."""
        engine, warming = worker().engine, Request()
        try:
            builtin = engine.builtin()
        except NoBuiltinVoice:
            return
        speak = partial(engine.synthesize, WARM_UP_TEXT, builtin, SynthesisOptions())
        samples = worker().device.run(speak, warming, "warm_up_s")
        compare = partial(engine.voice_similarity, samples, builtin)
        worker().device.run(compare, warming, "warm_up_s")
        with warming.timed("warm_up_s"):
            Checks().judge(Take(samples, seed=0), Segment(WARM_UP_TEXT))
        worker().startup.warm_up_s = warming.seconds["warm_up_s"]
        log.info("warmed up", extra=fields(seconds=worker().startup.warm_up_s))

    found = [check_settings, check_storage, check_engine]
    return found if for_one_job else [*found, warm_up]
