"""The server as a process: sockets, signals, and an end that lets answers finish."""

from __future__ import annotations

import logging
import signal
import socket
from dataclasses import replace

import uvicorn
from fastapi import FastAPI

from server.app import create_app
from server.protocol import with_timeouts
from server.settings import ServerSettings, ServerSettingsError
from worker import memory
from worker.core import Worker
from worker.inputs import MAX_BASE64_CHARACTERS
from worker.logs import fields
from worker.settings import Settings

log = logging.getLogger("server")

KEEP_ALIVE_S = 30  # idle connections; longer than a client's own pooling expects to be cut


def worker_of(settings: Settings) -> Worker:
    """The worker, without RunPod's payload caps: over HTTP an answer may be as large as a request."""
    if settings.max_inline_bytes is None:
        settings = replace(settings, max_inline_bytes=MAX_BASE64_CHARACTERS)
    return Worker(settings)


def serve(worker: Worker, settings: ServerSettings) -> int:
    """Serve until SIGTERM or SIGINT, then finish what is under way; 0, or 1 where the worker cannot serve. Raises
    ServerSettingsError or KeyFileError."""
    memory.keep_trimmed()
    failed = False

    def give_up() -> None:
        nonlocal failed
        failed = server.should_exit = True

    server = uvicorn.Server(config_of(create_app(worker, settings, give_up), settings))
    sockets = listen(settings)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)  # uvicorn raises them again when it has ended, which is no failure
    addresses = ", ".join(f"{address[0]}:{address[1]}" for address in (each.getsockname() for each in sockets))
    log.info("listening", extra=fields(address=addresses, tls=settings.tls_cert is not None))
    server.run(sockets=sockets)
    return 1 if failed else 0


def config_of(app: FastAPI, settings: ServerSettings) -> uvicorn.Config:
    """How uvicorn runs the app."""
    return uvicorn.Config(
        app,
        http=with_timeouts(settings.header_timeout_s, settings.send_timeout_s),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # a caller is not to choose the address that its rate is counted under
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=settings.drain_s,
        limit_concurrency=settings.max_connections,
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key,
    )


def listen(settings: ServerSettings) -> list[socket.socket]:
    """The sockets to serve on. Raises ServerSettingsError for an address that cannot be had."""
    sockets = []
    for port in dict.fromkeys((settings.port, settings.health_port)):
        if port is None:
            continue
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((settings.host.strip("[]"), port))
        except OSError as error:
            raise ServerSettingsError(
                f"{settings.host} port {port} cannot be had ({error.strerror}); a free one is needed; choose another "
                "with --port"
            ) from error
        sockets.append(listening)
    return sockets
