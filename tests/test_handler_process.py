"""`python handler.py` as users start it: every job type, every refusal, both local modes, in real processes."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from bad_jobs import BAD_INPUTS, tone, wav
from conftest import tree_state

from generate_voice_embedding import create_voice_embedding

ROOT = Path(__file__).parent.parent
TOO_LONG_FOR_AN_ARGUMENT = 100_000  # the kernel's limit is 131,072 bytes; such jobs go through test_input.json


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree with two voices, Resident and Other."""
    embeddings_dir = tmp_path / "voice_embeddings"
    for name, seconds in (("Resident", 2.0), ("Other", 3.0)):
        create_voice_embedding.from_array(tone(seconds), 24_000, name, embeddings_dir=str(embeddings_dir))
    return embeddings_dir


def environment(tree: Path) -> dict[str, str]:
    return {**os.environ, "VOICE_EMBEDDINGS_DIR": str(tree), "ENGINE": "espeak", "PYTHONPATH": str(ROOT)}


def run_handler(tree: Path, job: object, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    text = json.dumps(job)
    command = [sys.executable, str(ROOT / "handler.py"), *arguments]
    directory = cwd or tree.parent
    if len(text) < TOO_LONG_FOR_AN_ARGUMENT:
        command += ["--test_input", text]
    else:
        (directory / "test_input.json").write_text(text, encoding="utf-8")
    return subprocess.run(
        command, capture_output=True, text=True, cwd=directory, env=environment(tree), timeout=120, check=False
    )


def upload() -> str:
    return base64.b64encode(wav(tone(2.5))).decode("ascii")


GOOD_JOBS: dict[str, tuple[dict[str, Any], str]] = {
    "synthesize": ({"type": "synthesize", "text": "Hello.", "voice_name": "Resident"}, "'engine': 'espeak'"),
    "built-in voice": ({"text": "Hello."}, "'voice_id': None"),
    "stream": ({"text": "Hello.", "stream": True}, "'num_chunks': 2"),
    "register_voice": ({"type": "register_voice", "voice_name": "New", "reference_audio": upload()}, "'duration': 2.5"),
    "list_voices": ({"type": "list_voices"}, "'total': 2"),
    "get_voice": ({"type": "get_voice", "voice_name": "other"}, "'speaker_name': 'Other'"),
    "rename_voice": ({"type": "rename_voice", "voice_name": "Other", "new_name": "Third"}, "'speaker_name': 'Third'"),
    "delete_voice": ({"type": "delete_voice", "voice_name": "Other"}, "'speaker_name': 'Other'"),
    "health": ({"type": "health"}, "'voices': 2"),
}


@pytest.mark.parametrize("name", GOOD_JOBS)
def test_every_job_type_is_answered(tree: Path, name: str) -> None:
    job_input, expected = GOOD_JOBS[name]
    run = run_handler(tree, {"input": job_input})
    assert run.returncode == 0, run.stdout + run.stderr
    assert expected in run.stdout
    assert "Traceback" not in run.stdout + run.stderr


def test_bad_jobs_are_one_clear_error_each_and_change_nothing(tree: Path) -> None:
    before = tree_state(tree)

    def run(name: str) -> subprocess.CompletedProcess[str]:
        directory = tree.parent / re.sub(r"\W+", "-", name)
        directory.mkdir()
        return run_handler(tree, {"input": BAD_INPUTS[name][0]}, cwd=directory)

    # Three of five: importing the SDK takes 2 s of a processor in each process. tests/test_worker.py asks them all.
    names = [name for number, name in enumerate(BAD_INPUTS) if number % 5 < 3]
    assert len(names) >= 40
    with ThreadPoolExecutor(2) as pool:
        for name, result in zip(names, pool.map(run, names), strict=True):
            _, code, word = BAD_INPUTS[name]
            output = result.stdout + result.stderr
            assert result.returncode == 1, f"{name}: {output}"
            assert "Traceback" not in output, f"{name}: {output}"
            errors = re.findall(rf"failed with error: ({code}: .*)", result.stdout)
            assert len(errors) == 1, f"{name}: {output}"
            assert word in errors[0], f"{name}: {errors[0]}"
            assert str(tree) not in errors[0], f"{name} leaks a path: {errors[0]}"
    assert tree_state(tree) == before
    assert not list(tree.parent.rglob("pwned"))


@pytest.mark.parametrize(
    ("text", "word"),
    [("{not json", "not JSON"), ("[1]", "no input"), ("{}", "no input"), ('{"input": null}', "no input")],
)
def test_a_test_input_that_is_no_job_is_explained(tree: Path, text: str, word: str) -> None:
    run = subprocess.run(
        [sys.executable, str(ROOT / "handler.py"), "--test_input", text],
        capture_output=True,
        text=True,
        env=environment(tree),
        timeout=60,
        check=False,
    )
    assert run.returncode == 1
    assert word in run.stderr
    assert "Traceback" not in run.stdout + run.stderr


def test_a_wrong_environment_is_explained_before_anything_is_loaded(tree: Path) -> None:
    run = subprocess.run(
        [sys.executable, str(ROOT / "handler.py"), "--test_input", '{"input": {"text": "Hello."}}'],
        capture_output=True,
        text=True,
        env={**environment(tree), "ENGINE": "festival"},
        timeout=60,
        check=False,
    )
    assert run.returncode == 1
    assert "ENGINE is 'festival'; allowed are auto, chatterbox, upstream, espeak" in run.stderr
    assert "Traceback" not in run.stdout + run.stderr


def test_a_queue_with_many_threads_has_one_worker(tree: Path) -> None:
    program = """
import threading, time
import handler
class Slow(handler.Worker):
    def __init__(self, settings):
        time.sleep(0.2)
        super().__init__(settings)
handler.Worker = Slow
made = []
threads = [threading.Thread(target=lambda: made.append(handler.worker())) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert len(made) == 8 and len(set(map(id, made))) == 1, made
assert handler.handler({"id": "1", "input": {"type": "list_voices"}})["total"] == 2
"""
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment(tree), timeout=60, check=False
    )
    assert run.returncode == 0, run.stderr


