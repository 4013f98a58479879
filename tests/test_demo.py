"""`make run`, as far as Python goes: it registers, speaks, and says what it made."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import soundfile
from conftest import level_dbfs

from synthesis import SAMPLE_RATE_HZ, Samples

ROOT = Path(__file__).parent.parent


def demo(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "ENGINE": "espeak", "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", "worker.demo", *arguments],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
        timeout=120,
        check=False,
    )


def test_the_demo_speaks_and_can_be_run_again(tmp_path: Path) -> None:
    lines = []
    for _ in range(2):
        run = demo(tmp_path)
        assert run.returncode == 0, run.stderr
        lines.append(run.stdout.strip().splitlines()[-1])
    assert re.fullmatch(r"out/hello\.wav  \d+\.\d s  voice=Demo \([0-9a-f]{8,}\)  engine=espeak", lines[0])
    assert lines[0] == lines[1], "the same recording under the same name is the same voice"
    samples, rate_hz = soundfile.read(tmp_path / "out/hello.wav", dtype="float32")
    assert len(samples) > 2 * rate_hz
    assert level_dbfs(samples) > -35


def test_the_demo_takes_a_recording_of_yours(tmp_path: Path, speech: Samples) -> None:
    soundfile.write(tmp_path / "me.flac", speech, SAMPLE_RATE_HZ)
    run = demo(tmp_path, "me.flac", "--name", "Me", "--text", "This is me.", "--out", "me.mp3")
    assert run.returncode == 0, run.stderr
    assert "me.mp3" in run.stdout
    assert "voice=Me (" in run.stdout
    assert soundfile.info(tmp_path / "me.mp3").duration > 0.5


def test_a_recording_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    run = demo(tmp_path, "nobody.wav")
    assert run.returncode == 1
    assert "nobody.wav" in run.stderr
    assert "Traceback" not in run.stderr
