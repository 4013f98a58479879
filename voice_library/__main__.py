"""The voice library from the command line: `python -m voice_library COMMAND`.

The bucket is named by the BUCKET_ variables of the environment (docs/s3.md). Without them `list`, `verify` and
`rebuild` work on the tree at VOICE_EMBEDDINGS_DIR. Exit code 1 where something is wrong, 2 where the call is.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar, cast

from tqdm import tqdm

from generate_voice_embedding import VoiceEmbeddingError, VoiceTree
from voice_library import open_library
from voice_library.errors import LibraryError, StorageUnavailable
from voice_library.library import VoiceLibrary
from voice_library.local import LocalLibrary, storage_errors
from voice_library.mirror.library import MirroredLibrary
from voice_library.mirror.prefetch import every_voice
from voice_library.mirror.push import Push, Report, pull
from voice_library.mirror.sweep import DEFAULT_AGE_S, Sweep
from voice_library.mirror.verify import Verification
from voice_library.stores.folder import FolderStore
from voice_library.stores.settings import BucketSettings

REBUILD_ATTEMPTS = 10
Item = TypeVar("Item")


def main(arguments: list[str] | None = None, environment: Mapping[str, str] = os.environ) -> int:
    """Run one command; its exit code."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    given = _parser().parse_args(arguments)
    tree = Path(given.embeddings_dir or environment.get("VOICE_EMBEDDINGS_DIR") or "voice_embeddings")
    try:
        library = open_library(tree, BucketSettings.from_environment(environment))
        with contextlib.closing(library):
            run: Callable[[VoiceLibrary, argparse.Namespace], int] = given.run
            return run(library, given)
    except (LibraryError, VoiceEmbeddingError) as error:
        print(f"voice_library: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m voice_library", description=__doc__)
    parser.add_argument("--embeddings-dir", help="the local tree; default VOICE_EMBEDDINGS_DIR, else voice_embeddings")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Callable[..., int], text: str, *, changes: bool = True) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(run=run)
        if changes:
            added.add_argument("--dry-run", action="store_true", help="only say what would be done")
        return added

    command("push", _push, "bring a tree into the bucket; may be repeated").add_argument("folder", type=Path)
    command("pull", _pull, "bring the bucket's voices into a tree; may be repeated").add_argument("folder", type=Path)
    command("list", _list, "list all voices", changes=False)
    command("verify", _verify, "read every voice and report faults", changes=False)
    command("rebuild", _rebuild, "make catalog, mapping and statistics anew from the truth")
    sweep = command("sweep", _sweep, "remove what died half-way")
    sweep.add_argument("--older-than", type=float, default=DEFAULT_AGE_S / 3600, metavar="HOURS",
                       help="leave younger things alone; they may be alive (default %(default)g)")  # fmt: skip
    return parser


def _push(library: VoiceLibrary, given: argparse.Namespace) -> int:
    return _report(Push(given.folder, _mirrored(library), dry_run=given.dry_run).run(), "pushed", given.dry_run)


def _pull(library: VoiceLibrary, given: argparse.Namespace) -> int:
    return _report(pull(_mirrored(library), given.folder, dry_run=given.dry_run), "pulled", given.dry_run)


def _report(report: Report, done: str, dry_run: bool) -> int:
    print(
        f"{'would have been ' if dry_run else ''}{done}: {report.copied}, already there: {report.already_there}, "
        f"deleted there: {report.deleted_there}, problems: {len(report.problems)}"
    )
    for problem in report.problems:
        print(problem)
    return 1 if report.problems else 0


def _list(library: VoiceLibrary, _: argparse.Namespace) -> int:
    for voice in every_voice(library):
        duration = f"{voice.duration_s:.1f} s" if voice.duration_s is not None else "?"
        print(f"{voice.voice_id}  {voice.name}  {voice.gender}  {duration}")
    return 0


def _verify(library: VoiceLibrary, _: argparse.Namespace) -> int:
    if isinstance(library, LocalLibrary):
        verification = Verification(FolderStore(library.tree.root), has_claims=False)
    else:
        verification = Verification(_mirrored(library).store, has_claims=True)
    faults = list(verification.faults())
    for fault in faults:
        print(fault)
    print(f"{verification.num_voices} voices, {len(faults)} faults")
    return 1 if faults else 0


def _rebuild(library: VoiceLibrary, given: argparse.Namespace) -> int:
    if isinstance(library, LocalLibrary):
        return _rebuild_tree(library.tree, dry_run=given.dry_run)
    for _ in range(REBUILD_ATTEMPTS):
        counts = _mirrored(library).fold.rebuild(_with_progress, dry_run=given.dry_run)
        if counts is not None:
            outdated, removed = counts
            done = "would be" if given.dry_run else "were"
            print(f"{outdated} entries {done} added or corrected, {removed} {done} removed")
            return 0
    raise StorageUnavailable("other workers kept writing the snapshots; nothing is lost; try again when they rest")


def _with_progress(items: Iterable[Item]) -> Iterable[Item]:
    return cast("Iterable[Item]", tqdm(items, desc="reading metadata", unit="voice"))


def _rebuild_tree(tree: VoiceTree, *, dry_run: bool) -> int:
    """The local writer heals from the metadata with every commit; this is an empty one."""
    with storage_errors(), tree.locked():
        catalog = tree.read()
        if not dry_run:
            tree.commit(catalog)
    print(f"{len(catalog.entries)} voices {'would be' if dry_run else 'are'} in the catalog")
    return 0


def _sweep(library: VoiceLibrary, given: argparse.Namespace) -> int:
    sweep = Sweep(_mirrored(library).store, min_age_s=given.older_than * 3600)
    debris = sweep.debris()
    for item in debris:
        print(f"{item.key}  {item.reason}  {item.age_s / 3600:.1f} h old")
    if not given.dry_run:
        sweep.remove(debris)
    print(f"{len(debris)} objects {'would be' if given.dry_run else 'were'} removed")
    return 0


def _mirrored(library: VoiceLibrary) -> MirroredLibrary:
    if not isinstance(library, MirroredLibrary):
        raise StorageUnavailable(
            "this command needs a bucket; set BUCKET_ENDPOINT_URL, BUCKET_NAME, BUCKET_ACCESS_KEY_ID and "
            "BUCKET_SECRET_ACCESS_KEY (docs/s3.md)"
        )
    return library


if __name__ == "__main__":
    sys.exit(main())
