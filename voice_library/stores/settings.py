"""Where the bucket is and how to get in, read once from the environment's mapping and passed down.

Nothing here talks to a store. Neither half of the key ever appears in a repr, a message or a log line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from voice_library.errors import StorageUnavailable

DEFAULT_CACHE_MAX_BYTES = 2_000_000_000
SyncOnStart = Literal["none", "all"]

REQUIRED = {
    "BUCKET_ENDPOINT_URL": "endpoint_url",
    "BUCKET_NAME": "bucket",
    "BUCKET_ACCESS_KEY_ID": "access_key_id",
    "BUCKET_SECRET_ACCESS_KEY": "secret_access_key",
}
OPTIONAL = {
    "BUCKET_PREFIX": "prefix",
    "BUCKET_REGION": "region",
    "BUCKET_CA_BUNDLE": "ca_bundle",
    "VOICE_CACHE_MAX_BYTES": "cache_max_bytes",
    "SYNC_ON_START": "sync_on_start",
}


@dataclass(frozen=True)
class BucketSettings:
    """One bucket. Every field is checked when the settings are made; StorageUnavailable says which is wrong."""

    endpoint_url: str  # https://s3.eu-central-1.amazonaws.com, https://<account>.r2.cloudflarestorage.com, ...
    bucket: str
    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)
    prefix: str = ""  # the tree's folder inside the bucket; "" is its top
    region: str = ""  # "" is taken from the endpoint's name where it holds one
    ca_bundle: str = ""  # a file of certificates to trust instead of the system's
    cache_max_bytes: int = DEFAULT_CACHE_MAX_BYTES  # disk that voices of this bucket may take on this machine
    sync_on_start: SyncOnStart = "none"  # "all" fetches every voice (that fits the cache) when the library opens

    def __post_init__(self) -> None:
        if not re.match(r"https?://[^/\s]", self.endpoint_url):
            raise StorageUnavailable(
                f"BUCKET_ENDPOINT_URL is {self.endpoint_url!r}; allowed is an address such as "
                "https://s3.eu-central-1.amazonaws.com; correct it"
            )
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{1,62}", self.bucket):
            raise StorageUnavailable(
                f"BUCKET_NAME is {self.bucket!r}; allowed is the bucket's name alone (3 to 63 letters, digits, dots "
                "and hyphens), without the endpoint and without a path; put the path into BUCKET_PREFIX"
            )
        if not isinstance(self.cache_max_bytes, int) or self.cache_max_bytes < 0:
            raise StorageUnavailable("VOICE_CACHE_MAX_BYTES must be a whole number of bytes, 0 or more; correct it")
        if self.sync_on_start not in ("none", "all"):
            raise StorageUnavailable(f"SYNC_ON_START is {self.sync_on_start!r}; allowed are none and all; correct it")
        object.__setattr__(self, "prefix", _clean_prefix(self.prefix))

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> BucketSettings | None:
        """The bucket these variables name; None where none of the four that make a bucket is set.

        Empty variables count as unset. StorageUnavailable where only some of the four are set, naming the others.
        """
        given = {name: environment.get(name, "").strip() for name in (*REQUIRED, *OPTIONAL)}
        missing = [name for name in REQUIRED if not given[name]]
        if len(missing) == len(REQUIRED):
            return None
        if missing:
            have = [name for name in REQUIRED if given[name]]
            raise StorageUnavailable(
                f"the bucket's settings are incomplete: {', '.join(have)} set, {', '.join(missing)} not; "
                "set all four to use a bucket, or none to keep voices on the local disk"
            )
        fields = {field_name: given[name] for name, field_name in {**REQUIRED, **OPTIONAL}.items() if given[name]}
        size = fields.pop("cache_max_bytes", str(DEFAULT_CACHE_MAX_BYTES))
        if not size.isdecimal():
            raise StorageUnavailable(
                f"VOICE_CACHE_MAX_BYTES is {size!r}; allowed is a whole number of bytes; correct it"
            )
        return cls(**fields, cache_max_bytes=int(size))  # type: ignore[arg-type]  # sync_on_start is checked above

    @property
    def region_name(self) -> str:
        """The region to sign for: as given, else the one in the endpoint's name, else the one every store accepts."""
        if self.region:
            return self.region
        if ".r2.cloudflarestorage.com" in self.endpoint_url:
            return "auto"
        if named := re.search(r"//s3[.-](?:dualstack\.)?([a-z]{2}-[a-z0-9-]+)\.", self.endpoint_url):
            return named[1]
        if named := re.search(r"//s3api-([a-z0-9-]+)\.runpod\.io", self.endpoint_url):
            return named[1].upper()  # RunPod's data centres are written EU-RO-1
        return "us-east-1"

    @property
    def description(self) -> str:
        """The bucket as messages name it."""
        return f"bucket {self.bucket!r} at {self.endpoint_url}"


def _clean_prefix(prefix: str) -> str:
    """The prefix as keys start with it: "" or ending in exactly one slash, never starting with one."""
    parts = [part for part in prefix.replace("\\", "/").split("/") if part]
    if ".." in parts or "." in parts:
        raise StorageUnavailable(f"BUCKET_PREFIX is {prefix!r}; allowed is a path without . and ..; correct it")
    return "/".join(parts) + "/" if parts else ""
