"""The worker in one process, on real parts: the eSpeak NG engine, a tree on disk, real audio."""

from __future__ import annotations

import base64
import io
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from bad_jobs import BAD_INPUTS, tone
from conftest import level_dbfs, tree_state
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from generate_voice_embedding import create_voice_embedding
from synthesis import FORMATS, SAMPLE_RATE_HZ, Samples
from synthesis.espeak import EspeakEngine
from synthesis.pitch import median_f0_hz
from voice_library import open_library
from worker.core import Worker
from worker.errors import CODES
from worker.settings import Settings


@pytest.fixture
def worker(tmp_path: Path, espeak: EspeakEngine) -> Worker:
    settings = Settings(embeddings_dir=tmp_path / "voice_embeddings", engine="espeak")
    return Worker(settings, engine=espeak)


def ask(worker: Worker, **job_input: Any) -> dict[str, Any]:
    answer = worker.answer({"id": "test", "input": job_input})
    assert "error" not in answer, answer
    return answer


def refusal(worker: Worker, **job_input: Any) -> str:
    answer = worker.answer({"id": "test", "input": job_input})
    assert set(answer) == {"error"}, answer
    return str(answer["error"])


def as_base64(samples: Samples, rate_hz: int = SAMPLE_RATE_HZ, file_format: str = "WAV", **kwargs: Any) -> str:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate_hz, format=file_format, **kwargs)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def audio_of(answer: dict[str, Any]) -> tuple[Samples, int]:
    return soundfile.read(io.BytesIO(base64.b64decode(answer["audio"])), dtype="float32")


def uploads(speech: Samples) -> dict[str, str]:
    """The same speech as users send it."""
    stereo = np.repeat(speech[:, None], 2, axis=1)
    return {
        "wav": as_base64(speech),
        "flac": as_base64(speech, file_format="FLAC"),
        "ogg": as_base64(speech, file_format="OGG"),
        "mp3": as_base64(speech, file_format="MP3"),
        "stereo 44.1 kHz": as_base64(stereo, 44_100),
        "8 kHz": as_base64(speech[::3], 8_000),
    }


KINDS = ["wav", "flac", "ogg", "mp3", "stereo 44.1 kHz", "8 kHz"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_registered_recording_speaks(worker: Worker, speech: Samples, kind: str) -> None:
    voice = ask(worker, type="register_voice", voice_name="Anna", reference_audio=uploads(speech)[kind])
    answer = ask(worker, type="synthesize", text="A short sentence.", voice_name="anna ")
    samples, rate_hz = audio_of(answer)
    assert (answer["voice_id"], answer["voice_name"], answer["engine"]) == (voice["voice_id"], "Anna", "espeak")
    assert rate_hz == answer["sample_rate"] == SAMPLE_RATE_HZ
    assert len(samples) / rate_hz == pytest.approx(answer["duration"], abs=0.001)
    assert level_dbfs(samples) > -35


@pytest.mark.parametrize("kind", KINDS)
def test_the_round_trip_from_the_standalone_file_to_audio(
    worker: Worker, speech: Samples, tmp_path: Path, kind: str
) -> None:
    recording = tmp_path / "my_voice"
    recording.write_bytes(base64.b64decode(uploads(speech)[kind]))
    made = create_voice_embedding.from_file(
        audio_file=str(recording), voice_name="Mine", embeddings_dir=str(worker.settings.embeddings_dir), gender="male"
    )
    answer = ask(worker, text="Spoken from a tree made elsewhere.", voice_id=made["voice_id"])
    assert level_dbfs(audio_of(answer)[0]) > -35


def test_an_embedding_made_elsewhere_is_the_same_voice(worker: Worker, speech: Samples, tmp_path: Path) -> None:
    made = create_voice_embedding.from_array(speech, SAMPLE_RATE_HZ, "Anna", embeddings_dir=str(tmp_path / "other"))
    blob = base64.b64encode(Path(made["embedding_file"]).read_bytes()).decode("ascii")
    voice = ask(worker, type="register_voice", voice_name="Anna", voice_embedding=blob)
    assert voice["voice_id"] == made["voice_id"]


def test_a_reference_can_be_spoken_without_being_kept(worker: Worker, speech: Samples) -> None:
    before = tree_state(worker.settings.embeddings_dir)
    answer = ask(worker, text="Nothing is stored.", reference_audio=as_base64(speech))
    assert answer["voice_id"] is None
    assert tree_state(worker.settings.embeddings_dir) == before


def test_two_voices_are_told_apart(worker: Worker, speech: Samples) -> None:
    low, high = np.interp(np.arange(0, len(speech), 0.75), np.arange(len(speech)), speech), speech[::2]
    pitches = []
    for name, reference in (("Low", low.astype(np.float32)), ("High", np.tile(high, 2))):
        ask(worker, type="register_voice", voice_name=name, reference_audio=as_base64(reference))
        spoken, rate_hz = audio_of(ask(worker, text="Which of us is speaking to you now?", voice_name=name))
        pitches.append(median_f0_hz(spoken, rate_hz))
    assert pitches[1] > 1.3 * pitches[0]


@pytest.mark.parametrize("audio_format", sorted(FORMATS))
def test_every_format_is_delivered(worker: Worker, audio_format: str) -> None:
    answer = ask(worker, text="One, two, three.", format=audio_format, normalize="peak")
    data = base64.b64decode(answer["audio"])
    assert answer["format"] == audio_format
    if audio_format == "pcm":
        assert len(data) == pytest.approx(2 * answer["duration"] * answer["sample_rate"], rel=0.001)
    elif audio_format == "ulaw":
        assert len(data) == pytest.approx(answer["duration"] * answer["sample_rate"], rel=0.001)
    else:
        samples, rate_hz = soundfile.read(io.BytesIO(data), dtype="float32")
        assert rate_hz == answer["sample_rate"]
        assert len(samples) / rate_hz == pytest.approx(answer["duration"], abs=0.15)  # mp3 pads whole frames


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 22_050, 44_100, 48_000])
def test_common_sample_rates_are_delivered(worker: Worker, rate_hz: int) -> None:
    answer = ask(worker, text="One, two, three.", sample_rate=rate_hz)
    samples, got_hz = audio_of(answer)
    assert got_hz == rate_hz
    assert len(samples) / rate_hz == pytest.approx(answer["duration"], abs=0.001)


