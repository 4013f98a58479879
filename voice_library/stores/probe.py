"""What a store does with conditional PUTs, found out by trying on a private key. Vendors' words are not enough:
some stores take the headers and ignore them, and Ceph compares If-Match with the ETag without its quotes.

Five or six small requests, before the first conditional write of a process. Nothing here knows of voices or boto3.
"""

from __future__ import annotations

import logging
import secrets
from typing import Protocol

from voice_library.errors import StorageUnavailable
from voice_library.stores.interface import Capabilities

log = logging.getLogger(__name__)
WRONG_ETAG = "0" * 32
NOT_KNOWN = (400, 501)  # how stores refuse a header they do not implement
ATTEMPTS = 3  # a reply may be lost; each attempt has a key of its own, so that none sees another's leavings


class Probed(Protocol):
    """What the probe needs of a store."""

    description: str

    def put(self, key: str, body: bytes) -> str: ...

    def delete(self, key: str) -> None: ...

    def put_once(self, key: str, body: bytes, **condition: str) -> tuple[int, str]:
        """One conditional PUT, never repeated: (HTTP status, ETag); status 0 where no reply came."""


class _NoAnswerError(Exception):
    """A request of the probe had no clear outcome."""


def probe(store: Probed) -> Capabilities:
    """Try the conditions; StorageUnavailable where the store gives no clear answer."""
    for _ in range(ATTEMPTS):
        key = f"probe/{secrets.token_hex(8)}"
        try:
            capabilities = _try_conditions(store, key)
        except _NoAnswerError:
            continue
        finally:
            store.delete(key)
        if not (capabilities.create_only and capabilities.compare_and_swap):
            log.warning("this store ignores conditional writes (%s): names are claimed by look, write, look again",
                        capabilities)  # fmt: skip
        return capabilities
    raise StorageUnavailable(
        f"{store.description} gave no clear answer to a conditional write; nothing was stored; try again later"
    )


def _try_conditions(store: Probed, key: str) -> Capabilities:
    etag = store.put(key, b"first")
    create_only = _refused(store.put_once(key, b"second", IfNoneMatch="*"))
    # A stale If-Match before a good one: a store that accepts it ignores the header.
    if not create_only or not _refused(store.put_once(key, b"third", IfMatch=WRONG_ETAG)):
        return Capabilities(create_only, compare_and_swap=False)
    if not _refused(store.put_once(key, b"fourth", IfMatch=f'"{etag}"')):
        return Capabilities(create_only, compare_and_swap=True, quoted_etags=True)
    return Capabilities(create_only, compare_and_swap=not _refused(store.put_once(key, b"fifth", IfMatch=etag)))


def _refused(outcome: tuple[int, str]) -> bool:
    """Whether the condition was understood and did not hold."""
    status, _ = outcome
    if status in (200, *NOT_KNOWN):
        return False
    if status == 412:
        return True
    raise _NoAnswerError
