"""What is measured of a bucket's library. Every function runs in a fresh process, so that nothing is warm or counted
twice, and returns plain numbers: seconds, bytes, requests."""

from __future__ import annotations

import gc
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.many_voices import name_of, voice_id_of
from generate_voice_embedding import encode_embedding, utc_now, voice_metadata
from voice_library import open_library
from voice_library.mirror.keys import CATALOG_KEY, MAPPING_KEY, embedding_key, metadata_body, metadata_key
from voice_library.mirror.library import MirroredLibrary
from voice_library.stores.s3 import S3Store
from voice_library.stores.settings import BucketSettings

Numbers = dict[str, Any]
HOT_LOOKUPS = 20_000


def in_fresh_process(measure: Callable[..., Numbers], *arguments: Any) -> Numbers:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(measure, *arguments).result()


def open_at(bucket: BucketSettings, folder: str) -> MirroredLibrary:
    library = open_library(folder, bucket)
    assert isinstance(library, MirroredLibrary)
    return library


def speech(number: int) -> np.ndarray:
    """Three seconds that no other number gives, (72000,) float32."""
    t = np.arange(72_000, dtype=np.float32) / 24_000
    return (0.3 * np.sin(2 * np.pi * (80 + number % 400) * t + number)).astype(np.float32)


def registrations(bucket: BucketSettings, count: int, first: int) -> Numbers:
    """Seconds of each of `count` registrations in a row, with the fold at work beside them; and all their requests,
    those of the folds and of the flush at the end included."""
    with tempfile.TemporaryDirectory() as folder:
        library = open_at(bucket, folder)
        library.register(speech(first), 24_000, f"New {first}")  # imports, connections, the probe
        before, seconds = library.store.requests.copy(), []
        started = time.perf_counter()
        for number in range(first + 1, first + 1 + count):
            at = time.perf_counter()
            library.register(speech(number), 24_000, f"New {number}")
            seconds.append(time.perf_counter() - at)
        wall_s = time.perf_counter() - started
        answered = library.store.requests - before
        library.close()
        return {"seconds": seconds, "wall_s": wall_s, "requests": (library.store.requests - before).total(),
                "requests_before_flush": answered.total()}  # fmt: skip


def naive_registrations(bucket: BucketSettings, count: int, first: int) -> Numbers:
    """The same by reading the catalog and the mapping, adding a voice, and writing them back."""
    store, seconds = S3Store(bucket), []
    store.find(CATALOG_KEY)  # connections
    for number in range(first, first + count):
        at = time.perf_counter()
        voice_id, name, created_at = f"naive{number}", f"Naive {number}", utc_now()
        store.put(embedding_key(voice_id), encode_embedding(speech(number), name, created_at))
        metadata = voice_metadata(voice_id, name, duration_s=3.0, created_at=created_at)
        store.put(metadata_key(voice_id), metadata_body(metadata))
        for key, entry in ((CATALOG_KEY, {voice_id: metadata}), (MAPPING_KEY, {name: voice_id})):
            found = store.find(key)
            content = json.loads(found.body) if found else {}
            store.put(key, json.dumps({**content, **entry}).encode())
        seconds.append(time.perf_counter() - at)
    return {"seconds": seconds}


def cold_start(bucket: BucketSettings, number: int, by: str) -> Numbers:
    """From nothing on the disk to the first voice's audio: seconds, requests, LISTs."""
    with tempfile.TemporaryDirectory() as folder:
        at = time.perf_counter()
        library = open_at(bucket, folder)
        wanted = {"voice_name": name_of(number)} if by == "name" else {"voice_id": voice_id_of(number)}
        audio = library.reference_audio(library.get(**wanted))
        seconds = time.perf_counter() - at
        assert len(audio)
        return {"seconds": seconds, "requests": library.store.requests.total(),
                "lists": library.store.requests["list_objects_v2"]}  # fmt: skip


def lookups(bucket: BucketSettings, num_voices: int) -> Numbers:
    """Median seconds of a lookup: by id and name, cold (the bucket answers) and hot (this process knows the voice)."""
    numbers = list(range(0, num_voices, max(1, num_voices // 100)))[:100]
    with tempfile.TemporaryDirectory() as folder:
        library = open_at(bucket, folder)
        library.store.exists("x")  # connections
        cold_id = [_timed(lambda n=n: library.get(voice_id=voice_id_of(n))) for n in numbers[::2]]
        cold_name = [_timed(lambda n=n: library.get(voice_name=name_of(n))) for n in numbers[1::2]]
        hot_name = [_timed(lambda n=n: library.get(voice_name=name_of(n))) for n in numbers[1::2] * 4]
        voice_ids = [voice_id_of(n) for n in numbers]
        hot_id = _timed(lambda: [library.get(voice_id=voice_ids[n % len(voice_ids)]) for n in range(HOT_LOOKUPS)])
        return {"cold_id_s": statistics.median(cold_id), "cold_name_s": statistics.median(cold_name),
                "hot_id_s": hot_id / HOT_LOOKUPS, "hot_name_s": statistics.median(hot_name)}  # fmt: skip


def memory(bucket: BucketSettings, first: int) -> Numbers:
    """Resident bytes of a process that has listed the library, registered a voice and folded it; and its peak."""
    with tempfile.TemporaryDirectory() as folder:
        library = open_at(bucket, folder)
        seconds = _timed(lambda: library.list_voices(page_size=100))
        library.register(speech(first), 24_000, f"New {first}")
        library.fold_thread.close()
        gc.collect()
        status = Path("/proc/self/status").read_text()
        peak_kb = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
        return {"resident": psutil.Process().memory_info().rss, "peak": peak_kb * 1024, "first_list_s": seconds}


def _timed(work: Callable[[], object]) -> float:
    at = time.perf_counter()
    work()
    return time.perf_counter() - at
