"""The true worker as a process: `python handler.py` in a session of its own, ended by its process group.

The SDK forks a child that pings for the worker and would go on after the worker's death; the group takes it along.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from runpod_platform import Platform

ROOT = Path(__file__).parent.parent


class WorkerProcess:
    """A worker of `platform`, started at once; killed at the end of the `with` block if it still runs."""

    def __init__(
        self, platform: Platform, name: str, log: Path, environment: Mapping[str, str], *, cwd: Path | None = None
    ) -> None:
        """environment: what differs from the test's own, on top of what RunPod sets."""
        self.platform, self.name, self.log = platform, name, log
        self.started_s = time.monotonic()
        variables = {key: value for key, value in os.environ.items() if not key.startswith(("RUNPOD_", "BUCKET_"))}
        variables |= {"PYTHONPATH": str(ROOT), "ENGINE": "espeak", **platform.worker_environment(name), **environment}
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-u", str(ROOT / "handler.py")],
                cwd=cwd or log.parent,
                env=variables,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def __enter__(self) -> WorkerProcess:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _tb: TracebackType | None
    ) -> None:
        self.kill()

    def wait_until_ready(self, timeout_s: float = 60.0) -> None:
        """Until it pings: the SDK starts that after the fitness checks."""
        self.platform.until(self._pings_or_died, timeout_s, lambda: self.output()[-2000:])
        assert self.process.poll() is None, self.output()[-4000:]

    def _pings_or_died(self) -> bool:
        healthy = (event for event in self.platform.of_kind("ping") if "status" not in event.detail)
        return any(event.worker == self.name for event in healthy) or self.process.poll() is not None

    def terminate(self) -> None:
        """SIGTERM to the worker, as when RunPod scales down."""
        self.process.send_signal(signal.SIGTERM)

    def wait(self, timeout_s: float = 60.0) -> int:
        """Its exit status."""
        try:
            return self.process.wait(timeout_s)
        finally:
            self._kill_group()

    def kill(self) -> None:
        """SIGKILL to the worker and its pinging child."""
        self._kill_group()
        self.process.wait()

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def output(self) -> str:
        """What it has printed so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def limit_memory(self, more_bytes: int) -> None:
        """Let it have at most more_bytes of private memory beyond what it has now."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        now = 1024 * int(status.partition("VmData:")[2].split()[0])
        resource.prlimit(self.process.pid, resource.RLIMIT_DATA, (now + more_bytes, now + more_bytes))

    def memory_bytes(self) -> int:
        """Resident memory of the worker itself."""
        return int(psutil.Process(self.process.pid).memory_info().rss)
