"""The documentation is held to: its jobs are run, its commands work, its tree lists what is there."""

from __future__ import annotations

import base64
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import soundfile
from bad_jobs import wav

from synthesis import SAMPLE_RATE_HZ, Samples
from synthesis.espeak import EspeakEngine
from worker.core import Worker
from worker.errors import CODES
from worker.settings import Settings

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
STORE_SETTINGS = "voice_library/stores/settings.py"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


def test_every_job_in_the_readme_is_answered_as_it_says(tmp_path: Path, espeak: EspeakEngine, speech: Samples) -> None:
    worker = Worker(Settings(embeddings_dir=tmp_path, engine="espeak"), engine=espeak)
    recording = base64.b64encode(wav(speech)).decode("ascii")
    examples = [json.loads(block.replace("<base64>", recording)) for block in blocks("json")]
    assert sum("input" in example for example in examples) >= 4
    answer: dict[str, Any] = {}
    for example in examples:
        if "input" in example:
            answer = worker.answer({"id": "readme", "input": example["input"]})
            assert "error" not in answer, answer
        elif "error" in example:
            assert example["error"].split(":")[0] in CODES
        else:
            assert _shape(example) <= _shape(answer), "an answer in the README has fields that the worker's has not"


def _shape(value: Any, prefix: str = "") -> set[str]:
    """Every path of keys in a JSON value."""
    if isinstance(value, dict):
        return {path for key, child in value.items() for path in _shape(child, f"{prefix}.{key}")} | {prefix}
    if isinstance(value, list):
        return {path for child in value for path in _shape(child, f"{prefix}[]")} | {prefix}
    return {prefix}


@pytest.fixture
def elsewhere(tmp_path: Path, speech: Samples) -> Path:
    """A folder with a recording, the copied file, and the handler within reach."""
    soundfile.write(tmp_path / "my_voice.wav", speech, SAMPLE_RATE_HZ)
    for name in ("generate_voice_embedding.py", "handler.py"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    return tmp_path


def run(command: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "ENGINE": "espeak", "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=120, check=False)


def test_every_command_in_the_readme_works(elsewhere: Path) -> None:
    commands = [line for block in blocks("bash") for line in block.splitlines() if line]
    assert len(commands) >= 2
    for command in commands:
        result = run([sys.executable, *shlex.split(command)[1:]], elsewhere)
        assert result.returncode == 0, f"{command}\n{result.stdout}{result.stderr}"


def test_the_python_in_the_readme_works(elsewhere: Path) -> None:
    programs = blocks("python")
    assert programs
    for program in programs:
        result = run([sys.executable, "-c", program], elsewhere)
        assert result.returncode == 0, result.stderr


def test_the_codes_in_the_readme_are_the_workers() -> None:
    listed = README.partition("Codes: ")[2].partition("\n\n")[0]
    assert set(re.findall(r"`([A-Z_]+)`", listed)) == set(CODES)


def test_every_make_target_in_the_readme_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, flags=re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", README, flags=re.MULTILINE)) <= targets


def tracked_files() -> list[str]:
    return subprocess.run(["git", "ls-files"], capture_output=True, text=True, cwd=ROOT, check=True).stdout.split()


def test_the_tree_in_the_readme_lists_everything_at_the_top() -> None:
    tree = README.partition("## What is where")[2].partition("## Limits")[0]
    top_level = {path.split("/")[0] for path in tracked_files()} - {".gitignore"}
    assert sorted(name for name in top_level if name not in tree) == []


def test_the_architecture_page_has_a_line_for_every_file_and_no_other() -> None:
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8").partition("## Every file")[2]
    listed = set()
    for room, table in re.findall(r"^`([a-z_/]+/)`\n(.*?)(?=^`|\Z)", page, flags=re.MULTILINE | re.DOTALL):
        listed |= {room + name for name in re.findall(r"^\| `(.+?\.py)` \|", table, flags=re.MULTILINE)}
    rooms = ("synthesis/", "voice_library/", "worker/", "server/", "client/", "batch/", "examples/", "benchmarks/")
    there = {path for path in tracked_files() if path.startswith(rooms) and path.endswith(".py")}
    assert listed == {path for path in there if not path.endswith("__init__.py")}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_every_environment_variable_is_documented() -> None:
    read = re.findall(r'"([A-Z][A-Z_]+)"', (ROOT / "worker/settings.py").read_text(encoding="utf-8"))
    read += re.findall(r'"(BUCKET_[A-Z_]+|[A-Z]+_[A-Z_]+)"', (ROOT / STORE_SETTINGS).read_text(encoding="utf-8"))
    assert read
    pages = README + (ROOT / "docs/s3.md").read_text(encoding="utf-8")
    platforms_own = ("RUNPOD_POD_ID", "RUNPOD_WEBHOOK_GET_JOB")
    assert [name for name in read if name not in platforms_own and f"`{name}" not in pages] == []
