"""Which engine speaks on this machine: ENGINE=auto|chatterbox|espeak of the contract, and upstream.

Knows where engines come from and what makes one unavailable, nothing of what they do. Nothing of an engine is imported
before it is chosen.
"""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path
from typing import Literal

from synthesis.engine import Engine
from synthesis.errors import EngineUnavailable, WeightsNotFound

# "chatterbox" is this repository's own implementation of the models, "upstream" the package that the base model comes
# in: to compare with, and to fall back on. Their samples are the same on the CPU.
EngineName = Literal["auto", "chatterbox", "upstream", "espeak"]

logger = logging.getLogger(__name__)

_CHATTERBOX_PACKAGES = ("chatterbox", "torch")


def load_engine(
    engine: EngineName,
    *,
    model: str = "base",
    device: str | None = None,
    model_dir: Path | None = None,
    hf_home: Path | None = None,
    on_runpod: bool = False,
) -> Engine:
    """The engine, ready to speak.

    auto is chatterbox where it is installed and its weights are there or can be fetched, else espeak with one warning;
    on a RunPod worker it is chatterbox or the error. device None takes the best there is; model, device, model_dir and
    hf_home are chatterbox's. Raises EngineUnavailable, WeightsNotFound, or InvalidOption for an unknown model.
    """
    if engine == "espeak":
        return _load_espeak()
    try:
        return _load_chatterbox(model, device, model_dir, hf_home, upstream=engine == "upstream")
    except (EngineUnavailable, WeightsNotFound) as error:
        if engine != "auto" or on_runpod:
            raise
        logger.warning("eSpeak NG speaks instead of chatterbox (ENGINE=auto): %s", error)
        return _load_espeak()


def _load_espeak() -> Engine:
    from synthesis.espeak import EspeakEngine

    return EspeakEngine()


def _load_chatterbox(
    model: str, device: str | None, model_dir: Path | None, hf_home: Path | None, *, upstream: bool
) -> Engine:
    missing = [package for package in _CHATTERBOX_PACKAGES if importlib.util.find_spec(package) is None]
    if missing:
        raise EngineUnavailable(f"{' and '.join(missing)} not installed; run make setup-full, or set ENGINE=espeak")
    if upstream and model != "base":
        raise EngineUnavailable(
            f"ENGINE=upstream has no {model} model; allowed is MODEL=base; set ENGINE=chatterbox, which has all of them"
        )
    directory = _weights_directory(model, model_dir, hf_home)
    if upstream:
        from synthesis.chatterbox import ChatterboxEngine

        return ChatterboxEngine.load(directory, device=device, model=model)
    from synthesis.native.loading import load_native_engine

    return load_native_engine(directory, model=model, device=device)


def _weights_directory(model: str, model_dir: Path | None, hf_home: Path | None) -> Path:
    """Where the weights lie, fetched if they lie nowhere yet."""
    from synthesis import weights

    try:
        return weights.find_weights(model, model_dir=model_dir, hf_home=hf_home).directory
    except WeightsNotFound:
        from synthesis import weights_hub

        wanted = weights.repository(model)
        if not weights_hub.fetchable(wanted):
            raise
        folder = weights.download_folder(wanted, hf_home or weights.default_hf_home())
        weights_hub.fetch(wanted, folder)
        return folder
