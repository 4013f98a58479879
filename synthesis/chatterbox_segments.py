"""How much text Chatterbox can say in one go, and text cut to that size. Knows nothing of models; imports no torch."""

from __future__ import annotations

from collections.abc import Sequence

from synthesis.text import Segment, pause_after_s, split_text

SPEECH_TOKENS_PER_S = 25  # chatterbox `s3tokenizer.py:S3_TOKEN_RATE`
MAX_SPEECH_TOKENS = 1000  # of one segment: upstream's own limit (chatterbox `tts.py:generate`), 40 s of speech

# A segment must be said in that time also by a slow speaker. Slow is 100 words a minute, a third below the 150 to 160
# that audio books are read at (Williams, "Guidelines for the Use of Multimedia in Instruction", 1998); an English word
# has 4.79 letters (Norvig, "English Letter Frequency Counts: Mayzner Revisited", 2013) and a space.
_SLOW_CHARS_PER_S = 100 / 60 * (4.79 + 1)
MAX_SEGMENT_CHARS = int(MAX_SPEECH_TOKENS / SPEECH_TOKENS_PER_S * _SLOW_CHARS_PER_S)

# "Seven" for "7": the digits' names have 4 letters on average, and a space more than the digit. Only what a usual
# speaker, 1.5 times as quick as the slow one, could not say in time is cut again for it.
_CHARS_OF_A_DIGIT = 4
_SLACK = 1.5

# In these scripts a character is a syllable or, Japanese kanji, about two. Mandarin has 5.18 of them a second
# (Pellegrino, Coupé, Marsico, "Across-Language Perspective on Speech Information Rate", 2011); slow is a third below.
_SYLLABIC_LANGUAGES = ("ja", "ko", "zh")
_SLOW_SYLLABLES_PER_S = 5.18 * 2 / 3


def max_segment_chars(language: str, max_chars: int = MAX_SEGMENT_CHARS) -> int:
    """As many characters of the language as are said in the time max_chars characters of an alphabet take."""
    if language not in _SYLLABIC_LANGUAGES:
        return max_chars
    return max(1, int(max_chars / _SLOW_CHARS_PER_S * _SLOW_SYLLABLES_PER_S))


def cut_text(text: str, max_chars: int) -> list[str]:
    """text as segments that are said in the time max_chars characters of prose take: `split_text`, but for segments
    full of digits, which are cut again as if every digit were written out."""
    segments = []
    for segment in split_text(text, max_chars):
        spoken_chars = len(segment) + _CHARS_OF_A_DIGIT * sum(character.isdigit() for character in segment)
        dense = spoken_chars > max_chars * _SLACK
        segments += split_text(segment, len(segment) * max_chars // spoken_chars) if dense else [segment]
    return segments


def cut_segments(planned: Sequence[Segment], max_chars: int) -> list[Segment]:
    """planned, with those cut again that `cut_text` cuts; the last piece of each keeps its pause."""
    segments = []
    for segment in planned:
        *pieces, last = cut_text(segment.text, max_chars)
        segments += [*(Segment(piece, pause_after_s(piece)) for piece in pieces), Segment(last, segment.pause_after_s)]
    return segments
