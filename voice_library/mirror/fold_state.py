"""fold.json: what the last fold wrote, and who is folding at the moment. Knows nothing of how to fold."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, replace

from generate_voice_embedding import parse_json_object
from voice_library.stores.interface import Store

STATE_KEY = "fold.json"


@dataclass(frozen=True)
class FoldState:
    """fold.json: what the last fold wrote, and who is folding."""

    catalog_etag: str = ""
    mapping_etag: str = ""
    names_are_claimed: bool = False  # every name in the mapping was found to have a claim
    holder: str = ""
    etag: str = ""  # of fold.json itself
    age_s: float = 0.0

    @classmethod
    def read(cls, store: Store) -> FoldState:
        found = store.find(STATE_KEY)
        fields = parse_json_object(found.body) or {} if found else {}
        return cls(
            str(fields.get("catalog_etag", "")),
            str(fields.get("mapping_etag", "")),
            fields.get("names_are_claimed") is True,
            str(fields.get("holder", "")),
            found.etag if found else "",
            found.age_s if found else 0.0,
        )

    def written(self, store: Store) -> FoldState | None:
        """Replace the state this one was read from; None where another worker did."""
        fields = ("catalog_etag", "mapping_etag", "names_are_claimed", "holder")
        body = json.dumps({name: getattr(self, name) for name in fields} | {"nonce": secrets.token_hex(4)}).encode()
        etag = store.replace(STATE_KEY, body, self.etag) if self.etag else created(store, STATE_KEY, body)
        return replace(self, etag=etag, age_s=0.0) if etag else None


def created(store: Store, key: str, body: bytes) -> str | None:
    """The ETag of an object made where none was; None where one is."""
    if not store.create(key, body):
        return None
    found = store.find(key)
    return found.etag if found is not None and found.body == body else None
