"""Where everything lies in a bucket: the tree's own paths, and the mirror's bookkeeping beside them. No requests.

embeddings/{id}.pkl.gz, metadata/{id}.json, tombstones/{id}, conditionals/{id}/    as in a local tree
voice_catalog.json, name_mapping.json, stats.json                                  derived, for readers of only them
names/{sha256 of the normalised name}.json                                         who has the name (`Claim`)
pending/{id}, pending/{id}~deleted, pending/{id}~renamed~{name}~{nonce}            what the snapshots lack (`Marker`)
fold.json                                                                          what the last fold wrote (`fold`)
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from generate_voice_embedding import VoiceTree, format_json_object, normalised_name, parse_json_object

CATALOG_KEY = "voice_catalog.json"
MAPPING_KEY = "name_mapping.json"
STATS_KEY = "stats.json"
DAMAGED_CATALOG_KEY = "voice_catalog.damaged.json"
METADATA_FOLDER, EMBEDDINGS_FOLDER, TOMBSTONES_FOLDER = "metadata/", "embeddings/", "tombstones/"
NAMES_FOLDER, PENDING_FOLDER, CONDITIONALS_FOLDER, PROBE_FOLDER = "names/", "pending/", "conditionals/", "probe/"
TREE = VoiceTree("")  # only for its paths

Metadata = Mapping[str, Any]


def metadata_key(voice_id: str) -> str:
    return f"{METADATA_FOLDER}{voice_id}.json"


def embedding_key(voice_id: str, metadata: Metadata | None = None) -> str:
    """Where the embedding lies; older entries name it in several ways, none of which leads out of the folder."""
    return TREE.embedding_path(voice_id, metadata).as_posix()


def tombstone_key(voice_id: str) -> str:
    return f"{TOMBSTONES_FOLDER}{voice_id}"


def conditionals_prefix(voice_id: str) -> str:
    return f"{CONDITIONALS_FOLDER}{voice_id}/"


def name_digest(name: str) -> str:
    """One for all spellings that differ only in case and surrounding space."""
    return hashlib.sha256(normalised_name(name).encode("utf-8", "surrogatepass")).hexdigest()


def name_key(name: str) -> str:
    return f"{NAMES_FOLDER}{name_digest(name)}.json"


def metadata_body(metadata: Metadata) -> bytes:
    return format_json_object(metadata)


@dataclass(frozen=True)
class Claim:
    """Who has a name. It counts only while the voice's metadata says so too; until a new voice is committed, a claim
    that replaces another still means the previous voice."""

    name: str
    voice_id: str
    previous: str = ""  # the voice that had the name, while `voice_id` is to replace it
    nonce: str = field(default_factory=lambda: secrets.token_hex(8))  # tells our claim from an equal one

    @property
    def body(self) -> bytes:
        claim = {"name": self.name, "voice_id": self.voice_id, "nonce": self.nonce}
        return json.dumps({**claim, "previous": self.previous} if self.previous else claim).encode()

    @classmethod
    def parse(cls, body: bytes) -> Claim:
        """Any body: a damaged claim is one that no voice has."""
        fields = parse_json_object(body) or {}
        return cls(*(str(fields.get(name, "")) for name in ("name", "voice_id", "previous", "nonce")))


@dataclass(frozen=True)
class Marker:
    """A voice that the snapshots may not show as it is. It stays until they do."""

    voice_id: str
    change: str = ""  # "" a new voice, "deleted", "renamed"
    name_hash: str = ""  # the new name of a renamed voice

    NAME_HASH_DIGITS = 16

    @classmethod
    def renamed(cls, voice_id: str, new_name: str) -> Marker:
        return cls(voice_id, "renamed", cls.hash_of(new_name))

    @classmethod
    def hash_of(cls, name: str) -> str:
        return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[: cls.NAME_HASH_DIGITS]

    def new_key(self) -> str:
        """Two renames have two keys, so that folding one does not remove the other's marker."""
        if self.change == "renamed":
            return f"{PENDING_FOLDER}{self.voice_id}~renamed~{self.name_hash}~{secrets.token_hex(4)}"
        return f"{PENDING_FOLDER}{self.voice_id}~deleted" if self.change else f"{PENDING_FOLDER}{self.voice_id}"

    @classmethod
    def parse(cls, key: str) -> Marker:
        voice_id, change, name_hash, *_ = (*key.removeprefix(PENDING_FOLDER).split("~"), "", "")
        return cls(voice_id, change, name_hash)
