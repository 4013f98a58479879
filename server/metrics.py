"""What the server counts, for Prometheus. Labels are routes, methods, statuses and codes: never names, ids or text."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from server.limits import Places
from worker.request import Output, Request

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Metrics:
    """The metrics of one server, in a registry of its own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._registry)
        self._requests = Counter(
            "tts_http_requests", "HTTP requests answered.", ("route", "method", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "tts_http_request_seconds",
            "From a request's headers to the end of its answer.",
            ("route",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._first_chunk = Histogram(
            "tts_first_chunk_seconds",
            "From the start of a job to the first chunk of its stream.",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._audio = Counter("tts_audio_seconds", "Seconds of speech delivered.", registry=self._registry)
        self._compute = Counter("tts_compute_seconds", "Seconds of work for it.", ("part",), registry=self._registry)

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        self._requests.labels(route, method, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def first_chunk(self, request: Request) -> None:
        self._first_chunk.observe(request.elapsed_s())

    def spoken(self, answer: Output, request: Request) -> None:
        self._audio.inc(answer.get("duration", 0.0))
        for part in ("prepare_s", "decode_s", "encode_s"):
            self._compute.labels(part.removesuffix("_s")).inc(request.seconds.get(part, 0.0))

    def watch(self, places: Places) -> None:
        """Jobs that run and wait are asked for when somebody looks."""
        running = Gauge("tts_jobs_running", "Jobs on a thread.", registry=self._registry)
        waiting = Gauge("tts_jobs_waiting", "Jobs that wait for one.", registry=self._registry)
        running.set_function(lambda: places.running)
        waiting.set_function(lambda: places.waiting)

    def text(self) -> bytes:
        return generate_latest(self._registry)
