"""The fast engine against upstream's package, on full-size random weights: start, tokens a second, speech, equality.

    python -m benchmarks engine        (BENCH_ENGINE_WEIGHTS=folder of weights, BENCH_ENGINE_STEPS=160 steps compared,
                                        BENCH_ENGINE_WITHIN_S=450 seconds that one run may take)

Needs no network. Runs on CUDA where there is a card, else on two CPU threads. Every measurement is a process of its own
(`engine_measure`), bounded in time; what runs out of it is left out and said so. What was measured is kept as it comes
in .cache/engine-benchmark.json: started again, the command goes on where it was stopped, as it must where a run may
take only so long (exit status 75: run it again). Writes benchmarks/results/engine.md, .png and .json (`engine_report`),
and prints, as its last line, the JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np
import soundfile

from benchmarks import engine_report
from benchmarks.engine_parts import STARTED_AT
from benchmarks.engine_report import Summary

ROOT = Path(__file__).parents[1]
WEIGHTS = Path(os.environ.get("BENCH_ENGINE_WEIGHTS", ROOT / ".cache/random-weights/full"))
SMALL_WEIGHTS = WEIGHTS.with_name(f"{WEIGHTS.name}-2-layers")  # 600 calls with all of them take hours on a CPU
KEPT = ROOT / ".cache/engine-benchmark.json"
NUM_COMPARED_STEPS = os.environ.get("BENCH_ENGINE_STEPS", "160")
SEEDS = ("1", "2", "3")
CLIP_TOKENS = "150"  # 6 s of speech, of which random weights leave a fifth silent
NUM_TIMED_STEPS = "8"
SPEECH_S = ("1", "4", "10")
ROUNDS = 2  # of cold starts, taking turns
NUM_CALLS = "500"
LIMIT_S = 470  # of one measurement
WITHIN_S = float(os.environ.get("BENCH_ENGINE_WITHIN_S", "inf"))
RUN_AGAIN = 75  # exit status, as sysexits.h has it for what may work later
ENDURANCE_ON_CPU_LIMIT_S = 1500


def main() -> None:
    kept = _Kept(KEPT)
    on_cuda = _has_cuda()
    _write_weights(WEIGHTS)
    _write_weights(SMALL_WEIGHTS, "--num-layers", "2")
    voice = KEPT.with_name("engine-benchmark-voice.safetensors")
    _write_recording(voice.with_suffix(".wav"))
    starts: dict[str, list[Summary]] = {"upstream": [], "ours": []}
    for turn in range(ROUNDS):
        for engine, runs in starts.items():  # upstream's first one leaves the voice that ours then knows
            is_known = engine == "upstream" or voice.exists()  # not where upstream ran out of time
            runs.append(kept.measure(f"start_{engine}", CLIP_TOKENS, str(voice), turn=turn) if is_known else {})
    measured = {
        "starts": starts,
        "clip": kept.measure("clip", CLIP_TOKENS, str(voice)),
        "decoding": kept.measure("decoding", NUM_TIMED_STEPS),
        "speaking": kept.measure("speaking", *SPEECH_S),
        "equality": [kept.measure("equality", NUM_COMPARED_STEPS, seed) for seed in SEEDS],
        "graphs": kept.measure("graphs", NUM_COMPARED_STEPS) if on_cuda else {},
        "throughput": kept.measure(
            "throughput", *((CLIP_TOKENS, "1", "4", "16", "32", "64") if on_cuda else ("50", "1", "4"))
        ),
        "endurance": kept.measure(
            "endurance",
            NUM_CALLS,
            weights=WEIGHTS if on_cuda else SMALL_WEIGHTS,
            limit_s=LIMIT_S if on_cuda else ENDURANCE_ON_CPU_LIMIT_S,
        ),
        "limits": kept.measure("limits", *SPEECH_S),
    }
    engine_report.write(_summary(measured), measured, on_cuda)
    KEPT.unlink()


class _Kept:
    """Measurements by name and arguments; those of an earlier run that did not reach its end are not repeated."""

    def __init__(self, file: Path) -> None:
        self._file, self._until, self._is_first = file, time.monotonic() + WITHIN_S, True
        self._results: dict[str, Summary] = json.loads(file.read_text()) if file.exists() else {}

    def measure(
        self, name: str, *arguments: str, weights: Path = WEIGHTS, turn: int = 0, limit_s: float = LIMIT_S
    ) -> Summary:
        """{} for a measurement that took too long. Exits where this run has no time left for it."""
        key = " ".join((name, *arguments, str(turn)))
        if key not in self._results:
            left_s = max(1.0, self._until - time.monotonic())
            result = _measure(name, weights, arguments, min(limit_s, left_s))
            if not result and left_s < limit_s and not self._is_first:
                print(f"the {WITHIN_S:g} s of this run are over; run it again to go on", file=sys.stderr)
                sys.exit(RUN_AGAIN)
            self._results[key], self._is_first = result, False
            self._file.write_text(json.dumps(self._results))
        return self._results[key]


def _measure(name: str, weights: Path, arguments: tuple[str, ...], limit_s: float) -> Summary:
    command = [sys.executable, "-m", "benchmarks.engine_measure", name, str(weights), *arguments]
    environment = {**os.environ, STARTED_AT: str(time.monotonic())}
    try:
        run = subprocess.run(
            command, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=limit_s, check=True
        )
    except subprocess.TimeoutExpired:
        print(f"{name} took more than {limit_s:.0f} s", file=sys.stderr)
        return {}
    except subprocess.CalledProcessError as error:
        sys.exit(f"{name} failed:\n{error.stderr}")
    print(f"{name}: {run.stdout.splitlines()[-1]}", file=sys.stderr)
    return dict(json.loads(run.stdout.splitlines()[-1]))


def _has_cuda() -> bool:
    code = "import torch; print(torch.cuda.is_available())"
    return "True" in subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def _write_weights(folder: Path, *arguments: str) -> None:
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, ROOT / "builder/make_random_weights.py", "--to", folder, *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _write_recording(path: Path) -> None:
    t = np.arange(10 * 24_000) / 24_000
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * 140 * t) * np.sin(2 * np.pi * t) ** 2, 24_000)


def _summary(measured: Summary) -> Summary:
    """The figures that have targets, of what could be measured."""
    summary: Summary = {}
    names = {"ready_s": "cold_start_ratio", "first_audio_s": "first_audio_ratio", "known_voice_s": "known_voice_ratio"}
    for name, ratio in names.items():
        ours, theirs = ([run[name] for run in measured["starts"][engine] if run] for engine in ("ours", "upstream"))
        if ours and theirs:
            summary[ratio] = round(median(ours) / median(theirs), 4)
    rates = measured["decoding"].get("tokens_per_s", {})
    for name, rate in (("t3_ratio_b1", "ours 1"), ("t3_ratio_b8", "ours 8"), ("t3_ratio_b8_bf16", "ours 8 bf16")):
        if rate in rates:
            summary[name] = round(rates[rate] / rates["upstream"], 3)
    if measured["speaking"]:
        summary["audio_max_diff"] = measured["speaking"]["audio_max_diff"]
    if all(measured["equality"]):
        summary["tokens_equal"] = all(each["tokens_equal"] for each in measured["equality"])
    if measured["graphs"]:
        summary |= measured["graphs"]
        callers = measured["throughput"].get("callers", {})
        summary["t3_tokens_per_s_b1"] = rates.get("ours 1 bf16")
        summary["clip_s"], summary["ttfa_s"] = measured["clip"].get("clip_s"), measured["clip"].get("ttfa_s")
        summary["real_time_at_32"] = callers.get("32", {}).get("audio_s_per_s")
    for name in ("memory_growth", "rtf_growth"):
        if measured["endurance"]:
            summary[name] = round(measured["endurance"][name], 4)
    return summary


if __name__ == "__main__":
    main()
