"""The parts of the mirrored library that need no server: snapshots, the fold and its thread, the cache, background
work. The fold runs on a folder, which is a store with all conditions."""

from __future__ import annotations

import json
import multiprocessing
import os
import threading
import time
from pathlib import Path

import pytest

from generate_voice_embedding import format_json_object, voice_metadata
from voice_library.errors import StorageUnavailable
from voice_library.mirror.background import Background
from voice_library.mirror.file_cache import DiskCache
from voice_library.mirror.fold import LEASE_S, UNSETTLED_S, Fold, Outcome
from voice_library.mirror.fold_state import FoldState
from voice_library.mirror.fold_thread import FoldThread
from voice_library.mirror.keys import CATALOG_KEY, MAPPING_KEY, Claim, Marker, metadata_key, name_key, tombstone_key
from voice_library.mirror.parallel import in_parallel
from voice_library.mirror.snapshot_reader import SnapshotReader
from voice_library.mirror.snapshots import CatalogFile, Entry, NamesFile, iterate_object
from voice_library.stores.folder import FolderStore


def metadata_of(voice_id: str, name: str) -> dict[str, object]:
    return voice_metadata(voice_id, name, duration_s=1.0, created_at="2026-01-01T00:00:00.000+00:00")


# ---------------------------------------------------------------- snapshots


@pytest.mark.parametrize(
    "text", ["{}", '{"a": 1}', ' {\n "a" : [1, {"b": "}"}] ,\t"\\u00e4\\"": null }\n', '{"a": {"b": {}}, "a": 2}']
)
def test_a_json_object_is_read_key_by_key_as_json_reads_it(text: str) -> None:
    assert dict(iterate_object(text)) == json.loads(text)


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"a"}', '{"a": 1,}', '{"a": 1 "b": 2}', '{"a": 1} x', "{1: 2}", '{"a": ']
)
def test_damaged_json_is_an_error(text: str) -> None:
    with pytest.raises(ValueError):
        list(iterate_object(text))


def test_a_catalog_survives_the_round_trip() -> None:
    entries = {f"{number:08x}": metadata_of(f"{number:08x}", f"Zoë {number}") for number in range(50)}
    for body in (
        format_json_object(entries),
        json.dumps(entries, indent=4).encode(),
        b"\xef\xbb\xbf" + json.dumps(entries).encode(),
    ):
        catalog = CatalogFile.parse(body, "etag")
        assert {voice_id: entry.metadata for voice_id, entry in catalog.entries.items()} == entries
        assert json.loads(catalog.body) == entries
        assert catalog.damaged is None
    assert json.loads(catalog.stats)["total_voices"] == 50
    assert json.loads(catalog.stats)["gender_distribution"] == {"unknown": 50}


def test_of_a_damaged_catalog_the_whole_entries_are_kept() -> None:
    body = format_json_object({"a": metadata_of("a", "A"), "b": metadata_of("b", "B")})[:-40]
    catalog = CatalogFile.parse(body, "etag")
    assert list(catalog.entries) == ["a"]
    assert catalog.damaged == body


def test_unusable_entries_are_left_out() -> None:
    catalog = CatalogFile.parse(json.dumps({"../x": {}, "ok": {}, "list": [], "": {}}).encode(), "etag")
    assert list(catalog.entries) == ["ok"]


# ---------------------------------------------------------------- one pass of the fold


class Tree:
    """A store in a folder, with short ways to say what is in it."""

    def __init__(self, folder: Path) -> None:
        self.store = FolderStore(folder)

    def commit(self, voice_id: str, name: str, *, marker: bool = True) -> None:
        self.store.put(metadata_key(voice_id), format_json_object(metadata_of(voice_id, name)))
        self.store.create(name_key(name), Claim(name, voice_id).body)
        if marker:
            self.store.put(Marker(voice_id).new_key(), b"")

    def delete(self, voice_id: str) -> None:
        self.store.put(tombstone_key(voice_id), b"")
        self.store.put(Marker(voice_id, "deleted").new_key(), b"")
        self.store.delete(metadata_key(voice_id))

    def write_catalog(self, entries: dict[str, object]) -> None:
        self.store.put(CATALOG_KEY, json.dumps(entries).encode())

    def fold(self) -> Outcome:
        return Fold(self.store, SnapshotReader(self.store)).run({}, respect_lease=False)

    @property
    def catalog(self) -> dict[str, dict[str, object]]:
        return json.loads((self.store.root / CATALOG_KEY).read_text())

    @property
    def names(self) -> dict[str, str]:
        return json.loads((self.store.root / MAPPING_KEY).read_text())

    @property
    def markers(self) -> list[str]:
        return sorted(item.key for item in self.store.list("pending/"))


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "bucket")


