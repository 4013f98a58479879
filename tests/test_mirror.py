"""The mirrored library as its callers know it, on both stores: voices by id and name, from one worker and from two."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from mirror_workers import speech
from s3_servers import S3Server

import voice_library
from generate_voice_embedding import InvalidInput, create_voice_embedding
from voice_library.errors import DamagedVoice, InvalidRequest, NameTaken, StorageUnavailable, UnsafeFile, VoiceNotFound
from voice_library.local import LocalLibrary
from voice_library.mirror.file_cache import DiskCache
from voice_library.mirror.library import MirroredLibrary
from voice_library.mirror.verify import Verification
from voice_library.mirror.voice_cache import LOOK_AGAIN_S, VoiceCache
from voice_library.stores.s3 import S3Store
from voice_library.stores.settings import BucketSettings

ALICE, BOB = speech(1), speech(2)


class Workers:
    """Workers of one bucket, each with a disk of its own."""

    def __init__(self, bucket: BucketSettings, folder: Path) -> None:
        self.bucket = bucket
        self.folder = folder
        self.libraries: list[MirroredLibrary] = []

    def __call__(self) -> MirroredLibrary:
        disk = DiskCache(self.folder / str(len(self.libraries)), 100_000_000)
        self.libraries.append(MirroredLibrary(S3Store(self.bucket), disk))
        return self.libraries[-1]

    def put(self, key: str, body: bytes) -> None:
        S3Store(self.bucket).put(key, body)


@pytest.fixture
def worker(s3_server: S3Server, tmp_path: Path) -> Iterator[Workers]:
    workers = Workers(s3_server.new_bucket(prefix="voices"), tmp_path / "workers")
    yield workers
    for library in workers.libraries:
        library.close()
    assert list(Verification(S3Store(workers.bucket), has_claims=True).faults()) == []


@pytest.fixture
def moto_worker(moto: S3Server, tmp_path: Path) -> Iterator[Workers]:
    workers = Workers(moto.new_bucket(), tmp_path / "workers")
    yield workers
    for library in workers.libraries:
        library.close()


def spent(library: MirroredLibrary, before: Counter[str]) -> Counter[str]:
    return library.store.requests - before


# ---------------------------------------------------------------- one voice, two workers


def test_a_voice_registered_on_one_worker_is_spoken_on_another_at_once(worker: Workers) -> None:
    voice = worker().register(ALICE, 24_000, "Alice", gender="female", description="calm", original_file="a.wav")
    other = worker()
    for found in (other.get(voice_id=voice.voice_id), other.get(voice_name="Alice"), other.get(voice_name=" aLICE ")):
        assert found == voice
        assert np.array_equal(other.reference_audio(found), ALICE)
    assert voice.metadata["description"] == "calm"
    assert other.list_voices().voices == (voice,)
    assert other.count() == 1


def test_the_tree_in_the_bucket_is_the_local_tree(worker: Workers, tmp_path: Path) -> None:
    """Byte for byte the same embedding, and the same metadata but for the time."""
    library, local = worker(), LocalLibrary(tmp_path / "tree")
    voice, twin = (each.register(ALICE, 24_000, "Alice", gender="female") for each in (library, local))
    assert voice.voice_id == twin.voice_id
    assert {**voice.metadata, "created_at": ""} == {**twin.metadata, "created_at": ""}
    assert set(voice.metadata) == set(twin.metadata)
    library.close()
    keys = {item.key for item in library.store.list("")}
    here = {path.relative_to(tmp_path / "tree").as_posix() for path in (tmp_path / "tree").rglob("*") if path.is_file()}
    assert {key for key in here if not key.startswith(".")} <= keys


def test_the_same_recording_again_is_the_same_voice(worker: Workers) -> None:
    first, second = worker(), worker()
    voice = first.register(ALICE, 24_000, "Alice")
    assert second.register(ALICE, 24_000, "Alice") == voice
    renamed = second.rename(voice, "Alicia")
    assert first.register(ALICE, 24_000, "Alicia").voice_id == renamed.voice_id
    assert second.count() == 1


def test_a_taken_name_is_refused_and_leaves_nothing(worker: Workers) -> None:
    library = worker()
    library.register(ALICE, 24_000, "Alice")
    before = {item.key for item in library.store.list("")} - {"fold.json"}
    with pytest.raises(NameTaken, match="on_conflict"):
        library.register(BOB, 24_000, "ALICE")
    assert {item.key for item in library.store.list("embeddings/")} == {key for key in before if "embeddings/" in key}
    assert library.count() == 1


def test_replace_gives_the_name_to_the_new_voice_and_deletes_the_old(worker: Workers) -> None:
    first, second = worker(), worker()
    old = first.register(ALICE, 24_000, "Alice")
    new = second.register(BOB, 24_000, "Alice", on_conflict="replace")
    assert first.get(voice_name="Alice").voice_id == new.voice_id
    assert [voice.voice_id for voice in first.list_voices().voices] == [new.voice_id]
    with pytest.raises(VoiceNotFound):
        worker().get(voice_id=old.voice_id)


def test_rename(worker: Workers) -> None:
    first, second = worker(), worker()
    voice = first.register(ALICE, 24_000, "Alice")
    first.register(BOB, 24_000, "Bob")
    assert second.get(voice_name="Alice") == voice
    with pytest.raises(NameTaken):
        first.rename(voice, "bob")
    assert first.rename(voice, "Alicia").name == "Alicia"
    for library in (first, second, worker()):
        assert library.get(voice_name="alicia").voice_id == voice.voice_id
        with pytest.raises(VoiceNotFound):
            library.get(voice_name="Alice")
        assert [each.name for each in library.list_voices().voices] == ["Alicia", "Bob"]
    assert first.rename(voice, "ALICIA").name == "ALICIA"
    assert second.get(voice_name="Alicia").voice_id == voice.voice_id
    assert second.register(BOB, 24_000, "Alice").name == "Alice"  # the old name is free


def test_delete_is_for_good(worker: Workers) -> None:
    first, second = worker(), worker()
    voice = first.register(ALICE, 24_000, "Alice")
    first.conditionals(voice).write("base", b"computed")
    first.background.close()
    first.delete(voice)
    assert first.count() == second.count() == 0
    for library in (first, second):
        for how in ({"voice_id": voice.voice_id}, {"voice_name": "Alice"}):
            with pytest.raises(VoiceNotFound):
                library.get(**how)
    with pytest.raises(VoiceNotFound):
        first.delete(voice)
    again = second.register(ALICE, 24_000, "Alice")
    assert again.voice_id.startswith(voice.voice_id)
    assert again.voice_id != voice.voice_id
    assert list(second.store.list(f"conditionals/{voice.voice_id}/")) == []


def test_a_deletion_elsewhere_is_noticed_within_a_minute(worker: Workers) -> None:
    first, second = worker(), worker()
    now = [1000.0]
    second.cache = second.reader._cache = VoiceCache(second.cache.disk, clock=lambda: now[0])
    voice = first.register(ALICE, 24_000, "Alice")
    second.reference_audio(second.get(voice_id=voice.voice_id))
    first.delete(voice)
    assert second.get(voice_id=voice.voice_id) == voice  # from memory, without a request
    now[0] += LOOK_AGAIN_S + 1
    second.get(voice_id=voice.voice_id)  # served once more, and looked at in the background
    second.background.close()
    with pytest.raises(VoiceNotFound):
        second.get(voice_id=voice.voice_id)
    assert second.cache.disk.size_bytes() == 0


def test_conditionals_are_computed_once_for_all_workers(worker: Workers) -> None:
    first, second = worker(), worker()
    voice = first.register(ALICE, 24_000, "Alice")
    assert second.conditionals(voice).read("base-fp32") is None
    first.conditionals(voice).write("base-fp32", b"computed")
    assert first.conditionals(voice).read("base-fp32") == b"computed"
    first.background.close()
    assert second.conditionals(voice).read("base-fp32") == b"computed"
    before = second.store.requests.copy()
    assert second.conditionals(voice).read("base-fp32") == b"computed"
    assert spent(second, before) == {}
    with pytest.raises(InvalidRequest):
        second.conditionals(voice).read("../escape")


def test_pages_and_filters(worker: Workers) -> None:
    library, other = worker(), worker()
    for number in range(7):
        library.register(speech(number), 24_000, f"Voice {number}", gender=("male", "female")[number % 2])
    library.fold_thread.close()  # some of the voices are in the catalog, some are not yet
    other.register(speech(8), 24_000, "voice 10", gender="Female")
    page = other.list_voices(page_size=5)
    rest = other.list_voices(page_size=5, page_token=page.next_page_token)
    names = [voice.name for voice in (*page.voices, *rest.voices)]
    assert names == [*(f"Voice {number}" for number in range(7)), "voice 10"]
    assert (page.total, rest.next_page_token) == (8, None)
    assert [voice.name for voice in other.list_voices(gender="female", name_prefix="VOICE 1").voices] == [
        "Voice 1",
        "voice 10",
    ]
    with pytest.raises(InvalidRequest):
        other.list_voices(page_size=0)


def test_what_cannot_be_a_voice_is_refused_before_any_request(moto_worker: Workers) -> None:
    library = moto_worker()
    for audio, name, options in (
        (np.zeros(24_000, np.float32), "Silent", {}),
        (ALICE[:100], "Short", {}),
        (ALICE, " ", {}),
        (ALICE, "Alice", {"gender": "x" * 51}),
        (ALICE, "Alice", {"on_conflict": "maybe"}),
    ):
        with pytest.raises(InvalidInput):
            library.register(audio, 24_000, name, **options)
    for voice_id in ("../metadata/x", "", "a/b", "x" * 200):
        with pytest.raises(VoiceNotFound):
            library.get(voice_id=voice_id)
    with pytest.raises(InvalidRequest):
        library.get()
    assert library.store.requests == {}


# ---------------------------------------------------------------- what it costs


def test_requests_stay_few(moto_worker: Workers) -> None:
    """The figures of docs/s3.md, counted."""
    first = moto_worker()
    first.register(ALICE, 24_000, "Alice")
    first.fold_thread.close()  # names are known to be claimed from here on
    writer = moto_worker()
    writer.store.capabilities  # noqa: B018 - the probe, once a process
    writer.register(speech(3), 24_000, "Carol")
    before = writer.store.requests.copy()
    voice = writer.register(BOB, 24_000, "Bob")
    assert spent(writer, before) == {"put_object": 4, "head_object": 1}
    before = writer.store.requests.copy()
    with pytest.raises(NameTaken):
        writer.register(BOB, 24_000, "Alice")
    assert spent(writer, before).total() <= 5

    cold = moto_worker()
    cold.reference_audio(cold.get(voice_name="Bob"))
    assert cold.store.requests == {"get_object": 3}
    before = cold.store.requests.copy()
    cold.reference_audio(cold.get(voice_id=voice.voice_id))
    assert spent(cold, before) == {}
    cold.get(voice_name="Bob")
    assert spent(cold, before) == {"get_object": 1}

    cold = moto_worker()
    cold.reference_audio(cold.get(voice_id=voice.voice_id))
    assert cold.store.requests == {"get_object": 2}
    before = cold.store.requests.copy()
    with pytest.raises(VoiceNotFound):
        cold.get(voice_id="00000000")
    assert spent(cold, before) == {"get_object": 2}
    before = cold.store.requests.copy()
    with pytest.raises(VoiceNotFound):
        cold.get(voice_name="Nobody")
    assert spent(cold, before) == {"get_object": 3}

    writer.close()
    before = cold.store.requests.copy()
    cold.listing.page(10, None, None, None)
    assert spent(cold, before) == {"get_object": 1, "list_objects_v2": 1}


def test_a_second_process_on_the_machine_needs_no_request(moto_worker: Workers) -> None:
    library = moto_worker()
    voice = library.register(ALICE, 24_000, "Alice")
    again = MirroredLibrary(S3Store(moto_worker.bucket), DiskCache(library.cache.disk.root, 100_000_000))
    found = again.get(voice_id=voice.voice_id)
    assert np.array_equal(again.reference_audio(found), ALICE)
    assert again.store.requests.total() <= 1  # at most the look in the background


def test_a_process_that_just_ends_folds_what_it_registered(moto: S3Server, tmp_path: Path) -> None:
    """It closes nothing; the library does so at exit, when no thread can be started any more."""
    bucket = moto.new_bucket()
    program = f"""
