"""The results page of the fast engine's benchmark: what was measured, as tables, a chart and JSON."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.engine_limits import Limits

RESULTS = Path(__file__).parent / "results"
Summary = dict[str, Any]

# name: what it is, target on two CPU threads
TARGETS = {
    "cold_start_ratio": ("process start to ready", "<= 0.15"),
    "first_audio_ratio": (
        "ready to first audio, known voice: a stream's first chunk to a whole clip of 6 s",
        "<= 0.45",
    ),
    "known_voice_ratio": ("conditionals of a known voice", "<= 0.01"),
    "t3_ratio_b1": ("T3 tokens/s, batch 1", ">= 1.0"),
    "t3_ratio_b8": ("T3 tokens/s, batch 8", ">= 2.2"),
    "t3_ratio_b8_bf16": ("T3 tokens/s, batch 8, bf16", ">= 3.2"),
    "audio_max_diff": ("largest difference of a sample", "<= 1e-05"),
    "tokens_equal": ("the same tokens for every seed and set of parameters", "True"),
    "graphs_equal": ("captured steps give what eager ones give; needs a GPU", "True"),
    "memory_growth": ("resident memory, calls 451-500 to calls 1-50 after warm-up, 50 voices", "<= 0.05"),
    "rtf_growth": ("real-time factor of the same calls", "<= 0.05"),
}
TARGETS_OF_AN_H200 = {
    "t3_tokens_per_s_b1": ("T3 in bf16, batch 1", ">= 1000"),
    "clip_s": ("a clip of 150 tokens in one piece, s", "<= 0.25"),
    "ttfa_s": ("first chunk of a stream, s", "<= 0.1"),
    "real_time_at_32": ("seconds of audio a second, 32 callers", ">= 300"),
}


def write(summary: Summary, measured: Summary, on_cuda: bool) -> None:
    """benchmarks/results/engine.md, .json, .png; prints the page and, as the last line, the JSON."""
    result = {"benchmark": "engine", "machine": _machine(on_cuda), **summary, "measured": measured}
    page = _page(summary, measured, on_cuda)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "engine.md").write_text(page, encoding="utf-8")
    (RESULTS / "engine.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    _chart(measured)
    print(page)
    print(json.dumps(result))


def _met(value: Any, target: str) -> str:
    if " " not in target:
        return "yes" if str(value) == target else "NO"
    sign, limit = target.split()
    return "yes" if (value <= float(limit) if sign == "<=" else value >= float(limit)) else "NO"


def _shown(value: Any) -> str:
    return str(value) if isinstance(value, bool) else f"{value:.3g}"


def _rows(rows: Iterable[Iterable[Any]]) -> str:
    return "\n".join(f"| {' | '.join(str(cell) for cell in row)} |" for row in rows)


def _page(summary: Summary, measured: Summary, on_cuda: bool) -> str:
    targets = _rows(
        (f"`{name}`", what, _shown(summary[name]), target, _met(summary[name], target))
        if summary.get(name) is not None
        else (f"`{name}`", what, "not measured", target, "")
        for name, (what, target) in (TARGETS | (TARGETS_OF_AN_H200 if on_cuda else {})).items()
    )
    starts = _rows(
        (engine, f"{run['ready_s']:.2f}", f"{run['known_voice_s'] * 1e3:.2f}", f"{run['first_audio_s']:.2f}",
         f"{run['peak_mb']:.0f}" + (f" + {run['peak_gpu_mb']:.0f} of the GPU" if "peak_gpu_mb" in run else ""))
        for engine, runs in measured["starts"].items() for run in runs if run
    )  # fmt: skip
    limits = Limits(measured["limits"], on_cuda) if measured["limits"] else None
    decoding = _rows(
        (name, f"{rate:.1f}", f"{measured['decoding']['spread'][name]:.0%}", _t3_share(name, rate, limits))
        for name, rate in measured["decoding"].get("tokens_per_s", {}).items()
    )
    speech = _rows(
        (duration, f"{each['upstream_s']:.2f}", f"{each['ours_s']:.2f}",
         _share(limits and limits.s3gen_s(float(duration.split()[0])), each["ours_s"]))
        for duration, each in measured["speaking"].get("speech", {}).items()
    )  # fmt: skip
    callers = _rows(
        (number, f"{each['audio_s_per_s']:.3f}", f"{each['median_wait_s']:.1f}", f"{each['longest_wait_s']:.1f}",
         _share(limits and limits.clips_s(int(number), each["audio_s"]), each["wall_s"]))
        for number, each in measured["throughput"].get("callers", {}).items()
    )  # fmt: skip
    return f"""# The fast engine against upstream's package

`python -m benchmarks engine`: full-size random weights, both engines in turns. Ratios are ours to upstream's; seconds
are worth what the load of the machine lets them be.

| | | value | target | met |
|---|---|---|---|---|
{targets}

From process start to ready, and from there to the first audio of a text of 6 s (upstream computes the voice and is
heard when all is spoken; ours knows the voice and streams):

| engine | ready, s | voice, ms | first audio, s | peak, MB |
|---|---|---|---|---|
{starts}

{_clip(measured, limits)}

{_limits(limits)}

T3 ("ours 8": a batch of 8), tokens a second of all together, and (largest - smallest) / median of its steps:

| | tokens/s | spread | share of the limit |
|---|---|---|---|
{decoding}

S3Gen and vocoder, 10 s of prompt:

| audio | upstream, s | ours, s | ours: share of the limit |
|---|---|---|---|
{speech}

Several callers at once, a short clip each, voice known:

