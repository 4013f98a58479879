"""The HTTP server: the worker's own answers as JSON, files and streams; voices as resources; its start and its end."""

from __future__ import annotations

import base64
import gzip
import io
import json
import pickle
import re
import shlex
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile
from bad_jobs import BAD_INPUTS, tone, wav
from http_server import ROOT, Running, ServerProcess, base64_of, environment, free_port, serving, wait_until, with_

from generate_voice_embedding import create_voice_embedding, encode_embedding, utc_now
from server.errors import STATUS_OF_CODE
from synthesis.espeak import EspeakEngine
from worker.errors import CODES

LONG_TEXT = "A sentence of a usual length, as people send it. " * 250


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree with two voices, Resident and Other."""
    embeddings_dir = tmp_path_factory.mktemp("http") / "voice_embeddings"
    for name, seconds in (("Resident", 2.0), ("Other", 3.0)):
        create_voice_embedding.from_array(tone(seconds), 24_000, name, embeddings_dir=str(embeddings_dir))
    return embeddings_dir


@pytest.fixture(scope="module")
def server(tree: Path, espeak: EspeakEngine) -> Iterator[Running]:
    with serving(tree, espeak) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Running) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


def samples_of(wav_bytes: bytes) -> np.ndarray:
    return soundfile.read(io.BytesIO(wav_bytes), dtype="int16")[0]


def without_costs(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name != "timings"}


def test_generate_is_the_workers_own_answer(server: Running, client: httpx.Client) -> None:
    fields = {"text": "Hello there.", "voice_name": "resident", "seed": 7, "format": "flac"}
    expected = server.worker.answer({"id": "direct", "input": {"type": "synthesize", **fields}})
    for body in (fields, {"input": fields}, {**fields, "type": "synthesize"}):
        response = client.post("/generate", json=body)
        assert response.status_code == 200
        assert without_costs(response.json()) == without_costs(expected)


def test_generate_answers_a_file_where_audio_is_accepted(client: httpx.Client) -> None:
    fields = {"text": "Hello there.", "seed": 7}
    as_json = client.post("/generate", json=fields).json()
    as_file = client.post("/generate", json=fields, headers={"Accept": "audio/wav, */*"})
    assert as_file.content == base64.b64decode(as_json["audio"])
    assert as_file.headers["content-type"] == "audio/wav"
    assert as_file.headers["x-seed"] == "7"


@pytest.mark.parametrize("accept", ["application/x-ndjson", "text/event-stream", "audio/*"])
def test_a_stream_is_the_whole_answer_in_pieces(client: httpx.Client, accept: str) -> None:
    fields = {"text": LONG_TEXT[:2000], "seed": 3, "format": "pcm", "quality": "fast"}
    whole = base64.b64decode(client.post("/generate", json=fields).json()["audio"])
    with client.stream("POST", "/generate", json={**fields, "stream": True}, headers={"Accept": accept}) as response:
        assert response.status_code == 200
        body = b"".join(response.iter_raw())
    if accept == "audio/*":
        assert body == whole
        return
    lines = [line.removeprefix(b"data: ") for line in body.splitlines() if line]
    chunks = [json.loads(line) for line in lines]
    assert b"".join(base64.b64decode(chunk["audio"]) for chunk in chunks) == whole
    assert [chunk["last"] for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert chunks[-1]["num_chunks"] == len(chunks) > 3


def test_the_first_piece_comes_long_before_the_last(client: httpx.Client) -> None:
    body = {"text": LONG_TEXT, "format": "pcm", "stream": True}
    start = time.monotonic()
    with client.stream("POST", "/generate", json=body, headers={"Accept": "audio/*"}) as response:
        times = [time.monotonic() - start for _ in response.iter_raw()]
    assert times[0] < times[-1] / 4


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_every_command_of_the_page_about_it_works(server: Running, client: httpx.Client, tmp_path: Path) -> None:
    page = (ROOT / "docs/http.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```(bash|python)\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)
    commands = [line for language, block in blocks if language == "bash" for line in block.splitlines()]
    assert len(commands) >= 4
    (tmp_path / "my_voice.wav").write_bytes(wav(tone(3.0)))
    (tmp_path / "3f2a91c0.pkl.gz").write_bytes(encode_embedding(tone(2.0), "Berta", utc_now()))
    for command in sorted(commands, key=lambda command: "/v1/voices" not in command):  # Anna first, then her words
        words = shlex.split(command.replace("localhost:8000", f"127.0.0.1:{server.port}"))
        run = subprocess.run([*words, "--fail"], capture_output=True, cwd=tmp_path, timeout=60, check=False)
        assert run.returncode == 0, (command, run.stdout)
    assert (tmp_path / "hello.mp3").stat().st_size > 2000
    for program in (block for language, block in blocks if language == "python"):
        here = program.replace("127.0.0.1:8000", f"127.0.0.1:{server.port}")
        subprocess.run([sys.executable, "-c", here], cwd=tmp_path, timeout=60, check=True)
    for name in ("Anna", "Berta"):
        assert client.delete(f"/v1/voices/{name}").status_code == 200


def test_every_refusal_of_the_worker_has_its_status_and_words(server: Running, client: httpx.Client) -> None:
    asked = 0
    for name, (job_input, code, _) in BAD_INPUTS.items():
        if not isinstance(job_input, dict) or "type" in job_input or "operation" in job_input or not job_input:
            continue
        expected = server.worker.answer({"id": "direct", "input": job_input})["error"]
        response = client.post("/generate", json=job_input)
        assert response.status_code == STATUS_OF_CODE[code], name
        assert response.json() == {"error": expected}, name
        asked += 1
    assert asked > 30


def test_every_code_of_the_worker_has_a_status() -> None:
    assert set(STATUS_OF_CODE) == set(CODES)


@pytest.mark.parametrize(
    "body", [{"type": "register_voice"}, {"type": "health"}, {"operation": "voice_cloning", "voice_name": "x"}, {}]
)
def test_generate_speaks_and_does_nothing_else(client: httpx.Client, body: dict[str, str]) -> None:
    response = client.post("/generate", json=body)
    assert response.status_code == 400
    assert response.json()["error"].startswith("INVALID_INPUT: ")


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[1]", b'{"text": NaN}', b"\xff\xfe", b"[" * 200_000, b'{"text": 1' + b"0" * 10_000 + b"}"]
)
def test_bodies_that_are_no_job_are_refused(client: httpx.Client, content: bytes) -> None:
    response = client.post("/generate", content=content, headers={"Content-Type": "application/json"})
    assert response.status_code == 400
    assert response.json()["error"].startswith("INVALID_INPUT: ")


def test_a_voice_is_registered_found_heard_renamed_downloaded_and_deleted(client: httpx.Client) -> None:
    upload = wav(tone(2.5))
    form = {"voice_name": "Änne / 7", "gender": "female", "description": "by form"}
    made = client.post("/v1/voices", data=form, files={"reference_audio": ("a.wav", upload)})
    assert made.status_code == 201
    voice_id = made.json()["voice_id"]
    assert client.get(f"/v1/voices/{voice_id}").json()["gender"] == "female"
    assert client.get("/v1/voices", params={"name_prefix": "Än"}).json()["total"] == 1
    renamed = client.patch(f"/v1/voices/{voice_id}", json={"new_name": "Änne"})
    assert renamed.json()["speaker_name"] == "Änne"
    assert client.get("/v1/voices/änne").json()["voice_id"] == voice_id
    preview = client.get("/v1/voices/Änne/preview")
    assert preview.headers["content-type"] == "audio/mpeg"
    assert len(soundfile.read(io.BytesIO(preview.content))[0]) > 24_000
    reference = samples_of(client.get(f"/v1/voices/{voice_id}/reference").content)
    assert np.array_equal(reference, samples_of(upload))
    packed = client.get(f"/v1/voices/{voice_id}/embedding")
    assert packed.headers["content-disposition"] == f'attachment; filename="{voice_id}.pkl.gz"'
    held = pickle.loads(gzip.decompress(packed.content))
    assert held["voice_name"] == "Änne"
    assert client.delete(f"/v1/voices/{voice_id}").json()["voice_id"] == voice_id
    assert client.get(f"/v1/voices/{voice_id}").status_code == 404
    again = client.post("/v1/voices", data={"voice_name": "Back"}, files={"voice_embedding": ("b", packed.content)})
    assert again.status_code == 201
    assert np.array_equal(samples_of(client.get("/v1/voices/Back/reference").content), reference)
    client.delete("/v1/voices/Back")


def test_a_voice_is_registered_by_json_as_by_the_job(client: httpx.Client) -> None:
    body = {"voice_name": "Jason", "reference_audio": base64_of(wav(tone(2.0)))}
    assert client.post("/v1/voices", json=body).status_code == 201
    taken = client.post("/v1/voices", json={**body, "reference_audio": base64_of(wav(tone(3.0)))})
    assert taken.status_code == 409
    assert taken.json()["error"]["code"] == "name_taken"
    replaced = client.post("/v1/voices", json={**body, "on_conflict": "replace"})
    assert replaced.status_code == 201
    client.delete("/v1/voices/Jason")


def test_voices_come_in_pages(client: httpx.Client) -> None:
    first = client.get("/v1/voices", params={"page_size": 1}).json()
    second = client.get("/v1/voices", params={"page_size": 1, "page_token": first["next_page_token"]}).json()
    assert [page["voices"][0]["speaker_name"] for page in (first, second)] == ["Other", "Resident"]
    assert second["next_page_token"] is None


def test_it_says_that_it_is_starting_until_it_is_ready(server: Running, client: httpx.Client) -> None:
    ready = server.app.state.readiness.ready
    ready.clear()
    try:
        assert client.get("/ping").status_code == 204
        starting = client.get("/health")
        assert starting.status_code == 503
        assert starting.json()["error"].startswith("STARTING: ")
    finally:
        ready.set()
    assert client.get("/ping").status_code == 200


def test_a_worker_that_cannot_serve_ends_the_server(tree: Path) -> None:
    run = start(
        tree, "--port", "0", extra={"ENGINE": "chatterbox", "MODEL_DIR": str(tree / "nothing"), "HF_HUB_OFFLINE": "1"}
    )
    assert run.returncode == 1
    assert "not ready" in run.stderr
    assert "Traceback" not in run.stderr


def test_it_serves_https(tree: Path, espeak: EspeakEngine, tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "1"]
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        str(key),
        "-out",
        str(certificate),
    ]
    subprocess.run([*command, *subject], check=True, capture_output=True)
    with serving(tree, espeak, with_(tls_cert=certificate, tls_key=key)) as server:
        trusting = ssl.create_default_context(cafile=str(certificate))
        answer = httpx.get(f"https://127.0.0.1:{server.port}/ping", verify=trusting)
        assert answer.status_code == 200


def test_health_metrics_and_request_ids(server: Running, client: httpx.Client) -> None:
    health = client.get("/health").json()
    assert (health["status"], health["engine"], health["jobs"]) == ("ready", "espeak", {"running": 0, "waiting": 0})
    before = server.metric("tts_audio_seconds_total")
    spoken = client.post("/generate", json={"text": "Hello there."}, headers={"X-Request-Id": "caller-id.1"})
    assert spoken.headers["x-request-id"] == "caller-id.1"
    assert server.metric("tts_audio_seconds_total") == pytest.approx(before + spoken.json()["duration"])
    text = client.get("/metrics").text
    assert re.search(r'tts_http_requests_total\{method="POST",route="/generate",status="200"\} \d+', text)
    assert 'route="/v1/voices/{voice}"' in text, "templates, not addresses"


def test_a_caller_who_hangs_up_cancels_the_job(server: Running) -> None:
    for stream in (True, False):
        spoken = server.metric("tts_audio_seconds_total")
        with server.client() as client:
            if stream:
                with client.stream("POST", "/generate", json={"text": LONG_TEXT, "stream": True}) as response:
                    next(response.iter_raw())
            else:
                with pytest.raises(httpx.ReadTimeout):
                    client.post("/generate", json={"text": LONG_TEXT}, timeout=httpx.Timeout(60, read=0.15))
        wait_until(lambda: server.app.state.jobs.places.running == 0, 3)
        assert server.metric("tts_audio_seconds_total") == spoken, "it was spoken to its end"


def test_a_queue_that_is_full_says_so_and_recovers(tree: Path, espeak: EspeakEngine) -> None:
    with serving(tree, espeak, with_(jobs_running=1, jobs_waiting=1)) as server, server.client() as client:
        answers: list[int] = []

        def ask() -> None:
            answers.append(
                httpx.post(f"{server.url}/generate", json={"text": LONG_TEXT[:6000]}, timeout=60).status_code
            )

        threads = [threading.Thread(target=ask) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(answers) == [200, 200, 503, 503, 503]
        assert server.app.state.jobs.places.waiting == 0
        assert client.post("/generate", json={"text": "Hello."}).status_code == 200


def test_the_process_starts_serves_and_ends_with_its_streams(tree: Path) -> None:
    with ServerProcess(tree) as process:
        assert httpx.get(process.url).text.startswith("<!doctype html>")
        with httpx.stream(
            "POST", f"{process.url}/generate", json={"text": LONG_TEXT, "stream": True, "format": "pcm"}, timeout=60
        ) as response:
            lines = response.iter_lines()
            first = json.loads(next(lines))
            ended: list[int] = []
            ending = threading.Thread(target=lambda: ended.append(process.end()))
            ending.start()
            wait_until(lambda: not _listens(process.port), 10)
            rest = [json.loads(line) for line in lines]
        ending.join(30)
        assert ended == [0]
        assert rest[-1]["last"]
        assert rest[-1]["num_chunks"] == 1 + len(rest)
        assert first["index"] == 0
        assert "Traceback" not in process.log()
        assert "sentence of a usual" not in process.log(), "logs hold no text"


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def start(tree: Path, *arguments: str, extra: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """`python -m server` where it ends by itself."""
    return subprocess.run(
        [sys.executable, "-m", "server", *arguments],
        capture_output=True,
        text=True,
        cwd=tree.parent,
        env=environment(tree, extra),
        timeout=60,
        check=False,
    )


def test_it_refuses_to_be_reachable_without_a_key(tree: Path) -> None:
    run = start(tree, "--host", "0.0.0.0", "--port", "0")
    assert run.returncode == 1
    assert "there is no API key; allowed without one is 127.0.0.1" in run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize(
    ("arguments", "extra", "words"),
    [
        (("--port", "99999"), {}, "--port is 99999"),
        (("--allow-origin", "*"), {}, "allowed is one origin"),
        ((), {"SERVER_API_KEY": "short"}, "shorter than 20"),
        ((), {"ENGINE": "festival"}, "ENGINE is 'festival'"),
        ((), {"PORT": "http"}, "PORT is 'http'"),
    ],
)
def test_what_it_cannot_start_with_is_explained(
    tree: Path, arguments: tuple[str, ...], extra: dict[str, str], words: str
) -> None:
    run = start(tree, *arguments, extra=extra)
    assert run.returncode == 1
    assert words in run.stderr
    assert "Traceback" not in run.stderr


def test_a_port_in_use_is_explained(tree: Path, server: Running) -> None:
    run = start(tree, "--port", str(server.port))
    assert run.returncode == 1
    assert f"port {server.port} cannot be had" in run.stderr


def test_keys_are_added_listed_and_removed(tmp_path: Path) -> None:
    def keys(*arguments: str) -> subprocess.CompletedProcess[str]:
        return start(tmp_path / "voices", "keys", *arguments)

    added = keys("add", "alice", "--scopes", "speak")
    assert added.returncode == 0
    secret = added.stdout.strip()
    file = tmp_path / "server_keys.json"
    assert secret.startswith("wc-")
    assert secret not in file.read_text(encoding="utf-8")
    assert file.stat().st_mode & 0o777 == 0o600
    assert keys("add", "alice").returncode == 1
    elsewhere = start(tmp_path / "voices", "--keys", "other.json", "keys", "list")
    assert (elsewhere.returncode, elsewhere.stdout) == (0, "")
    assert keys("add", "bob", "--scopes", "fly").returncode == 1
    assert keys("list").stdout.startswith("alice\tspeak")
    assert keys("remove", "alice").returncode == 0
    assert keys("remove", "alice").returncode == 1
    assert keys("list").stdout == ""


def test_runpods_load_balancer_finds_the_ports_it_names(tree: Path) -> None:
    health_port = free_port()
    with ServerProcess(tree, extra={"PORT_HEALTH": str(health_port)}) as process:
        assert httpx.get(f"http://127.0.0.1:{health_port}/ping").status_code == 200
        assert process.end() == 0
