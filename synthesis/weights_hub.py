"""Model weights from the Hugging Face Hub: resumable, and held against their checksums.

Knows nothing of engines, or of where weights are looked for (`weights`). What a file must be is
huggingface_hub's to tell, the transfer is ours: since its version 1 that library starts a file anew when the process
that was fetching it has died (`file_download._download_to_tmp_and_move`), and the largest of these files has 2 GB.
"""

from __future__ import annotations

import hashlib
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from synthesis.errors import WeightsNotFound
from synthesis.weights import ModelFile, Repository

if TYPE_CHECKING:
    import httpx
    from huggingface_hub import HfFileMetadata

logger = logging.getLogger(__name__)

CHECKSUMS = "SHA256SUMS"  # as `sha256sum -c` reads it; written last, so the folder that has one was complete
COMMIT = "REVISION"  # the commit the files are from

_TIMEOUT_S = 10.0  # to connect, and without a byte; huggingface_hub's own (`constants.DEFAULT_DOWNLOAD_TIMEOUT`)
_MAX_FAILURES = 5  # requests for a file in a row that may break off without a byte
_BLOCK_BYTES = 1 << 20


def fetchable(wanted: Repository, endpoint: str | None = None) -> bool:
    """Whether the Hub answers for these files now. Asks for one file's metadata; fetches nothing."""
    try:
        _metadata(wanted, wanted.files[0], endpoint)
    except (ImportError, WeightsNotFound) as error:
        logger.info("weights cannot be fetched: %s", error)
        return False
    return True


def fetch(wanted: Repository, folder: Path, endpoint: str | None = None, *, retry_wait_s: float = 1.0) -> None:
    """Make `folder` hold every file of the repository, checked; what is there and right is not transferred again.

    A transfer that breaks off is resumed: by this call after retry_wait_s, doubled while nothing comes, or by the next.
    Of two processes that fetch into one folder the second waits. endpoint None is huggingface_hub's, which HF_ENDPOINT
    sets. Raises WeightsNotFound when the Hub cannot be reached, lacks a file, or sends one with a wrong checksum, which
    is deleted.
    """
    from filelock import FileLock

    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".fetching.lock"):
        checksums = _still_right(wanted, folder)
        for file in wanted.files:
            if file.name not in checksums:
                checksums[file.name] = _fetch_file(wanted, file, folder, endpoint, retry_wait_s)
        (folder / COMMIT).write_text(wanted.revision + "\n")
        lines = [f"{checksums[file.name]}  {file.name}\n" for file in wanted.files]
        partial = folder / f".{CHECKSUMS}.part"
        partial.write_text("".join(lines))
        partial.replace(folder / CHECKSUMS)


def _still_right(wanted: Repository, folder: Path) -> dict[str, str]:
    """Checksums of the files that need not be fetched: those with the checksum we pin, or that an earlier fetch of the
    same commit recorded."""
    promised = {file.name: file.sha256 for file in wanted.files if file.sha256} or _recorded(wanted, folder)
    present = {name: _sha256(folder / name) for name in promised if (folder / name).is_file()}
    return {name: checksum for name, checksum in present.items() if checksum == promised[name]}


def _recorded(wanted: Repository, folder: Path) -> dict[str, str]:
    commit, checksums = folder / COMMIT, folder / CHECKSUMS
    if not (commit.is_file() and checksums.is_file()) or commit.read_text().strip() != wanted.revision:
        return {}
    entries = (line.partition("  ") for line in checksums.read_text().splitlines())
    return {name: checksum for checksum, _, name in entries}


def _fetch_file(wanted: Repository, file: ModelFile, folder: Path, endpoint: str | None, retry_wait_s: float) -> str:
    """Fetch one file, through a partial file beside it. Its SHA-256."""
    import httpx

    metadata = _metadata(wanted, file, endpoint)
    promised = file.sha256 or metadata.etag or ""
    # Named after its content, so that what is left of another commit's file is never continued with this one's bytes.
    partial = folder / f".{file.name}.{promised[:16]}.part"
    try:
        _transfer(_url(wanted, file, endpoint), partial, metadata.size, file.name, retry_wait_s)
    except (httpx.HTTPError, OSError) as error:
        raise _not_fetched(wanted, file, error) from error
    checksum = _sha256(partial)
    # The Hub's ETag is the SHA-256 of a large file, git's SHA-1 of a small one.
    if promised not in (checksum, _git_sha1(partial)):
        partial.unlink()
        raise WeightsNotFound(
            f"{file.name} of {wanted.repo_id} at {wanted.revision} has the checksum {checksum}; promised was "
            f"{promised!r}; it was deleted: fetch again, or name another revision"
        )
    partial.replace(folder / file.name)
    return checksum


