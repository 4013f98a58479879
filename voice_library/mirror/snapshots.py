"""The derived files of a tree as compact values: 100,000 voices take about 50 MB here, and no call holds the
interpreter for long, so that reading or writing a catalog of 30 MB never delays an answer.

`CatalogFile` is voice_catalog.json, `NamesFile` is name_mapping.json. Both are immutable. Nothing here sends requests.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from generate_voice_embedding import SAFE_VOICE_ID, normalised_name, utc_now
from voice_library.mirror.keys import Metadata

SPACE = re.compile(r"[ \t\r\n]*")
NAME_FIELDS = ("speaker_name", "voice_name", "name")  # as the tree's writer looks for them


class Entry(NamedTuple):
    """One voice of a catalog: its JSON as text, and what listings sort and filter by."""

    text: bytes  # UTF-8, on one line
    name: str  # "" where the entry does not say: the mapping may
    gender: str

    @classmethod
    def of(cls, metadata: Metadata) -> Entry:
        names = (metadata.get(key) for key in NAME_FIELDS)
        name = next((name for name in names if isinstance(name, str) and name.strip()), "")
        text = json.dumps(metadata, ensure_ascii=False).encode("utf-8", "backslashreplace")
        return cls(text, name, sys.intern(str(metadata.get("gender") or "unknown")))

    @property
    def metadata(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.text)
        return value


@dataclass(frozen=True)
class CatalogFile:
    """voice_catalog.json at one moment. `damaged` holds the file's bytes where it was not whole JSON."""

    entries: Mapping[str, Entry]
    etag: str = ""  # "" where there is no such file
    damaged: bytes | None = None

    @classmethod
    def parse(cls, body: bytes, etag: str) -> CatalogFile:
        """Any body: of a damaged file, the entries before the damage."""
        entries: dict[str, Entry] = {}
        try:
            for voice_id, metadata in iterate_object(body.decode("utf-8-sig")):
                if isinstance(metadata, dict) and SAFE_VOICE_ID.fullmatch(voice_id):
                    entries[voice_id] = Entry.of(metadata)
        except (ValueError, RecursionError):
            return cls(entries, etag, damaged=body)
        return cls(entries, etag)

    @property
    def body(self) -> bytes:
        lines = (json.dumps(voice_id).encode() + b": " + entry.text for voice_id, entry in self.entries.items())
        return b"{\n" + b",\n".join(lines) + b"\n}\n"

    @property
    def stats(self) -> bytes:
        """What stats.json says of this catalog."""
        genders = Counter(entry.gender for entry in self.entries.values())
        counts = {"total_voices": len(self.entries), "last_updated": utc_now()}
        return json.dumps({**counts, "gender_distribution": dict(sorted(genders.items()))}, indent=2).encode()

    def with_changes(self, put: Mapping[str, Entry], removed: Iterable[str]) -> CatalogFile:
        """The catalog to write next; `self` where nothing changes."""
        gone = {voice_id for voice_id in removed if voice_id in self.entries}
        changed = {voice_id: entry for voice_id, entry in put.items() if self.entries.get(voice_id) != entry}
        if not gone and not changed and self.damaged is None and self.etag:
            return self
        kept = {voice_id: entry for voice_id, entry in self.entries.items() if voice_id not in gone}
        return CatalogFile({**kept, **changed}, self.etag)

    def name_of(self, voice_id: str) -> str:
        """The name its entry gives a voice; "" where there is none."""
        entry = self.entries.get(voice_id)
        return entry.name if entry else ""

    @cached_property
    def has_nameless(self) -> bool:
        return any(not entry.name for entry in self.entries.values())

    @cached_property
    def by_name(self) -> list[tuple[str, str]]:
        """(name, voice_id) of every voice that has a name, in the order of listings."""
        return sorted((entry.name, voice_id) for voice_id, entry in self.entries.items() if entry.name)