def test_an_answer_says_what_it_cost(worker: Worker) -> None:
    first, second = (ask(worker, text="Hello.")["timings"] for _ in range(2))
    assert (first["cold"], second["cold"]) == (True, False)
    assert set(second) == {"load_s", "queue_s", "prepare_s", "decode_s", "check_s", "encode_s", "rtf", "cold", "device"}
    assert second["rtf"] > 0


def test_the_same_seed_is_the_same_speech(worker: Worker) -> None:
    first, second = (ask(worker, text="Hello.", seed=11) for _ in range(2))
    assert first["seed"] == 11
    assert first["audio"] == second["audio"]


def test_voices_are_listed_in_pages(worker: Worker, speech: Samples) -> None:
    for number in range(5):
        ask(worker, type="register_voice", voice_name=f"Voice {number}", reference_audio=as_base64(speech))
    first = ask(worker, type="list_voices", page_size=3)
    second = ask(worker, type="list_voices", page_size=3, page_token=first["next_page_token"])
    names = [voice["speaker_name"] for voice in first["voices"] + second["voices"]]
    assert names == [f"Voice {number}" for number in range(5)]
    assert (first["total"], second["next_page_token"]) == (5, None)


def test_a_voice_is_renamed_and_deleted(worker: Worker, speech: Samples) -> None:
    voice_id = ask(worker, type="register_voice", voice_name="Old", reference_audio=as_base64(speech))["voice_id"]
    assert ask(worker, type="rename_voice", voice_id=voice_id, new_name="New")["speaker_name"] == "New"
    assert refusal(worker, text="Hi.", voice_name="Old").startswith("VOICE_NOT_FOUND")
    assert ask(worker, type="delete_voice", voice_name="New")["voice_id"] == voice_id
    assert refusal(worker, text="Hi.", voice_id=voice_id).startswith("VOICE_NOT_FOUND")


def test_replacing_gives_the_name_to_the_new_recording(worker: Worker, speech: Samples) -> None:
    first = ask(worker, type="register_voice", voice_name="Anna", reference_audio=as_base64(speech))
    louder = as_base64(speech * 0.5)
    assert refusal(worker, type="register_voice", voice_name="Anna", reference_audio=louder).startswith("NAME_TAKEN")
    second = ask(worker, type="register_voice", voice_name="Anna", reference_audio=louder, on_conflict="replace")
    assert second["voice_id"] != first["voice_id"]
    assert ask(worker, type="get_voice", voice_name="Anna")["voice_id"] == second["voice_id"]
    assert ask(worker, type="list_voices")["total"] == 1


