"""Speech that is checked before it is heard: takes judged, said again where they fail, and joined.

`checks` judges one take, by what `analysis` measured of it, with `endings`, `defects`, `repetition`
and, where it was asked for, `hearing`. `retries` says a segment until it is good. `joining` makes one utterance.
"""

from synthesis.quality.checks import Checks, Judged, unjudged
from synthesis.quality.hearing import FasterWhisper, Heard, Recogniser, Word, compare
from synthesis.quality.joining import Joiner, Spoken
from synthesis.quality.retries import DEFAULT_MAX_RETRIES, MAX_RETRIES, Chosen, best_takes

__all__ = [
    "DEFAULT_MAX_RETRIES",
    "MAX_RETRIES",
    "Checks",
    "Chosen",
    "FasterWhisper",
    "Heard",
    "Joiner",
    "Judged",
    "Recogniser",
    "Spoken",
    "Word",
    "best_takes",
    "compare",
    "unjudged",
]
