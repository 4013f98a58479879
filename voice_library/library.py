"""What every voice library does, wherever its voices lie.

`LocalLibrary` keeps them in a tree on disk; the mirrored library adds a bucket as the truth and uses the tree as its
cache. Callers know only this interface. Nothing here knows of jobs, engines or torch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

OnConflict = Literal["error", "replace"]
DEFAULT_PAGE_SIZE = 100
MAX_PAGE_SIZE = 1000


@dataclass(frozen=True)
class Voice:
    """A named, reusable speaker. `metadata` is its JSON as the tree holds it, completed where older tools left gaps."""

    voice_id: str
    name: str
    gender: str = "unknown"
    duration_s: float | None = None  # None where an older tree does not say
    sample_rate_hz: int | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Page:
    """One page of a listing, ordered by name and then id."""

    voices: tuple[Voice, ...]
    total: int  # voices that match the filters, on all pages
    next_page_token: str | None  # opaque; None on the last page


class VoiceConditionals(Protocol):
    """Small files kept beside one voice (an engine's computed conditionals), by key."""

    def read(self, key: str) -> bytes | None: ...

    def write(self, key: str, blob: bytes) -> None: ...


class VoiceLibrary(ABC):
    """Voices by id and by name. Every method raises LibraryError (see `voice_library.errors`)."""

    @abstractmethod
    def register(
        self,
        audio: NDArray[np.float32],  # (samples,) or (samples, channels)
        sample_rate_hz: int,
        voice_name: str,
        *,
        gender: str | None = None,
        description: str | None = None,
        original_file: str | None = None,
        on_conflict: OnConflict = "error",
        report: dict[str, Any] | None = None,
    ) -> Voice:
        """Store a voice; it can be spoken by every worker once this returns. NameTaken when the name is in use and
        on_conflict is "error"; "replace" gives the name to the new voice and deletes the old one. The same audio under
        the same name again returns the voice that is there. A failure leaves nothing behind. report: what the voice's
        metadata say of the recording; made where it is not given."""

    @abstractmethod
    def get(self, *, voice_id: str | None = None, voice_name: str | None = None) -> Voice:
        """The voice with this id, or with this name (exactly, then without regard to case and surrounding space)."""

    @abstractmethod
    def reference_audio(self, voice: Voice) -> NDArray[np.float32]:
        """(samples,) float32 mono at 24 kHz. DamagedVoice or UnsafeFile when its file cannot be used."""

    @abstractmethod
    def conditionals(self, voice: Voice) -> VoiceConditionals:
        """Where an engine keeps what it computed for this voice."""

    @abstractmethod
    def list_voices(
        self,
        *,
        page_size: int = DEFAULT_PAGE_SIZE,
        page_token: str | None = None,
        gender: str | None = None,
        name_prefix: str | None = None,
    ) -> Page: ...

    @abstractmethod
    def rename(self, voice: Voice, new_name: str) -> Voice: ...

    @abstractmethod
    def delete(self, voice: Voice) -> None:
        """Remove the voice and everything kept beside it; its id is never given out again."""

    @abstractmethod
    def count(self) -> int: ...

    def check(self) -> None:
        """StorageUnavailable where the voices cannot be reached. Costs little, however many voices there are."""
        self.count()

    def close(self) -> None:  # noqa: B027 - only libraries with background work override it
        """Flush background work; the library is not used afterwards."""