def test_a_damaged_voice_does_not_hide_the_others(worker: Worker, speech: Samples) -> None:
    for name in ("Good", "Bad"):
        ask(worker, type="register_voice", voice_name=name, reference_audio=as_base64(speech))
    bad = ask(worker, type="get_voice", voice_name="Bad")
    (worker.settings.embeddings_dir / bad["embedding_file"]).write_bytes(b"no longer gzip")
    assert refusal(worker, text="Hi.", voice_name="Bad").startswith("UNSAFE_FILE")
    ask(worker, text="Hi.", voice_name="Good")
    assert ask(worker, type="list_voices")["total"] == 2


def test_health_tells_what_the_worker_is(worker: Worker) -> None:
    health = ask(worker, type="health")
    assert (health["status"], health["engine"], health["device"]) == ("ready", "espeak", "cpu")
    assert health["voices"] == 0
    assert health["versions"]["numpy"] == np.__version__


def test_two_threads_speak_two_voices_as_each_would_alone(worker: Worker, speech: Samples) -> None:
    ask(worker, type="register_voice", voice_name="A", reference_audio=as_base64(speech))
    ask(worker, type="register_voice", voice_name="B", reference_audio=as_base64(np.tile(speech[::2], 2)))
    alone = {name: ask(worker, text="Speaking at once.", voice_name=name, seed=1)["audio"] for name in "AB"}
    together: dict[str, str] = {}

    def speak(name: str) -> None:
        together[name] = ask(worker, text="Speaking at once.", voice_name=name, seed=1)["audio"]

    threads = [threading.Thread(target=speak, args=(name,)) for name in "AB"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone


@pytest.fixture(scope="module")
def inhabited(tmp_path_factory: pytest.TempPathFactory, espeak: EspeakEngine) -> Worker:
    """A worker with the voices that the bad jobs speak of."""
    tree = tmp_path_factory.mktemp("inhabited")
    for name, seconds in (("Resident", 2.0), ("Other", 3.0)):
        create_voice_embedding.from_array(tone(seconds), SAMPLE_RATE_HZ, name, embeddings_dir=str(tree))
    return Worker(Settings(embeddings_dir=tree, engine="espeak"), engine=espeak)


@pytest.mark.parametrize("name", BAD_INPUTS)
def test_a_bad_job_gets_its_code_and_changes_nothing(inhabited: Worker, name: str) -> None:
    raw, code, word = BAD_INPUTS[name]
    before = tree_state(inhabited.settings.embeddings_dir)
    answer = inhabited.answer({"id": "bad", "input": raw})
    assert set(answer) == {"error"}, answer
    assert answer["error"].startswith(f"{code}: "), answer
    assert word in answer["error"]
    assert tree_state(inhabited.settings.embeddings_dir) == before


@pytest.mark.parametrize("job", [None, 7, [], "job", {}, {"input": None}, {"id": None, "input": 3}])
def test_a_job_that_is_no_job_is_refused(worker: Worker, job: Any) -> None:
    assert worker.answer(job)["error"].startswith("INVALID_INPUT: ")


SHARED_FIELDS = [raw for raw, _, _ in BAD_INPUTS.values() if isinstance(raw, dict)]


@hypothesis_settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(base=st.sampled_from(SHARED_FIELDS), extra=st.sampled_from(SHARED_FIELDS), text=st.text(max_size=30))
def test_mixed_up_jobs_get_an_answer_or_one_of_the_contracts_errors(
    worker: Worker, base: dict[str, Any], extra: dict[str, Any], text: str
) -> None:
    mixed = {**base, **extra, **({"text": text} if "text" in extra else {})}
    answer = worker.answer({"id": "mixed", "input": mixed})
    if "error" in answer:
        assert answer["error"].split(":")[0] in CODES
        assert not answer["error"].startswith("INTERNAL"), answer["error"]


def test_a_worker_opens_the_tree_it_is_told(tmp_path: Path, speech: Samples, espeak: EspeakEngine) -> None:
    library = open_library(tmp_path / "elsewhere")
    library.register(speech, SAMPLE_RATE_HZ, "Anna")
    worker = Worker(Settings(embeddings_dir=tmp_path / "elsewhere", engine="espeak"), engine=espeak)
    assert ask(worker, type="list_voices")["total"] == 1