def test_a_fold_takes_in_what_was_committed(tree: Tree) -> None:
    tree.commit("a", "Alice")
    tree.commit("b", "Bob")
    assert tree.fold() is Outcome.DONE
    assert {voice_id: entry["speaker_name"] for voice_id, entry in tree.catalog.items()} == {"a": "Alice", "b": "Bob"}
    assert tree.names == {"Alice": "a", "Bob": "b"}
    assert tree.markers == []
    before = (tree.store.root / CATALOG_KEY).stat().st_mtime_ns
    assert tree.fold() is Outcome.DONE
    assert (tree.store.root / CATALOG_KEY).stat().st_mtime_ns == before


def test_a_marker_waits_for_its_commit(tree: Tree) -> None:
    tree.commit("a", "Alice")
    tree.store.put(Marker("late").new_key(), b"")
    assert tree.fold() is Outcome.AGAIN
    assert tree.markers == ["pending/late"]
    tree.commit("late", "Late", marker=False)
    assert tree.fold() is Outcome.DONE
    assert set(tree.catalog) == {"a", "late"}


def test_a_marker_whose_writer_died_is_dropped_in_the_end(tree: Tree) -> None:
    key = Marker("dead").new_key()
    tree.store.put(key, b"")
    long_ago = time.time() - UNSETTLED_S - 60
    os.utime(tree.store.path(key), (long_ago, long_ago))
    assert tree.fold() is Outcome.DONE
    assert tree.markers == []


def test_a_rename_is_folded_only_once_it_is_committed(tree: Tree) -> None:
    """A fold between a rename's marker and its commit must not remove the marker."""
    tree.commit("a", "Alice")
    tree.fold()
    tree.store.put(Marker.renamed("a", "Alicia").new_key(), b"")
    assert tree.fold() is Outcome.AGAIN
    assert len(tree.markers) == 1
    tree.store.put(metadata_key("a"), format_json_object(metadata_of("a", "Alicia")))
    assert tree.fold() is Outcome.DONE
    assert tree.catalog["a"]["speaker_name"] == "Alicia"
    assert tree.names == {"Alicia": "a"}


def test_a_deletion_is_folded(tree: Tree) -> None:
    for voice_id, name in (("a", "Alice"), ("b", "Bob")):
        tree.commit(voice_id, name)
    tree.fold()
    tree.delete("a")
    assert tree.fold() is Outcome.DONE
    assert (set(tree.catalog), tree.names) == ({"b"}, {"Bob": "b"})


def test_an_overwritten_catalog_is_healed(tree: Tree) -> None:
    """An older tool wrote back what it read before our voices came, with one of its own; a deleted voice came back."""
    for voice_id, name in (("a", "Alice"), ("b", "Bob"), ("gone", "Gone")):
        tree.commit(voice_id, name)
    tree.fold()
    tree.delete("gone")
    tree.fold()
    tree.write_catalog({"a": metadata_of("a", "Alice"), "gone": {}, "old": {"speaker_name": "Naive"}})
    assert tree.fold() is Outcome.DONE
    assert set(tree.catalog) == {"a", "b", "old"}
    assert tree.names == {"Alice": "a", "Bob": "b", "Naive": "old"}
    assert tree.store.exists(name_key("Naive"))  # from now on nobody else can take the name


def test_an_overwritten_mapping_is_healed(tree: Tree) -> None:
    tree.commit("a", "Alice")
    tree.fold()
    tree.store.put(MAPPING_KEY, b'{"Nick": "a"}')
    assert tree.fold() is Outcome.DONE
    assert tree.names == {"Nick": "a", "Alice": "a"}


def test_entries_without_metadata_are_never_dropped(tree: Tree) -> None:
    tree.write_catalog({"old": {"speaker_name": "Old", "anything": [1]}})
    tree.commit("a", "Alice")
    tree.fold()
    assert tree.catalog["old"] == {"speaker_name": "Old", "anything": [1]}


def test_a_damaged_catalog_is_kept_aside_and_made_anew(tree: Tree) -> None:
    tree.commit("a", "Alice", marker=False)
    tree.store.put(CATALOG_KEY, b'{"a": {"speaker')
    assert tree.fold() is Outcome.DONE
    assert set(tree.catalog) == {"a"}
    assert (tree.store.root / "voice_catalog.damaged.json").read_bytes() == b'{"a": {"speaker'


