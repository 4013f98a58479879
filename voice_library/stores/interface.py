"""A place for objects under keys: what the mirrored library needs of S3, or of a folder, and nothing more.

Keys are the tree's relative paths ("metadata/3f2a91c0.json"). The store knows nothing of voices. `S3Store` and
`FolderStore` implement it; both raise StorageUnavailable, naming the place and the remedy, when they cannot do what
was asked. Absence is an answer, not a failure.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from voice_library.errors import UnsafeFile


@dataclass(frozen=True)
class Blob:
    """An object as it was read."""

    body: bytes
    etag: str  # without quotes; names this content under this key, opaque otherwise
    age_s: float  # since it was written, by the store's own clock on both ends


@dataclass(frozen=True)
class Listed:
    """An object as a listing names it."""

    key: str
    size: int  # bytes
    etag: str  # "" where the store does not list it
    age_s: float


@dataclass(frozen=True)
class Capabilities:
    """What a store really does with conditions, found out by trying (see `probe`)."""

    create_only: bool  # a PUT with If-None-Match: * leaves an existing object alone
    compare_and_swap: bool  # a PUT with a stale If-Match leaves the object alone
    quoted_etags: bool = False  # If-Match wants the ETag in its quotes


ALL_CONDITIONS = Capabilities(create_only=True, compare_and_swap=True)
NO_CONDITIONS = Capabilities(create_only=False, compare_and_swap=False)


class Store(ABC):
    """Objects under keys. Safe to use from many threads at once."""

    description: str  # as messages name it, never with a key
    requests: Counter[str]  # requests sent, by operation, retries included

    @property
    @abstractmethod
    def capabilities(self) -> Capabilities:
        """What the conditional methods below can promise here."""

    @abstractmethod
    def find(self, key: str, max_bytes: int | None = None) -> Blob | None:
        """The object; None where there is none. UnsafeFile where it has over `max_bytes`, before it is read."""

    @abstractmethod
    def find_unless(self, key: str, etag: str) -> Blob | None:
        """The object, with an empty body where it still has this ETag; None where there is none."""

    @abstractmethod
    def exists(self, key: str) -> bool: ...

    @abstractmethod
    def put(self, key: str, body: bytes) -> str:
        """Write, whatever was there; its ETag."""

    @abstractmethod
    def create(self, key: str, body: bytes) -> bool:
        """Write where nothing is. True: the object is ours. False: another is there, and stays.

        The body must be unique to this call (a nonce, a time) where two callers may race for one key: an unclear
        outcome is settled by reading the object back and comparing.
        """

    @abstractmethod
    def replace(self, key: str, body: bytes, etag: str) -> str | None:
        """Write where the object still has this ETag; the new ETag, or None where it has not (nothing is changed)."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove; not an error where nothing is."""

    @abstractmethod
    def list(self, prefix: str) -> Iterator[Listed]:
        """Every object whose key starts with prefix, in no promised order."""

    @abstractmethod
    def signed_url(self, key: str, expires_s: int, media_type: str) -> str:
        """An address at which anyone can fetch the object until it expires, served as media_type. The store is not
        asked: the object need not exist."""

    def close(self) -> None:  # noqa: B027 - a folder holds nothing open
        """Let go of connections."""


def check_size(key: str, size: int, max_bytes: int | None) -> None:
    """UnsafeFile where an object is larger than its reader takes."""
    if max_bytes is not None and size > max_bytes:
        raise UnsafeFile(f"{key} has {size} bytes; allowed are {max_bytes}; register the voice again")