| callers | seconds of audio a second | median wait, s | longest wait, s | share of the limit |
|---|---|---|---|---|
{callers}

{_equality(measured)}

{_endurance(measured)}

{_rows_of_machine(on_cuda)}

![chart](engine.png)
"""


def _clip(measured: Summary, limits: Limits | None) -> str:
    clip, upstream = measured["clip"], [run for run in measured["starts"]["upstream"] if run]
    if not clip or not upstream:
        return "A whole clip: not measured."
    shares = [
        _of_the_limit(limits and limits.clips_s(1, clip["audio_s"]), clip["clip_s"]),
        _of_the_limit(limits and limits.first_chunk_s(), clip["ttfa_s"]),
    ]
    return (
        f"Warm, a clip of {clip['audio_s']:.1f} s: ours {clip['clip_s']:.1f} s in one piece{shares[0]}, "
        f"{clip['stream_s']:.1f} s as a stream of {clip['num_chunks']} chunks, the first after {clip['ttfa_s']:.1f} s"
        f"{shares[1]}; upstream {median(run['clip_s'] for run in upstream):.1f} s. A new voice: ours "
        f"{clip['new_voice_s']:.2f} s (reading its networks included), upstream "
        f"{median(run['new_voice_s'] for run in upstream):.2f} s."
    )


def _limits(limits: Limits | None) -> str:
    if not limits:
        return "What this machine could do at most: not measured."
    return (
        f"The limit is what this machine could do if it wasted nothing (`engine_limits.py`): measured here, it reads "
        f"{limits.read_bytes_per_s / 1e9:.0f} GB/s and multiplies {limits.flops_per_s / 1e9:.0f} Gflop/s; a second of "
        f"audio takes S3Gen {limits.s3gen_flops(1) / 1e12:.2f} Tflop."
    )


def _share(least_s: float | None, measured_s: float) -> str:
    return f"{least_s / measured_s:.0%}" if least_s else ""


def _of_the_limit(least_s: float | None, measured_s: float) -> str:
    return f" ({_share(least_s, measured_s)} of the limit)" if least_s else ""


def _t3_share(name: str, tokens_per_s: float, limits: Limits | None) -> str:
    """name: as in "ours 8 bf16"."""
    batch = int(name.split()[1]) if " " in name else 1
    return _share(limits and limits.t3_step_s(batch, "bf16" in name), batch / tokens_per_s)


def _equality(measured: Summary) -> str:
    if not all(measured["equality"]):
        return "Tokens: not measured."
    compared = sum(each["num_compared"] for each in measured["equality"])
    equal = all(each["tokens_equal"] for each in measured["equality"])
    steps = measured["equality"][0]["num_steps"]
    return (
        f"Tokens: {compared} comparisons with upstream, of {steps} steps each: {'all equal' if equal else 'NOT equal'}."
    )


def _endurance(measured: Summary) -> str:
    each = measured["endurance"]
    if not each:
        return "Endurance: not measured."
    return (
        f"Endurance: {each['num_calls']} calls over {each['num_voices']} voices in one process, after 50 to warm up. "
        f"First and last 50: {each['memory_mb']['first']:.0f} and {each['memory_mb']['last']:.0f} MB resident, "
        f"real-time factor {each['rtf']['first']:.2f} and {each['rtf']['last']:.2f}. On a CPU with two layers of T3 "
        "and two steps of flow matching, as what is looked for is growth."
    )


def _machine(on_cuda: bool) -> dict[str, str]:
    import torch

    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    return {
        "device": torch.cuda.get_device_name()
        if on_cuda
        else "no GPU was at hand: nothing here says anything about one; "
        "with a card, `python -m benchmarks engine` does all of this on it (in runs of under 8 minutes: "
        "BENCH_ENGINE_WITHIN_S=450, until it exits 0)",
        "processor": f"{model}, {os.cpu_count()} cores; two threads are used",
        "load of the machine, 1 and 15 min": "{0:.1f}, {2:.1f}".format(*os.getloadavg()),
        "versions": ", ".join(
            [f"Python {platform.python_version()}"]
            + [f"{name} {version(name)}" for name in ("torch", "transformers", "chatterbox-tts", "safetensors")]
        ),
    }


def _rows_of_machine(on_cuda: bool) -> str:
    return "\n".join(f"- {name}: {value}" for name, value in _machine(on_cuda).items())


def _chart(measured: Summary) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    panels = {
        "From start, s": {
            f"{engine}\n{name.removesuffix('_s').replace('_', ' ')}": median(run[name] for run in runs if run)
            for name in ("ready_s", "first_audio_s")
            for engine, runs in measured["starts"].items()
            if any(runs)
        },
        "T3, tokens/s": measured["decoding"].get("tokens_per_s", {}),
        "S3Gen, s": {
            f"{engine}\n{duration}": each[f"{engine}_s"]
            for duration, each in measured["speaking"].get("speech", {}).items()
            for engine in ("upstream", "ours")
        },
    }
    figure, axes = plt.subplots(1, len(panels), figsize=(13, 4), layout="constrained")
    for axis, (title, bars) in zip(axes, panels.items(), strict=True):
        colors = ["#999999" if name.startswith("upstream") else "#2a6fbb" for name in bars]
        drawn = axis.bar([name.replace(" ", "\n", 1) for name in bars], bars.values(), color=colors)
        axis.bar_label(drawn, fmt="%.3g", fontsize=8)
        axis.set_title(title)
        axis.tick_params(axis="x", labelsize=7)
    figure.savefig(RESULTS / "engine.png", dpi=120)
    plt.close(figure)