def test_the_lease_keeps_others_away_and_expires(tree: Tree) -> None:
    tree.commit("a", "Alice")
    FoldState(holder="another worker").written(tree.store)
    fold = Fold(tree.store, SnapshotReader(tree.store))
    assert fold.run({}) is Outcome.BUSY
    long_ago = time.time() - LEASE_S - 1
    os.utime(tree.store.path("fold.json"), (long_ago, long_ago))
    assert fold.run({}) is Outcome.DONE
    assert FoldState.read(tree.store).holder == ""


def test_a_fold_that_lost_the_race_writes_nothing_over_the_winner(tree: Tree) -> None:
    """The catalog changes between reading and writing."""

    class Rival(SnapshotReader):
        def catalog(self, max_age_s: float = 0.0) -> CatalogFile:
            found = super().catalog(max_age_s)
            tree.write_catalog({"rival": {"speaker_name": "Rival"}})
            return found

    tree.commit("a", "Alice")
    tree.write_catalog({})
    assert Fold(tree.store, Rival(tree.store)).run({}) is Outcome.LOST
    assert set(tree.catalog) == {"rival"}
    assert tree.markers == ["pending/a"]
    assert tree.fold() is Outcome.DONE
    assert set(tree.catalog) == {"a", "rival"}


def test_rebuild_corrects_entries_that_say_something_else(tree: Tree) -> None:
    tree.commit("a", "Alice")
    tree.commit("b", "Bob")
    tree.fold()
    tree.write_catalog({"a": {"speaker_name": "Wrong"}, "b": metadata_of("b", "Bob"), "old": {}})
    fold = Fold(tree.store, SnapshotReader(tree.store))
    assert fold.rebuild(lambda items: items, dry_run=True) == (1, 0)
    assert tree.catalog["a"] == {"speaker_name": "Wrong"}
    assert fold.rebuild(lambda items: items) == (1, 0)
    assert (tree.catalog["a"]["speaker_name"], set(tree.catalog)) == ("Alice", {"a", "b", "old"})


def test_names_follow_the_voices() -> None:
    catalog = CatalogFile({"new": Entry.of(metadata_of("new", "Anna")), "b": Entry.of(metadata_of("b", "Bob"))})
    before = CatalogFile({"old": Entry.of(metadata_of("old", "Anna")), "b": Entry.of(metadata_of("b", "Bert"))})
    mapping = NamesFile({"Anna": "old", "Robert": "b", "Bert": "b", "Nick": "c"}, "etag")
    names = mapping.completed(before, catalog, changed=catalog.entries, removed={"old"})
    assert names.names == {"Anna": "new", "Nick": "c", "Bob": "b"}  # a renamed voice loses its other names
    unchanged = mapping.completed(before, before, changed={"b": before.entries["b"]}, removed=())
    assert unchanged.names == mapping.names


# ---------------------------------------------------------------- when to fold


class Passes:
    """A fold that only counts, and answers what it is told."""

    def __init__(self, *outcomes: Outcome | Exception, takes_s: float = 0.0) -> None:
        self.outcomes = list(outcomes)
        self.known: list[set[str]] = []
        self.at: list[float] = []
        self.takes_s = takes_s

    def __call__(self, known: dict[str, object], *, respect_lease: bool) -> Outcome:
        self.known.append(set(known))
        self.at.append(time.monotonic())
        time.sleep(self.takes_s)
        outcome = self.outcomes.pop(0) if self.outcomes else Outcome.DONE
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def test_a_fold_comes_a_moment_after_the_last_change_and_takes_all() -> None:
    passes = Passes()
    thread = FoldThread(passes)
    started = time.monotonic()
    for number in range(4):
        thread.ask(str(number), {})
        time.sleep(0.2)
    assert passes.at == []
    time.sleep(1.3)
    assert passes.known == [{"0", "1", "2", "3"}]
    assert passes.at[0] - started >= 1.5
    thread.close()
    assert len(passes.at) == 1  # nothing was left


def test_closing_folds_at_once_what_is_left() -> None:
    passes = Passes(Outcome.BUSY, Outcome.LOST)
    thread = FoldThread(passes)
    thread.ask("a", {})
    started = time.monotonic()
    thread.close()
    assert passes.known == [{"a"}] * 3
    assert time.monotonic() - started < 2
    thread.close()
    assert len(passes.known) == 3


