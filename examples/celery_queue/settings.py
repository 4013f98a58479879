"""How the queue is set up: where Redis is, and what must hold so that no task is lost or done to no end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class QueueSettings:
    """Read from the environment once, by `tasks`."""

    redis_url: str = "redis://127.0.0.1:6379/0"
    out: Path = Path("out/speech")  # on a disk that all workers share
    visibility_timeout_s: int = 3600  # after which a dead worker's tasks are handed out again: over the longest task
    resend_after_s: int = 4000  # without an answer the sender sends a job again: over the visibility timeout
    max_retries: int = 5
    first_retry_s: int = 2

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> QueueSettings:
        return cls(
            environment.get("REDIS_URL") or cls.redis_url,
            Path(environment.get("SPEECH_DIR") or cls.out),
            int(environment.get("VISIBILITY_TIMEOUT_S") or cls.visibility_timeout_s),
            int(environment.get("RESEND_AFTER_S") or cls.resend_after_s),
        )

    def celery(self) -> dict[str, Any]:
        """Celery's configuration."""
        return {
            "broker_url": self.redis_url,
            "result_backend": self.redis_url,
            "broker_transport_options": {"visibility_timeout": self.visibility_timeout_s},
            "broker_connection_retry_on_startup": True,
            "task_acks_late": True,  # a task is done when its file is there, not when a worker has taken it
            "task_reject_on_worker_lost": True,
            "worker_prefetch_multiplier": 1,  # tasks wait in Redis, where any worker can take them
            "task_serializer": "json",
            "result_serializer": "json",
            "accept_content": ["json"],  # never pickle
            "result_expires": 24 * 3600,
        }
