"""Open the mirrored library of a bucket on this machine: where its cache lies, and what is fetched at the start."""

from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path

from voice_library.errors import StorageUnavailable
from voice_library.mirror.file_cache import DiskCache
from voice_library.mirror.library import MirroredLibrary
from voice_library.mirror.prefetch import prefetch
from voice_library.stores.s3 import S3Store
from voice_library.stores.settings import BucketSettings

log = logging.getLogger(__name__)
CACHE_FOLDER = ".mirror"  # apart from the tree's own files: eviction must never touch a voice that is only here


def open_mirror(embeddings_dir: str | os.PathLike[str], settings: BucketSettings) -> MirroredLibrary:
    """The library of the voices in a bucket, with its cache below `embeddings_dir`. Sends no request unless
    `settings.sync_on_start` is "all"."""
    tree = Path(embeddings_dir)
    if (tree / "voice_catalog.json").exists():
        log.warning(
            "voices of the tree at %s are not served while BUCKET_NAME is set; "
            "`python -m voice_library push %s` brings them into the bucket", tree, tree,
        )  # fmt: skip
    library = MirroredLibrary(S3Store(settings), DiskCache(cache_root(tree, settings), settings.cache_max_bytes))
    if settings.sync_on_start == "all":
        try:
            prefetch(library)
        except StorageUnavailable as error:  # voices that are here already can be spoken
            log.warning("no voices were fetched at the start: %s", error)
    return library


def cache_root(tree: Path, settings: BucketSettings) -> Path:
    """A folder of its own for each bucket and prefix."""
    place = f"{settings.endpoint_url}\n{settings.bucket}\n{settings.prefix}"
    return tree / CACHE_FOLDER / hashlib.sha256(place.encode()).hexdigest()[:12]
