"""The reader of voice embeddings: reads what numpy and the writer really write, refuses everything else."""

from __future__ import annotations

import ast
import gzip
import json
import pickle
import subprocess
import sys
from pathlib import Path

import hostile_embeddings
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from voices import OTHER_NUMPY, RATE_HZ, ROOT, pickled, pitch_of, tone

from generate_voice_embedding import encode_embedding
from voice_library import VoiceEmbedding, pickle_machine, read_embedding
from voice_library.errors import UnsafeFile

MAX_MEMORY_MIB = 300


def test_what_the_writer_writes_comes_back() -> None:
    embedding = read_embedding(encode_embedding(tone(), "Ann", "2025-01-01T00:00:00+00:00"))
    assert (embedding.sample_rate_hz, embedding.voice_name) == (RATE_HZ, "Ann")
    assert embedding.samples.dtype == np.float32
    assert embedding.samples.flags.writeable
    np.testing.assert_array_equal(embedding.samples, tone())


# ---- every form in which numpy 1 and 2 pickle an array

WRITE_ALL_FORMS = """
import gzip, pickle, sys
from pathlib import Path
import numpy as np
folder, audio = Path(sys.argv[1]), np.frombuffer(Path(sys.argv[2]).read_bytes(), "<f4")
readonly = audio.copy()
readonly.flags.writeable = False
forms = {
    "float32": audio.copy(), "float64": audio.astype("f8"), "int16": (audio * 32767).astype("i2"),
    "big-endian": audio.astype(">f4"), "read-only": readonly, "every second": np.repeat(audio, 2)[::2],
    "stereo": np.stack([audio, audio], 1), "stereo, Fortran": np.asfortranarray(np.stack([audio, audio], 1)),
    "channels first": np.stack([audio, audio]),
    "dict": {"audio": audio.copy(), "sample_rate": 24000, "voice_name": "Ann", "created_at": "2025"},
    "older dict": {"audio": audio.copy(), "sample_rate": 24000, "duration": 1.0, "format": "wav"},
    "numpy scalars": {"audio": audio.copy(), "sample_rate": np.int64(24000), "duration": np.float64(1),
                      "loud": np.bool_(True), "gain": np.float32(-1.5), "none": None, "minus": -5},
    "pair": (audio.copy(), 24000), "other keys": {"samples": audio.copy(), "sr": 24000.0},
}
for name, value in forms.items():
    for protocol in range(6):
        with gzip.open(folder / f"{name}, protocol {protocol}.pkl.gz", "wb", compresslevel=1) as file:
            pickle.dump(value, file, protocol)
"""


@pytest.mark.parametrize("python", [Path(sys.executable), OTHER_NUMPY], ids=["this numpy", "numpy 1"])
def test_every_form_that_numpy_writes_is_read(python: Path, tmp_path: Path) -> None:
    if not python.exists():
        pytest.skip(f"{OTHER_NUMPY.relative_to(ROOT)} is missing: make setup-full makes it")
    (tmp_path / "audio").write_bytes(tone().tobytes())
    (tmp_path / "forms").mkdir()
    program = [python, "-c", WRITE_ALL_FORMS, tmp_path / "forms", tmp_path / "audio"]
    subprocess.run(program, check=True, timeout=60)
    files = sorted((tmp_path / "forms").iterdir())
    assert len(files) == 14 * 6
    for file in files:
        embedding = read_embedding(file.read_bytes())
        np.testing.assert_allclose(embedding.samples, tone(), atol=1e-4, err_msg=file.name)
        assert embedding.samples.dtype == np.float32


def test_plain_values_are_what_pickle_says_they_are() -> None:
    value = {
        "a": 0,
        "b": -1,
        "c": 255,
        "d": 65_535,
        "e": -(2**31),
        "f": 2**31 - 1,
        "g": 1.5,
        "h": "é\n\\",
        "i": None,
        "j": True,
    }
    for protocol in range(6):
        read = pickle_machine.load(pickle.dumps(value, protocol))
        assert read == value
        assert [type(item) for item in read.values()] == [type(item) for item in value.values()]


def test_an_older_file_at_another_rate_is_resampled() -> None:
    audio = tone(2, rate_hz=48_000)
    said = read_embedding(pickled({"audio": audio, "sample_rate": 48_000}))
    known_elsewhere = read_embedding(pickled(audio), default_rate_hz=48_000)
    for embedding in (said, known_elsewhere):
        assert len(embedding.samples) == 2 * RATE_HZ
        assert pitch_of(embedding.samples) == pytest.approx(150, abs=1)


# ---- hostile files


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(folder of hostile files, the file that any of them would create)."""
    folder = tmp_path_factory.mktemp("hostile")
    marker = tmp_path_factory.mktemp("marker") / "executed"
    for name, content in hostile_embeddings.make(marker).items():
        (folder / f"{name}.pkl.gz").write_bytes(content)
    return folder, marker


READ_ALL = """
import json, re, sys
from pathlib import Path
from voice_library import read_embedding
from voice_library.errors import UnsafeFile
outcomes = {}
for file in sorted(Path(sys.argv[1]).iterdir()):
    try:
        read_embedding(file.read_bytes())
        outcome = "admitted"
    except UnsafeFile as error:
        outcome = f"refused: {error}"
    except BaseException as error:
        outcome = repr(error)[:300]
    # The peak of this process; getrusage would count the one that started it.
    peak_kib = int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
    outcomes[file.name] = outcome, peak_kib / 1024
