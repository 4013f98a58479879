"""Text and a voice to audio.

An engine (`engine`) speaks; `engines` chooses which one. Around it: `options` of an utterance, `text` cut into
segments, `levels` and `audio_formats` of what goes out, `errors` that all of them raise.
"""

from synthesis.audio_formats import FORMATS, encode, output_sample_rate_hz
from synthesis.engine import SAMPLE_RATE_HZ, Conditionals, Engine, ReferenceAudio, Samples, SavedConditionals
from synthesis.engines import load_engine
from synthesis.errors import SynthesisError
from synthesis.levels import normalise
from synthesis.options import SynthesisOptions

__all__ = [
    "FORMATS",
    "SAMPLE_RATE_HZ",
    "Conditionals",
    "Engine",
    "ReferenceAudio",
    "Samples",
    "SavedConditionals",
    "SynthesisError",
    "SynthesisOptions",
    "encode",
    "load_engine",
    "normalise",
    "output_sample_rate_hz",
]
