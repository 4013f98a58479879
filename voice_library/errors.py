"""Errors of the voice library.

    LibraryError
    ├── VoiceNotFound          no voice has that id or name
    ├── NameTaken              another voice has that name
    ├── InvalidRequest         a page size, page token or name that cannot be used
    ├── UnsafeFile             a .pkl.gz that is not exactly a voice, or is too large
    ├── DamagedVoice           the catalog knows the voice, but its file cannot be read
    └── StorageUnavailable     the disk or the bucket did not do what was asked; nothing was acknowledged

Errors of the embedding writer (`generate_voice_embedding.VoiceEmbeddingError`) pass through: it is the one writer of
the format, and its messages are already written for the caller.
"""

from __future__ import annotations


class LibraryError(Exception):
    """Base of everything this package raises on purpose."""


class VoiceNotFound(LibraryError):
    """No voice has that id or name."""


class NameTaken(LibraryError):
    """Another voice has that name."""


class InvalidRequest(LibraryError):
    """A page size, page token or name that cannot be used."""


class UnsafeFile(LibraryError):
    """The file is not exactly what a voice needs, or is too large."""


class DamagedVoice(LibraryError):
    """The catalog knows the voice, but its file is missing or unreadable."""


class StorageUnavailable(LibraryError):
    """Storage did not do what was asked; nothing was acknowledged."""
