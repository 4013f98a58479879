"""Trees that other tools wrote, and trees that were damaged: nothing readable is lost or hidden."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from voices import RATE_HZ, assert_all_places_agree, older_tree, pickled, read_json, tone

from generate_voice_embedding import create_voice_embedding
from voice_library import VoiceLibrary, open_library
from voice_library.errors import DamagedVoice, NameTaken, UnsafeFile, VoiceNotFound

DAMAGE = {
    "missing": None,
    "empty": b"",
    "half written": b'{"aaaa0001": {"speaker_na',
    "a list": b"[]",
    "no UTF-8": b"\xff\xfe\x00",
    "too deep": b'{"a":' * 100_000,
}


def assert_speakable(library: VoiceLibrary, names: dict[str, str]) -> None:
    """Every voice is found by id and by name, and its audio is `tone()`."""
    listed = {voice.voice_id: voice.name for voice in library.list_voices().voices}
    assert listed == names
    for voice_id, name in names.items():
        voice = library.get(voice_id=voice_id)
        assert library.get(voice_name=name) == voice
        assert library.get(voice_name=f" {name.upper()} ") == voice
        inner = slice(100, 20_000)  # resampling bends the ends
        np.testing.assert_allclose(library.reference_audio(voice)[inner], tone()[inner], atol=1e-3)


def damage(file: Path, content: bytes | None) -> None:
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)


def test_an_older_tree_is_read_as_it_is(tmp_path: Path) -> None:
    names = older_tree(tmp_path / "tree")
    library = open_library(tmp_path / "tree")
    before = sorted(path.name for path in (tmp_path / "tree").rglob("*"))
    assert_speakable(library, names)
    assert sorted(path.name for path in (tmp_path / "tree").rglob("*")) == before  # reading writes nothing


def test_gaps_in_older_metadata_are_completed(tmp_path: Path) -> None:
    older_tree(tmp_path)
    library = open_library(tmp_path)
    five = library.get(voice_id="aaaa0005")
    assert five.metadata == {
        "voice_id": "aaaa0005",
        "speaker_name": "Speaker 5",
        "gender": "female",
        "original_file": None,
        "embedding_file": "embeddings/Five.pkl.gz",
        "duration": None,
        "sample_rate": None,
        "created_at": None,
        "type": "chattts_embedding",
    }
    assert (five.duration_s, five.sample_rate_hz) == (None, None)
    assert library.get(voice_id="aaaa0002").gender == "unknown"
    assert library.get(voice_id="aaaa0003").duration_s is None
    assert library.get(voice_id="voice_six").sample_rate_hz == 48_000


@pytest.mark.parametrize("how", DAMAGE)
def test_an_older_tree_survives_the_loss_of_its_mapping(how: str, tmp_path: Path) -> None:
    names = older_tree(tmp_path)
    damage(tmp_path / "name_mapping.json", DAMAGE[how])
    assert_speakable(open_library(tmp_path), names)


@pytest.mark.parametrize("how", DAMAGE)
def test_an_older_tree_survives_the_loss_of_its_catalog(how: str, tmp_path: Path) -> None:
    """Without the catalog only the mapping knows the names, and only files named by their ids are found."""
    names = older_tree(tmp_path)
    damage(tmp_path / "voice_catalog.json", DAMAGE[how])
    for lost in ("aaaa0005", "voice_six"):  # its file has another name; its rate stood in the catalog alone
        del names[lost]
    library = open_library(tmp_path)
    listed = {voice.voice_id for voice in library.list_voices().voices}
    assert listed == {*names, "voice_six"}
    for voice_id in names:
        np.testing.assert_allclose(library.reference_audio(library.get(voice_id=voice_id)), tone(), atol=2e-3)


@pytest.mark.parametrize("how", DAMAGE)
def test_registering_heals_a_damaged_tree_and_loses_no_voice(how: str, tmp_path: Path) -> None:
    voices = {name: create_voice_embedding.from_array(tone(), RATE_HZ, name, embeddings_dir=tmp_path) for name in "ABC"}
    for file in ("voice_catalog.json", "name_mapping.json", "stats.json"):
        damage(tmp_path / file, DAMAGE[how])
    new = create_voice_embedding.from_array(tone(), RATE_HZ, "D", embeddings_dir=tmp_path)
    expected = {result["voice_id"] for result in voices.values()} | {new["voice_id"]}
    assert assert_all_places_agree(tmp_path) == expected
    if DAMAGE[how]:  # what could not be read is kept for someone who may make sense of it
        assert (tmp_path / "voice_catalog.damaged.json").read_bytes() == DAMAGE[how]


def test_registering_into_an_older_tree_keeps_its_entries(tmp_path: Path) -> None:
    names = older_tree(tmp_path)
    before = read_json(tmp_path / "voice_catalog.json")
    new = create_voice_embedding.from_array(tone(), RATE_HZ, "New", embeddings_dir=tmp_path)
    after = read_json(tmp_path / "voice_catalog.json")
    assert {voice_id: after[voice_id] for voice_id in before} == before
    with pytest.raises(NameTaken):
        open_library(tmp_path).register(tone(), RATE_HZ, "speaker 3")
    assert_speakable(open_library(tmp_path), {**names, new["voice_id"]: "New"})


def test_older_voices_can_be_renamed_and_deleted(tmp_path: Path) -> None:
    names = older_tree(tmp_path)
    library = open_library(tmp_path)
    assert library.rename(library.get(voice_id="aaaa0003"), "Three").name == "Three"
    library.delete(library.get(voice_id="aaaa0005"))
    assert not (tmp_path / "embeddings" / "Five.pkl.gz").exists()
    del names["aaaa0005"]
    assert_speakable(library, {**names, "aaaa0003": "Three"})
    assert_speakable(open_library(tmp_path), {**names, "aaaa0003": "Three"})


def test_an_id_of_an_older_voice_that_was_deleted_does_not_come_back(tmp_path: Path) -> None:
    older_tree(tmp_path)
    shutil.copy(tmp_path / "name_mapping.json", tmp_path / "old_mapping.json")
    library = open_library(tmp_path)
    library.delete(library.get(voice_id="aaaa0001"))
    shutil.copy(tmp_path / "old_mapping.json", tmp_path / "name_mapping.json")  # an older tool writes what it remembers
    with pytest.raises(VoiceNotFound):
        library.get(voice_name="Speaker 1")


def test_damaged_entries_hide_no_others(tmp_path: Path) -> None:
    names = older_tree(tmp_path)
    catalog = read_json(tmp_path / "voice_catalog.json")
    catalog |= {"bbbb0001": None, "bbbb0002": "text", "../escape": {"speaker_name": "x"}, "": {}, "bbbb0003": [1]}
    catalog |= {"bbbb0004": {"speaker_name": 7, "gender": ["x"], "duration": -1, "sample_rate": "fast"}}
    catalog |= {"bbbb0005": {"speaker_name": "Outside", "embedding_file": "../../outside.pkl.gz"}}
    (tmp_path / "voice_catalog.json").write_text(json.dumps(catalog))
    library = open_library(tmp_path)
    listed = {voice.voice_id: voice for voice in library.list_voices().voices}
    assert set(listed) == {*names, "bbbb0004", "bbbb0005"}
    assert (listed["bbbb0004"].name, listed["bbbb0004"].duration_s) == ("bbbb0004", None)
    assert listed["bbbb0005"].metadata["embedding_file"] == "embeddings/outside.pkl.gz"
    for voice_id in ("bbbb0004", "bbbb0005"):
        with pytest.raises(DamagedVoice, match=voice_id):
            library.reference_audio(listed[voice_id])
    new = library.register(tone(), RATE_HZ, "New")
    assert library.count() == len(names) + 3
    np.testing.assert_array_equal(library.reference_audio(new), tone())


@pytest.mark.parametrize("content", [b"", b"no gzip", pickled({"nothing": 1})], ids=["empty", "no gzip", "no audio"])
def test_damaged_files_hide_no_other_voices(content: bytes, tmp_path: Path) -> None:
    names = older_tree(tmp_path)
    (tmp_path / "embeddings" / "aaaa0001.pkl.gz").write_bytes(content)
    (tmp_path / "embeddings" / "aaaa0002.pkl.gz").unlink()
    library = open_library(tmp_path)
    assert library.count() == len(names)
    with pytest.raises(UnsafeFile):
        library.reference_audio(library.get(voice_id="aaaa0001"))
    with pytest.raises(DamagedVoice):
        library.reference_audio(library.get(voice_id="aaaa0002"))
    np.testing.assert_array_equal(library.reference_audio(library.get(voice_id="aaaa0003")), tone())


def test_a_damaged_metadata_file_falls_back_on_the_catalog(tmp_path: Path) -> None:
    library = open_library(tmp_path)
    ann = library.register(tone(), RATE_HZ, "Ann")
    (tmp_path / "metadata" / f"{ann.voice_id}.json").write_bytes(b"{")
    assert library.get(voice_id=ann.voice_id).name == "Ann"
    assert open_library(tmp_path).get(voice_name="ann").name == "Ann"
    (tmp_path / "metadata" / "folder.json").mkdir()
    assert open_library(tmp_path).count() == 1


def test_metadata_that_no_catalog_knows_is_a_voice(tmp_path: Path) -> None:
    """An older tool that lost a race left the metadata, but not the entry."""
    library = open_library(tmp_path)
    ann, bob = library.register(tone(), RATE_HZ, "Ann"), library.register(tone(), RATE_HZ, "Bob")
    for name in ("voice_catalog.json", "name_mapping.json"):
        file = tmp_path / name
        file.write_text(
            json.dumps({key: item for key, item in read_json(file).items() if bob.voice_id not in (key, item)})
        )
    other = open_library(tmp_path)
    assert {voice.voice_id for voice in other.list_voices().voices} == {ann.voice_id, bob.voice_id}
    assert other.get(voice_name="bob") == bob
    other.register(tone(), RATE_HZ, "Carol")
    assert len(assert_all_places_agree(tmp_path)) == 3


def test_names_that_differ_in_case_only_are_told_apart_and_the_oldest_answers_for_the_rest(tmp_path: Path) -> None:
    catalog = {
        "cccc0001": {"speaker_name": "BOB", "created_at": "2024-03"},
        "cccc0002": {"speaker_name": "bob", "created_at": "2024-01"},
        "cccc0003": {"speaker_name": " Bob", "created_at": "2024-02"},
        "cccc0004": {"speaker_name": "Twin", "created_at": "2024-01"},
        "cccc0005": {"speaker_name": "Twin", "created_at": "2024-02"},
    }
    (tmp_path / "voice_catalog.json").write_text(json.dumps(catalog))
    library = open_library(tmp_path)
    for name, voice_id in {"BOB": "cccc0001", "bob": "cccc0002", " Bob": "cccc0003", "Bob": "cccc0002"}.items():
        assert library.get(voice_name=name).voice_id == voice_id
    assert library.get(voice_name="Twin").voice_id == "cccc0004"
    (tmp_path / "name_mapping.json").write_text(json.dumps({"Twin": "cccc0005"}))
    assert library.get(voice_name="Twin").voice_id == "cccc0005"  # the mapping chose


def test_a_name_that_only_the_mapping_knows_finds_its_voice(tmp_path: Path) -> None:
    older_tree(tmp_path)
    mapping = read_json(tmp_path / "name_mapping.json")
    (tmp_path / "name_mapping.json").write_text(json.dumps({**mapping, "Alias": "aaaa0001"}))
    library = open_library(tmp_path)
    assert library.get(voice_name="ALIAS ").voice_id == "aaaa0001"
    library.register(tone(), RATE_HZ, "New")
    assert library.get(voice_name="Alias").voice_id == "aaaa0001"


def test_files_of_dead_writers_are_swept_once_they_are_old(tmp_path: Path) -> None:
    library = open_library(tmp_path)
    library.register(tone(), RATE_HZ, "Ann")
    fresh, stale = tmp_path / "embeddings" / ".a.1.partial", tmp_path / "metadata" / ".b.2.partial"
    for file in (fresh, stale):
        file.write_bytes(b"half")
    os.utime(stale, (time.time() - 4000,) * 2)
    library.register(tone(), RATE_HZ, "Bob")
    assert fresh.exists()
    assert not stale.exists()