import sys
sys.path[:0] = {sys.path!r}
from mirror_workers import speech
from voice_library import BucketSettings, open_library
library = open_library({str(tmp_path)!r}, BucketSettings({bucket.endpoint_url!r}, {bucket.bucket!r}, "k", "s"))
voices = [library.register(speech(number), 24_000, f"Voice {{number}}") for number in range(3)]
library.conditionals(voices[0]).write("base", b"computed")
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
    store = S3Store(bucket)
    assert len(json.loads(store.find("voice_catalog.json").body)) == 3  # type: ignore[union-attr]
    assert len(json.loads(store.find("name_mapping.json").body)) == 3  # type: ignore[union-attr]
    assert list(store.list("pending/")) == []
    assert len(list(store.list("conditionals/"))) == 1


# ---------------------------------------------------------------- damage, and trees that others wrote


def test_a_damaged_file_on_this_disk_is_fetched_again(moto_worker: Workers) -> None:
    library = moto_worker()
    voice = library.register(ALICE, 24_000, "Alice")
    path = library.cache.disk.root / "embeddings" / f"{voice.voice_id}.pkl.gz"
    path.write_bytes(path.read_bytes()[:100])
    assert np.array_equal(library.reference_audio(voice), ALICE)
    assert np.array_equal(library.reference_audio(voice), ALICE)


