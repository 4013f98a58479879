"""Tokens with a meaning of their own (chatterbox `t3_config.py:T3Config`). Imports no torch."""

from __future__ import annotations

START_TEXT_TOKEN, STOP_TEXT_TOKEN = 255, 0

# Speech tokens below the start stand for sound; what lies above only steers T3, and S3Gen has no embedding for it.
START_SPEECH_TOKEN, STOP_SPEECH_TOKEN = 6561, 6562
