"""Many real processes that write one bucket at once: `python mirror_workers.py JSON`, one line per acknowledged voice.

Imports once, then forks a process for each worker, which opens a library of its own. A worker told to die kills itself
with SIGKILL before or after its n-th request, so that over many workers every step of a registration is cut short.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from voice_library.errors import NameTaken, StorageUnavailable  # noqa: E402
from voice_library.mirror.file_cache import DiskCache  # noqa: E402 - the path comes first
from voice_library.mirror.library import MirroredLibrary  # noqa: E402
from voice_library.stores.s3 import S3Store  # noqa: E402
from voice_library.stores.settings import BucketSettings  # noqa: E402

MAX_REQUESTS_TO_LIVE = 60  # about ten registrations


@dataclass(frozen=True)
class Work:
    """What the workers do."""

    bucket: dict[str, Any]  # fields of BucketSettings
    num_workers: int = 8
    num_voices: int = 25  # for each worker
    kill: bool = False
    ignore_conditions: bool = False  # as if the store did
    num_naive_voices: int = 0  # written by one more process, which reads the catalog, adds a voice, and writes it back
    seed: int = 0


def run_workers(bucket: BucketSettings, timeout_s: float = 200, **work: Any) -> dict[str, str]:
    """Run them to their end; {name: voice_id} of every voice that was acknowledged."""
    settings = {name: getattr(bucket, name) for name in bucket.__dataclass_fields__}
    command = [sys.executable, __file__, json.dumps(asdict(Work(settings, **work)))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return dict(line.split("\t") for line in done.stdout.splitlines())


def speech(seed: int) -> np.ndarray:
    """One second that no other seed gives, (24000,) float32."""
    t = np.arange(24_000, dtype=np.float32) / 24_000
    return (0.3 * np.sin(2 * np.pi * (100 + seed % 997) * t + seed)).astype(np.float32)


class DyingStore(S3Store):
    """Kills its process at one request: before it is sent, or after it was answered."""

    def __init__(self, settings: BucketSettings, requests_to_live: int, *, dies_after: bool) -> None:
        super().__init__(settings)
        self._left = requests_to_live
        self._dies_after = dies_after

    def _request(self, operation: str, key: str, **arguments: Any) -> dict[str, Any]:
        self._left -= 1
        if self._left == 0 and not self._dies_after:
            os.kill(os.getpid(), signal.SIGKILL)
        try:
            return super()._request(operation, key, **arguments)
        finally:  # also where the answer is a refusal
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def ignoring_conditions(store: S3Store) -> S3Store:
    """The same store as if it ignored conditions on PUT: the headers are dropped before the request is signed."""

    def drop(request: Any, **_: object) -> None:
        for header in ("If-Match", "If-None-Match"):
            del request.headers[header]

    store._client.meta.events.register("before-sign.s3.PutObject", drop)
    return store


def register_voices(work: Work, number: int) -> None:
    """One worker's life."""
    bucket = BucketSettings(**work.bucket)
    chance = random.Random(work.seed * 1000 + number)
    if work.kill:
        to_live = chance.randint(1, MAX_REQUESTS_TO_LIVE)
        store: S3Store = DyingStore(bucket, to_live, dies_after=chance.random() < 0.5)
    else:
        store = S3Store(bucket)
    if work.ignore_conditions:
        store = ignoring_conditions(store)
    with tempfile.TemporaryDirectory() as folder:
        library = MirroredLibrary(store, DiskCache(Path(folder), 100_000_000))
        for index in range(work.num_voices):
            name = f"Voice {number}-{index}"
            voice = library.register(speech(number * 1000 + index), 24_000, name, gender="female")
            os.write(1, f"{name}\t{voice.voice_id}\n".encode())  # acknowledged; in one piece
        library.close()


def write_naively(work: Work) -> None:
    """What an older tool does: read, add, write back, with its own copy for as long as that takes."""
    store = S3Store(BucketSettings(**work.bucket))
    for index in range(work.num_naive_voices):
        voice_id = f"naive{index:03d}"
        catalog, names = (json.loads(found.body) if (found := store.find(key)) else {}
                          for key in ("voice_catalog.json", "name_mapping.json"))  # fmt: skip
        time.sleep(0.05)  # it computes something
        catalog[voice_id] = {"voice_id": voice_id, "speaker_name": f"Naive {index}", "gender": "male"}
        names[f"Naive {index}"] = voice_id
        store.put("voice_catalog.json", json.dumps(catalog, indent=2).encode())
        store.put("name_mapping.json", json.dumps(names, indent=2).encode())


def main(work: Work) -> int:
    children = []
    for number in range(work.num_workers + (1 if work.num_naive_voices else 0)):
        child = os.fork()
        if child:
            children.append(child)
            continue
        status = 1
        try:
            register_voices(work, number) if number < work.num_workers else write_naively(work)
            status = 0
        except (NameTaken, StorageUnavailable) as error:
            print(f"worker {number}: {error}", file=sys.stderr)
        finally:
            sys.stderr.flush()
            os._exit(status)
    statuses = [os.waitpid(child, 0)[1] for child in children]
    survived = [os.waitstatus_to_exitcode(status) for status in statuses if not os.WIFSIGNALED(status)]
    print(f"{len(statuses) - len(survived)} of {len(statuses)} workers were killed", file=sys.stderr)
    return 0 if set(survived) <= {0} else 1


if __name__ == "__main__":
    sys.exit(main(Work(**json.loads(sys.argv[1]))))