print(json.dumps(outcomes))
"""


def read_all(folder: Path) -> dict[str, tuple[str, float]]:
    """What reading each file of a folder came to, and the peak of memory until then, in MiB; in a fresh process."""
    program = [sys.executable, "-c", READ_ALL, folder]
    run = subprocess.run(program, capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert run.returncode == 0, run.stderr
    outcomes: dict[str, tuple[str, float]] = json.loads(run.stdout)
    return outcomes


def test_hostile_files_are_refused_and_run_nothing(hostile: tuple[Path, Path]) -> None:
    folder, marker = hostile
    outcomes = read_all(folder)
    assert len(outcomes) >= 80
    for name, (outcome, peak_mib) in outcomes.items():
        assert outcome.startswith("refused: "), f"{name}: {outcome}"
        assert "\n" not in outcome
        assert str(marker.parent) not in outcome
        assert peak_mib < MAX_MEMORY_MIB, name
    assert not marker.exists()


def test_the_attacks_work_on_pickle_load(hostile: tuple[Path, Path]) -> None:
    """Without this, a harmless file could pass for a refused attack."""
    folder, marker = hostile
    program = "import gzip, pickle, sys; pickle.load(gzip.open(sys.argv[1]))"
    working = ["os.system", "os.system in the dict", "builtins.eval", "INST", "OBJ", "STACK_GLOBAL from the memo"]
    for name in working:
        subprocess.run([sys.executable, "-c", program, folder / f"{name}.pkl.gz"], capture_output=True, timeout=60)
        assert marker.exists(), name
        marker.unlink()


def test_the_longest_voice_fits_in_memory(tmp_path: Path) -> None:
    longest = tmp_path / "long.pkl.gz"
    longest.write_bytes(encode_embedding(np.tile(tone(), 600), "Long", ""))
    ((outcome, peak_mib),) = read_all(tmp_path).values()
    assert outcome == "admitted"
    assert peak_mib < MAX_MEMORY_MIB
    with pytest.raises(UnsafeFile, match="601 s"):
        read_embedding(encode_embedding(np.tile(tone(), 601), "Longer", ""))


# ---- files that no one thought of

GOOD = [
    pickle.dumps({"audio": tone(0.01), "sample_rate": RATE_HZ, "voice_name": "Ann"}, protocol) for protocol in range(6)
]
GOOD.append(gzip.decompress(encode_embedding(tone(0.01), "Ann", "2025-01-01T00:00:00+00:00")))
WORDS = [bytes([code]) for code in range(256)]
PIECES = [
    b"numpy",
    b"dtype",
    b"\x8c\x05numpy\x8c\x05dtype\x93",
    b"cnumpy\nndarray\n",
    b"c_codecs\nencode\n",
    b"\x8c\x02f4",
    b"K\x01",
]


def outcome(pickle_bytes: bytes) -> VoiceEmbedding | None:
    try:
        return read_embedding(gzip.compress(pickle_bytes, compresslevel=0))
    except UnsafeFile:
        return None


@settings(max_examples=600, deadline=None)
@given(st.sampled_from(GOOD), st.lists(st.tuples(st.integers(0, 5_000), st.integers(0, 255)), min_size=1, max_size=8))
def test_a_damaged_voice_is_refused_or_still_a_voice(good: bytes, changes: list[tuple[int, int]]) -> None:
    content = bytearray(good)
    for place, value in changes:
        content[place % min(len(content), 400)] = value
    embedding = outcome(bytes(content))
    if embedding is not None:
        assert embedding.samples.dtype == np.float32
        assert np.isfinite(embedding.samples).all()


@settings(max_examples=600, deadline=None)
@given(st.lists(st.sampled_from(WORDS + PIECES * 8), max_size=60))
def test_any_sequence_of_words_is_refused_or_a_voice(words: list[bytes]) -> None:
    embedding = outcome(b"".join(words) + b".")
    assert embedding is None or embedding.samples.dtype == np.float32


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300), st.integers(0, 40))
def test_any_bytes_are_refused(content: bytes, kept: int) -> None:
    good = gzip.compress(GOOD[4])
    with pytest.raises(UnsafeFile):
        read_embedding(good[:kept] + content)


def test_none_of_our_rooms_unpickles() -> None:
    rooms = [
        ROOT / "generate_voice_embedding.py",
        *(ROOT / "voice_library").glob("*.py"),
        *(ROOT / "worker").glob("*.py"),
    ]
    assert len(rooms) > 10
    for file in rooms:
        nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
        used = {node.attr for node in nodes if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "pickle"}
        imported = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.module == "pickle"]
        assert used <= {"Pickler"}, file
        assert not imported, file


def test_gzip_members_in_a_row_are_one_file() -> None:
    parts = gzip.compress(GOOD[4][:100]) + gzip.compress(GOOD[4][100:])
    np.testing.assert_array_equal(read_embedding(parts).samples, tone(0.01))
