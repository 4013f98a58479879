"""Log lines that can be searched: an event, the job's id, and fields. Never text, audio, names of people or keys.

On RunPod a line is JSON with `requestId`, which its console filters by, as the SDK's own lines have it; elsewhere it is
for people. Only what is passed to `fields` is written, and callers pass ids, codes and numbers.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Any


def fields(job_id: str | None = None, **values: object) -> dict[str, Any]:
    """The `extra` of a log call: what the event was about."""
    return {"job_id": job_id, "values": values}


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "requestId": getattr(record, "job_id", None),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_rounded(record),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


class PlainLines(logging.Formatter):
    """`INFO   | worker | answered job=… type=…`."""

    def format(self, record: logging.LogRecord) -> str:
        job_id = getattr(record, "job_id", None)
        named = {**({"job": job_id} if job_id else {}), **_rounded(record)}
        details = "".join(f" {name}={value}" for name, value in named.items())
        line = f"{record.levelname:<7}| {record.name} | {record.getMessage()}{details}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _rounded(record: logging.LogRecord) -> dict[str, object]:
    values: dict[str, object] = getattr(record, "values", {})
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in values.items()}


def configure(*, on_runpod: bool) -> None:
    """Log at INFO to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if on_runpod else PlainLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("botocore").setLevel(logging.WARNING)