def test_test_input_json_is_spoken(tree: Path) -> None:
    run = subprocess.run(
        [sys.executable, "handler.py"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment(tree),
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "Using test_input.json" in run.stdout
    assert "'format': 'wav'" in run.stdout


def test_logs_hold_neither_text_nor_names(tree: Path) -> None:
    run = run_handler(tree, {"input": {"text": "Confidential words.", "voice_name": "Resident"}})
    assert "synthesize" in run.stderr.lower()
    assert "Confidential" not in run.stderr
    assert "Resident" not in run.stderr


@pytest.fixture
def api(tree: Path) -> Iterator[str]:
    """The address of a worker started with --rp_serve_api."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "handler.py", "--rp_serve_api", "--rp_api_host", "127.0.0.1", "--rp_api_port", str(port)],
        cwd=ROOT,
        env=environment(tree),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # the SDK forks a ping process, which must end with it
    )
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None, "the server ended at start"
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def post(url: str, body: object) -> dict[str, Any]:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as response:
        answer = json.loads(response.read())
    assert isinstance(answer, dict)
    return answer


def test_the_local_api_registers_speaks_and_refuses(api: str) -> None:
    registered = post(f"{api}/runsync", {"input": GOOD_JOBS["register_voice"][0]})
    assert registered["status"] == "COMPLETED", registered
    spoken = post(f"{api}/runsync", {"input": {"text": "Hello.", "voice_id": registered["output"]["voice_id"]}})
    assert spoken["output"]["voice_name"] == "New"
    assert base64.b64decode(spoken["output"]["audio"])[:4] == b"RIFF"
    streamed = post(f"{api}/runsync", {"input": {"text": "Hello.", "stream": True}})
    assert base64.b64decode(streamed["output"]["chunks"][0]["audio"])[:4] == b"RIFF"
    refused = post(f"{api}/runsync", {"input": {"text": "Hello.", "voice_name": "Nobody"}})
    assert refused["status"] == "FAILED"
    assert refused["error"].startswith("VOICE_NOT_FOUND: ")
    queued = post(f"{api}/run", {"input": {"text": "Hello."}})
    assert post(f"{api}/status/{queued['id']}", {})["output"]["engine"] == "espeak"
