"""A server with real sockets for tests: in this process, where it shares the tests' engine and starts at once, or as
the process that users start."""

from __future__ import annotations

import base64
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import uvicorn
from fastapi import FastAPI

from server.app import create_app
from server.serve import config_of, listen, worker_of
from server.settings import ServerSettings
from synthesis import Engine
from worker.core import Worker
from worker.settings import Settings

ROOT = Path(__file__).parent.parent
# For tests that are not about rates: as many requests as they like.
UNLIMITED = ServerSettings(port=0, requests_per_minute=1_000_000, failures_per_minute=1_000_000, drain_s=10)


@dataclass
class Running:
    """A server that answers."""

    port: int
    worker: Worker
    app: FastAPI

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, **options: object) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=60, **options)  # type: ignore[arg-type]

    def metric(self, name: str) -> float:
        """The value of a metric without labels."""
        lines = self.app.state.metrics.text().decode().splitlines()
        return float(next(line for line in lines if line.startswith(f"{name} ")).split()[1])


@contextmanager
def serving(tree: Path, engine: Engine, settings: ServerSettings = UNLIMITED) -> Iterator[Running]:
    """A server on a thread of this process."""
    ready_worker = worker_of(Settings(embeddings_dir=tree, engine="espeak"))
    worker = Worker(ready_worker.settings, engine=engine)
    app = create_app(worker, settings)
    server = uvicorn.Server(config_of(app, settings))
    sockets = listen(settings)
    thread = threading.Thread(target=server.run, kwargs={"sockets": sockets})
    thread.start()
    try:
        wait_until(lambda: server.started and app.state.readiness.ready.is_set())
        yield Running(sockets[0].getsockname()[1], worker, app)
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive(), "the server did not end"


def wait_until(condition: object, timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(tree: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("PORT", "PORT_HEALTH", "SERVER_API_KEY")}
    return {**kept, "VOICE_EMBEDDINGS_DIR": str(tree), "ENGINE": "espeak", "PYTHONPATH": str(ROOT), **(extra or {})}


class ServerProcess:
    """`python -m server` as users start it."""

    def __init__(self, tree: Path, *arguments: str, extra: Mapping[str, str] | None = None) -> None:
        self.port = free_port()
        self.log_path = tree.parent / f"server-{self.port}.log"
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "server", "--port", str(self.port), *arguments],
                cwd=tree.parent,
                env=environment(tree, extra),
                stdout=log,
                stderr=log,
            )
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> ServerProcess:
        wait_until(self._answers, 60)
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.log()
        try:
            return httpx.get(f"{self.url}/ping").status_code == 200
        except httpx.TransportError:
            return False

    def log(self) -> str:
        return self.log_path.read_text(encoding="utf-8")

    def end(self, timeout_s: float = 30) -> int:
        """Its exit status after SIGTERM."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_s)


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def with_(settings: ServerSettings = UNLIMITED, **changes: object) -> ServerSettings:
    return replace(settings, **changes)  # type: ignore[arg-type]
