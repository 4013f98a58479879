"""An S3 bucket as a store: boto3 behind one thin class. It knows nothing of voices.

boto3's own retries are off, because a retried conditional PUT is answered 412 for its own success. Plain requests are
repeated here with jittered backoff; a conditional PUT whose outcome is unclear (412, 409, 5xx, a broken connection) is
settled by reading the object back and comparing it with what was sent. boto3 is imported when a store is opened.
"""

from __future__ import annotations

import functools
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from voice_library.errors import StorageUnavailable
from voice_library.stores.interface import Blob, Capabilities, Listed, Store, check_size
from voice_library.stores.probe import NOT_KNOWN, probe
from voice_library.stores.s3_errors import boto_errors, is_passing, status_of, unavailable
from voice_library.stores.settings import BucketSettings

CONNECT_TIMEOUT_S, READ_TIMEOUT_S = 5, 30
MAX_ATTEMPTS = 4
FIRST_BACKOFF_S, MAX_BACKOFF_S = 0.1, 2.0
MAX_CONNECTIONS = 32
RACE_PAUSE_S = 0.25  # without create-only: time for a rival's PUT to become visible before ours is read back
CONDITION_ANSWERS = (404, 409, 412, *NOT_KNOWN)  # 404: If-Match on an absent key
T = TypeVar("T")


class S3Store(Store):
    """The objects of one bucket under its prefix."""

    def __init__(self, settings: BucketSettings, capabilities: Capabilities | None = None) -> None:
        self.description = settings.description
        self.requests: Counter[str] = Counter()
        self._bucket, self._prefix = settings.bucket, settings.prefix
        self._settings = settings
        self._capabilities = capabilities
        self._probing, self._opening = threading.Lock(), threading.Lock()

    @functools.cached_property
    def _client(self) -> Any:
        """Opened by the first request: a worker that finds its voice on its own disk never imports boto3."""
        with self._opening:
            return self.__dict__.get("_client") or _open_client(self._settings)

    @property
    def capabilities(self) -> Capabilities:
        """Found out before the first conditional write; reading needs none, so a reader never pays for it."""
        with self._probing:
            if self._capabilities is None:
                self._capabilities = probe(self)
            return self._capabilities

    def find(self, key: str, max_bytes: int | None = None) -> Blob | None:
        return _unless_absent(lambda: self._repeated(lambda: self._get(key, max_bytes)))

    def find_unless(self, key: str, etag: str) -> Blob | None:
        return _unless_absent(lambda: self._repeated(lambda: self._get(key, None, IfNoneMatch=f'"{etag}"')))

    def exists(self, key: str) -> bool:
        return self._head(key) is not None

    def put(self, key: str, body: bytes) -> str:
        reply = self._repeated(lambda: self._request("put_object", key, Body=body, ContentType=_type_of(key)))
        return _etag(reply)

    def create(self, key: str, body: bytes) -> bool:
        if not self.capabilities.create_only:
            return self._create_unguarded(key, body)
        return self._settled(key, body, "", IfNoneMatch="*") is not None

    def replace(self, key: str, body: bytes, etag: str) -> str | None:
        capabilities = self.capabilities
        if not capabilities.compare_and_swap:
            found = self.find_unless(key, etag)
            return self.put(key, body) if found and found.etag == etag else None
        return self._settled(key, body, etag, IfMatch=f'"{etag}"' if capabilities.quoted_etags else etag)

    def delete(self, key: str) -> None:
        self._repeated(lambda: self._request("delete_object", key))

    def list(self, prefix: str) -> Iterator[Listed]:
        token = ""
        while True:
            page = self._repeated(functools.partial(self._list_page, prefix, token))
            now = _date_of(page)
            for item in page.get("Contents", ()):
                key = item["Key"][len(self._prefix) :]
                yield Listed(key, item["Size"], item["ETag"].strip('"'), _seconds(now, item["LastModified"]))
            if not page.get("IsTruncated"):
                return
            if page["NextContinuationToken"] == token:
                raise StorageUnavailable(
                    f"{self.description}: a listing did not go on (RunPod's volumes do so while they compute ETags); "
                    "try again in a few minutes"
                )
            token = page["NextContinuationToken"]

    def signed_url(self, key: str, expires_s: int, media_type: str) -> str:
        where = {"Bucket": self._bucket, "Key": self._prefix + key, "ResponseContentType": media_type}
        return str(self._client.generate_presigned_url("get_object", Params=where, ExpiresIn=expires_s))

    def close(self) -> None:
        if "_client" in self.__dict__:
            self._client.close()

    def put_once(self, key: str, body: bytes, **condition: str) -> tuple[int, str]:
        """One conditional PUT, never repeated: (HTTP status, ETag). Status 0: no reply came, the outcome is unknown."""
        try:
            reply = self._request("put_object", key, Body=body, ContentType=_type_of(key), **condition)
        except boto_errors() as error:
            if status_of(error) in CONDITION_ANSWERS or is_passing(error):
                return status_of(error), ""
            raise unavailable(self.description, error) from error
        return 200, _etag(reply)

    def _settled(self, key: str, body: bytes, expected_etag: str, **condition: str) -> str | None:
        """A conditional PUT with a certain outcome: the new ETag, or None where another object is there.

        It is tried again only while the object is as the condition wants it (`expected_etag`; "" means absent).
        """
        for attempt in range(MAX_ATTEMPTS):
            _back_off(attempt)
            status, etag = self.put_once(key, body, **condition)
            if status == 200:
                return etag
            found = self._if_same_size(key, len(body), expected_etag)
            if found is not None and found.body == body:
                return found.etag  # the reply was lost, or the refusal answered our own success
            if (found.etag if found else "") != expected_etag or (status == 412 and expected_etag):
                return None
        raise StorageUnavailable(
            f"{self.description}: a write was neither accepted nor refused in {MAX_ATTEMPTS} attempts; nothing was "
            "acknowledged; check the network and the store, then repeat the request"
        )

    def _if_same_size(self, key: str, size: int, expected_etag: str) -> Blob | None:
        """The object now at key. Its body is read only if it can be ours: a snapshot may have 30 MB."""
        head = self._head(key)
        if head is None:
            return None
        if head["ContentLength"] == size and _etag(head) != expected_etag:
            return self.find(key)
        return Blob(b"", _etag(head), 0.0)

    def _create_unguarded(self, key: str, body: bytes) -> bool:
        """Create-only on a store without it: look, write, wait, look again. The last of two racing writers wins, unless
        one of them stalls for longer than the pause between its look and its write (see docs/s3.md)."""
        found = self.find(key)
        if found is None:
            self.put(key, body)
            time.sleep(RACE_PAUSE_S)
            found = self.find(key)
        return found is not None and found.body == body

    def _head(self, key: str) -> dict[str, Any] | None:
        return _unless_absent(lambda: self._repeated(lambda: self._request("head_object", key)))

    def _get(self, key: str, max_bytes: int | None, **condition: str) -> Blob:
        try:
            reply = self._request("get_object", key, **condition)
        except boto_errors() as error:
            if status_of(error) == 304:
                return Blob(b"", condition["IfNoneMatch"].strip('"'), 0.0)
            raise
        with reply["Body"] as stream:
            check_size(key, reply["ContentLength"], max_bytes)
            body = stream.read()
        return Blob(body, _etag(reply), _seconds(_date_of(reply), reply["LastModified"]))

    def _list_page(self, prefix: str, token: str) -> dict[str, Any]:
        self.requests["list_objects_v2"] += 1
        after = {"ContinuationToken": token} if token else {}
        page: dict[str, Any] = self._client.list_objects_v2(Bucket=self._bucket, Prefix=self._prefix + prefix, **after)
        return page

    def _request(self, operation: str, key: str, **arguments: Any) -> dict[str, Any]:
        self.requests[operation] += 1
        send = getattr(self._client, operation)
        reply: dict[str, Any] = send(Bucket=self._bucket, Key=self._prefix + key, **arguments)
        return reply

    def _repeated(self, request: Callable[[], T]) -> T:
        """The request's result, repeated while it fails in ways that pass; StorageUnavailable from the last failure."""
        for attempt in range(MAX_ATTEMPTS):
            _back_off(attempt)
            try:
                return request()
            except boto_errors() as error:
                failure = error
                if not is_passing(error):
                    break
        raise unavailable(self.description, failure) from failure


