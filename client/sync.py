"""The client for code that waits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from client import player as players
from client.calls import (
    Api,
    AudioSource,
    Calls,
    VoiceLike,
    chosen,
    list_job,
    register_job,
    speak_job,
    with_format_of,
)
from client.download import Downloads
from client.retries import Retries
from client.runpod import RunPodApi
from client.server import ServerApi
from client.steps import pieces, run
from client.values import Speech, Voice, VoicePage, replacing

DEFAULT_URL = "http://127.0.0.1:8000"
TIMEOUT_S = 600.0  # for an answer; a long text takes minutes
CONNECT_TIMEOUT_S = 10.0


class VoiceClient:
    """Speaks by a server or a RunPod endpoint. Safe for several threads; close it, or use it as a context manager."""

    def __init__(
        self,
        url: str = DEFAULT_URL,
        api_key: str | None = None,
        *,
        timeout_s: float = TIMEOUT_S,
        retries: Retries | None = None,
        downloads: Downloads | None = None,
        api: Api | None = None,
    ) -> None:
        """url: of our HTTP server. api: another kind of server, in place of url and api_key."""
        retries = retries or Retries()
        self._http = httpx.Client(timeout=httpx.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S))
        self._calls = Calls(api or ServerApi(url, api_key, retries), downloads or Downloads(), retries)
        self.voices = Voices(self._calls, self._http)

    @classmethod
    def runpod(cls, endpoint: str, api_key: str | None, *, retries: Retries | None = None, **more: Any) -> VoiceClient:
        """A client of a RunPod endpoint, by its id or its address."""
        return cls(api=RunPodApi(endpoint, api_key, retries or Retries()), retries=retries, **more)

    def __enter__(self) -> VoiceClient:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _tb: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def speak(
        self,
        text: str,
        *,
        voice: VoiceLike | None = None,
        voice_id: str | None = None,
        reference_audio: AudioSource | None = None,
        **options: Any,
    ) -> Speech:
        """The whole utterance. voice: a Voice or a name; options: other fields of a synthesize job (format, seed, …).

        Raises VoiceClientError; so do all methods.
        """
        job_input = speak_job(text, voice, voice_id, reference_audio, options)
        return run(self._calls.speak(job_input), self._http)

    def speak_to_file(self, text: str, path: str | Path, **arguments: Any) -> Speech:
        """`speak`, saved; the file's suffix says the format."""
        speech = self.speak(text, **with_format_of(path, arguments))
        speech.save(path)
        return speech

    def stream(
        self,
        text: str,
        *,
        voice: VoiceLike | None = None,
        voice_id: str | None = None,
        reference_audio: AudioSource | None = None,
        **options: Any,
    ) -> Iterator[bytes]:
        """Pieces of one audio file, each as soon as it is spoken. Whoever stops early closes the iterator."""
        job_input = speak_job(text, voice, voice_id, reference_audio, options)
        return pieces(self._calls.api.stream(job_input), self._http)

    def stream_to_file(self, text: str, path: str | Path, **arguments: Any) -> int:
        """`stream` into a file, which appears when it is whole; its bytes."""
        size = 0
        with replacing(Path(path)) as file:
            for piece in self.stream(text, **with_format_of(path, arguments)):
                size += file.write(piece)
        return size

    def play(self, text: str, *, player: Sequence[str] | None = None, **arguments: Any) -> None:
        """`stream` into a program that plays it; None takes one that is installed."""
        players.play(self.stream(text, **arguments), player)

    def job(self, job_input: dict[str, Any]) -> dict[str, Any]:
        """Any job of the contract, and its output."""
        return run(self._calls.api.job(job_input), self._http)

    def health(self) -> dict[str, Any]:
        return self.job({"type": "health"})


class Voices:
    """The server's voices. voice: a Voice or a name; or voice_id."""

    def __init__(self, calls: Calls, http: httpx.Client) -> None:
        self._calls, self._http = calls, http

    def register(
        self,
        name: str,
        audio: AudioSource,
        *,
        gender: str | None = None,
        description: str | None = None,
        on_conflict: str | None = None,
    ) -> Voice:
        """audio: a recording, or a .pkl.gz made elsewhere. on_conflict: error or replace."""
        job_input = register_job(name, audio, gender=gender, description=description, on_conflict=on_conflict)
        return run(self._calls.voice(job_input), self._http)

    def list(
        self,
        *,
        page_size: int | None = None,
        page_token: str | None = None,
        gender: str | None = None,
        name_prefix: str | None = None,
    ) -> VoicePage:
        job_input = list_job(page_size=page_size, page_token=page_token, gender=gender, name_prefix=name_prefix)
        return run(self._calls.page(job_input), self._http)

    def all(self, *, gender: str | None = None, name_prefix: str | None = None) -> Iterator[Voice]:
        """Every voice, a page at a time."""
        token = None
        while True:
            page = self.list(page_token=token, gender=gender, name_prefix=name_prefix)
            yield from page.voices
            token = page.next_page_token
            if token is None:
                return

    def get(self, voice: VoiceLike | None = None, *, voice_id: str | None = None) -> Voice:
        return run(self._calls.voice({"type": "get_voice", **chosen(voice, voice_id)}), self._http)

    def rename(self, voice: VoiceLike | None = None, *, new_name: str, voice_id: str | None = None) -> Voice:
        job_input = {"type": "rename_voice", **chosen(voice, voice_id), "new_name": new_name}
        return run(self._calls.voice(job_input), self._http)

    def delete(self, voice: VoiceLike | None = None, *, voice_id: str | None = None) -> Voice:
        """For good; what it was."""
        return run(self._calls.voice({"type": "delete_voice", **chosen(voice, voice_id)}), self._http)

    def download(self, path: str | Path, voice: VoiceLike | None = None, *, voice_id: str | None = None) -> Path:
        """The voice's .pkl.gz, to register elsewhere."""
        content = run(self._calls.api.download_voice(chosen(voice, voice_id)), self._http)
        with replacing(Path(path)) as file:
            file.write(content)
        return Path(path)