def _metadata(wanted: Repository, file: ModelFile, endpoint: str | None) -> HfFileMetadata:
    import httpx
    from huggingface_hub import get_hf_file_metadata

    try:
        return get_hf_file_metadata(_url(wanted, file, endpoint), timeout=_TIMEOUT_S, endpoint=endpoint)
    except (httpx.HTTPError, OSError) as error:  # HfHubHTTPError and OfflineModeIsEnabled are among these
        raise _not_fetched(wanted, file, error) from error


def _transfer(url: str, partial: Path, size: int | None, label: str, retry_wait_s: float) -> None:
    """Bring what is missing of the file at `url` into `partial`, showing progress. Raises httpx.HTTPError."""
    import httpx

    failures = 0
    while (have := _size(partial)) != size:
        if size is not None and have > size:
            partial.unlink()
        try:
            _receive(url, partial, size, label)
        except httpx.HTTPError as error:
            failures = 1 if _size(partial) > have else failures + 1
            if failures == _MAX_FAILURES or not _may_pass(error):
                raise
            logger.warning("%s broke off at %d bytes (%s); resuming", label, _size(partial), error)
            time.sleep(retry_wait_s * 2 ** (failures - 1))
        else:
            return


def _may_pass(error: httpx.HTTPError) -> bool:
    """Whether the same request may succeed a little later: a broken line, a server that is busy or being restarted."""
    import httpx

    if isinstance(error, httpx.HTTPStatusError):
        return error.response.is_server_error or error.response.status_code == httpx.codes.TOO_MANY_REQUESTS
    return isinstance(error, httpx.TransportError)


def _receive(url: str, partial: Path, size: int | None, label: str) -> None:
    """One request for what is missing of a file; what came of it stays in `partial` also when the line breaks."""
    import httpx
    from huggingface_hub import get_token

    have = _size(partial)
    # Uncompressed, so that positions in the stream are positions in the file.
    headers = {"Accept-Encoding": "identity", "Range": f"bytes={have}-"}
    if token := get_token():
        headers["Authorization"] = f"Bearer {token}"  # which httpx does not carry on to another host
    with httpx.stream("GET", url, headers=headers, follow_redirects=True, timeout=_TIMEOUT_S) as response:
        response.raise_for_status()
        resumed = response.status_code == httpx.codes.PARTIAL_CONTENT
        with (
            partial.open("ab" if resumed else "wb") as file,
            tqdm(desc=label, initial=file.tell(), total=size, unit="B", unit_scale=True, mininterval=1) as progress,
        ):
            for block in response.iter_raw():
                file.write(block)
                progress.update(len(block))


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _url(wanted: Repository, file: ModelFile, endpoint: str | None) -> str:
    from huggingface_hub import hf_hub_url

    return hf_hub_url(wanted.repo_id, file.name, revision=wanted.revision, endpoint=endpoint)


def _not_fetched(wanted: Repository, file: ModelFile, error: Exception) -> WeightsNotFound:
    reason = str(error).strip().splitlines()[:1] or [type(error).__name__]
    return WeightsNotFound(
        f"{file.name} of {wanted.repo_id} at {wanted.revision} could not be fetched ({reason[0]}); the Hugging "
        "Face Hub must be reachable, or HF_ENDPOINT name a mirror; fetch again to resume"
    )


def _sha256(path: Path) -> str:
    """SHA-256 of a file, hex, with a progress bar where it takes longer than a second."""
    digest = hashlib.sha256()
    size = path.stat().st_size
    with (
        path.open("rb") as file,
        tqdm(desc=f"checking {path.name}", total=size, unit="B", unit_scale=True, delay=1, leave=False) as progress,
    ):
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
            progress.update(len(block))
    return digest.hexdigest()


def _git_sha1(path: Path) -> str:
    """Name of the file's content in git: SHA-1 over "blob SIZE\\0" and the content (git's `hash-object`)."""
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