def test_damage_in_the_bucket_is_named(moto_worker: Workers) -> None:
    voice = moto_worker().register(ALICE, 24_000, "Alice")
    other = moto_worker()
    moto_worker.put(f"embeddings/{voice.voice_id}.pkl.gz", b"not a voice")
    with pytest.raises(UnsafeFile):
        other.reference_audio(voice)
    other.store.delete(f"embeddings/{voice.voice_id}.pkl.gz")
    with pytest.raises(DamagedVoice, match="register the voice again"):
        other.reference_audio(voice)


def test_an_older_tree_copied_into_the_bucket_is_spoken_from(worker: Workers, tmp_path: Path) -> None:
    """As a plain copy of its files leaves it: no claims, no metadata, entries with gaps."""
    embedding = create_voice_embedding.from_array(ALICE, 24_000, "Alice", embeddings_dir=tmp_path / "tree")
    body = Path(embedding["embedding_file"]).read_bytes()
    for voice_id in ("old1", "old2", "old3"):
        worker.put(f"embeddings/{voice_id}.pkl.gz", body)
    catalog = {
        "old1": {"speaker_name": "Alice", "embedding_file": "old1.pkl.gz"},
        "old2": {"name": "ALICE", "embedding_file": "embeddings\\old2.pkl.gz", "gender": None},
        "old3": {"embedding_file": "/home/me/voices/embeddings/old3.pkl.gz"},
    }
    worker.put("voice_catalog.json", json.dumps(catalog, indent=2).encode())
    worker.put("name_mapping.json", json.dumps({"Alice": "old1", "ALICE": "old2", "Third": "old3"}).encode())
    library = worker()
    for name, voice_id in (("Alice", "old1"), ("ALICE", "old2"), ("third ", "old3")):
        cold = worker()
        voice = cold.get(voice_name=name)
        assert voice.voice_id == voice_id
        assert np.array_equal(cold.reference_audio(voice), ALICE)
        assert cold.store.requests.total() <= (5 if name == "Alice" else 6)
        assert library.get(voice_id=voice_id).name == voice.name
    with pytest.raises(NameTaken):
        library.register(BOB, 24_000, "THIRD")
    assert library.count() == 3
    library.fold_thread.ask()
    library.fold_thread.close()  # their names are claimed now
    for name, voice_id in (("Alice", "old1"), ("ALICE", "old2"), ("third", "old3")):
        assert worker().get(voice_name=name).voice_id == voice_id
    renamed = library.rename(library.get(voice_name="Third"), "Trois")
    assert worker().get(voice_name="Trois").voice_id == renamed.voice_id
    library.delete(library.get(voice_id="old1"))
    assert [voice.name for voice in worker().list_voices().voices] == ["ALICE", "Trois"]
    library.fold_thread.close()
    library.fold.rebuild(lambda items: items)  # claims the spelling whose twin had the name until now


