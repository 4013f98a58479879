"""docs/client.md and docs/batches.md are held to: their programs run, their jobs are good, their options are there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import soundfile
from batch_jobs import ROOT, variables
from http_server import serving

from batch.lines import Source
from synthesis import SAMPLE_RATE_HZ, Samples
from synthesis.espeak import EspeakEngine

CLIENT = (ROOT / "docs/client.md").read_text(encoding="utf-8")
BATCHES = (ROOT / "docs/batches.md").read_text(encoding="utf-8")


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)


def test_the_clients_programs_run(tmp_path: Path, espeak: EspeakEngine, speech: Samples) -> None:
    soundfile.write(tmp_path / "my_voice.wav", speech, SAMPLE_RATE_HZ)
    programs = blocks(CLIENT, "python")
    assert len(programs) >= 3
    with serving(tmp_path / "voices", espeak) as server:
        for program in programs:
            here = program.replace("http://127.0.0.1:8000", server.url)
            run = subprocess.run(
                [sys.executable, "-c", here],
                cwd=tmp_path,
                env={"PYTHONPATH": str(ROOT)},
                capture_output=True,
                text=True,
                check=False,
            )
            assert run.returncode == 0, run.stderr
    assert soundfile.info(tmp_path / "hello.mp3").format == "MP3"


def test_the_jobs_of_the_page_are_spoken_by_its_command(tmp_path: Path) -> None:
    (lines,), (table,), (command,) = blocks(BATCHES, "jsonl"), blocks(BATCHES, "csv"), blocks(BATCHES, "bash")
    (tmp_path / "jobs.jsonl").write_text(lines, encoding="utf-8")
    (tmp_path / "jobs.csv").write_text(table, encoding="utf-8")
    assert Source(tmp_path / "jobs.csv", {}).survey() == 2
    run = subprocess.run(
        [sys.executable, *command.split()[1:]],
        cwd=tmp_path,
        env=variables(tmp_path / "voices", PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert {path.name for path in (tmp_path / "out/audio").iterdir()} == {"scene-1.wav", "train.flac", "000003.wav"}


def test_the_options_of_the_page_are_those_there_are() -> None:
    help_page = subprocess.run(
        [sys.executable, "-m", "batch", "run", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    there = set(re.findall(r"--[a-z-]+", help_page)) - {"--help"}
    assert set(re.findall(r"(?<!-)--[a-z][a-z-]*", BATCHES)) == there
