"""Conditionals of the voices spoken lately, in memory: bounded in bytes, each computed once however many ask.

Knows nothing of engines, torch or files. Users of servers with an unbounded cache report 175 to 300 MB a voice and an
end in out-of-memory; ours are 0.2 MB a voice, and counted.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

from synthesis.engine import Conditionals


class ConditionalsCache:
    """Least recently used out first. Safe to use from many threads."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._num_bytes = 0
        self._kept: OrderedDict[str, Conditionals] = OrderedDict()
        self._in_work: dict[str, threading.Event] = {}  # set when the thread that computes the key is through
        self._lock = threading.Lock()

    @property
    def num_bytes(self) -> int:
        return self._num_bytes

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: str, compute: Callable[[], Conditionals]) -> Conditionals:
        """What is kept under key, else what compute returns, which is kept from then on.

        Of several threads that want one key, one computes and the others wait; when it fails, its error is its own and
        the next one tries. What is larger than the whole cache is returned and not kept.
        """
        while True:
            with self._lock:
                if key in self._kept:
                    self._kept.move_to_end(key)
                    return self._kept[key]
                if key not in self._in_work:
                    mine = self._in_work[key] = threading.Event()
                    break
                others = self._in_work[key]
            others.wait()
        try:
            conditionals = compute()
            self._keep(key, conditionals)
            return conditionals
        finally:
            with self._lock:
                del self._in_work[key]
            mine.set()

    def _keep(self, key: str, conditionals: Conditionals) -> None:
        with self._lock:
            if conditionals.num_bytes > self._max_bytes:
                return
            self._kept[key] = conditionals
            self._num_bytes += conditionals.num_bytes
            while self._num_bytes > self._max_bytes:
                _, oldest = self._kept.popitem(last=False)
                self._num_bytes -= oldest.num_bytes
