"""The fast engine against upstream's package, on full-size random weights: start, tokens a second, speech, equality.

    python -m benchmarks engine        (BENCH_ENGINE_WEIGHTS=folder of weights, BENCH_ENGINE_STEPS=160 steps compared)

Needs no network. Runs on CUDA where there is a card, else on two CPU threads. Every measurement is a process of its own
(`engine_measure`), bounded in time; what runs out of it is left out and said so. Writes benchmarks/results/engine.md,
.png and .json; prints the table and, as its last line, the JSON.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import soundfile

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
WEIGHTS = Path(os.environ.get("BENCH_ENGINE_WEIGHTS", ROOT / ".cache/random-weights/full"))
NUM_COMPARED_STEPS = os.environ.get("BENCH_ENGINE_STEPS", "160")
NUM_START_TOKENS = os.environ.get("BENCH_ENGINE_START_TOKENS", "50")  # 2 s of audio
NUM_TIMED_STEPS = "8"
SPEECH_S = ("1", "4", "10")
ROUNDS = 2  # of cold starts, taking turns
LIMIT_S = 470  # of one measurement
Summary = dict[str, Any]

# name: what it is, target on two CPU threads
TARGETS = {
    "cold_start_ratio": ("process start to ready", "<= 0.15"),
    "first_audio_ratio": ("process start to first audio, known voice", "<= 0.45"),
    "known_voice_ratio": ("conditionals of a known voice", "<= 0.01"),
    "t3_ratio_b1": ("T3 tokens/s, batch 1", ">= 1.0"),
    "t3_ratio_b8": ("T3 tokens/s, batch 8", ">= 2.2"),
    "t3_ratio_b8_bf16": ("T3 tokens/s, batch 8, bf16", ">= 3.2"),
    "audio_max_diff": ("largest difference of a sample", "<= 1e-05"),
    "tokens_equal": ("the same tokens for every seed and set of parameters", "True"),
}


def main() -> None:
    _write_weights()
    starts = _starts()
    decoding = _measure("decoding", NUM_TIMED_STEPS)
    speaking = _measure("speaking", *SPEECH_S)
    equality = _measure("equality", NUM_COMPARED_STEPS)
    summary = {**_ratios(starts, decoding), **_only(speaking, "audio_max_diff"), **_only(equality, "tokens_equal")}
    measured = {"starts": starts, "decoding": decoding, "speaking": speaking, "equality": equality}
    _report(summary, measured)


def _write_weights() -> None:
    command = [sys.executable, ROOT / "builder/make_random_weights.py", "--to", WEIGHTS]
    WEIGHTS.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _starts() -> dict[str, list[Summary]]:
    """Cold starts of both, taking turns; upstream's first one leaves the voice that ours then knows."""
    starts: dict[str, list[Summary]] = {"upstream": [], "ours": []}
    with tempfile.TemporaryDirectory() as folder:
        voice = Path(folder) / "voice.safetensors"
        t = np.arange(10 * 24_000) / 24_000
        soundfile.write(
            voice.with_suffix(".wav"), 0.3 * np.sin(2 * np.pi * 140 * t) * np.sin(2 * np.pi * t) ** 2, 24_000
        )
        for _ in range(ROUNDS):
            for engine, runs in starts.items():
                runs.append(_measure(f"start_{engine}", NUM_START_TOKENS, str(voice)))
    return starts


def _measure(name: str, *arguments: str) -> Summary:
    """{} for a measurement that took too long."""
    command = [sys.executable, "-m", "benchmarks.engine_measure", name, str(WEIGHTS), *arguments]
    try:
        run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=LIMIT_S, check=True)
    except subprocess.TimeoutExpired:
        print(f"{name} took more than {LIMIT_S} s and is left out", file=sys.stderr)
        return {}
    except subprocess.CalledProcessError as error:
        sys.exit(f"{name} failed:\n{error.stderr}")
    print(f"{name}: {run.stdout.splitlines()[-1]}", file=sys.stderr)
    return dict(json.loads(run.stdout.splitlines()[-1]))


def _ratios(starts: dict[str, list[Summary]], decoding: Summary) -> Summary:
    ratios: Summary = {}
    names = {"ready_s": "cold_start_ratio", "first_audio_s": "first_audio_ratio", "known_voice_s": "known_voice_ratio"}
    for measured, name in names.items():
        ours, theirs = ([run[measured] for run in starts[engine] if run] for engine in ("ours", "upstream"))
        if ours and theirs:
            ratios[name] = round(median(ours) / median(theirs), 4)
    rates = decoding.get("tokens_per_s", {})
    for name, rate in (("t3_ratio_b1", "ours 1"), ("t3_ratio_b8", "ours 8"), ("t3_ratio_b8_bf16", "ours 8 bf16")):
        if rate in rates:
            ratios[name] = round(rates[rate] / rates["upstream"], 3)
    return ratios


def _only(measured: Summary, name: str) -> Summary:
    return {name: measured[name]} if name in measured else {}


def _met(value: Any, target: str) -> str:
    if " " not in target:
        return "yes" if str(value) == target else "NO"
    sign, limit = target.split()
    return "yes" if (value <= float(limit) if sign == "<=" else value >= float(limit)) else "NO"


def _report(summary: Summary, measured: Summary) -> None:
    result = {"benchmark": "engine", "machine": _machine(), **summary, "measured": measured}
    table = _table(summary, measured)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "engine.md").write_text(table, encoding="utf-8")
    (RESULTS / "engine.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    _chart(measured)
    print(table)
    print(json.dumps(result))


def _table(summary: Summary, measured: Summary) -> str:
    met = "".join(
        f"| `{name}` | {what} | {summary[name]:.3g} | {target} | {_met(summary[name], target)} |\n"
        if name in summary
        else f"| `{name}` | {what} | not measured | {target} | |\n"
        for name, (what, target) in TARGETS.items()
    )
    starts = "".join(
        f"| {engine} | {run['ready_s']:.2f} | {run['known_voice_s'] * 1e3:.2f} | {run['first_audio_s']:.2f} "
        f"| {run['peak_mb']:.0f} |\n"
        for engine, runs in measured["starts"].items()
        for run in runs
        if run
    )
    rates = "".join(
        f"| {name} | {rate:.1f} | {measured['decoding']['spread'][name]:.0%} |\n"
        for name, rate in measured["decoding"].get("tokens_per_s", {}).items()
    )
    speech = "".join(
        f"| {duration} | {each['upstream_s']:.2f} | {each['ours_s']:.2f} |\n"
        for duration, each in measured["speaking"].get("speech", {}).items()
    )
    compared = measured["equality"]
    equality = (
        f"{compared['num_compared']} comparisons of {compared['num_steps']} steps" if compared else "not measured"
    )
    machine = "\n".join(f"- {name}: {value}" for name, value in _machine().items())
    return f"""# The fast engine against upstream's package

`python -m benchmarks engine`: full-size random weights, both engines in turns. Ratios are ours to upstream's; seconds
are worth what the load of the machine lets them be.

| | | value | target | met |
|---|---|---|---|---|
{met}
Process start to ready and to the first audio ({NUM_START_TOKENS} tokens); upstream computes the voice, ours knows it:

| engine | ready, s | voice, ms | first audio, s | peak, MB |
|---|---|---|---|---|
{starts}
T3 ("ours 8": a batch of 8), tokens a second of all together, and (largest - smallest) / median of its steps:

| | tokens/s | spread |
|---|---|---|
{rates}
S3Gen and vocoder, 10 s of prompt:

| audio | upstream, s | ours, s |
|---|---|---|
{speech}
Tokens: {equality}.

{machine}

![chart](engine.png)
"""


def _machine() -> dict[str, str]:
    import torch

    cuda = torch.cuda.is_available()
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    return {
        "device": torch.cuda.get_device_name() if cuda else "no GPU was at hand: nothing here says anything about one",
        "processor": f"{model}, {os.cpu_count()} cores; two threads are used",
        "load of the machine, 1 and 15 min": "{0:.1f}, {2:.1f}".format(*os.getloadavg()),
        "versions": ", ".join(
            [f"Python {platform.python_version()}"]
            + [f"{name} {version(name)}" for name in ("torch", "transformers", "chatterbox-tts", "safetensors")]
        ),
    }


def _chart(measured: Summary) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    panels = {
        "Cold start, s": {
            f"{engine}\n{name.removesuffix('_s').replace('_', ' ')}": median(run[name] for run in runs if run)
            for name in ("ready_s", "first_audio_s")
            for engine, runs in measured["starts"].items()
            if any(runs)
        },
        "T3, tokens/s": measured["decoding"].get("tokens_per_s", {}),
    }
    figure, axes = plt.subplots(1, len(panels), figsize=(11, 4), layout="constrained")
    for axis, (title, bars) in zip(axes, panels.items(), strict=True):
        colors = ["#999999" if name.startswith("upstream") else "#2a6fbb" for name in bars]
        drawn = axis.bar([name.replace(" ", "\n", 1) for name in bars], bars.values(), color=colors)
        axis.bar_label(drawn, fmt="%.3g", fontsize=8)
        axis.set_title(title)
        axis.tick_params(axis="x", labelsize=7)
    figure.savefig(RESULTS / "engine.png", dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main()
