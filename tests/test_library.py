"""The voice library on a local tree: lookup, listing, rename, delete, conditionals."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from voices import RATE_HZ, assert_all_places_agree, read_json, tone

import voice_library
from generate_voice_embedding import InvalidInput, VoiceTree, voice_digest, voice_metadata
from voice_library import MAX_PAGE_SIZE, Voice, VoiceLibrary, open_library
from voice_library.errors import DamagedVoice, InvalidRequest, NameTaken, StorageUnavailable, UnsafeFile, VoiceNotFound
from voice_library.paging import page_of


@pytest.fixture
def library(tmp_path: Path) -> VoiceLibrary:
    return open_library(tmp_path / "tree")


def add(library: VoiceLibrary, name: str, pitch_hz: float = 150, gender: str | None = None) -> Voice:
    return library.register(tone(pitch_hz=pitch_hz), RATE_HZ, name, gender=gender)


def test_the_package_exports_little() -> None:
    assert sorted(voice_library.__all__) == [
        "BucketSettings",
        "DEFAULT_PAGE_SIZE",
        "MAX_PAGE_SIZE",
        "OnConflict",
        "Page",
        "Voice",
        "VoiceConditionals",
        "VoiceEmbedding",
        "VoiceLibrary",
        "open_library",
        "read_embedding",
    ]


def test_an_empty_library_makes_no_files(library: VoiceLibrary, tmp_path: Path) -> None:
    assert library.count() == 0
    assert library.list_voices().voices == ()
    with pytest.raises(VoiceNotFound):
        library.get(voice_name="Ann")
    assert list(tmp_path.iterdir()) == []


def test_a_registered_voice_is_found_and_read_back(library: VoiceLibrary, tmp_path: Path) -> None:
    voice = library.register(tone(2), RATE_HZ, "Ann", gender="female", description="Warm.", original_file="ann.wav")
    assert (voice.name, voice.gender, voice.duration_s, voice.sample_rate_hz) == ("Ann", "female", 2.0, RATE_HZ)
    assert voice.metadata["description"] == "Warm."
    assert voice.metadata["original_file"] == "ann.wav"
    assert library.get(voice_id=voice.voice_id) == library.get(voice_name="Ann") == voice
    np.testing.assert_array_equal(library.reference_audio(voice), tone(2))
    assert assert_all_places_agree(tmp_path / "tree") == {voice.voice_id}


def test_names_are_found_exactly_then_without_case_and_space_and_never_in_part(library: VoiceLibrary) -> None:
    ann = add(library, "Ann Straße")
    for name in ("Ann Straße", "ann straße", "  ANN STRASSE "):
        assert library.get(voice_name=name) == ann
    for name in ("Ann", "Ann Straß", "Ann  Straße", "", " "):
        with pytest.raises(VoiceNotFound):
            library.get(voice_name=name)


@pytest.mark.parametrize(
    "voice_id", ["", "..", "../tree", "a/b", "a\\b", "/etc/passwd", ".lock", "x" * 200, "a\0", "ä", "a\n"]
)
def test_ids_that_are_no_ids_are_not_found(voice_id: str, library: VoiceLibrary) -> None:
    add(library, "Ann")
    with pytest.raises(VoiceNotFound):
        library.get(voice_id=voice_id)
    forged = Voice(voice_id, "x")
    for use in (
        library.reference_audio,
        library.conditionals,
        library.delete,
        lambda voice: library.rename(voice, "y"),
    ):
        with pytest.raises(VoiceNotFound):
            use(forged)


def test_get_takes_an_id_or_a_name(library: VoiceLibrary) -> None:
    for given_ in ({}, {"voice_id": "a", "voice_name": "b"}):
        with pytest.raises(InvalidRequest):
            library.get(**given_)


def test_a_taken_name_is_this_packages_error(library: VoiceLibrary) -> None:
    ann = add(library, "Ann")
    with pytest.raises(NameTaken, match=ann.voice_id):
        add(library, "ANN", 200)
    replaced = library.register(tone(pitch_hz=200), RATE_HZ, "ANN", on_conflict="replace")
    with pytest.raises(VoiceNotFound):
        library.get(voice_id=ann.voice_id)
    assert library.get(voice_name="ann") == replaced


def test_refused_audio_passes_through(library: VoiceLibrary, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="silent"):
        library.register(np.zeros(RATE_HZ, np.float32), RATE_HZ, "Ann")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_refuses_is_storage_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    library = open_library(tmp_path / "file")
    with pytest.raises(StorageUnavailable):
        add(library, "Ann")
    with pytest.raises(StorageUnavailable):
        library.count()


# ---- rename and delete


def test_a_renamed_voice_keeps_its_id_and_its_audio(library: VoiceLibrary, tmp_path: Path) -> None:
    ann = add(library, "Ann", gender="female")
    anna = library.rename(ann, " Anna ")
    assert (anna.voice_id, anna.name, anna.gender) == (ann.voice_id, "Anna", "female")
    assert library.get(voice_name="anna") == anna
    with pytest.raises(VoiceNotFound):
        library.get(voice_name="Ann")
    np.testing.assert_array_equal(library.reference_audio(anna), tone())
    assert assert_all_places_agree(tmp_path / "tree") == {ann.voice_id}
    # It is still the same recording under its new name, and its old name is free.
    assert add(library, "Anna") == anna
    assert add(library, "Ann").voice_id == voice_digest(tone(), "Ann")[:9]


def test_a_name_may_change_its_case_but_not_take_anothers(library: VoiceLibrary) -> None:
    ann = add(library, "Ann")
    add(library, "Bob", 200)
    assert library.rename(ann, "ANN").name == "ANN"
    with pytest.raises(NameTaken):
        library.rename(ann, "bob")
    with pytest.raises(InvalidInput):
        library.rename(ann, "\n")
    assert library.get(voice_id=ann.voice_id).name == "ANN"


def test_a_deleted_voice_is_gone_for_good(library: VoiceLibrary, tmp_path: Path) -> None:
    ann, bob = add(library, "Ann"), add(library, "Bob", 200)
    library.conditionals(ann).write("base", b"computed")
    library.delete(ann)
    root = tmp_path / "tree"
    assert assert_all_places_agree(root) == {bob.voice_id}
    assert [path for path in root.rglob("*") if ann.voice_id in path.name] == [root / "tombstones" / ann.voice_id]
    for use in (library.delete, lambda voice: library.rename(voice, "New")):
        with pytest.raises(VoiceNotFound):
            use(ann)
    with pytest.raises(DamagedVoice):
        library.reference_audio(ann)
    library.conditionals(ann).write("base", b"computed too late")
    assert library.conditionals(ann).read("base") is None
    assert add(library, "Ann").voice_id != ann.voice_id


# ---- listing


def test_a_listing_is_ordered_filtered_and_counted(library: VoiceLibrary) -> None:
    for number, (name, gender) in enumerate([("bea", "female"), ("Ann", "Female"), ("Bob", "male"), ("Al", None)]):
        add(library, name, 100 + 20 * number, gender)

    def names(**filters: str) -> tuple[list[str], int]:
        page = library.list_voices(**filters)  # type: ignore[arg-type]
        return [voice.name for voice in page.voices], page.total

    assert names() == (["Al", "Ann", "Bob", "bea"], 4)
    assert names(gender="FEMALE ") == (["Ann", "bea"], 2)
    assert names(gender="unknown") == (["Al"], 1)
    assert names(name_prefix="a") == (["Al", "Ann"], 2)
    assert names(name_prefix="b", gender="female") == (["bea"], 1)
    assert names(name_prefix="nn") == ([], 0)
    assert names(gender="robot") == ([], 0)


def test_pages_stay_right_while_voices_come_and_go(library: VoiceLibrary) -> None:
    voices = {name: add(library, name, 100 + 10 * ord(name)) for name in "BDFH"}
    first = library.list_voices(page_size=2)
    assert ([voice.name for voice in first.voices], first.total) == (["B", "D"], 4)
    add(library, "A", 90)  # before the page that was shown
    add(library, "E", 95)  # on the page to come
    library.delete(voices["D"])  # the last one shown
    second = library.list_voices(page_size=2, page_token=first.next_page_token)
    assert ([voice.name for voice in second.voices], second.total) == (["E", "F"], 5)
    third = library.list_voices(page_size=2, page_token=second.next_page_token)
    assert ([voice.name for voice in third.voices], third.next_page_token) == (["H"], None)


@settings(deadline=None)
@given(st.sets(st.tuples(st.text(max_size=3), st.text(max_size=2)), max_size=30), st.integers(1, 10))
def test_pages_put_together_are_the_listing(matches: set[tuple[str, str]], page_size: int) -> None:
    listing, shown, token = sorted(matches), [], None
    while True:
        page, token = page_of(listing, page_size, token)
        shown += page
        if token is None:
            break
        assert len(page) == page_size
    assert shown == listing


BAD_TOKENS = ["x", "!!", "ä", base64.urlsafe_b64encode(b"[1, 2]").decode(), base64.urlsafe_b64encode(b'["a"]').decode()]


@pytest.mark.parametrize("page_token", ["", *BAD_TOKENS])
def test_a_forged_token_is_refused(page_token: str, library: VoiceLibrary) -> None:
    with pytest.raises(InvalidRequest, match="page_token"):
        library.list_voices(page_token=page_token)


@pytest.mark.parametrize("page_size", [0, -1, MAX_PAGE_SIZE + 1, True, 2.0, "10"])
def test_a_page_size_out_of_range_is_refused(page_size: int, library: VoiceLibrary) -> None:
    with pytest.raises(InvalidRequest, match="page_size"):
        library.list_voices(page_size=page_size)


# ---- conditionals


def test_conditionals_are_kept_beside_their_voice(library: VoiceLibrary, tmp_path: Path) -> None:
    ann, bob = add(library, "Ann"), add(library, "Bob", 200)
    kept = library.conditionals(ann)
    assert kept.read("base-1.0") is None
    kept.write("base-1.0", b"first")
    kept.write("base-1.0", b"second")
    assert kept.read("base-1.0") == b"second"
    assert library.conditionals(bob).read("base-1.0") is None
    (file,) = (tmp_path / "tree" / "conditionals").rglob("*.*")
    assert file.relative_to(tmp_path).as_posix() == f"tree/conditionals/{ann.voice_id}/base-1.0.safetensors"


@pytest.mark.parametrize("key", ["", "..", "../x", "a/b", "a\\b", ".x", "k" * 200, "a b", "a\0"])
def test_a_key_that_could_leave_its_folder_is_refused(key: str, library: VoiceLibrary) -> None:
    kept = library.conditionals(add(library, "Ann"))
    with pytest.raises(InvalidRequest):
        kept.read(key)
    with pytest.raises(InvalidRequest):
        kept.write(key, b"")


def test_conditionals_that_cannot_be_read_are_none(library: VoiceLibrary, tmp_path: Path) -> None:
    ann = add(library, "Ann")
    (tmp_path / "tree" / "conditionals" / ann.voice_id / "base.safetensors").mkdir(parents=True)
    assert library.conditionals(ann).read("base") is None
    with pytest.raises(StorageUnavailable):
        library.conditionals(ann).write("base", b"")


# ---- many voices, and other writers


def test_another_process_writes_and_the_next_question_sees_it(library: VoiceLibrary, tmp_path: Path) -> None:
    add(library, "Ann")
    other = open_library(tmp_path / "tree")
    assert other.count() == 1
    for number in range(5):
        voice = add(library, f"v{number}", 200 + number)
        assert other.get(voice_name=f"V{number}") == voice
        assert other.count() == number + 2
    library.delete(library.get(voice_name="Ann"))
    with pytest.raises(VoiceNotFound):
        other.get(voice_name="Ann")


def test_a_large_catalog_is_read_once(tmp_path: Path) -> None:
    """With 20,000 voices in the catalog, 300 questions take less than three readings of it."""
    import time

    entries = {
        f"{n:08x}": voice_metadata(f"{n:08x}", f"Speaker {n}", duration_s=1, created_at="") for n in range(20_000)
    }
    (tmp_path / "voice_catalog.json").write_text(json.dumps(entries))
    library = open_library(tmp_path)
    start = time.perf_counter()
    library.get(voice_name="speaker 1")
    reading_s = time.perf_counter() - start
    start = time.perf_counter()
    for number in range(300):
        assert library.get(voice_name=f"SPEAKER {number}").voice_id == f"{number:08x}"
    assert time.perf_counter() - start < 3 * reading_s


def test_a_large_file_is_refused_unread(library: VoiceLibrary, tmp_path: Path) -> None:
    ann = add(library, "Ann")
    with VoiceTree(tmp_path / "tree").embedding_path(ann.voice_id).open("r+b") as file:
        file.truncate(2**40)
    with pytest.raises(UnsafeFile, match="over"):
        library.reference_audio(ann)


def test_statistics_follow(library: VoiceLibrary, tmp_path: Path) -> None:
    add(library, "Ann", gender="female")
    bob = add(library, "Bob", 200, gender="male")
    library.delete(bob)
    stats = read_json(tmp_path / "tree" / "stats.json")
    assert (stats["total_voices"], stats["gender_distribution"]) == (1, {"female": 1})
