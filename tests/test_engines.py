"""Which engine ENGINE=auto|chatterbox|upstream|espeak takes, on machines that lack one thing or another."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any, get_args

import pytest

import synthesis
from synthesis import load_engine
from synthesis.engines import EngineName
from synthesis.errors import EngineUnavailable

ROOT = Path(__file__).parent.parent


def test_the_package_exports_what_the_worker_needs_and_no_more() -> None:
    assert set(synthesis.__all__) == {
        "FORMATS",
        "SAMPLE_RATE_HZ",
        "Conditionals",
        "Engine",
        "ReferenceAudio",
        "Samples",
        "SavedConditionals",
        "SynthesisError",
        "SynthesisOptions",
        "encode",
        "load_engine",
        "normalise",
        "output_sample_rate_hz",
    }


def load_elsewhere(home: Path, engine: str, *, on_runpod: bool = False, missing: str = "") -> dict[str, Any]:
    """`load_engine` in a process without weights, without a network, and without the package `missing`."""
    code = f"""
        import json, logging, sys
        from pathlib import Path
        if {missing!r}:
            sys.modules[{missing!r}] = None  # to Python, a package that is not installed
        warnings = []
        class Handler(logging.Handler):
            def emit(self, record):
                warnings.append(record.getMessage())
        logging.getLogger().addHandler(Handler(level=logging.WARNING))
        from synthesis import SynthesisError, load_engine
        try:
            result = load_engine({engine!r}, hf_home=Path({str(home)!r}), on_runpod={on_runpod}).name
        except SynthesisError as error:
            result = f"{{type(error).__name__}}: {{error}}"
        print(json.dumps({{"result": result, "warnings": warnings, "torch": "torch" in sys.modules}}))
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_ENDPOINT": "http://127.0.0.1:9", "HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def test_espeak_is_espeak_and_loads_no_torch(tmp_path: Path) -> None:
    assert load_elsewhere(tmp_path, "espeak") == {"result": "espeak", "warnings": [], "torch": False}


@pytest.mark.parametrize("missing", ["", "chatterbox", "torch"])
def test_auto_falls_back_with_one_warning_that_says_why(tmp_path: Path, missing: str) -> None:
    answer = load_elsewhere(tmp_path, "auto", missing=missing)
    assert answer["result"] == "espeak"
    [warning] = answer["warnings"]
    assert warning.startswith("eSpeak NG speaks instead of chatterbox (ENGINE=auto): ")
    assert (f"{missing} not installed" if missing else "no complete weights of model base") in warning


@pytest.mark.parametrize(("engine", "on_runpod"), [("chatterbox", False), ("chatterbox", True), ("auto", True)])
@pytest.mark.parametrize(("missing", "error"), [("", "WeightsNotFound"), ("chatterbox", "EngineUnavailable")])
def test_chatterbox_or_the_error_where_nothing_else_will_do(
    tmp_path: Path, engine: str, on_runpod: bool, missing: str, error: str
) -> None:
    answer = load_elsewhere(tmp_path, engine, on_runpod=on_runpod, missing=missing)
    assert answer["result"].startswith(f"{error}: ")
    assert answer["warnings"] == []


@pytest.mark.parametrize("engine", ["auto", "chatterbox"])
def test_chatterbox_is_our_own_code_where_its_weights_are(engine: EngineName) -> None:
    from random_chatterbox import weights_folder

    loaded = load_engine(engine, model_dir=weights_folder(), device="cpu")
    assert (type(loaded).__name__, loaded.name, loaded.model, loaded.device) == (
        "NativeEngine", "chatterbox", "base", "cpu",
    )  # fmt: skip
    loaded.close()  # type: ignore[attr-defined]


def test_upstream_is_the_package() -> None:
    from random_chatterbox import expect_few_layers, weights_folder

    expect_few_layers()
    engine = load_engine("upstream", model_dir=weights_folder(), device="cpu")
    assert (type(engine).__name__, engine.name, engine.model) == ("ChatterboxEngine", "chatterbox", "base")


def test_upstreams_package_is_behind_the_interface_for_the_base_model_alone() -> None:
    with pytest.raises(EngineUnavailable, match="has no turbo model; allowed is MODEL=base; set ENGINE=chatterbox"):
        load_engine("upstream", model="turbo")


def test_every_model_of_the_package_can_be_chosen() -> None:
    from synthesis.chatterbox_models import CHATTERBOX_MODELS
    from worker.settings import ModelName, Settings

    assert set(get_args(ModelName)) == CHATTERBOX_MODELS.keys()
    assert Settings.from_environment({"MODEL": "Turbo"}).model == "turbo"


def test_model_chooses_what_our_engine_loads() -> None:
    from random_chatterbox import weights_folder

    engine = load_engine("chatterbox", model="turbo", model_dir=weights_folder("turbo"), device="cpu")
    assert (type(engine).__name__, engine.name, engine.model) == ("NativeEngine", "chatterbox", "turbo")
    assert engine.default_options == {"top_p": 0.95}
    engine.close()  # type: ignore[attr-defined]
