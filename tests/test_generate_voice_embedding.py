"""The standalone writer: what it takes, what it refuses, what it writes."""

from __future__ import annotations

import ast
import base64
import gzip
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from voices import RATE_HZ, ROOT, assert_all_places_agree, audio_file, pitch_of, read_json, tone

import generate_voice_embedding as writer
from generate_voice_embedding import (
    InvalidInput,
    NameTaken,
    StorageFailed,
    TooLarge,
    UnreadableAudio,
    create_voice_embedding,
    prepare_audio,
    read_audio,
)

STEREO_44K = np.stack([tone(2, 44_100), 0.5 * tone(2, 44_100)], axis=1)
FILES = {
    "wav": audio_file(tone(2)),
    "flac": audio_file(tone(2), file_format="FLAC"),
    "ogg": audio_file(tone(2), file_format="OGG", subtype="VORBIS"),
    "mp3": audio_file(tone(2), file_format="MP3"),
    "aiff": audio_file(tone(2), file_format="AIFF"),
    "stereo 44.1 kHz": audio_file(STEREO_44K, 44_100),
    "five channels": audio_file(np.tile(tone(2)[:, None], 5)),
    "8 kHz": audio_file(tone(2, 8_000), 8_000),
    "8 bit": audio_file(tone(2), subtype="PCM_U8"),
    "192 kHz float": audio_file(tone(2, 192_000), 192_000, subtype="FLOAT"),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_file_becomes_a_voice(kind: str, tmp_path: Path) -> None:
    recording = tmp_path / "recording.bin"
    recording.write_bytes(FILES[kind])
    result = create_voice_embedding.from_file(recording, kind, embeddings_dir=tmp_path / "tree")
    with gzip.open(result["embedding_file"]) as file:
        embedding = pickle.load(file)
    assert set(embedding) == {"audio", "sample_rate", "voice_name", "created_at"}
    audio = embedding["audio"]
    assert audio.dtype == np.float32
    assert len(audio) / RATE_HZ == pytest.approx(result["duration"], abs=0.001)
    assert audio.flags.writeable
    assert result["duration"] == pytest.approx(2, abs=0.1)
    assert pitch_of(audio) == pytest.approx(150, abs=1)
    assert 0.1 < np.abs(audio).max() <= 1
    assert embedding["sample_rate"] == RATE_HZ
    assert embedding["voice_name"] == kind


def test_the_result_and_the_tree_are_as_promised(tmp_path: Path) -> None:
    (tmp_path / "my_voice.wav").write_bytes(FILES["wav"])
    tree = tmp_path / "tree"
    result = create_voice_embedding(
        tmp_path / "my_voice.wav", " MyVoice ", embeddings_dir=tree, gender="male", voice_description="Low,\ncalm."
    )
    voice_id = writer.voice_digest(read_audio(FILES["wav"]), "MyVoice")[:8]
    assert result == {
        "success": True,
        "voice_id": voice_id,
        "voice_name": "MyVoice",
        "embedding_file": str(tree / "embeddings" / f"{voice_id}.pkl.gz"),
        "embedding_path": f"embeddings/{voice_id}.pkl.gz",
        "metadata_path": f"metadata/{voice_id}.json",
        "duration": 2.0,
        "sample_rate": RATE_HZ,
        "message": f"voice 'MyVoice' ({voice_id}) registered",
        "report": result["report"],
    }
    metadata = read_json(tree / result["metadata_path"])
    assert metadata == {
        "voice_id": voice_id,
        "speaker_name": "MyVoice",
        "gender": "male",
        "original_file": "my_voice.wav",
        "embedding_file": f"embeddings/{voice_id}.pkl.gz",
        "duration": 2.0,
        "sample_rate": RATE_HZ,
        "created_at": metadata["created_at"],
        "type": "chattts_embedding",
        "description": "Low,\ncalm.",
        "report": {name: value for name, value in result["report"].items() if name != "advice"},
    }
    assert result["report"]["duration"] == 2.0
    assert assert_all_places_agree(tree) == {voice_id}
    assert read_json(tree / "stats.json")["gender_distribution"] == {"male": 1}


def test_gender_and_description_may_be_left_out(tmp_path: Path) -> None:
    result = create_voice_embedding.from_array(tone(), RATE_HZ, "Ann", embeddings_dir=tmp_path, gender="")
    metadata = read_json(tmp_path / result["metadata_path"])
    assert metadata["gender"] == "unknown"
    assert "description" not in metadata


def test_the_default_folder_is_voice_embeddings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = create_voice_embedding.from_array(tone(), RATE_HZ, "Ann")
    assert (tmp_path / "voice_embeddings" / result["embedding_path"]).is_file()
    assert Path(result["embedding_file"]).is_file()


# ---- arrays


def as_channels(audio: np.ndarray) -> dict[str, np.ndarray]:
    return {
        "(frames, 2)": np.stack([audio, audio], axis=1),
        "(2, frames)": np.stack([audio, audio]),
        "(1, frames)": audio[None],
    }


@pytest.mark.parametrize("shape", as_channels(tone()))
def test_the_longer_axis_is_time(shape: str) -> None:
    np.testing.assert_allclose(prepare_audio(as_channels(tone())[shape], RATE_HZ), tone(), atol=1e-6)


@pytest.mark.parametrize(
    "audio",
    [
        tone().astype(np.float64),
        tone().astype(np.float16),
        tone().astype(">f4"),
        (tone() * 2**15).astype(np.int16),
        (tone().astype(np.float64) * 2**31).astype(np.int32),
        (tone() * 2**7 + 2**7).round().astype(np.uint8),
    ],
    ids=lambda audio: str(audio.dtype),
)
def test_every_sample_format_means_the_same_audio(audio: np.ndarray) -> None:
    before = audio.copy()
    samples = prepare_audio(audio, RATE_HZ)
    assert samples.dtype == np.float32
    np.testing.assert_allclose(samples, tone(), atol=1 / 2**7)
    np.testing.assert_array_equal(audio, before)  # the caller's array is the caller's


def test_audio_over_full_scale_is_scaled_down_and_the_rest_is_left_alone() -> None:
    assert np.abs(prepare_audio(tone() * 1000, RATE_HZ)).max() == 1.0
    np.testing.assert_array_equal(prepare_audio(tone(), RATE_HZ), tone())


def test_huge_finite_samples_at_another_rate_stay_finite() -> None:
    samples = prepare_audio(tone(rate_hz=44_100).astype(np.float64) * 1e38, 44_100)
    assert np.isfinite(samples).all()
    assert np.abs(samples).max() == pytest.approx(1, abs=0.01)


def test_preparing_twice_changes_nothing() -> None:
    once = prepare_audio(STEREO_44K * 10, 44_100)
    np.testing.assert_array_equal(prepare_audio(once, RATE_HZ), once)


# ---- unusual, and allowed


@pytest.mark.parametrize(
    "name", ["x" * 200, "Zoë", "李雷", "नमस्ते", 'O\'Brien "Bob" <b>', "../../etc/passwd", "a\u200db"]
)
def test_unusual_names_are_names(name: str, tmp_path: Path) -> None:
    result = create_voice_embedding.from_array(tone(), RATE_HZ, name, embeddings_dir=tmp_path / "tree")
    assert result["voice_name"] == name
    assert read_json(tmp_path / "tree" / "name_mapping.json") == {name: result["voice_id"]}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tree"]


@pytest.mark.parametrize("prefix", ["", "data:audio/wav;base64,", "DATA:;base64,"])
def test_base64_may_be_a_data_url_and_have_line_breaks(prefix: str, tmp_path: Path) -> None:
    plain = create_voice_embedding.from_base64(base64.b64encode(FILES["wav"]).decode(), "Ann", embeddings_dir=tmp_path)
    wrapped = prefix + base64.encodebytes(FILES["wav"]).decode().replace("\n", "\r\n")
    again = create_voice_embedding.from_base64(wrapped, "Ann", embeddings_dir=tmp_path)
    assert again["voice_id"] == plain["voice_id"]


@pytest.mark.filterwarnings("error")  # an exception inside libsndfile's callbacks is only a warning
@settings(max_examples=300, deadline=None)
@given(st.one_of(st.binary(max_size=400), st.tuples(st.sampled_from(sorted(FILES)), st.data())))
def test_reading_any_bytes_gives_audio_or_a_contract_error(source: Any) -> None:
    if isinstance(source, tuple):
        content, data = bytearray(FILES[source[0]]), source[1]
        for _ in range(data.draw(st.integers(1, 20))):
            content[data.draw(st.integers(0, min(len(content), 600) - 1))] = data.draw(st.integers(0, 255))
        source = bytes(content[: data.draw(st.integers(1, len(content)))])
    try:
        samples = read_audio(source)
    except (InvalidInput, UnreadableAudio, TooLarge):
        return
    assert samples.dtype == np.float32
    assert np.isfinite(samples).all()


# ---- names and ids


def test_the_same_audio_under_the_same_name_is_the_same_voice(tmp_path: Path) -> None:
    first = create_voice_embedding.from_array(tone(), RATE_HZ, "Ann", embeddings_dir=tmp_path)
    before = (tmp_path / "voice_catalog.json").read_bytes()
    for name in ("Ann", "  ANN "):
        again = create_voice_embedding.from_array(tone(), RATE_HZ, name, embeddings_dir=tmp_path, on_conflict="replace")
        assert again == first | {"message": f"voice 'Ann' ({first['voice_id']}) was already registered"}
    assert (tmp_path / "voice_catalog.json").read_bytes() == before


def test_a_taken_name_is_refused_or_replaced(tmp_path: Path) -> None:
    old = create_voice_embedding.from_array(tone(), RATE_HZ, "Ann", embeddings_dir=tmp_path)
    other = tone(pitch_hz=200)
    with pytest.raises(NameTaken, match=old["voice_id"]):
        create_voice_embedding.from_array(other, RATE_HZ, " ann", embeddings_dir=tmp_path)
    assert assert_all_places_agree(tmp_path) == {old["voice_id"]}
    new = create_voice_embedding.from_array(other, RATE_HZ, "ann", embeddings_dir=tmp_path, on_conflict="replace")
    assert assert_all_places_agree(tmp_path) == {new["voice_id"]}
    assert read_json(tmp_path / "name_mapping.json") == {"ann": new["voice_id"]}
    # The old id is spent: the same voice again gets a longer one.
    back = create_voice_embedding.from_array(tone(), RATE_HZ, "Ann", embeddings_dir=tmp_path, on_conflict="replace")
    assert back["voice_id"] == writer.voice_digest(tone(), "Ann")[:9] != old["voice_id"]


def test_an_id_that_another_voice_has_is_made_longer(tmp_path: Path) -> None:
    digest = writer.voice_digest(tone(), "Ann")
    tree = writer.VoiceTree(tmp_path)
    with tree.locked():
        taken = {key: writer.voice_metadata(key, key, duration_s=1, created_at="") for key in (digest[:8], digest[:9])}
        tree.commit(tree.read(), put=taken, embeddings=dict.fromkeys(taken, b""))
    result = create_voice_embedding.from_array(tone(), RATE_HZ, "Ann", embeddings_dir=tmp_path)
    assert result["voice_id"] == digest[:10]
    assert assert_all_places_agree(tmp_path) == {*taken, digest[:10]}


def test_ids_never_run_out() -> None:
    ids = [
        voice_id for voice_id, _ in zip(writer.candidate_voice_ids("0123456789abcdef" * 4), range(500), strict=False)
    ]
    assert ids[:2] == ["01234567", "012345678"]
    assert len(set(ids)) == 500
    assert all(writer.SAFE_VOICE_ID.fullmatch(voice_id) for voice_id in ids)


def test_encoding_is_deterministic_and_names_nothing_private_of_numpy() -> None:
    blob = writer.encode_embedding(tone(), "Ann", "2025-01-01T00:00:00+00:00")
    assert blob == writer.encode_embedding(tone(), "Ann", "2025-01-01T00:00:00+00:00")
    unpacked = gzip.decompress(blob)
    assert b"numpy" in unpacked
    assert b"core" not in unpacked


# ---- the command line, and the file alone


def command(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, str(ROOT / "generate_voice_embedding.py"), *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, cwd=cwd, timeout=60)


def test_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "my_voice.flac").write_bytes(FILES["flac"])
    done = command("my_voice.flac", "MyVoice", "--gender", "male", "--description", "calm", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    (metadata_file,) = (tmp_path / "voice_embeddings" / "metadata").iterdir()
    metadata = read_json(metadata_file)
    assert (metadata["speaker_name"], metadata["gender"], metadata["description"]) == ("MyVoice", "male", "calm")
    assert f"voice_embeddings/{metadata['embedding_file']}" in done.stdout

    refused = command("none.wav", "Other", "--embeddings-dir", "elsewhere", cwd=tmp_path)
    assert refused.returncode == 1
    assert refused.stdout == ""
    assert refused.stderr == "UNREADABLE_AUDIO: there is no audio file 'none.wav'; check the path\n"


@pytest.mark.parametrize("version", [(3, 10), (3, 13)])
def test_the_source_is_valid_for_every_python_we_promise(version: tuple[int, int]) -> None:
    source = (ROOT / "generate_voice_embedding.py").read_text(encoding="utf-8")
    tree = ast.parse(source, feature_version=version)
    imported = {
        alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    }
    assert imported - set(sys.stdlib_module_names) == {"numpy", "soundfile", "soxr"}


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 12_345, 16_000, 22_050, 44_100, 48_000, 96_000])
@pytest.mark.parametrize("num_samples", [100_001, 111_113])
def test_resampling_is_librosas_sample_for_sample(rate_hz: int, num_samples: int) -> None:
    samples = np.random.default_rng(0).normal(0, 0.1, num_samples).astype(np.float32)
    expected = librosa.resample(samples, orig_sr=rate_hz, target_sr=RATE_HZ)
    assert np.array_equal(writer.convert_audio(samples, rate_hz), expected)


