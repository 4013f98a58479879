"""The jobs on voices: register, list, get, rename, delete. Joins a validated input and the library, nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from generate_voice_embedding import (
    SAMPLE_RATE_HZ,
    Recording,
    decode_base64,
    enrol,
    prepare_audio,
    read_recording,
)
from voice_library import Voice, VoiceLibrary, read_embedding
from worker.inputs import (
    DeleteVoiceInput,
    GetVoiceInput,
    JobInput,
    ListVoicesInput,
    RegisterVoiceInput,
    RenameVoiceInput,
)

Output = dict[str, Any]


def register_voice(job: RegisterVoiceInput, library: VoiceLibrary) -> Output:
    """Store an uploaded voice. An embedding made elsewhere is read by the safe reader, then treated like any audio."""
    if job.reference_audio is not None:
        recording = read_recording(decode_base64(job.reference_audio))
    else:
        assert job.voice_embedding is not None  # the input holds exactly one of the two
        embedding = read_embedding(decode_base64(job.voice_embedding))
        recording = Recording(prepare_audio(embedding.samples, embedding.sample_rate_hz))
    samples, report = enrol(recording, job.reference_window)
    voice = library.register(
        samples,
        SAMPLE_RATE_HZ,
        job.voice_name,
        gender=job.gender,
        description=job.description,
        on_conflict=job.on_conflict,
        report=report,
    )
    return {
        "voice_id": voice.voice_id,
        "voice_name": voice.name,
        "duration": voice.duration_s,
        "sample_rate": voice.sample_rate_hz,
        "report": report,
    }


def list_voices(job: ListVoicesInput, library: VoiceLibrary) -> Output:
    page = library.list_voices(
        page_size=job.page_size, page_token=job.page_token, gender=job.gender, name_prefix=job.name_prefix
    )
    return {
        "voices": [_listed(voice) for voice in page.voices],
        "total": page.total,
        "next_page_token": page.next_page_token,
    }


def _listed(voice: Voice) -> Output:
    """Without the report on its recording, which `get_voice` has: pages stay small."""
    return {name: value for name, value in voice.metadata.items() if name != "report"}


def get_voice(job: GetVoiceInput, library: VoiceLibrary) -> Output:
    return dict(_voice_of(job, library).metadata)


def rename_voice(job: RenameVoiceInput, library: VoiceLibrary) -> Output:
    return dict(library.rename(_voice_of(job, library), job.new_name).metadata)


def delete_voice(job: DeleteVoiceInput, library: VoiceLibrary) -> Output:
    voice = _voice_of(job, library)
    library.delete(voice)
    return dict(voice.metadata)


def _voice_of(job: GetVoiceInput | RenameVoiceInput | DeleteVoiceInput, library: VoiceLibrary) -> Voice:
    return library.get(voice_id=job.voice_id, voice_name=job.voice_name)


ACTIONS: dict[type[JobInput], Callable[[Any, VoiceLibrary], Output]] = {
    RegisterVoiceInput: register_voice,
    ListVoicesInput: list_voices,
    GetVoiceInput: get_voice,
    RenameVoiceInput: rename_voice,
    DeleteVoiceInput: delete_voice,
}
