"""What the worker says of itself: engine, device, versions, voices, and what its start cost."""

from __future__ import annotations

import platform
import time
from importlib import metadata
from typing import Any

from synthesis import Engine
from voice_library import VoiceLibrary
from worker.settings import Settings

PACKAGES = ("runpod", "chatterbox-tts", "torch", "numpy", "soundfile", "librosa", "boto3", "espeakng-loader")


class Startup:
    """What it cost to become ready, and whether anything was spoken yet."""

    def __init__(self) -> None:
        self._created_s = time.perf_counter()
        self.load_s = 0.0  # loading the engine
        self.warm_up_s = 0.0  # its first utterance, which no caller waited for
        self.ready_s: float | None = None  # worker made → engine loaded
        self._spoken = False

    def engine_loaded(self, load_s: float) -> None:
        self.load_s = load_s
        self.ready_s = time.perf_counter() - self._created_s

    def first_utterance(self) -> bool:
        """True once: this utterance paid for a cold start."""
        cold, self._spoken = not self._spoken, True
        return cold


def health(settings: Settings, engine: Engine, library: VoiceLibrary, startup: Startup) -> dict[str, Any]:
    return {
        "status": "ready",
        "engine": engine.name,
        "model": engine.model,
        "device": engine.device,
        "voices": library.count(),
        "storage": "s3" if settings.bucket else "local",
        "versions": {"python": platform.python_version(), **_installed_versions()},
        "startup": {
            "load_s": round(startup.load_s, 3),
            "warm_up_s": round(startup.warm_up_s, 3),
            "ready_s": startup.ready_s and round(startup.ready_s, 3),
        },
        "max_concurrency": settings.max_concurrency,
        "on_runpod": settings.on_runpod,
    }


def _installed_versions() -> dict[str, str]:
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions
