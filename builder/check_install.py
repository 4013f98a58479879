"""Check that an installed requirement set really works: its packages import, and the watermarker is a real one.

    python builder/check_install.py light|worker|full|numpy1

Exits 1 with one line a fault. A package that is installed but does not import is the field's commonest complaint; perth
without pkg_resources even imports, and only then sets its watermarker to None.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import sys
import warnings

NUMPY1 = ["numpy", "soundfile", "librosa"]
LIGHT = [*NUMPY1, "soxr", "pyloudnorm", "pydantic", "boto3", "runpod", "espeakng_loader", "tqdm"]
LIGHT += ["fastapi", "uvicorn", "python_multipart", "prometheus_client"]  # the HTTP server
WORKER = [
    *LIGHT,
    "torch",
    "torchaudio",
    "safetensors",
    "huggingface_hub",
    "perth",
    "chatterbox.tts",
    "chatterbox.mtl_tts",
    "av",
]
FULL = [*WORKER, "pytest", "hypothesis", "moto.server", "matplotlib", "psutil", "openai", "schemathesis", "playwright"]
FULL += ["ray.data", "pyarrow.parquet", "celery", "redis"]
MODULES = {"numpy1": NUMPY1, "light": LIGHT, "worker": WORKER, "full": FULL}


def import_faults(modules: list[str]) -> list[str]:
    faults = []
    for name in modules:
        try:
            importlib.import_module(name)
        except Exception as error:  # noqa: BLE001 - whatever an import raises is the fault we report
            faults.append(f"{name} does not import: {type(error).__name__}: {error}")
    return faults


def watermark_faults() -> list[str]:
    """The watermark must survive a round trip: one second of noise in, marked audio out, the mark found again."""
    import numpy as np
    import perth

    if perth.PerthImplicitWatermarker is None:
        return ["perth has no watermarker (PerthImplicitWatermarker is None): setuptools<81 must be installed"]
    with contextlib.redirect_stdout(io.StringIO()):  # it announces itself
        watermarker = perth.PerthImplicitWatermarker()
    noise = np.random.default_rng(0).normal(0, 0.1, 24_000).astype(np.float32)
    marked = watermarker.apply_watermark(noise, sample_rate=24_000)
    found = [float(np.mean(watermarker.get_watermark(audio, sample_rate=24_000))) for audio in (noise, marked)]
    return [] if found[1] > 0.5 > found[0] else [f"perth does not find its own mark: {found} without and with it"]


def main(set_name: str) -> int:
    warnings.simplefilter("ignore")  # deprecations inside packages are not the installer's news
    faults = import_faults(MODULES[set_name])
    if not faults and "perth" in MODULES[set_name]:
        faults = watermark_faults()
    for fault in faults:
        print(f"setup: {fault}", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
