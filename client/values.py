"""What calls return."""

from __future__ import annotations

import base64
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from client.errors import UnexpectedAnswer


@dataclass(frozen=True)
class Speech:
    """A whole utterance."""

    audio: bytes  # an audio file in `format`
    format: str
    sample_rate_hz: int
    duration_s: float
    voice_id: str | None  # None: the built-in voice, or a reference that was sent along
    voice_name: str | None
    engine: str
    seed: int
    facts: Mapping[str, Any]  # all that was answered besides the audio

    @classmethod
    def of(cls, audio: bytes, facts: Mapping[str, Any]) -> Speech:
        return cls(
            audio,
            facts["format"],
            facts["sample_rate"],
            facts["duration"],
            facts.get("voice_id"),
            facts.get("voice_name"),
            facts.get("engine", ""),
            facts.get("seed", 0),
            facts,
        )

    def save(self, path: str | Path) -> Path:
        """Write the file; it is there whole or not at all."""
        with replacing(Path(path)) as file:
            file.write(self.audio)
        return Path(path)


@dataclass(frozen=True)
class Voice:
    """A registered voice."""

    voice_id: str
    name: str
    duration_s: float  # of its reference audio
    sample_rate_hz: int
    gender: str
    description: str | None
    metadata: Mapping[str, Any]  # all that was answered

    @classmethod
    def of(cls, metadata: Mapping[str, Any]) -> Voice:
        return cls(
            metadata["voice_id"],
            metadata.get("voice_name") or metadata["speaker_name"],
            metadata["duration"],
            metadata["sample_rate"],
            metadata.get("gender", "unknown"),
            metadata.get("description"),
            metadata,
        )


@dataclass(frozen=True)
class VoicePage:
    """Some of the voices."""

    voices: tuple[Voice, ...]
    total: int
    next_page_token: str | None  # None: these are the last


def audio_in(answer: Mapping[str, Any]) -> bytes:
    """The audio of an answer or a chunk. Raises UnexpectedAnswer."""
    try:
        return base64.b64decode(answer["audio"], validate=True)
    except (KeyError, TypeError, ValueError) as error:
        raise UnexpectedAnswer("the answer holds no audio in base64; is this our server? check the address") from error


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file that takes the place of `path` when the block ends well, and is gone when it does not."""
    descriptor, temporary = tempfile.mkstemp(prefix=".writing-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())  # noqa: PTH101 - mkstemp's files are for their owner alone
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