# ---- the disk


def test_a_tree_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageFailed, match="nothing was registered"):
        create_voice_embedding.from_array(tone(), RATE_HZ, "Ann", embeddings_dir=tmp_path / "file")


FULL_DISK = """
import resource, sys
sys.path.insert(0, sys.argv[1])
from voices import RATE_HZ, tone
from generate_voice_embedding import StorageFailed, create_voice_embedding
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
try:
    create_voice_embedding.from_array(tone(), RATE_HZ, "One more", embeddings_dir=sys.argv[2])
except StorageFailed as error:
    print(error.code)
"""


@pytest.mark.parametrize("full_at", ["embedding", "catalog"])
def test_a_disk_that_fills_up_leaves_the_tree_as_it_was(full_at: str, tmp_path: Path) -> None:
    tree = writer.VoiceTree(tmp_path / "tree")
    about = {"duration_s": 1.0, "created_at": "", "description": "x" * 10_000}
    entries = {voice_id: writer.voice_metadata(voice_id, voice_id, **about) for voice_id in "abcdefghijklmnopqrst"}
    with tree.locked():
        tree.commit(tree.read(), put=entries, embeddings=dict.fromkeys(entries, b""))
    before = assert_all_places_agree(tree.root)
    limit = {"embedding": 1_000, "catalog": 150_000}[full_at]
    assert (
        len(writer.encode_embedding(tone(), "One more", writer.utc_now())) < 150_000 < tree.catalog_path.stat().st_size
    )
    program = [sys.executable, "-c", FULL_DISK, str(ROOT / "tests"), str(tree.root), str(limit)]
    run = subprocess.run(program, capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert (run.stdout, run.stderr) == ("STORAGE_UNAVAILABLE\n", "")
    assert assert_all_places_agree(tree.root) == before
    assert not list(tree.root.rglob("*.partial"))
