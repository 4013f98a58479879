"""The environment, read once at start into one frozen value that is passed down.

Nothing else in the project reads os.environ. Names are the contract's; everything has a sound default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast, get_args

from voice_library import BucketSettings

EngineName = Literal["auto", "chatterbox", "upstream", "espeak"]
ModelName = Literal["base", "turbo", "multilingual"]
DeviceName = Literal["cuda", "mps", "cpu"]

MAX_MAX_CONCURRENCY = 256


class SettingsError(ValueError):
    """An environment variable that cannot be used: names it, what is allowed, and what to do."""


@dataclass(frozen=True)
class Settings:
    """How this worker runs."""

    embeddings_dir: Path = Path("voice_embeddings")  # the tree of voices
    engine: EngineName = "auto"
    model: ModelName = "base"
    model_dir: Path | None = None  # weights; None looks in the usual places
    device: DeviceName | None = None  # None takes the best there is
    hf_home: Path | None = None  # the Hugging Face cache; None is its own default
    on_runpod: bool = False  # a serverless worker never falls back to another engine
    bucket: BucketSettings | None = None  # has the voices and long answers; None keeps voices in the tree alone
    max_concurrency: int = (
        3  # jobs held at once: hides the SDK's pause of up to 1 s between jobs; one decodes at a time
    )
    max_inline_bytes: int | None = None  # of an answer's audio in base64; None is RunPod's cap for the request
    asr_model: str = "small"  # of faster-whisper, for quality 'asr': a size, or a folder with weights

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Settings from the contract's variables; an empty variable counts as unset.

        Raises SettingsError, or StorageUnavailable for what is wrong with the bucket's.
        """

        def path(variable: str) -> Path | None:
            return Path(environment[variable]).expanduser() if environment.get(variable) else None

        return cls(
            embeddings_dir=path("VOICE_EMBEDDINGS_DIR") or cls.embeddings_dir,
            engine=cast(EngineName, _one_of(environment, "ENGINE", get_args(EngineName), cls.engine)),
            model=cast(ModelName, _one_of(environment, "MODEL", get_args(ModelName), cls.model)),
            model_dir=path("MODEL_DIR"),
            device=cast("DeviceName | None", _one_of(environment, "DEVICE", get_args(DeviceName), None)),
            hf_home=path("HF_HOME"),
            on_runpod=bool(environment.get("RUNPOD_POD_ID")),
            bucket=BucketSettings.from_environment(environment),
            max_concurrency=_whole_number(environment, "MAX_CONCURRENCY", MAX_MAX_CONCURRENCY) or cls.max_concurrency,
            asr_model=environment.get("ASR_MODEL") or cls.asr_model,
            max_inline_bytes=_whole_number(environment, "MAX_INLINE_BYTES", 10**9),
        )


def _one_of(environment: Mapping[str, str], variable: str, allowed: tuple[str, ...], default: str | None) -> str | None:
    value = environment.get(variable, "").strip().lower()
    if not value:
        return default
    if value not in allowed:
        raise SettingsError(f"{variable} is {value!r}; allowed are {', '.join(allowed)}; correct it or unset it")
    return value


def _whole_number(environment: Mapping[str, str], variable: str, most: int) -> int | None:
    value = environment.get(variable, "").strip()
    if not value:
        return None
    if not value.isdecimal() or not 1 <= int(value) <= most:
        raise SettingsError(f"{variable} is {value!r}; allowed is 1 to {most:,}; correct it or unset it")
    return int(value)
