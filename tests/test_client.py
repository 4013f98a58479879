"""The client against our real server: what it promises, sync and async."""

from __future__ import annotations

import asyncio
import base64
import inspect
import io
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile
from bad_jobs import tone, wav
from http_server import UNLIMITED, Running, serving, with_

import client as package
from client import AsyncVoiceClient, VoiceClient, errors
from client.player import PlayerFailed
from synthesis.espeak import EspeakEngine
from worker.core import Worker
from worker.errors import CODES

KEY = "a-key-for-these-tests"
RECORDING = wav(tone(2.5))
OTHER_RECORDING = wav(tone(3.0))
TEXT = "Every sentence of this text is as long as the one before it, and says as little. " * 6  # several segments


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, espeak: EspeakEngine) -> Iterator[Running]:
    settings = with_(UNLIMITED, api_key=KEY)
    with serving(tmp_path_factory.mktemp("server") / "voices", espeak, settings) as running:
        yield running


@pytest.fixture
def client(server: Running) -> Iterator[VoiceClient]:
    with VoiceClient(server.url, KEY) as client:
        yield client


def audio_of(worker: Worker, **job_input: object) -> bytes:
    answer = worker.answer({"input": job_input})
    return b"".join(base64.b64decode(part["audio"]) for part in answer.get("chunks", [answer]))


def test_speech_is_what_the_worker_speaks(client: VoiceClient, server: Running) -> None:
    speech = client.speak(TEXT, seed=7, format="flac")
    assert speech.audio == audio_of(server.worker, text=TEXT, seed=7, format="flac")
    assert (speech.format, speech.engine, speech.seed, speech.voice_id) == ("flac", "espeak", 7, None)
    assert speech.duration_s == pytest.approx(soundfile.info(io.BytesIO(speech.audio)).duration, abs=0.01)


