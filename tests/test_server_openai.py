"""OpenAI's own clients, for Python and for Node, speak to the server unchanged, streaming too."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
import soundfile
from bad_jobs import tone
from http_server import ROOT, Running, serving, with_

from generate_voice_embedding import create_voice_embedding
from server.keys import Key, digest_of, write_keys
from server.speech import OPENAI_FORMATS, OPENAI_VOICES
from synthesis.espeak import EspeakEngine

KEY = "wc-test-key-for-openais-clients"
TEXT = "A sentence of a usual length, as people send it. "
NODE_PACKAGES = ROOT / ".cache/npm"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, espeak: EspeakEngine) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("openai")
    for name in ("Anna", "Nova"):
        create_voice_embedding.from_array(tone(2.0), 24_000, name, embeddings_dir=str(folder / "voices"))
    write_keys(folder / "keys.json", [Key("tests", digest_of(KEY))])
    with serving(folder / "voices", espeak, with_(keys_file=folder / "keys.json")) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=KEY, max_retries=0) as client:
        yield client


def worker_audio(server: Running, **fields: object) -> bytes:
    answer = server.worker.answer(
        {"id": "direct", "input": {"text": "Hello there.", "seed": 7, "quality": "off", **fields}}
    )
    return base64.b64decode(answer["audio"])


def test_it_says_what_the_worker_says(server: Running, client: openai.OpenAI) -> None:
    for voice, fields in (
        ("alloy", {}),
        ("default", {}),
        ("anna", {"voice_name": "Anna"}),
        ("nova", {"voice_name": "Nova"}),  # a voice that was registered goes before OpenAI's of that name
    ):
        spoken = client.audio.speech.create(
            model="tts-1", voice=voice, input="Hello there.", response_format="pcm", extra_body={"seed": 7}
        )
        assert spoken.content == worker_audio(server, format="pcm", **fields), voice
    voice_id = server.worker.answer({"id": "x", "input": {"type": "get_voice", "voice_name": "Anna"}})["voice_id"]
    for by_id in (voice_id, {"id": voice_id}):
        client.audio.speech.create(model="tts-1", voice=by_id, input="Hello there.")


@pytest.mark.parametrize("audio_format", OPENAI_FORMATS)
def test_every_format_of_openais_can_be_read(client: openai.OpenAI, audio_format: str, tmp_path: Path) -> None:
    spoken = client.audio.speech.create(model="tts-1", voice="alloy", input=TEXT * 3, response_format=audio_format)
    file = tmp_path / f"speech.{audio_format}"
    spoken.write_to_file(file)
    if audio_format == "pcm":
        seconds = file.stat().st_size / 48_000
    elif audio_format == "aac":
        import av

        with av.open(str(file)) as container:
            seconds = sum(frame.samples for frame in container.decode(audio=0)) / 24_000
    else:
        samples, rate_hz = soundfile.read(file)
        seconds = len(samples) / rate_hz
    assert 7 < seconds < 12


def test_audio_is_streamed_as_it_is_spoken(client: openai.OpenAI) -> None:
    start = time.monotonic()
    create = client.audio.speech.with_streaming_response.create
    with create(model="tts-1", voice="alloy", input=TEXT * 200, response_format="pcm") as response:
        times = [time.monotonic() - start for _ in response.iter_bytes()]
    assert times[0] < times[-1] / 3


def test_events_are_openais(client: openai.OpenAI) -> None:
    spoken = client.audio.speech.create(
        model="gpt-4o-mini-tts", voice="alloy", input=TEXT * 8, response_format="wav", stream_format="sse"
    )
    events = [json.loads(frame.removeprefix("data: ")) for frame in spoken.text.split("\n\n") if frame]
    *deltas, done = events
    assert len(deltas) >= 2
    assert {event["type"] for event in deltas} == {"speech.audio.delta"}
    samples, _ = soundfile.read(io.BytesIO(b"".join(base64.b64decode(event["audio"]) for event in deltas)))
    assert done["type"] == "speech.audio.done"
    assert done["usage"]["input_tokens"] == len(TEXT * 8)
    assert abs(done["usage"]["output_tokens"] - len(samples) / 24_000 * 25) < 1


def test_the_async_client_speaks_too(server: Running) -> None:
    async def speak() -> int:
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key=KEY) as client:
            spoken = await asyncio.gather(
                *(client.audio.speech.create(model="tts-1", voice="alloy", input="Hello.") for _ in range(4))
            )
            return sum(len(each.content) > 1000 for each in spoken)

    assert asyncio.run(speak()) == 4


def test_models_are_listed_and_found(client: openai.OpenAI) -> None:
    names = [model.id for model in client.models.list()]
    assert names[0] == "espeak-ng"
    assert {"tts-1", "tts-1-hd", "gpt-4o-mini-tts"} <= set(names)
    assert client.models.retrieve("tts-1").id == "tts-1"
    with pytest.raises(openai.NotFoundError) as refused:
        client.models.retrieve("whisper-1")
    assert refused.value.code == "model_not_found"


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"voice": "nobody"}, openai.NotFoundError, "nobody"),
        ({"voice": ""}, openai.BadRequestError, "voice is missing"),
        ({"voice": "../../etc/passwd"}, openai.NotFoundError, "no voice"),
        ({"model": "dall-e-3"}, openai.NotFoundError, "dall-e-3"),
        ({"response_format": "midi"}, openai.BadRequestError, "mp3, opus, aac, flac, wav, pcm"),
        ({"stream_format": "smoke"}, openai.BadRequestError, "audio and sse"),
        ({"response_format": "aac", "stream_format": "sse"}, openai.BadRequestError, "aac"),
        ({"speed": 5.0}, openai.BadRequestError, "0.25 to 4"),
        ({"instructions": "Shout."}, openai.BadRequestError, "no engine here follows any"),
        ({"input": ""}, openai.BadRequestError, "text"),
        ({"input": "?!"}, openai.BadRequestError, "text"),
        ({"extra_body": {"pitch": 2}}, openai.BadRequestError, "'pitch'"),
        ({"extra_body": {"temperature": 99}}, openai.BadRequestError, "0.05 to 5"),
        ({"extra_body": {"text": "other"}}, openai.BadRequestError, "'text'"),
    ],
    ids=str,
)
def test_refusals_are_typed_errors(
    client: openai.OpenAI, change: dict[str, object], error: type[openai.APIStatusError], words: str
) -> None:
    with pytest.raises(error, match=words) as refused:
        client.audio.speech.create(**{"model": "tts-1", "voice": "alloy", "input": "Hello.", **change})  # type: ignore[arg-type]
    assert refused.value.type == "invalid_request_error"
    assert refused.value.request_id


def test_speed_is_what_the_worker_can_or_refused(client: openai.OpenAI) -> None:
    from worker.inputs import SynthesizeInput

    if "speed" in SynthesizeInput.model_fields:
        client.audio.speech.create(model="tts-1", voice="alloy", input="Hello.", speed=1.5)
    else:
        with pytest.raises(openai.BadRequestError, match="at its own speed"):
            client.audio.speech.create(model="tts-1", voice="alloy", input="Hello.", speed=1.5)
    client.audio.speech.create(model="tts-1", voice="alloy", input="Hello.", speed=1.0)


def test_a_wrong_key_is_an_authentication_error(server: Running) -> None:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="wrong", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError) as refused:
            client.models.list()
        assert refused.value.code == "invalid_api_key"


def test_aac_without_its_encoder_is_refused_in_words(client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(openai.BadRequestError, match="install the package 'av'"):
        client.audio.speech.create(model="tts-1", voice="alloy", input="Hello.", response_format="aac")


@pytest.fixture(scope="module")
def node_client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the official npm client, fetched once."""
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("node and npm are not installed")
    NODE_PACKAGES.mkdir(parents=True, exist_ok=True)
    wanted = (ROOT / "tests/npm/package.json").read_bytes()
    if not (NODE_PACKAGES / "package.json").is_file() or (NODE_PACKAGES / "package.json").read_bytes() != wanted:
        staging = tmp_path_factory.mktemp("npm")
        (staging / "package.json").write_bytes(wanted)
        install = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--no-package-lock", "--silent"]
        fetched = subprocess.run(install, cwd=staging, capture_output=True, text=True, timeout=120, check=False)
        if fetched.returncode != 0:
            pytest.skip(f"npm cannot fetch the client: {fetched.stderr[-200:]}")
        shutil.copytree(staging / "node_modules", NODE_PACKAGES / "node_modules", dirs_exist_ok=True)
        (NODE_PACKAGES / "package.json").write_bytes(wanted)
    shutil.copy(ROOT / "tests/npm/speak.mjs", NODE_PACKAGES)
    return NODE_PACKAGES


def test_the_npm_client_speaks_to_it_unchanged(server: Running, node_client: Path) -> None:
    command = ["node", "speak.mjs", server.url, KEY]
    run = subprocess.run(command, cwd=node_client, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    samples, _ = soundfile.read(io.BytesIO(base64.b64decode(found["whole"])), dtype="int16")
    assert samples.tobytes() == worker_audio(server, format="pcm")
    assert found["pieces"] > 3
    assert found["bytes"] > 100 * 48_000
    assert '"type": "speech.audio.done"' in found["events"]
    assert found["models"][0] == "espeak-ng"
    assert found["refusal"] == ["NotFoundError", 404, "voice_not_found"]
    assert found["noKey"] == ["AuthenticationError", 401, "invalid_api_key"]


def test_openais_voices_are_those_its_client_knows() -> None:
    from openai.types.audio import speech_create_params

    assert speech_create_params.__file__
    text = Path(speech_create_params.__file__).read_text(encoding="utf-8")
    assert all(f'"{voice}"' in text for voice in OPENAI_VOICES)
