"""The same work on many items with bounded parallelism, also while the interpreter is shutting down."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import main_thread
from typing import TypeVar

NUM_THREADS = 8  # requests to a store wait far more than they compute
AHEAD = 4  # items per thread that may be finished before anyone takes their results
Item = TypeVar("Item")
Result = TypeVar("Result")


def in_parallel(
    work: Callable[[Item], Result], items: Iterable[Item], num_threads: int = NUM_THREADS
) -> Iterator[tuple[Item, Result]]:
    """(item, result) in the order of the items; an exception of the work is raised here.

    Runs only a little ahead of the reader, so neither many items nor many results are held.
    """
    if not can_start_threads():
        yield from ((item, work(item)) for item in items)
        return
    running: deque[tuple[Item, Future[Result]]] = deque()
    with ThreadPoolExecutor(num_threads) as pool:
        try:
            for item in items:
                running.append((item, pool.submit(work, item)))
                if len(running) >= AHEAD * num_threads:
                    done, future = running.popleft()
                    yield done, future.result()
            while running:
                done, future = running.popleft()
                yield done, future.result()
        finally:
            for _, future in running:
                future.cancel()


def can_start_threads() -> bool:
    """False once the interpreter has begun to shut down; what runs at exit then works alone."""
    return main_thread().is_alive() and not sys.is_finalizing()
