"""Ray Data: each actor holds a worker with its engine, on as many machines as the cluster has.

Lines go out in windows of a bounded number, so that a long batch does not lie in the cluster's memory; inside a window
each actor takes blocks of lines and speaks a block by several threads, so that an engine that batches can. Voices must
be where every machine finds them: a bucket, or a tree on a shared disk.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import socket
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from batch.answers import Answer, Stop
from batch.backends.local import BATCHED, LocalBackend
from batch.errors import BackendFailed
from batch.lines import Line

ROOT = Path(__file__).parent.parent.parent
CODE = ("batch", "client", "worker", "voice_library", "synthesis", "generate_voice_embedding.py")  # what actors import
WINDOW_LINES = 4_096  # engines are loaded once for so many: an hour's work for one, and a few MB of text
BLOCK_LINES = BATCHED  # what is lost at most when an actor dies, and what an engine can decode together

Columns = Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class Cluster:
    """Which cluster, and what one worker takes of it."""

    address: str | None = None  # None starts one on this machine, for this run
    workers: int = 2
    cpus: float = 1.0  # of each worker
    gpus: float = 0.0


class RayBackend:
    """A pool of actors, one worker each."""

    def __init__(
        self,
        cluster: Cluster,
        environment: Mapping[str, str],
        *,
        stop: Stop,
        max_attempts: int,
        in_flight: int | None = None,
    ) -> None:
        """environment: the worker's variables, which the actors get on top of their own; in_flight: of one actor.

        Raises BackendFailed.
        """
        try:
            import ray
        except ImportError as error:
            raise BackendFailed("ray is not installed; --backend ray needs it; pip install 'ray[data]'") from error
        self._cluster, self._stop = cluster, stop
        self._actor_arguments = (dict(environment), max_attempts, in_flight)
        try:
            _connect(cluster)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise BackendFailed(f"no Ray cluster at {cluster.address or 'this machine'}: {error}") from error
        self._ray = ray
        self._started_s = time.monotonic()

    @property
    def billed_s(self) -> float:
        return (time.monotonic() - self._started_s) * self._cluster.workers

    def answers(self, lines: Iterable[Line]) -> Iterator[Sequence[Answer]]:
        lines = iter(lines)
        try:
            while not self._stop.requested and (window := list(itertools.islice(lines, WINDOW_LINES))):
                yield from self._window(window)
        finally:
            self._ray.shutdown()

    def _window(self, lines: Sequence[Line]) -> Iterator[Sequence[Answer]]:
        from ray.data import ActorPoolStrategy, from_items

        by_id = {line.id: line for line in lines}
        rows = [{"line": json.dumps(asdict(line))} for line in lines]
        spoken = from_items(rows, override_num_blocks=-(-len(rows) // BLOCK_LINES)).map_batches(
            Speaker,
            fn_constructor_args=self._actor_arguments,
            batch_size=BLOCK_LINES,
            compute=ActorPoolStrategy(size=min(self._cluster.workers, -(-len(rows) // BLOCK_LINES))),
            num_cpus=self._cluster.cpus,
            num_gpus=self._cluster.gpus,
        )
        try:
            for block in spoken.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
                table: Any = block
                yield [_answer(row, by_id) for row in table.to_pylist()]
                if self._stop.requested:
                    return
        except self._ray.exceptions.RayError as error:
            raise BackendFailed(
                f"the Ray cluster gave up: {_reason(error)}; run the same command again to go on"
            ) from error


class Speaker:
    """What an actor is: one worker, and its engine loaded when it starts."""

    def __init__(self, environment: Mapping[str, str], max_attempts: int, in_flight: int | None) -> None:
        self._backend = LocalBackend(
            {**os.environ, **environment}, stop=Stop(), max_attempts=max_attempts, in_flight=in_flight
        )
        self._threads = ThreadPoolExecutor(self._backend.in_flight, thread_name_prefix="line")
        self._name = f"{socket.gethostname()}:{os.getpid()}"

    def __call__(self, block: Columns) -> dict[str, list[Any]]:
        """A block of lines to their answers."""
        lines = [Line(**json.loads(text)) for text in block["line"]]
        spoken = self._threads.map(self._backend.attempt, lines)
        answers = [answer for answer in spoken if answer is not None]  # nobody stops an actor: none is missing
        return {
            "id": [answer.line.id for answer in answers],
            "audio": [answer.audio for answer in answers],
            "facts": [json.dumps({**answer.facts, "worker": self._name}) for answer in answers],
            "error": [answer.error or "" for answer in answers],
            "attempts": [answer.attempts for answer in answers],
        }


def _answer(row: Mapping[str, Any], by_id: Mapping[str, Line]) -> Answer:
    return Answer(
        by_id[row["id"]], row["audio"], json.loads(row["facts"]), error=row["error"] or None, attempts=row["attempts"]
    )


def _connect(cluster: Cluster) -> None:
    import ray
    from ray.data import DataContext

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if cluster.address is None:
        cpus = max(1, round(cluster.workers * cluster.cpus))
        ray.init(
            "local",  # not one that happens to run here
            num_cpus=cpus,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            _node_ip_address="127.0.0.1",
        )
    else:  # machines that have the requirements, and get our code from here
        code = [str(ROOT / name) for name in CODE]
        ray.init(cluster.address, log_to_driver=False, logging_level=logging.ERROR, runtime_env={"py_modules": code})
    context = DataContext.get_current()
    context.enable_progress_bars = False  # the batch has its own
    context.print_on_execution_start = False


def _reason(error: BaseException) -> str:
    """The actor's own error in one line, without Ray's traceback."""
    lines = [line.strip() for line in str(getattr(error, "cause", None) or error).splitlines() if line.strip()]
    return lines[-1][:500] if lines else type(error).__name__
