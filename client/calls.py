"""What a client can ask for, as jobs of the contract, and what their answers mean. Shared by both clients."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any, Protocol

from client.download import Downloads, check_format
from client.errors import UnexpectedAnswer
from client.retries import Retries
from client.steps import Flow, StreamFlow
from client.values import Speech, Voice, VoicePage, audio_in

GZIP_MAGIC = b"\x1f\x8b"  # a voice embedding; no audio file begins so
FORMAT_OF_SUFFIX = {
    ".wav": "wav",
    ".flac": "flac",
    ".mp3": "mp3",
    ".opus": "opus",
    ".ogg": "opus",
    ".pcm": "pcm",
    ".ulaw": "ulaw",
}

AudioSource = str | Path | bytes  # a file's path, or its content
VoiceLike = Voice | str  # a voice, or its name


class Api(Protocol):
    """A kind of server: `ServerApi` or `RunPodApi`."""

    def job(self, job_input: Mapping[str, Any]) -> Flow[dict[str, Any]]: ...
    def stream(self, job_input: Mapping[str, Any]) -> StreamFlow[dict[str, Any]]: ...
    def download_voice(self, voice: Mapping[str, str]) -> Flow[bytes]: ...


class Calls:
    """Flows over one server."""

    def __init__(self, api: Api, downloads: Downloads, retries: Retries) -> None:
        self.api = api
        self._downloads, self._retries = downloads, retries

    def speak(self, job_input: Mapping[str, Any]) -> Flow[Speech]:
        output = yield from self.api.job(job_input)
        facts = {name: value for name, value in output.items() if name != "audio"}
        try:
            if "audio" in output:
                audio = audio_in(output)
            else:
                audio = yield from self._downloads.fetch(output["audio_url"], self._retries)
                check_format(audio, output["format"])
            return Speech.of(audio, facts)
        except (KeyError, TypeError) as error:
            raise UnexpectedAnswer(f"the answer is no speech ({type(error).__name__}: {error})") from error

    def voice(self, job_input: Mapping[str, Any]) -> Flow[Voice]:
        output = yield from self.api.job(job_input)
        try:
            return Voice.of(output)
        except (KeyError, TypeError) as error:
            raise UnexpectedAnswer(f"the answer is no voice ({type(error).__name__}: {error})") from error

    def page(self, job_input: Mapping[str, Any]) -> Flow[VoicePage]:
        output = yield from self.api.job(job_input)
        try:
            voices = tuple(Voice.of(voice) for voice in output["voices"])
            return VoicePage(voices, output["total"], output["next_page_token"])
        except (KeyError, TypeError) as error:
            raise UnexpectedAnswer(f"the answer is no list of voices ({type(error).__name__}: {error})") from error


def speak_job(
    text: str, voice: VoiceLike | None, voice_id: str | None, reference: AudioSource | None, options: Mapping[str, Any]
) -> dict[str, Any]:
    """The synthesize job of these arguments."""
    job_input: dict[str, Any] = {"type": "synthesize", "text": text, **options}
    if voice is not None or voice_id is not None:
        job_input |= chosen(voice, voice_id)
    if reference is not None:
        job_input["reference_audio"] = base64.b64encode(content_of(reference)).decode("ascii")
    return job_input


def register_job(name: str, audio: AudioSource, **fields: str | None) -> dict[str, Any]:
    """The register_voice job of a recording or a voice embedding."""
    content = content_of(audio)
    field = "voice_embedding" if content.startswith(GZIP_MAGIC) else "reference_audio"
    given = {key: value for key, value in fields.items() if value is not None}
    return {"type": "register_voice", "voice_name": name, field: base64.b64encode(content).decode("ascii"), **given}


def list_job(**fields: Any) -> dict[str, Any]:
    return {"type": "list_voices", **{name: value for name, value in fields.items() if value is not None}}


def chosen(voice: VoiceLike | None, voice_id: str | None = None) -> dict[str, str]:
    """The fields that choose a voice. Raises ValueError for both or neither."""
    if (voice is None) == (voice_id is None):
        raise ValueError("exactly one of voice and voice_id is needed")
    if voice_id is not None:
        return {"voice_id": voice_id}
    return {"voice_id": voice.voice_id} if isinstance(voice, Voice) else {"voice_name": str(voice)}


def content_of(source: AudioSource) -> bytes:
    return source if isinstance(source, bytes) else Path(source).read_bytes()


def with_format_of(path: str | Path, options: Mapping[str, Any]) -> dict[str, Any]:
    """options, with the format that the file's name says where they name none."""
    named = FORMAT_OF_SUFFIX.get(PurePath(path).suffix.lower())
    return {**({"format": named} if named else {}), **options}