def test_closing_does_not_wait_for_what_others_have_left_half_done() -> None:
    passes = Passes(*[Outcome.AGAIN] * 100)
    thread = FoldThread(passes)
    thread.ask("a", {})
    thread.close()
    assert len(passes.known) <= 3


def test_a_failure_is_tried_again() -> None:
    passes = Passes(StorageUnavailable("gone"))
    thread = FoldThread(passes)
    thread.ask("a", {})
    time.sleep(3.5)
    assert passes.known == [{"a"}, {"a"}]
    thread.close()


def test_a_costly_fold_rests() -> None:
    passes = Passes(takes_s=0.5)
    thread = FoldThread(passes)
    thread.ask()
    time.sleep(1.8)
    thread.ask()
    time.sleep(2.5)
    assert len(passes.at) == 1  # nine times half a second have not passed
    thread.close()
    assert len(passes.at) == 2


# ---------------------------------------------------------------- the cache


def test_the_least_recently_used_go_first(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, 100 * 10_000)
    for number in range(60):
        cache.write(f"embeddings/{number}", bytes(5_904))  # 10,000 with its overhead
        time.sleep(0.002)
    assert cache.read("embeddings/0") is not None
    for number in range(60, 130):
        cache.write(f"embeddings/{number}", bytes(5_904))
        time.sleep(0.002)
    assert cache.size_bytes() <= cache.max_bytes
    assert cache.has("embeddings/0")
    assert not cache.has("embeddings/1")
    assert cache.has("embeddings/129")


SHARED_BYTES = 4_000_000


def fill(folder: Path, number: int) -> None:
    cache = DiskCache(folder, SHARED_BYTES)
    for index in range(250):
        cache.write(f"embeddings/{number}-{index}", bytes([number]) * 20_000)
        found = cache.read(f"embeddings/{number}-{index // 2}")
        assert found is None or found == bytes([number]) * 20_000


def test_processes_share_the_bound(tmp_path: Path) -> None:
    """Four processes write 24 MB through a cache of 4 MB; what is read is always whole."""
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=fill, args=(tmp_path, number)) for number in range(4)]
    for process in processes:
        process.start()
    largest = 0
    while any(process.is_alive() for process in processes):
        largest = max(largest, DiskCache(tmp_path, SHARED_BYTES).size_bytes())
        time.sleep(0.01)
    assert [process.exitcode for process in processes] == [0] * 4
    assert SHARED_BYTES / 2 < largest <= SHARED_BYTES


def test_what_does_not_fit_is_not_kept(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, 10_000)
    cache.write("embeddings/large", bytes(9_500))
    assert cache.read("embeddings/large") is None
    DiskCache(tmp_path, 0).write("embeddings/small", b"x")
    assert cache.size_bytes() == 0


def test_a_disk_that_refuses_is_an_empty_cache(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_bytes(b"")
    cache = DiskCache(tmp_path / "file" / "below", 10_000_000)
    cache.write("embeddings/a", b"x")
    assert cache.read("embeddings/a") is None
    assert "cannot be written" in caplog.text


def test_dropping_a_folder(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, 10_000_000)
    cache.write("conditionals/a/base", b"x")
    cache.write("conditionals/b/base", b"x")
    cache.drop("conditionals/a/")
    assert (cache.read("conditionals/a/base"), cache.read("conditionals/b/base")) == (None, b"x")


# ---------------------------------------------------------------- threads


def test_parallel_work_keeps_its_order_and_its_bounds() -> None:
    running, most, lock = 0, 0, threading.Lock()

    def work(number: int) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.005)
        with lock:
            running -= 1
        return number * number

    assert list(in_parallel(work, range(60), num_threads=4)) == [(number, number * number) for number in range(60)]
    assert most <= 4


def test_an_error_of_parallel_work_comes_out() -> None:
    with pytest.raises(ZeroDivisionError):
        list(in_parallel(lambda number: 1 // number, [1, 0, 1]))


def test_background_jobs_are_finished_at_the_end_and_may_fail(caplog: pytest.LogCaptureFixture) -> None:
    done: list[int] = []
    background = Background()

    def fail() -> None:
        raise StorageUnavailable("gone")

    background.submit(fail)
    for number in range(5):
        background.submit(lambda number=number: (time.sleep(0.02), done.append(number)))
    assert len(done) < 5
    background.close()
    assert done == [0, 1, 2, 3, 4]
    assert "gone" in caplog.text
