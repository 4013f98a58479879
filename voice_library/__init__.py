"""Named voices: kept in a tree of files, found by id and by name, read back without ever unpickling.

`open_library` is the way in; `VoiceLibrary` is what it returns. Errors are in `voice_library.errors`.
"""

from __future__ import annotations

import os

from voice_library.embedding_file import VoiceEmbedding, read_embedding
from voice_library.library import (
    DEFAULT_PAGE_SIZE,
    MAX_PAGE_SIZE,
    OnConflict,
    Page,
    Voice,
    VoiceConditionals,
    VoiceLibrary,
)
from voice_library.local import LocalLibrary
from voice_library.stores.settings import BucketSettings

__all__ = [
    "DEFAULT_PAGE_SIZE",
    "MAX_PAGE_SIZE",
    "BucketSettings",
    "OnConflict",
    "Page",
    "Voice",
    "VoiceConditionals",
    "VoiceEmbedding",
    "VoiceLibrary",
    "open_library",
    "read_embedding",
]


def open_library(embeddings_dir: str | os.PathLike[str], bucket: BucketSettings | None = None) -> VoiceLibrary:
    """The library of the voices in the tree at `embeddings_dir`, which need not exist yet.

    With `bucket` the voices are the bucket's, and `embeddings_dir` only holds the cache of them. Nothing is sent until
    it is used, unless `bucket.sync_on_start` is "all".
    """
    if bucket is None:
        return LocalLibrary(embeddings_dir)
    from voice_library.mirror.open import open_mirror  # a local tree needs none of it

    return open_mirror(embeddings_dir, bucket)