# ---------------------------------------------------------------- opening


def test_open_library_with_and_without_a_bucket(
    moto: S3Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bucket = moto.new_bucket()
    local = voice_library.open_library(tmp_path)
    assert isinstance(local, LocalLibrary)
    local.register(ALICE, 24_000, "Only here")
    library = voice_library.open_library(tmp_path, bucket)
    assert isinstance(library, MirroredLibrary)
    assert "push" in caplog.text  # the local voices are not served, and the log says how they would be
    assert library.store.requests == {}
    voice = library.register(BOB, 24_000, "Bob")
    assert library.count() == 1
    library.close()
    assert [each.name for each in local.list_voices().voices] == ["Only here"]
    assert (tmp_path / ".mirror").is_dir()
    assert not (tmp_path / "metadata" / f"{voice.voice_id}.json").exists()


def test_sync_on_start_fetches_what_fits(moto: S3Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bucket = moto.new_bucket()
    with_voices = voice_library.open_library(tmp_path / "a", bucket)
    voices = [with_voices.register(speech(number), 24_000, f"Voice {number}") for number in range(6)]
    with_voices.close()
    everything = moto.settings(bucket.bucket, sync_on_start="all")
    library = voice_library.open_library(tmp_path / "b", everything)
    assert isinstance(library, MirroredLibrary)
    assert "fetching voices: 100%" in capsys.readouterr().err
    before = library.store.requests.copy()
    for number, voice in enumerate(voices):
        assert np.array_equal(library.reference_audio(library.get(voice_id=voice.voice_id)), speech(number))
    assert spent(library, before) == {}
    little = moto.settings(bucket.bucket, sync_on_start="all", cache_max_bytes=300_000)
    library = voice_library.open_library(tmp_path / "c", little)
    assert isinstance(library, MirroredLibrary)
    assert 0 < library.cache.disk.size_bytes() <= 300_000


def test_a_missing_bucket_is_named_at_the_first_use(moto: S3Server, tmp_path: Path) -> None:
    library = voice_library.open_library(tmp_path, moto.settings("not-there"))
    with pytest.raises(StorageUnavailable, match="correct BUCKET_NAME"):
        library.get(voice_name="Alice")
    with pytest.raises(StorageUnavailable, match="correct BUCKET_NAME"):
        library.register(ALICE, 24_000, "Alice")
    with pytest.raises(StorageUnavailable, match="correct BUCKET_NAME"):
        library.check()
    good = voice_library.open_library(tmp_path, moto.new_bucket())
    assert isinstance(good, MirroredLibrary)
    good.check()
    assert good.store.requests == {"get_object": 1}


def test_boto3_is_loaded_by_the_first_request_only() -> None:
    """A worker without a bucket, or one that finds its voice on its own disk, never pays for it."""
    program = (
        "import sys, voice_library.__main__, voice_library.mirror.open; print([m for m in sys.modules if 'boto' in m])"
    )
    root = Path(voice_library.__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
