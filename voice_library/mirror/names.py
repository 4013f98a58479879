"""Who has a name in a bucket: one small object per name, created by exactly one of many workers.

A claim counts while the metadata of its voice says the same name. One without such a voice belongs to a registration
that is under way or has died; after `STALE_CLAIM_S` it may be taken over. Knows nothing of audio or snapshots.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from generate_voice_embedding import Catalog
from voice_library.errors import NameTaken
from voice_library.mirror.keys import Claim, Metadata, name_digest, name_key
from voice_library.stores.interface import Store

STALE_CLAIM_S = 600  # far longer than a registration takes; one that is slower checks its claim before it commits


@dataclass(frozen=True)
class HeldClaim:
    """A claim as it was read."""

    claim: Claim
    etag: str
    age_s: float


def name_in(metadata: Metadata, voice_id: str) -> str:
    """The name that metadata gives its voice."""
    return Catalog({voice_id: dict(metadata)}, {}).name_of(voice_id)


def bears_name(metadata: Metadata | None, voice_id: str, name: str) -> bool:
    """Whether the voice exists and has this name, in any spelling."""
    return metadata is not None and name_digest(name_in(metadata, voice_id)) == name_digest(name)


class Names:
    """The claims of one bucket. `find_metadata` gives a voice's metadata, None where there is no such voice."""

    def __init__(self, store: Store, find_metadata: Callable[[str], Metadata | None]) -> None:
        self._store = store
        self._find_metadata = find_metadata

    def read(self, name: str) -> HeldClaim | None:
        found = self._store.find(name_key(name))
        return HeldClaim(Claim.parse(found.body), found.etag, found.age_s) if found else None

    def voice_of(self, claim: Claim) -> tuple[str, Metadata] | None:
        """The voice that has the claimed name: the claim's, or the one it is to replace and has not yet."""
        for voice_id in (claim.voice_id, claim.previous):
            metadata = self._find_metadata(voice_id) if voice_id else None
            if metadata is not None and bears_name(metadata, voice_id, claim.name):
                return voice_id, metadata
        return None

    def take(self, claim: Claim, held: HeldClaim | None) -> bool:
        """Make the claim stand, over the one that was read. False where another worker was quicker."""
        if held is None:
            return self._store.create(name_key(claim.name), claim.body)
        return self._store.replace(name_key(claim.name), claim.body, held.etag) is not None

    def stands(self, claim: Claim) -> bool:
        """Whether this very claim is the one in the bucket."""
        held = self.read(claim.name)
        return held is not None and held.claim.nonce == claim.nonce

    def give_back(self, claim: Claim, replaced: Claim | None) -> None:
        """Undo `take`, if the claim still stands: put back what it replaced, or remove it."""
        held = self.read(claim.name)
        if held is None or held.claim.nonce != claim.nonce:
            return
        if replaced is not None:
            self._store.replace(name_key(claim.name), replaced.body, held.etag)
        else:
            self._store.delete(name_key(claim.name))

    def release(self, name: str, voice_id: str) -> None:
        """Remove the name's claim if it is this voice's."""
        held = self.read(name)
        if held is not None and held.claim.voice_id == voice_id:
            self._store.delete(name_key(name))

    def refuse_if_under_way(self, held: HeldClaim) -> None:
        """NameTaken while the registration behind a claim without a voice may still be alive."""
        if held.age_s < STALE_CLAIM_S:
            raise NameTaken(
                f"the name {held.claim.name!r} is being given to another voice at this moment; "
                "choose another name, or try again in ten minutes"
            )


def taken(name: str, voice_id: str) -> NameTaken:
    return NameTaken(
        f"the name {name!r} belongs to voice {voice_id}; allowed is a name no other voice has; "
        'choose another, or pass on_conflict="replace" when registering'
    )
