"""How well the checks find what is wrong with speech: `python -m benchmarks defects`.

A labelled set of eSpeak NG's speech with defects added (`defect_set`), judged as a job's segments are; precision and
recall of each flag over the whole set, what trimming would take from clean speech, and the seconds it takes. Where
installed, the same defects are added to the two recordings of a real speaker that s3tokenizer ships.
"""

from __future__ import annotations

import importlib.util
import json
import os
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile
import soxr

from benchmarks.defect_set import INJECTIONS, Item, defect_set, recorded_set
from synthesis import SAMPLE_RATE_HZ
from synthesis.engine import Take
from synthesis.quality import Checks, Judged
from synthesis.quality.joining import TAIL_S
from synthesis.text import Segment

RESULTS = Path(__file__).parent / "results"
SEED = 2026  # the limits were set on others
NUM_OF_EACH, NUM_OF_EACH_RECORDED = 40, 20
FLAGS_OF = {"burst": {"burst", "trailing_burst"}}  # of a defect, where they are not its name
RECORDINGS = {  # AISHELL-1, Mandarin, one speaker in a room; what is said by its transcript
    "BAC009S0764W0121.wav": "甚至出现交易几乎停滞的情况",
    "BAC009S0764W0122.wav": "一二线城市虽然也处于调整中",
}


@dataclass(frozen=True)
class Score:
    """Of one defect over a set."""

    defect: str
    found: int
    missed: int
    wrong: int

    @property
    def precision(self) -> float:
        return self.found / max(self.found + self.wrong, 1)

    @property
    def recall(self) -> float:
        return self.found / max(self.found + self.missed, 1)


def judge(items: Sequence[Item]) -> list[Judged]:
    checks = Checks()
    return [checks.judge(Take(item.samples, 0), Segment(item.text)) for item in items]


def scores(items: Sequence[Item], judged: Sequence[Judged]) -> list[Score]:
    found = []
    for defect in INJECTIONS:
        flags = FLAGS_OF.get(defect, {defect})
        pairs = Counter(
            (item.defect == defect, not flags.isdisjoint(each.flags)) for item, each in zip(items, judged, strict=True)
        )
        found.append(Score(defect, pairs[True, True], pairs[True, False], pairs[False, True]))
    return found


def trimmed_into_speech(items: Sequence[Item], judged: Sequence[Judged]) -> int:
    """Clean items of which trimming would take something that was said."""
    return sum(
        item.defect is None and each.ends_s + TAIL_S < item.spoken_s for item, each in zip(items, judged, strict=True)
    )


def recordings() -> list[Item]:
    """Clean ones; none where s3tokenizer is not installed."""
    package = importlib.util.find_spec("s3tokenizer")
    if package is None or package.origin is None:
        return []
    items = []
    for name, text in RECORDINGS.items():
        samples, rate_hz = soundfile.read(Path(package.origin).parent / "assets" / name, dtype="float32")
        samples = np.asarray(soxr.resample(samples, rate_hz, SAMPLE_RATE_HZ), np.float32)
        item = Item(text, samples, len(samples) / SAMPLE_RATE_HZ, None)
        items.append(replace(item, spoken_s=judge([item])[0].ends_s))
    return items


def main() -> None:
    items = defect_set(SEED, NUM_OF_EACH)
    judge(items[:20])  # imports
    start_s = time.process_time()
    judged = judge(items)
    cost_ms = (time.process_time() - start_s) * 1000 / sum(len(item.samples) / SAMPLE_RATE_HZ for item in items)
    clean = [each for item, each in zip(items, judged, strict=True) if item.defect is None]
    real = recordings()
    real_items = recorded_set(SEED, real, NUM_OF_EACH_RECORDED) if real else []
    real_scores = scores(real_items, judge(real_items))
    result = {
        "seed": SEED,
        "items": len(items),
        "clean": len(clean),
        "clean_flagged": sum(bool(each.flags) for each in clean),
        "clean_trimmed_into_speech": trimmed_into_speech(items, judged),
        "cost_ms_per_s_of_audio": round(cost_ms, 2),
        "threads": os.environ.get("OPENBLAS_NUM_THREADS", "all"),
        "defects": {each.defect: _numbers(each) for each in scores(items, judged)},
        "recorded": {
            "items": len(real_items),
            "clean_recordings": len(real),
            "clean_flagged": sum(bool(each.flags) for each in judge(real)),
            "defects": {each.defect: _numbers(each) for each in real_scores} if real else {},
        },
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "defects.json").write_text(json.dumps(result, indent=1) + "\n")
    table = _table(result)
    (RESULTS / "defects.md").write_text(table)
    print(table)
    print(json.dumps(result))


def _numbers(score: Score) -> dict[str, float]:
    return {
        "precision": round(score.precision, 3),
        "recall": round(score.recall, 3),
        "found": score.found,
        "missed": score.missed,
        "wrong": score.wrong,
    }


def _table(result: dict) -> str:
    recorded = result["recorded"]
    lines = [
        "# Defects found by the fast checks",
        "",
        "`OPENBLAS_NUM_THREADS=1 python -m benchmarks defects`",
        "",
        f"{result['items']} items of eSpeak NG's speech in many voices, {result['clean']} of them clean, seed "
        f"{result['seed']}; the limits were set on other seeds. Of the clean ones {result['clean_flagged']} have a "
        f"flag, {result['clean_trimmed_into_speech']} would be trimmed into speech. The checks take "
        f"{result['cost_ms_per_s_of_audio']} ms of one core for a second of audio.",
        "",
        f"Recorded: the same defects added to {recorded['clean_recordings']} recordings of one speaker in a room "
        f"(AISHELL-1, as s3tokenizer ships them), {recorded['items']} items; {recorded['clean_flagged']} of the "
        "recordings themselves have a flag. Nothing else here was recorded, and nothing was "
        "spoken by Chatterbox's real weights.",
        "",
        "| defect | precision | recall | missed | wrong | recorded: precision | recall |",
        "|---|---|---|---|---|---|---|",
    ]
    for defect, numbers in result["defects"].items():
        real = recorded["defects"].get(defect, {"precision": "–", "recall": "–"})
        lines.append(
            f"| {defect} | {numbers['precision']:.3f} | {numbers['recall']:.3f} | {numbers['missed']} | "
            f"{numbers['wrong']} | {real['precision']} | {real['recall']} |"
        )
    return "\n".join(lines) + "\n"
