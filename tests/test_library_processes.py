"""Many processes on one tree, and processes that die in the middle: nothing acknowledged is lost, all places agree."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from voices import RATE_HZ, ROOT, assert_all_places_agree, tone

from generate_voice_embedding import VoiceTree
from voice_library import VoiceLibrary, open_library

NUM_PROCESSES, NUM_EACH = 8, 25

REGISTER_MANY = """
import sys
sys.path.insert(0, sys.argv[1])
from voices import RATE_HZ, tone
from generate_voice_embedding import create_voice_embedding
tree, first, count = sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
for number in range(first, first + count):
    voice = create_voice_embedding.from_array(tone(pitch_hz=100 + number), RATE_HZ, f"v{number}", embeddings_dir=tree)
    print(voice["voice_id"], flush=True)
"""

# Changes a tree that has Ann already, and dies by SIGKILL just before one of its steps on the disk. The interpreter's
# audit events tell the steps apart; the code under test is what users run.
DIE_AT_A_STEP = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from voices import RATE_HZ, tone
from voice_library import open_library
library, change, steps_left = open_library(sys.argv[2]), sys.argv[3], int(sys.argv[4])
audio, ann = tone(pitch_hz=200), library.get(voice_name="Ann")

def count_steps(event, arguments):
    global steps_left
    is_step = event in ("os.rename", "os.remove", "shutil.rmtree")
    if is_step or (event == "open" and str(arguments[0]).endswith(".partial")):
        steps_left -= 1
        if steps_left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(count_steps)
if change == "register":
    library.register(audio, RATE_HZ, "Bob")
elif change == "replace":
    library.register(audio, RATE_HZ, "Ann", on_conflict="replace")
elif change == "rename":
    library.rename(ann, "Anna")
elif change == "delete":
    library.delete(ann)
print("done")
"""


def run(program: str, *arguments: object) -> subprocess.Popen[str]:
    line = [sys.executable, "-c", program, str(ROOT / "tests"), *map(str, arguments)]
    return subprocess.Popen(line, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def test_eight_processes_register_200_voices(tmp_path: Path) -> None:
    processes = [run(REGISTER_MANY, tmp_path, n * NUM_EACH, NUM_EACH) for n in range(NUM_PROCESSES)]
    acknowledged = [voice_id for process in processes for voice_id in process.communicate(timeout=120)[0].split()]
    assert [process.returncode for process in processes] == [0] * NUM_PROCESSES
    assert len(acknowledged) == 200
    assert assert_all_places_agree(tmp_path) == set(acknowledged)
    library = open_library(tmp_path)
    for number in range(200):
        voice = library.get(voice_name=f"v{number}")
        np.testing.assert_array_equal(library.reference_audio(voice), tone(pitch_hz=100 + number))


def test_eight_processes_fight_for_one_name(tmp_path: Path) -> None:
    program = REGISTER_MANY.replace('f"v{number}"', '"Ann"')
    processes = [subprocess_quiet(program, tmp_path, n, 1) for n in range(NUM_PROCESSES)]
    results = [process.communicate(timeout=60) for process in processes]
    winners = [out for out, _ in results if out]
    assert len(winners) == 1
    assert all("NameTaken" in errors for out, errors in results if not out)
    assert assert_all_places_agree(tmp_path) == {winners[0].strip()}


def subprocess_quiet(program: str, *arguments: object) -> subprocess.Popen[str]:
    line = [sys.executable, "-c", program, str(ROOT / "tests"), *map(str, arguments)]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)


def test_threads_of_one_process_share_a_library(tmp_path: Path) -> None:
    library = open_library(tmp_path)
    counts: list[int] = []

    def work(first: int) -> None:
        for number in range(first, first + 5):
            library.register(tone(pitch_hz=100 + number), RATE_HZ, f"v{number}")
            counts.append(library.count())
            assert library.get(voice_name=f"V{number}").name == f"v{number}"

    threads = [threading.Thread(target=work, args=(n * 5,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(counts) == library.count() == len(assert_all_places_agree(tmp_path)) == 20


@pytest.mark.parametrize("change", ["register", "replace", "rename", "delete"])
def test_a_process_killed_at_any_step_leaves_a_sound_tree(change: str, tmp_path: Path) -> None:
    """At every step: a reader sees the old or the new state, and the next change makes all places agree on it."""
    seen = set()
    for step in range(1, 100):
        root = tmp_path / str(step)
        before = open_library(root)
        before.register(tone(), RATE_HZ, "Ann")
        process = run(DIE_AT_A_STEP, root, change, step)
        output = process.communicate(timeout=60)[0]
        seen.add(state_after(change, open_library(root)))
        open_library(root).register(tone(pitch_hz=300), RATE_HZ, "Carol")
        seen.add(state_after(change, open_library(root)))
        mend(root)
        assert_all_places_agree(root)
        if output:
            assert state_after(change, open_library(root)) == "after"
            break
        assert process.returncode == -signal.SIGKILL
    assert step > 5
    assert seen == {"before", "after"}


def mend(root: Path) -> None:
    """Remove what only time removes: files of a writer that died, and an embedding that was never committed."""
    for path in root.rglob("*.partial"):
        path.unlink()
    known = {f"{voice_id}.pkl.gz" for voice_id in VoiceTree(root).read().entries}
    for path in (root / "embeddings").iterdir():
        if path.name not in known:
            path.unlink()


def state_after(change: str, library: VoiceLibrary) -> str:
    """Which of the two allowed states a reader sees; every voice it sees can be spoken."""
    ann, other = float(tone()[1]), float(tone(pitch_hz=200)[1])  # one sample tells the recordings apart
    before = [("Ann", ann)]
    after = {
        "register": [("Ann", ann), ("Bob", other)],
        "replace": [("Ann", other)],
        "rename": [("Anna", ann)],
        "delete": [],
    }[change]
    voices = [voice for voice in library.list_voices().voices if voice.name != "Carol"]
    seen = [(voice.name, float(library.reference_audio(voice)[1])) for voice in voices]
    assert seen in (before, after)
    for voice in voices:
        assert library.get(voice_id=voice.voice_id).name == library.get(voice_name=voice.name).name == voice.name
    return "after" if seen == after else "before"