def test_a_files_suffix_says_its_format(client: VoiceClient, tmp_path: Path) -> None:
    client.speak_to_file("Hello.", tmp_path / "hello.mp3")
    client.speak_to_file("Hello.", tmp_path / "hello.ogg")
    assert [soundfile.info(tmp_path / name).format for name in ("hello.mp3", "hello.ogg")] == ["MP3", "OGG"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hello.mp3", "hello.ogg"]


def test_a_voices_whole_life(client: VoiceClient, tmp_path: Path) -> None:
    (tmp_path / "anna.wav").write_bytes(RECORDING)
    anna = client.voices.register("Anna Ä?&", tmp_path / "anna.wav", gender="female", description="A test.")
    assert anna.duration_s == pytest.approx(2.5, abs=0.1)
    assert client.voices.get("anna ä?&") == client.voices.get(voice_id=anna.voice_id)
    found = client.voices.get(anna)
    assert (found.name, found.gender, found.description) == ("Anna Ä?&", "female", "A test.")
    with pytest.raises(package.NameTaken) as taken:
        client.voices.register("Anna Ä?&", OTHER_RECORDING)
    assert taken.value.code == "NAME_TAKEN"
    assert client.voices.register("Anna Ä?&", RECORDING).voice_id == anna.voice_id  # the same again is no conflict
    client.voices.register("Anna Ä?&", OTHER_RECORDING, on_conflict="replace")

    renamed = client.voices.rename("Anna Ä?&", new_name="Berta")
    assert client.speak("Hello.", voice="Berta").voice_id == renamed.voice_id
    assert (
        client.speak("Hello.", voice=renamed, seed=3).audio
        == client.speak("Hello.", voice_id=renamed.voice_id, seed=3).audio
    )

    client.voices.download(tmp_path / "berta.pkl.gz", renamed)
    deleted = client.voices.delete(renamed)
    assert deleted.voice_id == renamed.voice_id
    with pytest.raises(package.VoiceNotFound):
        client.voices.get(voice_id=renamed.voice_id)
    again = client.voices.register("Berta", tmp_path / "berta.pkl.gz")
    assert again.duration_s == renamed.duration_s
    client.voices.delete(again)


def test_voices_come_in_pages(client: VoiceClient) -> None:
    registered = {
        client.voices.register(f"Page {number}", wav(tone(1.5 + number / 10))).voice_id for number in range(5)
    }
    page = client.voices.list(page_size=2, name_prefix="Page")
    assert (len(page.voices), page.total) == (2, 5)
    assert page.next_page_token is not None
    assert {voice.voice_id for voice in client.voices.all(name_prefix="Page")} == registered
    for voice_id in registered:
        client.voices.delete(voice_id=voice_id)


def test_a_reference_is_sent_along(client: VoiceClient, server: Running) -> None:
    encoded = base64.b64encode(RECORDING).decode("ascii")
    speech = client.speak("Hello.", reference_audio=RECORDING, seed=1)
    assert speech.audio == audio_of(server.worker, text="Hello.", reference_audio=encoded, seed=1)


def test_a_stream_comes_in_pieces_that_are_one_file(client: VoiceClient, server: Running, tmp_path: Path) -> None:
    pieces = [piece for piece in client.stream(TEXT, seed=7) if piece]
    assert len(pieces) > 1
    size = client.stream_to_file(TEXT, tmp_path / "stream.wav", seed=7)
    assert (tmp_path / "stream.wav").read_bytes() == b"".join(pieces)
    assert size == len(b"".join(pieces))
    assert b"".join(pieces) == audio_of(server.worker, text=TEXT, seed=7, stream=True)


def test_a_stream_that_fails_leaves_no_file(client: VoiceClient, tmp_path: Path) -> None:
    with pytest.raises(package.VoiceNotFound):
        client.stream_to_file("Hello.", tmp_path / "stream.wav", voice="Nobody")
    assert list(tmp_path.iterdir()) == []


def test_a_stream_left_early_is_cancelled(client: VoiceClient, server: Running) -> None:
    stream = client.stream("One more sentence. " * 300)
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert client.speak("And the next one is spoken.").duration_s > 0


def test_a_stream_is_played_by_a_program(client: VoiceClient, tmp_path: Path) -> None:
    heard = tmp_path / "heard.wav"
    program = f"import shutil, sys; shutil.copyfileobj(sys.stdin.buffer, open({str(heard)!r}, 'wb'))"
    client.play(TEXT, player=[sys.executable, "-c", program], seed=7)
    assert heard.read_bytes() == b"".join(client.stream(TEXT, seed=7))
    with pytest.raises(PlayerFailed, match="status 3"):
        client.play("Hello.", player=[sys.executable, "-c", "import sys; sys.stdin.buffer.read(); sys.exit(3)"])


def test_health(client: VoiceClient) -> None:
    assert client.health()["engine"] == "espeak"


def test_refusals_have_the_contracts_codes_and_words(client: VoiceClient) -> None:
    with pytest.raises(package.InvalidInput, match=r"^INVALID_INPUT: exaggeration is 9; allowed is 0 to 2") as refused:
        client.speak("Hello.", exaggeration=9)
    assert refused.value.request_id
    with pytest.raises(package.UnreadableAudio):
        client.voices.register("Noise", b"this is no audio file at all")
    with pytest.raises(package.InvalidInput, match="slash"):
        client.voices.get("a/b")
    with pytest.raises(ValueError, match="exactly one"):
        client.voices.get()


def test_a_wrong_key_is_not_allowed(server: Running) -> None:
    for key in (None, "wrong"):
        with VoiceClient(server.url, key) as client, pytest.raises(package.NotAllowed, match="UNAUTHORIZED"):
            client.health()


def test_every_code_of_the_contract_is_a_type_of_its_own() -> None:
    assert set(errors.OF_CODE) == set(CODES)
    for code in CODES:
        refusal = errors.refusal_of(f"{code}: what; allowed; do")
        assert (refusal.code, str(refusal)) == (code, f"{code}: what; allowed; do")
        assert type(refusal) is errors.OF_CODE[code]


def test_the_async_client_does_the_same(server: Running, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with AsyncVoiceClient(server.url, KEY) as client:
            voice = await client.voices.register("Carla", RECORDING)
            speeches = await asyncio.gather(*(client.speak(f"Number {n}.", voice=voice, seed=n) for n in range(8)))
            assert [speech.seed for speech in speeches] == list(range(8))
            pieces = [piece async for piece in client.stream(TEXT, seed=7)]
            assert await client.stream_to_file(TEXT, tmp_path / "a.wav", seed=7) == len(b"".join(pieces))
            await client.speak_to_file("Hello.", tmp_path / "a.flac")
            await client.voices.download(tmp_path / "carla.pkl.gz", voice)
            heard = tmp_path / "heard"
            await client.play(TEXT, player=["/bin/sh", "-c", f"cat > '{heard}'"], seed=7)
            assert heard.read_bytes() == b"".join(pieces) == (tmp_path / "a.wav").read_bytes()
            assert [found.name async for found in client.voices.all(name_prefix="Carla")] == ["Carla"]
            assert (await client.voices.rename(voice, new_name="Dora")).name == "Dora"
            assert (await client.voices.get("Dora")).voice_id == voice.voice_id
            assert (await client.voices.list(page_size=1)).total >= 1
            await client.voices.delete(voice)
            assert (await client.health())["status"] == "ready"
            with pytest.raises(package.VoiceNotFound):
                await client.speak("Hello.", voice=voice)

    asyncio.run(scenario())


def test_both_clients_have_the_same_methods() -> None:
    def signatures(owner: type) -> dict[str, list[str]]:
        methods = {name: method for name, method in vars(owner).items() if callable(method) and name[0] != "_"}
        return {name: list(inspect.signature(method).parameters) for name, method in methods.items()}

    assert signatures(VoiceClient) == signatures(AsyncVoiceClient)
    with VoiceClient() as one:
        assert signatures(type(one.voices)) == signatures(type(AsyncVoiceClient().voices))


def test_the_client_can_be_copied_alone(tmp_path: Path, server: Running) -> None:
    shutil.copytree(Path(package.__file__).parent, tmp_path / "client", ignore=shutil.ignore_patterns("__pycache__"))
    program = f"import json, client\nprint(json.dumps(client.VoiceClient({server.url!r}, {KEY!r}).health()))"

    async def run() -> bytes:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, cwd=tmp_path, env={"PATH": ""}, stdout=asyncio.subprocess.PIPE
        )
        output, _ = await process.communicate()
        return output

    assert json.loads(asyncio.run(run()))["engine"] == "espeak"