@dataclass(frozen=True)
class NamesFile:
    """name_mapping.json at one moment: {name: voice_id}. Older trees may give one voice several names."""

    names: Mapping[str, str]
    etag: str = ""

    @classmethod
    def parse(cls, body: bytes, etag: str) -> NamesFile:
        names: dict[str, str] = {}
        try:
            for name, voice_id in iterate_object(body.decode("utf-8-sig")):
                if isinstance(voice_id, str):
                    names[name] = voice_id
        except (ValueError, RecursionError):
            pass  # the rest is derived from the catalog again
        return cls(names, etag)

    @property
    def body(self) -> bytes:
        lines = (f"{json.dumps(name, ensure_ascii=False)}: {json.dumps(held)}" for name, held in self.names.items())
        return ("{\n" + ",\n".join(lines) + "\n}\n").encode("utf-8", "backslashreplace")

    @cached_property
    def by_id(self) -> dict[str, str]:
        """A name of each voice; the first where it has several."""
        return {voice_id: name for name, voice_id in reversed(list(self.names.items()))}

    def completed(
        self, before: CatalogFile, catalog: CatalogFile, changed: Mapping[str, Entry], removed: Iterable[str]
    ) -> NamesFile:
        """The mapping for `catalog`, which was `before`: without names of removed voices and old names of renamed ones,
        with those of all voices that it lacks. `self` where nothing changes."""
        gone = set(removed)
        renamed = {each for each, entry in changed.items() if before.name_of(each) not in ("", entry.name)}
        names = {
            name: voice_id
            for name, voice_id in self.names.items()
            if voice_id not in gone and not (voice_id in renamed and changed[voice_id].name != name)
        }
        for voice_id, entry in changed.items():  # a name that a new voice has taken from another is the new voice's
            if entry.name:
                names[entry.name] = voice_id
        for voice_id, entry in catalog.entries.items():
            if entry.name:
                names.setdefault(entry.name, voice_id)
        return self if names == self.names and self.etag else NamesFile(names, self.etag)


def id_named(name: str, catalog: CatalogFile, read_mapping: Callable[[], NamesFile]) -> str | None:
    """The voice with exactly this name, else one that differs in case and surrounding space only; None where there is
    none. The mapping is read only where the catalog does not settle it. A linear search: only trees without claims
    need it."""
    exact = [voice_id for voice_id, entry in catalog.entries.items() if entry.name == name]
    if len(exact) == 1:
        return exact[0]
    mapping = read_mapping()
    mapped = mapping.names.get(name)
    if mapped in catalog.entries:
        return mapped
    if exact:
        return exact[0]
    wanted = normalised_name(name)
    similar = (voice_id for voice_id, entry in catalog.entries.items() if normalised_name(entry.name) == wanted)
    others = (held for other, held in mapping.names.items() if normalised_name(other) == wanted)
    return next((voice_id for voice_id in (*similar, *others) if voice_id in catalog.entries), None)


def iterate_object(text: str) -> Iterator[tuple[str, Any]]:
    """The keys and values of a JSON object, one after the other, without ever holding all of them. ValueError where
    the text is damaged."""
    decoder = json.JSONDecoder()
    at = _after(text, 0, "{")
    first = True
    while not text.startswith("}", at):
        if not first:
            at = _after(text, at, ",")
        key, at = decoder.raw_decode(text, at)
        if not isinstance(key, str):
            raise ValueError("a key is no string")  # noqa: TRY004 - the text is damaged, whatever it holds
        at = _after(text, at, ":")
        value, at = decoder.raw_decode(text, at)
        at = _skip_space(text, at)
        first = False
        yield key, value
    if _skip_space(text, at + 1) != len(text):
        raise ValueError("something follows the object")


def _after(text: str, at: int, expected: str) -> int:
    at = _skip_space(text, at)
    if not text.startswith(expected, at):
        raise ValueError(f"{expected!r} is missing at {at}")
    return _skip_space(text, at + 1)


def _skip_space(text: str, at: int) -> int:
    found = SPACE.match(text, at)
    return found.end() if found else at
