"""When speech that does not end by itself is ended: by the length of its text, or because it is caught in a loop.

Knows speech tokens as numbers; imports no torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from synthesis.chatterbox_segments import SPEECH_TOKENS_PER_S
from synthesis.engine import REPETITION, SILENCE
from synthesis.speaking_rate import duration_bounds_s

MIN_CAP_S = 3.0  # a word alone, with what is before and after it
_SLACK = 1.3  # times the most that saying the text can take

LOOK_EVERY = SPEECH_TOKENS_PER_S  # tokens between two looks for a loop
_MIN_LOOP_TOKENS = 2 * SPEECH_TOKENS_PER_S  # 2 s of the same: longer than a pause inside a segment, or a held vowel
_MIN_ROUNDS = 3
_MAX_PERIOD = 3 * SPEECH_TOKENS_PER_S
_HELD_PERIOD = 2  # one sound, or two in turn: silence, a hum, a held vowel


@dataclass(frozen=True)
class Loop:
    """flag: what it is called. num_kept: tokens up to the end of its first round."""

    flag: str
    num_kept: int


def token_cap(text: str, most: int) -> int:
    """How many speech tokens the text may take, at most `most`."""
    seconds = max(MIN_CAP_S, duration_bounds_s(text)[1] * _SLACK)
    return min(most, math.ceil(seconds * SPEECH_TOKENS_PER_S))


def loop_at_end(tokens: Sequence[int]) -> Loop | None:
    """The loop that the tokens end in: the same over and over, at least three times and for two seconds (AAA, ABABAB,
    ABCABCABC)."""
    recent = np.asarray(tokens[-max(_MIN_ROUNDS * _MAX_PERIOD, _MIN_LOOP_TOKENS) :])
    for period in range(1, len(recent) // _MIN_ROUNDS + 1):
        differs = np.flatnonzero(recent[period:] != recent[:-period])
        repeated = len(recent) - period - (int(differs[-1]) + 1 if len(differs) else 0)
        if repeated >= (_MIN_ROUNDS - 1) * period and repeated + period >= _MIN_LOOP_TOKENS:
            return Loop(SILENCE if period <= _HELD_PERIOD else REPETITION, len(tokens) - repeated)
    return None


def first_loop(tokens: Sequence[int]) -> Loop | None:
    """The loop that a decoder looking every LOOK_EVERY tokens would have stopped at."""
    looks = range(LOOK_EVERY, len(tokens) + 1, LOOK_EVERY)
    return next((loop for end in looks if (loop := loop_at_end(tokens[:end]))), None)
