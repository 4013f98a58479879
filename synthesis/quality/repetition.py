"""Whether a take says the same again and again: a model caught in a loop.

Similarity of the sound with itself some time later, at every lag a loop may have; the melody may differ. What the text
itself repeats is no loop.
"""

from __future__ import annotations

import re

import numpy as np

from synthesis.quality.analysis import SPECTRUM_HOP_S, Analysis, Array
from synthesis.quality.endings import threshold_db

MAX_SIMILARITY = 0.79  # mean cosine over a loop
MIN_LOOP_S, MAX_LOOP_S = 0.3, 8.0  # from a word to a sentence
_COARSE_FROM_S = 2.4  # longer loops are looked for at every other lag
_SHARE = 0.9  # of a loop that has to be similar
_MIN_MATCH_S = 0.5  # shorter stretches are alike by chance: syllables with the same vowel
_MIN_SOUND = 0.7  # of a match that is not silence
_NUM_COEFFICIENTS = 14
_SMOOTHED = 3  # frames: 60 ms of difference in timing do not matter
_RANGE_DB = 60.0
_MAX_WORDS, _MAX_BETWEEN = 24, 2  # a sentence; and the words that may stand between
_MIN_LETTERS = 6  # of what is said again after others: not "of the edge of the map"


def self_similarity(analysis: Analysis, end_s: float) -> float:
    """How like itself the take is, one loop later, over a whole loop; the most of all lags, -1 to 1."""
    last = round(end_s / SPECTRUM_HOP_S)
    audible = analysis.spectrum_levels_db[:last] > threshold_db(analysis)
    features = _features(analysis)[:last] * audible[:, None]
    most = 0.0
    shortest, coarse, longest = (round(s / SPECTRUM_HOP_S) for s in (MIN_LOOP_S, _COARSE_FROM_S, MAX_LOOP_S))
    for lag in (*range(shortest, coarse), *range(coarse, longest + 1, 2)):
        width = round(max(lag * _SHARE, _MIN_MATCH_S / SPECTRUM_HOP_S))
        if len(features) - lag < width:
            break
        likeness = np.einsum("ij,ij->i", features[:-lag], features[lag:])
        both = (audible[:-lag] & audible[lag:]).astype(np.float32)
        counts = np.maximum(_sums(both, width), _MIN_SOUND * width)
        most = max(most, float((_sums(likeness, width) / counts).max()))
    return most


def repeats_itself(text: str) -> bool:
    """Whether the text says a word, or some of them, twice in a row: no, no; another and another."""
    words = re.findall(r"\w+|[*#%&+=@~^|/]", text.lower())  # signs have names that are said
    return any(
        words[start : start + length] == words[start + length + between : start + 2 * length + between]
        and (between == 0 or len("".join(words[start : start + length])) >= _MIN_LETTERS)
        for length in range(1, _MAX_WORDS + 1)
        for between in range(_MAX_BETWEEN + 1)
        for start in range(len(words) - 2 * length - between + 1)
    )


def _sums(values: Array, width: int) -> Array:
    """Of every stretch of width values."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    return np.asarray(sums[width:] - sums[:-width], np.float32)


def _features(analysis: Analysis) -> Array:
    """(frames, coefficients) of length 1: the shape of the spectrum (a mel cepstrum), without its level, centred."""
    bands_db = np.maximum(analysis.bands_db, analysis.bands_db.max(initial=-120.0) - _RANGE_DB)
    angles = np.pi * (np.arange(bands_db.shape[1]) + 0.5) / bands_db.shape[1]
    cosines = np.cos(np.outer(angles, np.arange(_NUM_COEFFICIENTS))).astype(np.float32)
    cepstra = bands_db @ cosines
    padded = np.pad(cepstra, ((1, _SMOOTHED - 1), (0, 0)), mode="edge")
    sums = np.cumsum(padded, axis=0, dtype=np.float64)
    smooth = sums[_SMOOTHED:] - sums[:-_SMOOTHED]
    centred = (smooth - smooth.mean(axis=0)) / np.maximum(smooth.std(axis=0), 1e-6)
    return np.asarray(centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-6), np.float32)
