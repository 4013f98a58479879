"""Where speech ends: its last sound, noise and bursts after it, an end that was cut.

Knows nothing of words: a hallucinated word after the text is speech here (its length or `asr` tells).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthesis.engine import SAMPLE_RATE_HZ
from synthesis.quality.analysis import FRAME_S, HOP_S, SPECTRUM_HOP_S, Analysis

AUDIBLE_DB = 40.0  # below the speech: what is quieter is its echo
MAX_UNVOICED_END_S = 0.35  # the longest "s" or "sh" that ends a sentence, drawn out
MAX_BURST_S = 0.065  # peers' measure of an artefact's length
MIN_BURST_GAP_S = 0.16  # of quiet before it: the closure of a "t" or "k" at a word's end is shorter
_BURST_GAP_AFTER_S = 0.08
_BURST_DB = 14.0  # above its surroundings
_AUDIBLE_BURST_DB = 26.0  # below the speech
_FLOOR_MARGIN_DB, _LEAST_RANGE_DB = 8.0, 22.0  # above the quietest moments, but this far below the speech at least
_VOICED = 0.6
_VOICED_DB = 25.0  # below the speech: quieter voiced frames are the hum of a room
_LOUD_DB = 5.0  # below the speech: creaky and gliding vowels are less periodic, but louder than any noise after them
_CUT_S = 0.01  # peers' measure
_CUT_DB = 20.0  # below the speech: no sound fades this little before it ends


@dataclass(frozen=True)
class Ending:
    """Seconds from the start. sound_s: the end of the last sound of any kind; speech_s: of the last that may be speech.
    tail_noise: there is noise after it. bursts: (start, end) of each."""

    speech_s: float
    sound_s: float
    tail_noise: bool
    bursts: tuple[tuple[float, float], ...]
    cut_off: bool


def ending(analysis: Analysis) -> Ending:
    """Of a take with sound in it."""
    audible = _audible(analysis)
    bursts = _bursts(analysis)
    for start, end in bursts:
        audible[max(0, start - 1) : end + 1] = False
    sound_s = _end_s(audible)
    voiced_s = _last_voiced_s(analysis)
    limit_s = voiced_s + MAX_UNVOICED_END_S
    after = audible[round(limit_s / HOP_S) :]
    tail_noise = bool(after.sum() * HOP_S > 0.1)
    return Ending(
        speech_s=_end_of_words_s(audible, voiced_s) if tail_noise else sound_s,
        sound_s=max([sound_s, *(end * HOP_S for _, end in bursts)]),
        tail_noise=tail_noise,
        bursts=tuple((start * HOP_S, end * HOP_S) for start, end in bursts),
        cut_off=_is_cut(analysis),
    )


def _audible(analysis: Analysis) -> NDArray[np.bool_]:
    """(frames of levels,)"""
    return analysis.levels_db > threshold_db(analysis)


def threshold_db(analysis: Analysis) -> float:
    """Between silence, be it the noise of a room, and sound, dBFS."""
    return max(
        analysis.speech_db - AUDIBLE_DB, min(analysis.floor_db + _FLOOR_MARGIN_DB, analysis.speech_db - _LEAST_RANGE_DB)
    )


def runs(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(n, 2): first and one past the last index of every run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    return edges.reshape(-1, 2)


def _bursts(analysis: Analysis) -> list[tuple[int, int]]:
    """Short sounds that stand alone, as (first, one past the last) frame of levels."""
    levels = analysis.levels_db
    gap, after = round(MIN_BURST_GAP_S / HOP_S), round(_BURST_GAP_AFTER_S / HOP_S)
    found = []
    for first, last in runs(levels > max(threshold_db(analysis), analysis.speech_db - _AUDIBLE_BURST_DB)):
        if (last - first) * HOP_S > MAX_BURST_S + 0.03 or first < gap or _is_voiced(analysis, first, last):
            continue
        peak = levels[first:last].max()
        lead, trail = levels[max(0, first - gap) : first - 1], levels[last + 1 : last + after]
        if lead.max() < peak - _BURST_DB and (not len(trail) or trail.max() < peak - _BURST_DB):
            found.append((int(first), int(last)))
    return found


def _is_voiced(analysis: Analysis, first: int, last: int) -> bool:
    spectra = slice(round(first * HOP_S / SPECTRUM_HOP_S), round(last * HOP_S / SPECTRUM_HOP_S) + 1)
    return bool(analysis.voicing[spectra].max(initial=0.0) > _VOICED)


def _end_s(mask: NDArray[np.bool_]) -> float:
    last = np.flatnonzero(mask)
    return float(last[-1] * HOP_S + FRAME_S) if len(last) else 0.0


def _last_voiced_s(analysis: Analysis) -> float:
    voicing, levels_below = analysis.voicing, analysis.speech_db - analysis.spectrum_levels_db
    voiced = ((voicing > _VOICED) & (levels_below < _VOICED_DB)) | (levels_below < _LOUD_DB)
    steady = voiced & (np.roll(voiced, 1) | np.roll(voiced, -1))  # one frame is chance
    last = np.flatnonzero(steady)
    return float(last[-1] * SPECTRUM_HOP_S) if len(last) else 0.0


def _end_of_words_s(audible: NDArray[np.bool_], voiced_s: float) -> float:
    """Where what follows the last voiced sound goes over into noise: at the first gap, else after the longest sound."""
    first = round(voiced_s / HOP_S)
    limit = first + round(MAX_UNVOICED_END_S / HOP_S)
    gaps = np.flatnonzero(~audible[first:limit])
    return float((first + gaps[0]) * HOP_S) if len(gaps) else float(limit * HOP_S)


def _is_cut(analysis: Analysis) -> bool:
    last = analysis.above_rumble[-round(_CUT_S * SAMPLE_RATE_HZ) :]
    level_db = 10 * np.log10(max(float(np.mean(np.square(last))), 1e-12))
    return bool(level_db > max(analysis.speech_db - _CUT_DB, threshold_db(analysis)))
