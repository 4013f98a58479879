"""API keys: made once, shown once, kept as digests, compared in constant time.

A key is 256 random bits, so that one SHA-256 of it is enough at rest: there is no dictionary to try. The file is read
again when it changes; a key that is removed stops working within a second.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import threading
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from generate_voice_embedding import utc_now, write_files

Scope = Literal["speak", "voices"]
SCOPES: tuple[Scope, ...] = get_args(Scope)

PREFIX = "wc-"  # so that scanners for leaked secrets and people can tell what it is
MIN_KEY_CHARACTERS = 20  # of one chosen by hand
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
RECHECK_S = 1.0


class KeyFileError(ValueError):
    """A keys file, or an entry for it, that cannot be used: what is wrong; what is allowed; what to do."""


@dataclass(frozen=True)
class Key:
    """What is known of a key: not the key itself."""

    name: str
    sha256: str  # hex
    scopes: tuple[Scope, ...] = SCOPES
    requests_per_minute: int | None = None  # None: the server's
    jobs_at_once: int | None = None  # None: the server's
    created_at: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not NAME.fullmatch(self.name):
            raise KeyFileError("a key's name is not usable; allowed are letters, digits, . _ -, up to 64; rename it")
        if not isinstance(self.sha256, str) or not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise KeyFileError(f"key {self.name} has no SHA-256 of 64 hex digits; make it with 'python -m server keys'")
        if not self.scopes or not set(self.scopes) <= set(SCOPES):
            raise KeyFileError(f"key {self.name} has unknown scopes; allowed are {', '.join(SCOPES)}; correct them")
        for limit in (self.requests_per_minute, self.jobs_at_once):
            if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
                raise KeyFileError(f"key {self.name} has a limit that is no whole number from 1; correct or remove it")


def digest_of(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def new_key(
    name: str,
    scopes: Iterable[Scope] = SCOPES,
    requests_per_minute: int | None = None,
    jobs_at_once: int | None = None,
) -> tuple[str, Key]:
    """The key to hand out, and what to keep of it."""
    secret = PREFIX + secrets.token_urlsafe(32)
    return secret, Key(name, digest_of(secret), tuple(scopes), requests_per_minute, jobs_at_once, utc_now())


def key_of_environment(secret: str) -> Key:
    """A key chosen by hand, for everything. Raises KeyFileError for one that can be guessed."""
    if len(secret) < MIN_KEY_CHARACTERS:
        raise KeyFileError(
            f"SERVER_API_KEY is shorter than {MIN_KEY_CHARACTERS} characters; longer ones are allowed; "
            "make one with 'python -m server keys add NAME'"
        )
    return Key("environment", digest_of(secret))


def read_keys(path: Path) -> tuple[Key, ...]:
    """The keys in the file; none where there is no file. Raises KeyFileError."""
    try:
        entries: Any = json.loads(path.read_bytes())["keys"]
        keys = tuple(Key(**{**entry, "scopes": tuple(entry["scopes"])}) for entry in entries)
    except FileNotFoundError:
        return ()
    except KeyFileError:
        raise
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise KeyFileError(
            f"{path.name} is no keys file; allowed is what 'python -m server keys add' writes; restore or remove it"
        ) from error
    if len({key.name for key in keys}) != len(keys):
        raise KeyFileError(f"{path.name} has two keys of one name; names must differ; rename one")
    return keys


def write_keys(path: Path, keys: Iterable[Key]) -> None:
    """Replace the file, whole; readable by its owner only."""
    text = json.dumps({"keys": [asdict(key) for key in keys]}, indent=1) + "\n"
    write_files({path: text.encode()})
    path.chmod(0o600)


class KeyRing:
    """The keys that open this server. Safe for many threads."""

    def __init__(self, path: Path | None = None, fixed: Iterable[Key] = ()) -> None:
        """path: the file, which may not exist yet. Raises KeyFileError."""
        self._path, self._fixed = path, tuple(fixed)
        self._lock = threading.Lock()
        self._stamp: tuple[int, int, int] | None = None
        self._checked_s = 0.0
        self._keys: tuple[Key, ...] = self._fixed
        self._refresh()

    def __bool__(self) -> bool:
        return bool(self.keys())

    def keys(self) -> tuple[Key, ...]:
        with self._lock:
            if time.monotonic() - self._checked_s >= RECHECK_S:
                try:
                    self._refresh()
                except KeyFileError:  # half-edited: what was read before stands
                    self._checked_s = time.monotonic()
            return self._keys

    def find(self, secret: str) -> Key | None:
        """The key that this is, looking at all of them whichever it is."""
        digest, found = digest_of(secret), None
        for key in self.keys():
            if hmac.compare_digest(key.sha256, digest):
                found = key
        return found

    def _refresh(self) -> None:
        self._checked_s = time.monotonic()
        if self._path is None:
            return
        try:
            status = self._path.stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        except FileNotFoundError:
            stamp = None
        if stamp != self._stamp:
            self._keys = (*self._fixed, *read_keys(self._path))
            self._stamp = stamp
