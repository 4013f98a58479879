"""`python -m voice_library`: trees to the bucket and back, faults found and mended, debris removed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from mirror_workers import speech
from s3_servers import S3Server

from generate_voice_embedding import create_voice_embedding
from voice_library.local import LocalLibrary
from voice_library.mirror.file_cache import DiskCache
from voice_library.mirror.library import MirroredLibrary
from voice_library.stores.s3 import S3Store
from voice_library.stores.settings import BucketSettings

ROOT = Path(__file__).parent.parent
Cli = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def bucket(moto: S3Server) -> BucketSettings:
    return moto.new_bucket(prefix="voices")


@pytest.fixture
def cli(bucket: BucketSettings, tmp_path: Path) -> Cli:
    """Run a command in a process of its own, as a user would."""

    def run(*arguments: object, with_bucket: bool = True) -> subprocess.CompletedProcess[str]:
        variables = {
            "BUCKET_ENDPOINT_URL": bucket.endpoint_url,
            "BUCKET_NAME": bucket.bucket,
            "BUCKET_ACCESS_KEY_ID": bucket.access_key_id,
            "BUCKET_SECRET_ACCESS_KEY": bucket.secret_access_key,
            "BUCKET_PREFIX": bucket.prefix,
        }
        environment = {name: value for name, value in os.environ.items() if not name.startswith("BUCKET_")}
        environment |= {"VOICE_EMBEDDINGS_DIR": str(tmp_path / "cache")} | (variables if with_bucket else {})
        command = [sys.executable, "-m", "voice_library", *map(str, arguments)]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
        assert "Traceback" not in done.stderr, done.stderr
        assert bucket.secret_access_key not in done.stdout + done.stderr
        return done

    return run


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """What an external app's folder looks like: made by the standalone file."""
    folder = tmp_path / "tree"
    for number in range(3):
        create_voice_embedding.from_array(
            speech(number), 24_000, f"Voice {number}", embeddings_dir=folder, gender="male"
        )
    return folder


def open_bucket(bucket: BucketSettings, folder: Path) -> MirroredLibrary:
    return MirroredLibrary(S3Store(bucket), DiskCache(folder, 100_000_000))


def keys(bucket: BucketSettings) -> set[str]:
    return {item.key for item in S3Store(bucket).list("")}


def test_push_brings_a_tree_to_the_workers_and_may_be_repeated(
    cli: Cli, bucket: BucketSettings, tree: Path, tmp_path: Path
) -> None:
    dry = cli("push", tree, "--dry-run")
    assert (dry.returncode, dry.stdout.splitlines()[0].split(",")[0]) == (0, "would have been pushed: 3")
    assert keys(bucket) == set()
    assert "pushed: 3, already there: 0, deleted there: 0, problems: 0" in cli("push", tree).stdout
    library = open_bucket(bucket, tmp_path / "worker")
    for number in range(3):
        voice = library.get(voice_name=f"voice {number}")
        assert np.array_equal(library.reference_audio(voice), speech(number))
        assert voice.voice_id in json.loads(library.store.find("voice_catalog.json").body)  # type: ignore[union-attr]
    library.delete(library.get(voice_name="Voice 1"))
    library.close()
    create_voice_embedding.from_array(speech(9), 24_000, "Voice 9", embeddings_dir=tree)
    assert "pushed: 1, already there: 2, deleted there: 1, problems: 0" in cli("push", tree).stdout
    verified = cli("verify")
    assert (verified.returncode, verified.stdout) == (0, "3 voices, 0 faults\n")


def test_an_interrupted_push_is_resumed(cli: Cli, bucket: BucketSettings, tree: Path) -> None:
    """What a push that died half-way leaves behind: one voice claimed, one without its metadata."""
    assert cli("push", tree).returncode == 0
    store = S3Store(bucket)
    first, second, _ = sorted(json.loads((tree / "voice_catalog.json").read_text()))
    voices = f"metadata/{first}.json", f"metadata/{second}.json", f"embeddings/{second}.pkl.gz"
    for key in (*voices, "voice_catalog.json", "name_mapping.json", "fold.json"):
        store.delete(key)
    done = cli("push", tree)
    assert "pushed: 2, already there: 1" in done.stdout, done.stdout
    assert cli("verify").returncode == 0


def test_an_older_tree_is_spoken_from_by_id_and_by_name(
    cli: Cli, bucket: BucketSettings, tmp_path: Path, tree: Path
) -> None:
    """No metadata files, gaps in the entries, two names that differ in case only, and one voice without a file."""
    older = tmp_path / "older"
    (older / "embeddings").mkdir(parents=True)
    some_voice = next((tree / "embeddings").iterdir()).read_bytes()
    for voice_id in ("v1", "v2", "v3"):
        (older / "embeddings" / f"{voice_id}.pkl.gz").write_bytes(some_voice)
    catalog = {
        "v1": {"speaker_name": "Anna", "embedding_file": "embeddings\\v1.pkl.gz"},
        "v2": {"voice_name": "ANNA", "embedding_file": "v2.pkl.gz"},
        "v3": {},
        "lost": {"speaker_name": "Lost"},
    }
    (older / "voice_catalog.json").write_text(json.dumps(catalog))
    (older / "name_mapping.json").write_text(
        json.dumps({"Anna": "v1", "ANNA": "v2", "Third": "v3", "Lost": "lost", "Annie": "v1"})
    )
    done = cli("push", older)
    assert done.returncode == 1
    assert (
        "pushed: 3, already there: 0, deleted there: 0, problems: 1\nlost 'Lost': its .pkl.gz is missing" in done.stdout
    )
    library, local = open_bucket(bucket, tmp_path / "worker"), LocalLibrary(older)
    for name, voice_id in (("Anna", "v1"), ("ANNA", "v2"), ("third", "v3"), ("annie", "v1")):
        for voice in (library.get(voice_name=name), library.get(voice_id=voice_id)):
            assert voice.voice_id == local.get(voice_name=name).voice_id == voice_id
            assert np.array_equal(library.reference_audio(voice), local.reference_audio(voice))
    assert cli("verify").returncode == 0


