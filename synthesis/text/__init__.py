"""Text made ready to speak: written out in words, and cut into segments that an engine can say in one go.

Knows nothing of engines or audio; imports no torch. `plan` is the front door.
"""

from synthesis.text.pauses import (
    MAX_PAUSE_S,
    MAX_TOTAL_PAUSES_S,
    PARAGRAPH_PAUSE_S,
    SENTENCE_PAUSE_S,
    pause_after_s,
)
from synthesis.text.pronunciation import (
    MAX_PRONUNCIATION_ENTRIES,
    MAX_PRONUNCIATION_KEY_CHARS,
    MAX_PRONUNCIATION_VALUE_CHARS,
    check_pronunciation,
)
from synthesis.text.segments import MAX_SPOKEN_CHARS, Segment, normalised_text, plan
from synthesis.text.splitting import MIN_SEGMENT_CHARS, split_text

__all__ = [
    "MAX_PAUSE_S",
    "MAX_PRONUNCIATION_ENTRIES",
    "MAX_PRONUNCIATION_KEY_CHARS",
    "MAX_PRONUNCIATION_VALUE_CHARS",
    "MAX_SPOKEN_CHARS",
    "MAX_TOTAL_PAUSES_S",
    "MIN_SEGMENT_CHARS",
    "PARAGRAPH_PAUSE_S",
    "SENTENCE_PAUSE_S",
    "Segment",
    "check_pronunciation",
    "normalised_text",
    "pause_after_s",
    "plan",
    "split_text",
]
