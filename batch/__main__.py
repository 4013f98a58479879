"""Batches from the command line.

    python -m batch run jobs.jsonl --out DIR                      this machine, the engine that ENGINE names
    python -m batch run jobs.csv --out DIR --backend runpod       RUNPOD_ENDPOINT_URL and RUNPOD_API_KEY say where
    python -m batch run jobs.jsonl --out DIR --backend ray --workers 4

Exit status: 0 all done, 1 some lines failed or nothing could be spoken, 2 the jobs or the arguments are wrong, 130
stopped by Ctrl-C or SIGTERM. Run the same command again to go on.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import get_args

from batch.answers import Stop
from batch.backends.interface import Backend
from batch.errors import BackendFailed, BadLines, BatchError
from batch.folder import Folder
from batch.journal import Journal
from batch.lines import Source
from batch.manifest import Table
from batch.run import Summary, run

INTERRUPTED = 130
BACKENDS = ("local", "runpod", "ray")
WORKERS_VARIABLES = ("ENGINE", "MODEL", "MODEL_DIR", "DEVICE", "HF_HOME", "VOICE_EMBEDDINGS_DIR", "MAX_CONCURRENCY")
MAX_FAILURES_SHOWN = 10


def main(arguments: Sequence[str]) -> int:
    given = _parser().parse_args(arguments)
    stop = Stop()
    _stop_on_signals(stop)
    try:
        folder = Folder(given.out)
        source = Source(given.jobs, dict(given.set))
        summary = run(
            source, folder, _backend_maker(given, stop), table=given.table, price_per_s=given.price_per_second
        )
    except BatchError as error:
        print(f"batch: {error}", file=sys.stderr)
        return 2 if isinstance(error, BadLines) else 1
    except OSError as error:  # a full disk, mostly: whatever is in the journal is done
        print(f"batch: {given.out}: {error.strerror}; make room, then run the same command again", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("batch: stopped at once; run the same command again to go on", file=sys.stderr)
        return INTERRUPTED
    return _report(summary, folder, interrupted=stop.requested)


def _report(summary: Summary, folder: Folder, *, interrupted: bool) -> int:
    print(f"batch: {summary.done} of {summary.total} lines are done, {summary.failed} failed; see {folder.path}")
    if summary.failed:
        with (folder.path / "failures.jsonl").open(encoding="utf-8") as failures:
            for _, failure in zip(range(MAX_FAILURES_SHOWN), failures, strict=False):
                print(failure, end="", file=sys.stderr)
        print(f"batch: all failures are in {folder.path / 'failures.jsonl'}", file=sys.stderr)
    if interrupted and summary.left:
        print(f"batch: stopped with {summary.left} lines left; run the same command again to go on", file=sys.stderr)
        return INTERRUPTED
    return 1 if summary.failed or summary.left else 0


def _backend_maker(given: argparse.Namespace, stop: Stop) -> Callable[[Journal], Backend]:
    """Makes the chosen backend; its packages are imported only then."""

    def local(_journal: Journal) -> Backend:
        from batch.backends.local import LocalBackend

        return LocalBackend(os.environ, stop=stop, max_attempts=given.attempts, in_flight=given.in_flight)

    def runpod(journal: Journal) -> Backend:
        from batch.backends.endpoint import Endpoint, EndpointBackend

        url = given.endpoint or os.environ.get("RUNPOD_ENDPOINT_URL")
        if not url:
            raise BackendFailed(
                "no endpoint is named; its address or id is needed; set RUNPOD_ENDPOINT_URL or --endpoint"
            )
        endpoint = Endpoint(url, os.environ.get("RUNPOD_API_KEY"), tuple(given.audio_host))
        return EndpointBackend(endpoint, journal, stop=stop, max_attempts=given.attempts, in_flight=given.in_flight)

    def ray(_journal: Journal) -> Backend:
        from batch.backends.ray_data import Cluster, RayBackend

        cluster = Cluster(given.ray_address, given.workers, given.worker_cpus, given.worker_gpus)
        return RayBackend(
            cluster, _workers_variables(), stop=stop, max_attempts=given.attempts, in_flight=given.in_flight
        )

    return {"local": local, "runpod": runpod, "ray": ray}[given.backend]


def _workers_variables() -> dict[str, str]:
    """What the environment says to a worker, for workers elsewhere."""
    return {
        name: value for name, value in os.environ.items() if name in WORKERS_VARIABLES or name.startswith("BUCKET_")
    }


def _stop_on_signals(stop: Stop) -> None:
    """The first Ctrl-C or SIGTERM lets lines in flight end; the second ends at once."""

    def requested(_signal: int, _frame: object) -> None:
        if stop.requested:
            raise KeyboardInterrupt
        stop.request()
        print("\nbatch: finishing what is in flight; once more to stop at once", file=sys.stderr)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, requested)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m batch", description="Speak many texts from a file of jobs.")
    commands = parser.add_subparsers(dest="command", required=True)
    run_parser = commands.add_parser("run", help="speak what is not done yet")
    add = run_parser.add_argument
    add("jobs", type=Path, help="JSON lines, or CSV: inputs of synthesize jobs, with id and file where wanted")
    add("--out", type=Path, required=True, help="the folder for audio, journal and manifest")
    add("--backend", choices=BACKENDS, default="local", help="where to speak (default: %(default)s)")
    add("--set", type=_field, action="append", default=[], metavar="FIELD=VALUE", help="for lines without that field")
    add("--in-flight", type=_count, help="lines worked on at a time (default: what suits the backend)")
    add("--attempts", type=_count, default=3, help="for a line whose failure may pass (default: %(default)s)")
    add("--table", choices=get_args(Table), default="csv", help="the manifest as a table too (default: %(default)s)")
    add("--endpoint", help="runpod: address or id (default: RUNPOD_ENDPOINT_URL); the key is RUNPOD_API_KEY")
    add("--audio-host", action="append", default=[], metavar="HOST[:PORT]", help="runpod: fetch audio from there too")
    add("--workers", type=_count, default=2, help="ray: how many (default: %(default)s)")
    add("--worker-cpus", type=_amount, default=1.0, help="ray: of each worker (default: %(default)g)")
    add("--worker-gpus", type=_amount, default=0.0, help="ray: of each worker (default: %(default)g)")
    add("--ray-address", help="ray: of a cluster, or auto (default: one is started here for this run)")
    add("--price-per-second", type=_amount, help="of one machine, to show what the batch has cost so far")
    return parser


def _field(text: str) -> tuple[str, str]:
    name, found, value = text.partition("=")
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} has no '='; FIELD=VALUE is allowed, for example format=mp3")
    return name, value


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to 1,000")
    return int(text)


def _amount(text: str) -> float:
    try:
        amount = float(text)
    except ValueError:
        amount = -1.0
    if not 0 <= amount < 1_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1,000")
    return amount


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