def _open_client(settings: BucketSettings) -> Any:
    import boto3
    from botocore.config import Config

    amazon = ".amazonaws.com" in settings.endpoint_url
    config = Config(
        signature_version="s3v4",
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=READ_TIMEOUT_S,
        max_pool_connections=MAX_CONNECTIONS,
        retries={"total_max_attempts": 1},
        # boto3's default trailers are refused by several stores, over TLS only (Ceph: MissingContentLength).
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": "auto" if amazon else "path"},  # others often have no DNS name per bucket
    )
    try:
        return boto3.session.Session().client(
            "s3",
            endpoint_url=settings.endpoint_url,
            aws_access_key_id=settings.access_key_id,
            aws_secret_access_key=settings.secret_access_key,
            region_name=settings.region_name,
            verify=settings.ca_bundle or None,
            config=config,
        )
    except ValueError as error:  # botocore's word for an address it cannot use
        raise unavailable(settings.description, error) from error


def _unless_absent(read: Callable[[], T]) -> T | None:
    """What a read gives; None where the store has no such object."""
    try:
        return read()
    except StorageUnavailable as error:
        if status_of(error.__cause__) == 404:
            return None
        raise


def _back_off(attempt: int) -> None:
    if attempt:
        time.sleep(random.uniform(0, min(MAX_BACKOFF_S, FIRST_BACKOFF_S * 2**attempt)))


def _etag(reply: dict[str, Any]) -> str:
    return str(reply["ETag"]).strip('"')


def _date_of(reply: dict[str, Any]) -> datetime | None:
    """The store's own clock when it answered; None where it does not say."""
    date = reply["ResponseMetadata"]["HTTPHeaders"].get("date")
    return parsedate_to_datetime(date) if date else None


def _seconds(now: datetime | None, written: datetime) -> float:
    current = now or datetime.now(written.tzinfo)
    return max(0.0, (current - written).total_seconds())


def _type_of(key: str) -> str:
    return "application/json" if key.endswith(".json") else "application/octet-stream"
