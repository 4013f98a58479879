"""The environment, read once."""

from __future__ import annotations

from pathlib import Path

import pytest

from voice_library import BucketSettings
from voice_library.errors import StorageUnavailable
from worker.settings import Settings, SettingsError


def test_an_empty_environment_has_sound_defaults() -> None:
    assert Settings.from_environment({}) == Settings()


def test_every_variable_is_read() -> None:
    environment = {
        "VOICE_EMBEDDINGS_DIR": "/voices",
        "ENGINE": "Chatterbox",
        "MODEL": "base",
        "MODEL_DIR": "/models",
        "DEVICE": "cpu",
        "HF_HOME": "/hf",
        "RUNPOD_POD_ID": "w1",
        "BUCKET_ENDPOINT_URL": "https://s3.example.org",
        "BUCKET_NAME": "voices",
        "BUCKET_ACCESS_KEY_ID": "key",
        "BUCKET_SECRET_ACCESS_KEY": "secret",
        "BUCKET_PREFIX": "team/voices",
        "MAX_CONCURRENCY": "8",
        "MAX_INLINE_BYTES": "1000000",
        "ASR_MODEL": "/asr",
    }
    bucket = BucketSettings("https://s3.example.org", "voices", "key", "secret", "team/voices")
    assert Settings.from_environment(environment) == Settings(
        Path("/voices"), "chatterbox", "base", Path("/models"), "cpu", Path("/hf"), True, bucket, 8, 1_000_000, "/asr"
    )


def test_half_a_bucket_is_refused_without_showing_the_key() -> None:
    with pytest.raises(StorageUnavailable, match="BUCKET_NAME") as caught:
        Settings.from_environment({"BUCKET_ACCESS_KEY_ID": "AKIA-SECRET"})
    assert "AKIA" not in str(caught.value)


def test_settings_never_show_the_key() -> None:
    bucket = BucketSettings("https://s3.example.org", "voices", "AKIA-SECRET", "hush")
    assert "SECRET" not in repr(Settings(bucket=bucket))
    assert "hush" not in repr(Settings(bucket=bucket))


def test_an_empty_variable_counts_as_unset() -> None:
    assert Settings.from_environment({"ENGINE": "", "MODEL_DIR": "", "RUNPOD_POD_ID": ""}) == Settings()


@pytest.mark.parametrize("variable", ["ENGINE", "MODEL", "DEVICE"])
def test_an_unknown_value_is_refused_with_the_allowed_ones(variable: str) -> None:
    with pytest.raises(SettingsError, match=f"{variable} is 'nonsense'; allowed are .+; correct it"):
        Settings.from_environment({variable: "nonsense"})


@pytest.mark.parametrize(
    ("variable", "value"), [("MAX_CONCURRENCY", "0"), ("MAX_CONCURRENCY", "many"), ("MAX_INLINE_BYTES", "-1")]
)
def test_a_number_that_cannot_be_used_is_refused(variable: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"{variable} is '{value}'; allowed is 1 to"):
        Settings.from_environment({variable: value})
