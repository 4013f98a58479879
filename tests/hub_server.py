"""A small Hugging Face Hub on loopback: the metadata and the range requests that a download needs, and its accidents.

It speaks `/{repo}/resolve/{revision}/{file}` as the Hub does (huggingface_hub: `get_hf_file_metadata`): HEAD tells
the commit, the size and the ETag (SHA-256 of a large file, git's SHA-1 of a small one), GET honours Range.
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def git_sha1(content: bytes) -> str:
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()


@dataclass
class HubServer:
    """files: content by name. A file in `etags` is announced with that ETag instead of its SHA-256."""

    files: dict[str, bytes]
    repo_id: str = "owner/model"
    etags: dict[str, str] = field(default_factory=dict)
    breaks_at: dict[str, int] = field(default_factory=dict)  # the line breaks at this byte of the file
    breaks_once: bool = True
    num_busy: int = 0  # requests for content that are answered 503 first
    honours_ranges: bool = True
    num_bytes_sent: dict[str, int] = field(default_factory=dict)
    ranges: list[str] = field(default_factory=list)  # Range headers seen

    def __enter__(self) -> HubServer:
        hub = self

        class Handler(_Handler):
            server_hub = hub

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    server_hub: HubServer

    def do_HEAD(self) -> None:
        name = self._name()
        if name is not None:
            self._headers(name, 200, len(self.server_hub.files[name]))

    def do_GET(self) -> None:
        hub, name = self.server_hub, self._name()
        if name is None:
            return
        hub.ranges.append(self.headers["Range"])
        if hub.num_busy:
            hub.num_busy -= 1
            self._refuse(503)
            return
        start = int(self.headers["Range"].removeprefix("bytes=").split("-")[0]) if hub.honours_ranges else 0
        content = hub.files[name]
        self._headers(name, 206 if hub.honours_ranges else 200, len(content) - start, start)
        end = hub.breaks_at.pop(name, None) if hub.breaks_once else hub.breaks_at.get(name)
        sent = content[start:end]
        hub.num_bytes_sent[name] = hub.num_bytes_sent.get(name, 0) + len(sent)
        self.wfile.write(sent)
        self.close_connection = end is not None

    def _name(self) -> str | None:
        prefix = f"/{self.server_hub.repo_id}/resolve/{COMMIT}/"
        name = self.path.removeprefix(prefix)
        if self.path.startswith(prefix) and name in self.server_hub.files:
            return name
        self._refuse(404, "EntryNotFound")
        return None

    def _refuse(self, status: int, error_code: str = "") -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", error_code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _headers(self, name: str, status: int, length: int, start: int = 0) -> None:
        hub = self.server_hub
        content = hub.files[name]
        self.send_response(status)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hub.etags.get(name, sha256(content))}"')
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(length))
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass
