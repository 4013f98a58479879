"""One take, judged: what is wrong with it, how good it is, where its speech begins and ends.

Knows nothing of engines, retries or what is made of the take afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from synthesis.engine import CUT_OFF, REPETITION, SILENCE, Samples, Take
from synthesis.quality.analysis import HOP_S, Analysis
from synthesis.quality.defects import (
    MAX_FLATNESS,
    MAX_HUM_DB,
    MAX_SILENCE_S,
    MAX_STEP_DB,
    flatness,
    hum_db,
    longest_silence_s,
    loudness_step_db,
)
from synthesis.quality.endings import Ending, ending, threshold_db
from synthesis.quality.hearing import Heard
from synthesis.quality.repetition import MAX_SIMILARITY, repeats_itself, self_similarity
from synthesis.speaking_rate import duration_bounds_s
from synthesis.text import Segment

MIN_VOICE_SIMILARITY = (
    0.5  # a cosine; two clips of one speaker have 0.7 and more, of two about half (not measured here)
)
MIN_VOICE_S = 1.6  # one window of the voice encoder
MAX_WORD_ERRORS = 0.2  # of the words asked; names and homophones are heard wrongly by any recogniser

# What a flag costs of the score, 1 for a faultless take.
COST = {
    "empty": 1.0,
    CUT_OFF: 0.5,
    REPETITION: 0.5,
    "words": 0.4,
    "duration": 0.4,
    "voice": 0.3,
    SILENCE: 0.3,
    "loudness_step": 0.2,
    "clipping": 0.2,
    "burst": 0.2,
    "tail_noise": 0.15,
    "hum": 0.1,
}
# Mended by trimming, or of the voice itself, so that another seed would not help.
NOT_WORTH_A_RETRY = frozenset({"tail_noise", "trailing_burst", "hum"})
COST["trailing_burst"] = 0.05


@dataclass(frozen=True)
class Judged:
    """A take and what was found of it. starts_s, ends_s: its speech in the take. heard: the words, where they were
    listened for."""

    take: Take
    flags: tuple[str, ...]
    score: float | None  # 0 to 1; None: not judged
    starts_s: float
    ends_s: float
    heard: Heard | None = None

    @property
    def fails(self) -> bool:
        """Whether it is worth saying again."""
        return not NOT_WORTH_A_RETRY.issuperset(self.flags)


@dataclass(frozen=True)
class Checks:
    """What takes are judged by, besides their sound. similarity: to the voice asked for, or None where it cannot be
    told. listen: the words of a take, against those of its segment."""

    similarity: Callable[[Samples], float | None] | None = None
    listen: Callable[[Samples, str], Heard] | None = None

    def judge(self, take: Take, segment: Segment) -> Judged:
        analysis = Analysis(take.samples)
        if not len(take.samples) or analysis.speech_db < _NOTHING_DB:
            return Judged(take, ("empty",), 0.0, 0.0, 0.0)
        end = ending(analysis)
        flags = [*take.flags, *_found(analysis, end, segment.text)]
        if self.similarity is not None and end.speech_s >= MIN_VOICE_S:
            similarity = self.similarity(take.samples)
            if similarity is not None and similarity < MIN_VOICE_SIMILARITY:
                flags.append("voice")
        heard = self.listen(take.samples, segment.text) if self.listen is not None else None
        if heard is not None and heard.errors > MAX_WORD_ERRORS:
            flags.append("words")
        flags = list(dict.fromkeys(flags))
        score = 1.0 if heard is None else 1.0 - min(heard.errors, 1.0) / 2
        for flag in flags:
            score *= 1 - COST[flag]
        return Judged(take, tuple(flags), round(score, 3), _start_s(analysis), end.speech_s, heard)


def unjudged(take: Take) -> Judged:
    """As the engine said it, whole."""
    flags = take.flags if len(take.samples) else (*take.flags, "empty")
    return Judged(take, flags, None, 0.0, Analysis(take.samples).duration_s)


_NOTHING_DB = -70.0  # the absolute gate of BS.1770


def _found(analysis: Analysis, end: Ending, text: str) -> list[str]:
    """The flags that are told from sound."""
    at_least, at_most = duration_bounds_s(text)
    inner = [burst for burst in end.bursts if burst[0] < end.speech_s]
    found = {
        CUT_OFF: end.cut_off,
        "tail_noise": end.tail_noise,
        "burst": bool(inner),
        "trailing_burst": len(inner) < len(end.bursts),
        SILENCE: longest_silence_s(analysis, end.speech_s) > MAX_SILENCE_S,
        REPETITION: not repeats_itself(text) and self_similarity(analysis, end.speech_s) > MAX_SIMILARITY,
        "loudness_step": loudness_step_db(analysis, end.speech_s) > MAX_STEP_DB,
        "clipping": flatness(analysis.samples) > MAX_FLATNESS,
        "hum": hum_db(analysis) > MAX_HUM_DB,
        "duration": not at_least <= end.speech_s <= at_most,
    }
    return [flag for flag, is_there in found.items() if is_there]


def _start_s(analysis: Analysis) -> float:
    audible = (analysis.levels_db > threshold_db(analysis)).nonzero()[0]
    return float(audible[0] * HOP_S) if len(audible) else 0.0
