"""Two real environments, numpy 1.25 and this numpy: what either writes, both load with a plain `pickle.load`."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from voices import OTHER_NUMPY, RATE_HZ, ROOT, assert_all_places_agree, audio_file, tone

from voice_library import open_library

PYTHONS = {"this numpy": Path(sys.executable), "numpy 1": OTHER_NUMPY}
pytestmark = pytest.mark.skipif(
    not OTHER_NUMPY.exists(), reason=f"{OTHER_NUMPY.relative_to(ROOT)} is missing: make setup-full makes it"
)

# Where the file lies alone, as another application has it; every warning is an error.
WRITE = """
import json, warnings
from generate_voice_embedding import create_voice_embedding
import numpy
warnings.simplefilter("error")
voices = [create_voice_embedding("24k.flac", "As it is"), create_voice_embedding.from_file("44k.wav", "Resampled")]
print(json.dumps([numpy.__version__, voices]))
"""
LOAD = """
import gzip, json, pickle, sys, warnings
warnings.simplefilter("error")
import numpy
found = {}
for name in sys.argv[1:]:
    with gzip.open(name) as file:
        voice = pickle.load(file)
    audio = voice.pop("audio")
    assert type(audio) is numpy.ndarray and audio.dtype == numpy.float32 and audio.flags.writeable
    audio *= 2
    found[name] = [voice, audio.tolist()]
print(json.dumps([numpy.__version__, found]))
"""


def run(python: Path, program: str, folder: Path, *arguments: str) -> list[object]:
    # -I: an application that has nothing of this repository on its path; its own folder is put there by hand
    line = [python, "-I", "-c", f"import sys; sys.path.insert(0, '')\n{program}", *arguments]
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    answer: list[object] = json.loads(done.stdout)
    return answer


@pytest.fixture(scope="module")
def applications(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """For each environment a folder with the copied file and the tree it wrote there."""
    folders = {}
    for name, python in PYTHONS.items():
        folder = tmp_path_factory.mktemp("application")
        shutil.copy(ROOT / "generate_voice_embedding.py", folder)
        (folder / "24k.flac").write_bytes(audio_file(tone(1.5), file_format="FLAC"))
        (folder / "44k.wav").write_bytes(audio_file(np.stack([tone(1.5, 44_100)] * 2, axis=1), 44_100))
        version, voices = run(python, WRITE, folder)
        assert str(version).startswith("1.2") == (name == "numpy 1")
        assert [voice["message"].rsplit(" ")[-1] for voice in voices] == ["registered"] * 2  # type: ignore[attr-defined]
        folders[name] = folder
    return folders


@pytest.mark.parametrize("written_by", PYTHONS)
@pytest.mark.parametrize("loaded_by", PYTHONS)
def test_a_plain_pickle_load_reads_it(written_by: str, loaded_by: str, applications: dict[str, Path]) -> None:
    tree = applications[written_by] / "voice_embeddings"
    voice_ids = assert_all_places_agree(tree)
    files = [f"embeddings/{voice_id}.pkl.gz" for voice_id in voice_ids]
    _, found = run(PYTHONS[loaded_by], LOAD, tree, *files)
    library = open_library(tree)
    for voice, doubled in found.values():  # type: ignore[attr-defined]
        assert voice["sample_rate"] == RATE_HZ
        samples = library.reference_audio(library.get(voice_name=voice["voice_name"]))
        np.testing.assert_array_equal(np.array(doubled, np.float32), samples * 2)
    assert sorted(voice["voice_name"] for voice, _ in found.values()) == ["As it is", "Resampled"]  # type: ignore[attr-defined]


def test_both_write_the_same_bytes_for_the_same_voice(applications: dict[str, Path]) -> None:
    """Their files differ in the time alone: with it made equal, byte for byte the same."""
    program = """
import hashlib, json, numpy
from generate_voice_embedding import encode_embedding, read_audio
embedding = encode_embedding(read_audio("24k.flac"), "Ann", "now")
print(json.dumps([numpy.__version__, hashlib.sha256(embedding).hexdigest()]))
"""
    answers = [run(PYTHONS[name], program, folder) for name, folder in applications.items()]
    assert answers[0][0] != answers[1][0]
    assert answers[0][1] == answers[1][1]
