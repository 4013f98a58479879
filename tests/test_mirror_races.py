"""Many writers on the real store: whatever dies, races or overwrites, no acknowledged voice is lost.

moto checks conditions without a lock, so none of this would prove anything there.
"""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from mirror_workers import ignoring_conditions, run_workers, speech
from s3_servers import S3Server

from voice_library.errors import NameTaken
from voice_library.mirror.file_cache import DiskCache
from voice_library.mirror.library import MirroredLibrary
from voice_library.mirror.snapshot_reader import SnapshotReader
from voice_library.mirror.sweep import Sweep
from voice_library.mirror.verify import Verification
from voice_library.stores.s3 import S3Store
from voice_library.stores.settings import BucketSettings


def open_at(bucket: BucketSettings, folder: Path) -> MirroredLibrary:
    return MirroredLibrary(S3Store(bucket), DiskCache(folder, 100_000_000))


def assert_spoken(bucket: BucketSettings, acknowledged: dict[str, str], folder: Path) -> None:
    """In the truth: another worker finds each voice by id and by name, and its audio is what was registered."""
    library = open_at(bucket, folder)
    for name, voice_id in acknowledged.items():
        number, index = name.removeprefix("Voice ").split("-")
        assert library.get(voice_id=voice_id).name == name
        voice = library.get(voice_name=name)
        assert voice.voice_id == voice_id
        assert np.array_equal(library.reference_audio(voice), speech(int(number) * 1000 + int(index)))
    library.close()


def assert_in_snapshots(bucket: BucketSettings, acknowledged: dict[str, str]) -> None:
    """In the files that older readers know."""
    reader = SnapshotReader(S3Store(bucket))
    catalog, names = reader.catalog(), reader.names()
    lost = {name for name, voice_id in acknowledged.items() if voice_id not in catalog.entries}
    unmapped = {name for name, voice_id in acknowledged.items() if names.names.get(name) != voice_id}
    assert (lost, unmapped) == (set(), set())


def fold_now(bucket: BucketSettings, folder: Path) -> None:
    """What any worker does some seconds after its next registration."""
    library = open_at(bucket, folder)
    library.fold_thread.ask()
    library.close()


def test_eight_processes_register_25_voices_each(gateway: S3Server, tmp_path: Path) -> None:
    """The snapshots are whole as soon as the processes have ended: what was not folded is folded at their end."""
    bucket = gateway.new_bucket()
    acknowledged = run_workers(bucket, num_workers=8, num_voices=25)
    assert len(acknowledged) == 200
    assert_in_snapshots(bucket, acknowledged)
    assert_spoken(bucket, acknowledged, tmp_path)
    assert list(Verification(S3Store(bucket), has_claims=True).faults()) == []


def test_32_workers_are_killed_at_random_steps(gateway: S3Server, tmp_path: Path) -> None:
    bucket = gateway.new_bucket()
    acknowledged = run_workers(bucket, num_workers=32, num_voices=12, kill=True)
    assert len(acknowledged) > 32
    assert_spoken(bucket, acknowledged, tmp_path / "a")
    fold_now(bucket, tmp_path / "b")
    assert_in_snapshots(bucket, acknowledged)
    store = S3Store(bucket)
    sweep = Sweep(store, min_age_s=0)
    assert sweep.debris(), "no worker died inside a registration"
    sweep.remove(sweep.debris())
    assert list(Verification(store, has_claims=True).faults()) == []
    assert_spoken(bucket, acknowledged, tmp_path / "c")


def test_a_naive_writer_running_alongside(gateway: S3Server, tmp_path: Path) -> None:
    """It overwrites the catalog with what it read a moment before; one fold later everything is there again."""
    bucket = gateway.new_bucket()
    acknowledged = run_workers(bucket, num_workers=4, num_voices=15, num_naive_voices=40)
    assert_spoken(bucket, acknowledged, tmp_path / "a")
    fold_now(bucket, tmp_path / "b")
    assert_in_snapshots(bucket, acknowledged)
    assert_in_snapshots(bucket, {f"Naive {index}": f"naive{index:03d}" for index in range(40)})


def test_a_store_that_ignores_conditions(gateway: S3Server, tmp_path: Path) -> None:
    bucket = gateway.new_bucket()
    acknowledged = run_workers(bucket, num_workers=4, num_voices=6, ignore_conditions=True)
    assert len(acknowledged) == 24
    assert_spoken(bucket, acknowledged, tmp_path)
    library = MirroredLibrary(ignoring_conditions(S3Store(bucket)), DiskCache(tmp_path / "b", 100_000_000))
    library.fold_thread.ask()
    library.close()
    assert_in_snapshots(bucket, acknowledged)


@pytest.mark.parametrize("round_number", range(6))
def test_two_workers_claim_one_name_at_once(gateway: S3Server, tmp_path: Path, round_number: int) -> None:
    """Exactly one wins, in any spelling; the other gets NameTaken and leaves nothing behind."""
    bucket = gateway.new_bucket()
    libraries = [open_at(bucket, tmp_path / str(number)) for number in range(4)]
    outcomes: list[str | NameTaken] = []
    start = threading.Barrier(len(libraries))

    def claim(number: int) -> None:
        assert libraries[number].store.capabilities.create_only
        start.wait()
        try:
            outcomes.append(libraries[number].register(speech(number), 24_000, ("Anna", "anna")[number % 2]).voice_id)
        except NameTaken as error:
            outcomes.append(error)

    threads = [threading.Thread(target=claim, args=(number,)) for number in range(len(libraries))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [outcome for outcome in outcomes if isinstance(outcome, str)]
    assert len(outcomes) == 4
    assert len(winners) == 1
    assert libraries[0].get(voice_name="ANNA").voice_id == winners[0]
    assert [voice.voice_id for voice in libraries[1].list_voices().voices] == winners
    for library in libraries:
        library.close()
    assert list(Verification(S3Store(bucket), has_claims=True).faults()) == []


def test_twins_that_register_the_same_recording_become_one_voice(gateway: S3Server, tmp_path: Path) -> None:
    bucket = gateway.new_bucket()
    libraries = [open_at(bucket, tmp_path / str(number)) for number in range(4)]
    ids: list[str] = []
    threads = [
        threading.Thread(target=lambda each=each: ids.append(each.register(speech(7), 24_000, "Twin").voice_id))
        for each in libraries
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 4
    assert len(set(ids)) == 1
    for library in libraries:
        library.close()
    assert list(Verification(S3Store(bucket), has_claims=True).faults()) == []
