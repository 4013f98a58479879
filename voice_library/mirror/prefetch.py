"""Fetch every voice of a bucket to this machine's cache before the first job, as far as the cache's bound allows."""

from __future__ import annotations

import itertools
import logging
import sys
from collections.abc import Iterator

from tqdm import tqdm

from voice_library.errors import LibraryError
from voice_library.library import MAX_PAGE_SIZE, Voice, VoiceLibrary
from voice_library.mirror.file_cache import EVICT_TO, FILE_OVERHEAD_BYTES
from voice_library.mirror.keys import EMBEDDINGS_FOLDER, embedding_key, metadata_key
from voice_library.mirror.library import MirroredLibrary
from voice_library.mirror.parallel import in_parallel

log = logging.getLogger(__name__)


def prefetch(library: MirroredLibrary) -> int:
    """Fetch what is not here yet; the number of voices that are then on this machine. A voice that cannot be fetched
    is logged, and fetched when it is asked for."""
    disk = library.cache.disk
    sizes = {item.key: item.size for item in library.store.list(EMBEDDINGS_FOLDER)}
    chosen: list[Voice] = []
    left = disk.max_bytes * EVICT_TO
    for voice in every_voice(library):
        left -= sizes.get(embedding_key(voice.voice_id, voice.metadata), 0) + 2 * FILE_OVERHEAD_BYTES
        if left < 0:
            log.warning("the cache of %d bytes holds %d of the bucket's voices", disk.max_bytes, len(chosen))
            break
        chosen.append(voice)

    def fetch(voice: Voice) -> bool:
        try:
            if not disk.has(embedding_key(voice.voice_id, voice.metadata)):
                library.reference_audio(voice)
            if not disk.has(metadata_key(voice.voice_id)):
                library.cache.keep_voice(voice.voice_id, voice.metadata)
        except LibraryError as error:
            log.warning("voice %s was not fetched: %s", voice.voice_id, error)
            return False
        return True

    with tqdm(total=len(chosen), desc="fetching voices", unit="voice", file=sys.stderr) as progress:
        results = (is_here for _, is_here in in_parallel(fetch, chosen) if not progress.update())
        return sum(results)


def every_voice(library: VoiceLibrary) -> Iterator[Voice]:
    """All voices of the library, page by page."""
    token: str | None = None
    for _ in itertools.count():
        page = library.list_voices(page_size=MAX_PAGE_SIZE, page_token=token)
        yield from page.voices
        token = page.next_page_token
        if token is None:
            return
