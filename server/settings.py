"""How the server runs: from its arguments and the environment, read once into one frozen value."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from worker.inputs import MAX_BASE64_CHARACTERS

MB = 2**20


class ServerSettingsError(ValueError):
    """An argument or variable that cannot be used: what is wrong; what is allowed; what to do."""


@dataclass(frozen=True)
class ServerSettings:
    """How this server listens and what it takes on."""

    host: str = "127.0.0.1"
    port: int = 8000
    health_port: int | None = None  # a second port for the same server: RunPod's load balancer may ask /ping there
    keys_file: Path | None = None
    api_key: str | None = None  # one key for everything, from the environment
    allow_origins: tuple[str, ...] = ()  # web pages of other origins that may call; none by default
    requests_per_minute: int = 1200  # of one key, or of one address where there are no keys
    failures_per_minute: int = 60  # wrong or missing keys of one address, before they are not even looked at
    jobs_running: int = 32  # threads; an engine that batches speaks them together, another one by turns
    jobs_waiting: int = 256
    jobs_of_one_caller: int = 250  # of one key, or of one address, running or waiting: the rest is for others
    max_upload_bytes: int = MAX_BASE64_CHARACTERS + 4 * MB  # of a body that may hold a recording
    max_body_bytes: int = 2 * MB  # of any other: 100,000 characters, each escaped
    max_bodies_bytes: int = 512 * MB  # of all bodies being read or answered at one time
    header_timeout_s: float = 15.0  # from the first byte of a request, or the connection, to the end of its headers
    body_timeout_s: float = 20.0  # for a body to begin; then a second more for every `slowest_bytes_per_s` of it
    slowest_bytes_per_s: int = 32 * 1024
    send_timeout_s: float = 60.0  # for a caller to take what was sent
    drain_s: int = 300  # for answers that are under way when the server is stopped
    max_connections: int = 2000
    tls_cert: Path | None = None
    tls_key: Path | None = None

    def __post_init__(self) -> None:
        for name, value, least, most in (
            ("--port", self.port, 0, 65535),
            ("PORT_HEALTH", self.health_port or 0, 0, 65535),
            ("--requests-per-minute", self.requests_per_minute, 1, 10**6),
            ("--jobs", self.jobs_running, 1, 256),
            ("--waiting", self.jobs_waiting, 0, 10_000),
            ("--jobs-per-key", self.jobs_of_one_caller, 1, 10_000),
            ("--drain", self.drain_s, 0, 3600),
        ):
            if not least <= value <= most:
                raise ServerSettingsError(f"{name} is {value}; allowed is {least} to {most:,}; correct it")
        for origin in self.allow_origins:
            if not origin.startswith(("http://", "https://")) or origin.count("/") != 2 or "*" in origin:
                raise ServerSettingsError(
                    f"--allow-origin is {origin!r}; allowed is one origin, such as https://example.com; correct it"
                )
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ServerSettingsError("one of --tls-cert and --tls-key is given; both are needed; give the other too")

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it."""
        return is_loopback(self.host)

    def check_exposure(self, *, has_keys: bool) -> None:
        """Raises ServerSettingsError for a server that others can reach and anyone may use."""
        if not self.is_local and not has_keys:
            raise ServerSettingsError(
                f"--host is {self.host}, which other machines reach, and there is no API key; allowed without one is "
                "127.0.0.1; make a key with 'python -m server keys add NAME', or set SERVER_API_KEY"
            )


def is_loopback(host: str) -> bool:
    """Whether an address, or a Host header without its port, is this machine itself."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
