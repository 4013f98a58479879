"""Fill a bucket with many voices quickly: the objects that registrations would have left, written with raw signed PUTs
over kept connections from a few processes (boto3 needs four times as long for each). Then the snapshots, as one fold
would have left them. All voices share one short recording, so the bucket stays small.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import multiprocessing
from collections.abc import Iterator
from datetime import datetime, timezone
from multiprocessing.pool import ThreadPool
from urllib.parse import urlsplit

import numpy as np

from generate_voice_embedding import encode_embedding, utc_now, voice_metadata
from voice_library.mirror.fold_state import FoldState
from voice_library.mirror.keys import (
    CATALOG_KEY,
    MAPPING_KEY,
    STATS_KEY,
    Claim,
    embedding_key,
    metadata_body,
    metadata_key,
    name_key,
)
from voice_library.mirror.snapshots import CatalogFile, Entry, NamesFile
from voice_library.stores.s3 import S3Store
from voice_library.stores.settings import BucketSettings

NUM_PROCESSES, NUM_CONNECTIONS = 4, 6  # connections of each process: the store commits what arrives together at once


def voice_id_of(number: int) -> str:
    return hashlib.sha256(b"%d" % number).hexdigest()[:8] + f"{number:06x}"  # never collides


def name_of(number: int) -> str:
    return f"Voice number {number:06d}"


def metadata_of(number: int) -> dict[str, object]:
    return voice_metadata(
        voice_id_of(number), name_of(number), duration_s=7.25, created_at="2026-01-01T00:00:00.000+00:00",
        gender=("female", "male")[number % 2], original_file="recording.wav",
    )  # fmt: skip


def fill(bucket: BucketSettings, num_voices: int) -> None:
    """Truth and snapshots of `num_voices` voices."""
    with multiprocessing.get_context("spawn").Pool(NUM_PROCESSES) as pool:
        pool.starmap(_put_part, [(bucket, range(part, num_voices, NUM_PROCESSES)) for part in range(NUM_PROCESSES)])
    store = S3Store(bucket)
    catalog = CatalogFile({voice_id_of(number): Entry.of(metadata_of(number)) for number in range(num_voices)})
    names = NamesFile({name_of(number): voice_id_of(number) for number in range(num_voices)})
    store.put(STATS_KEY, catalog.stats)
    state = FoldState(store.put(CATALOG_KEY, catalog.body), store.put(MAPPING_KEY, names.body), names_are_claimed=True)
    if state.written(store) is None:
        raise RuntimeError("the bucket was not empty")
    store.close()


def _objects(numbers: range) -> Iterator[tuple[str, bytes]]:
    t = np.arange(24_000, dtype=np.float32) / 24_000
    embedding = encode_embedding((0.3 * np.sin(2 * np.pi * 150 * t)).astype(np.float32), "Voice", utc_now())
    for number in numbers:
        voice_id = voice_id_of(number)
        yield name_key(name_of(number)), Claim(name_of(number), voice_id).body
        yield embedding_key(voice_id), embedding
        yield metadata_key(voice_id), metadata_body(metadata_of(number))


def _put_part(bucket: BucketSettings, numbers: range) -> None:
    parts = [(bucket, numbers[part::NUM_CONNECTIONS]) for part in range(NUM_CONNECTIONS)]
    with ThreadPool(NUM_CONNECTIONS) as pool:
        pool.starmap(_put, parts)


def _put(bucket: BucketSettings, numbers: range) -> None:
    place = urlsplit(bucket.endpoint_url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port or 80, timeout=60)
    signer = _Signer(bucket, place.netloc)
    for key, body in _objects(numbers):
        path = f"/{bucket.bucket}/{bucket.prefix}{key}"
        connection.request("PUT", path, body, signer.headers(path))
        reply = connection.getresponse()
        reply.read()
        if reply.status != 200:
            raise RuntimeError(f"PUT {path}: HTTP {reply.status}")


class _Signer:
    """AWS Signature Version 4 for PUTs with an unsigned payload (docs: "Authenticating Requests", sigv4-auth)."""

    def __init__(self, bucket: BucketSettings, host: str) -> None:
        self._bucket, self._host = bucket, host
        self._day, self._key = "", b""

    def headers(self, path: str) -> dict[str, str]:
        now = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        if now[:8] != self._day:
            self._day, self._key = now[:8], self._signing_key(now[:8])
        scope = f"{self._day}/{self._bucket.region_name}/s3/aws4_request"
        signed = {"host": self._host, "x-amz-content-sha256": "UNSIGNED-PAYLOAD", "x-amz-date": now}
        lines = "".join(f"{name}:{value}\n" for name, value in signed.items())
        request = f"PUT\n{path}\n\n{lines}\n{';'.join(signed)}\nUNSIGNED-PAYLOAD"
        digest = hashlib.sha256(request.encode()).hexdigest()
        signature = hmac.new(self._key, f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{digest}".encode(), "sha256").hexdigest()
        credential = f"{self._bucket.access_key_id}/{scope}"
        authorization = (
            f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={';'.join(signed)}, Signature={signature}"
        )
        return {**signed, "Authorization": authorization}

    def _signing_key(self, day: str) -> bytes:
        key = f"AWS4{self._bucket.secret_access_key}".encode()
        for part in (day, self._bucket.region_name, "s3", "aws4_request"):
            key = hmac.new(key, part.encode(), "sha256").digest()
        return key