def test_a_name_that_another_voice_has_is_reported(
    cli: Cli, bucket: BucketSettings, tree: Path, tmp_path: Path
) -> None:
    library = open_bucket(bucket, tmp_path / "worker")
    library.register(speech(50), 24_000, "VOICE 2")
    library.close()
    done = cli("push", tree)
    assert done.returncode == 1
    assert "pushed: 2, already there: 0, deleted there: 0, problems: 1" in done.stdout
    assert "the name 'Voice 2' belongs to voice" in done.stdout


def test_pull_brings_the_voices_into_a_tree(cli: Cli, bucket: BucketSettings, tree: Path, tmp_path: Path) -> None:
    cli("push", tree)
    pulled = tmp_path / "pulled"
    assert "would have been pulled: 3" in cli("pull", pulled, "--dry-run").stdout
    assert not (pulled / "voice_catalog.json").exists()
    assert "pulled: 3, already there: 0" in cli("pull", pulled).stdout
    assert "pulled: 0, already there: 3" in cli("pull", pulled).stdout
    for part in ("voice_catalog.json", "name_mapping.json"):
        assert json.loads((pulled / part).read_text()) == json.loads((tree / part).read_text())
    library = LocalLibrary(pulled)
    assert np.array_equal(library.reference_audio(library.get(voice_name="Voice 1")), speech(1))


def test_list(cli: Cli, tree: Path) -> None:
    cli("push", tree)
    lines = cli("list").stdout.splitlines()
    assert [line.split("  ")[1:] for line in lines] == [[f"Voice {number}", "male", "1.0 s"] for number in range(3)]


def test_verify_finds_every_kind_of_fault_and_rebuild_and_sweep_mend_them(
    cli: Cli, bucket: BucketSettings, tree: Path
) -> None:
    cli("push", tree)
    store = S3Store(bucket)
    catalog = json.loads((tree / "voice_catalog.json").read_text())
    first, second, third = sorted(catalog)
    store.put(f"embeddings/{first}.pkl.gz", b"not a voice")
    del catalog[second]
    catalog[third]["gender"] = "outdated"
    catalog["ghost"] = {"speaker_name": "Ghost"}
    store.put("voice_catalog.json", json.dumps(catalog).encode())
    store.put("name_mapping.json", json.dumps({"Nobody": "nobody"}).encode())
    store.put("embeddings/orphan.pkl.gz", b"")
    store.put("pending/orphan", b"")
    store.put("names/orphan.json", b"{}")
    found = cli("verify")
    assert found.returncode == 1
    for fault in (f"{first}: the voice embedding is no gzip file", f"{second}: is not in voice_catalog.json",
                  f"{third}: voice_catalog.json says something else", "ghost: embeddings/ghost.pkl.gz is missing",
                  "embeddings/orphan.pkl.gz: belongs to no voice", "name_mapping.json: 'Nobody' means nobody",
                  "is not in name_mapping.json"):  # fmt: skip
        assert fault in found.stdout
    assert found.stdout.splitlines()[-1] == "4 voices, 9 faults"
    assert "2 entries would be added or corrected" in cli("rebuild", "--dry-run").stdout
    assert "2 entries were added or corrected, 0 were removed" in cli("rebuild").stdout
    assert "0 objects were removed" in cli("sweep").stdout  # nothing is a day old
    assert "3 objects would be removed" in cli("sweep", "--older-than", 0, "--dry-run").stdout
    assert "embeddings/orphan.pkl.gz" in keys(bucket)
    assert "3 objects were removed" in cli("sweep", "--older-than", 0).stdout
    left = cli("verify")
    assert left.stdout.splitlines()[-1] == "4 voices, 2 faults", left.stdout  # what only a new registration can mend
    assert left.returncode == 1


def test_without_a_bucket_the_local_tree_is_meant(cli: Cli, tree: Path) -> None:
    local = ("--embeddings-dir", tree)
    assert "Voice 1" in cli(*local, "list", with_bucket=False).stdout
    assert cli(*local, "verify", with_bucket=False).stdout == "3 voices, 0 faults\n"
    (tree / "voice_catalog.json").write_text("{}")
    assert cli(*local, "verify", with_bucket=False).returncode == 1
    assert "3 voices are in the catalog" in cli(*local, "rebuild", with_bucket=False).stdout
    assert cli(*local, "verify", with_bucket=False).returncode == 0
    refused = cli(*local, "sweep", with_bucket=False)
    assert refused.returncode == 1
    assert "set BUCKET_ENDPOINT_URL" in refused.stderr


def test_a_wrong_call_is_explained(cli: Cli, tmp_path: Path) -> None:
    assert cli("push", tmp_path / "nowhere").stderr.startswith("voice_library: there is no folder")
    assert cli().returncode == 2
    assert cli("sweep", "--older-than", "soon").returncode == 2
