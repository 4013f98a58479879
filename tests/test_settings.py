"""The environment, read once."""

from __future__ import annotations

from pathlib import Path

import pytest

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
    }
    assert Settings.from_environment(environment) == Settings(
        Path("/voices"), "chatterbox", "base", Path("/models"), "cpu", Path("/hf"), True
    )


def test_an_empty_variable_counts_as_unset() -> None:
    assert Settings.from_environment({"ENGINE": "", "MODEL_DIR": "", "RUNPOD_POD_ID": ""}) == Settings()


@pytest.mark.parametrize("variable", ["ENGINE", "MODEL", "DEVICE"])
def test_an_unknown_value_is_refused_with_the_allowed_ones(variable: str) -> None:
    with pytest.raises(SettingsError, match=f"{variable} is 'nonsense'; allowed are .+; correct it"):
        Settings.from_environment({variable: "nonsense"})
