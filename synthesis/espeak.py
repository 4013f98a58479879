"""The embedded engine: eSpeak NG in a voice whose pitch and gender follow the reference audio.

Real, intelligible speech without weights, network or torch, for laptops, CI and dry runs; it does not sound like the
reference. It honours `language`, `exaggeration` (how far the pitch moves) and `seed` (of the breath noise, barely
audible); the sampling options mean nothing to a formant synthesizer and are ignored. The library itself is known only
to `espeak_library`.
"""

from __future__ import annotations

import contextlib
import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np

from synthesis import espeak_library
from synthesis.engine import (
    SAMPLE_RATE_HZ,
    Conditionals,
    Engine,
    ReferenceAudio,
    Samples,
    SavedConditionals,
    Take,
    never,
)
from synthesis.errors import Cancelled, EngineUnavailable, InvalidOption, SynthesisError, UnusableReference
from synthesis.espeak_library import Utterance
from synthesis.options import SynthesisOptions
from synthesis.pitch import MAX_F0_HZ, MIN_F0_HZ, median_f0_hz
from synthesis.text import Segment, plan

Gender = Literal["female", "male"]

MAX_SEGMENT_CHARS = 300  # about 20 s of speech; long enough for a sentence's melody, short enough to stream
REVISION = "1"  # of EspeakVoice: raise it when a reference would give other conditionals

# Mean F0 of men and women, Hillenbrand et al., "Acoustic characteristics of American English vowels", JASA 97(5), 1995.
MEAN_F0_HZ: dict[Gender, float] = {"male": 131.0, "female": 220.0}
_BOUNDARY_F0_HZ = math.sqrt(MEAN_F0_HZ["male"] * MEAN_F0_HZ["female"])  # half-way as the ear hears it
_VARIANTS: dict[Gender, str] = {"male": "m3", "female": "f2"}  # formants of the gender, no effects added

_MIN_REFERENCE_S = 0.1
_SILENCE = 1e-4  # -80 dBFS
_TAIL_LEVEL = 10 ** (-50 / 20)  # what is quieter at the end of a segment is echo and espeak's own pause
_TAIL_S = 0.03  # of it that stays, so that the last sound fades out
_PROBE = "1 2 3, 4 5 6, 7 8 9, 10."  # nearly every language reads digits out, with a melody like its sentences
_PROBE_LANGUAGE = "en"  # for those that do not
_PROBE_PITCHES = (50, 95)  # F0 of deep settings is harder to measure


@dataclass(frozen=True)
class EspeakVoice(Conditionals):
    """What this engine takes from reference audio."""

    gender: Gender
    f0_hz: float  # median, MIN_F0_HZ to MAX_F0_HZ

    def __post_init__(self) -> None:
        if self.gender not in _VARIANTS or not MIN_F0_HZ <= self.f0_hz <= MAX_F0_HZ:
            raise ValueError(f"not a voice: {self}")

    @property
    def num_bytes(self) -> int:
        return sys.getsizeof(self)

    @classmethod
    def from_f0(cls, f0_hz: float) -> EspeakVoice:
        f0_hz = min(max(f0_hz, MIN_F0_HZ), MAX_F0_HZ)
        return cls("male" if f0_hz < _BOUNDARY_F0_HZ else "female", f0_hz)

    def to_bytes(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_bytes(cls, blob: bytes) -> EspeakVoice:
        """ValueError where blob is anything but what `to_bytes` wrote."""
        try:
            values = json.loads(blob)
            return cls(gender=values["gender"], f0_hz=float(values["f0_hz"]))
        except (KeyError, TypeError, OverflowError, RecursionError) as error:
            raise ValueError("not the bytes of a voice") from error


class EspeakEngine(Engine):
    """eSpeak NG behind the engine interface; safe to call from many threads. Raises EngineUnavailable without it."""

    name = "espeak"
    model = "espeak-ng"
    device = "cpu"

    def __init__(self) -> None:
        self._library = espeak_library.library()
        self.revision = self._library.version

    def prepare(self, reference: ReferenceAudio, saved: SavedConditionals | None = None) -> EspeakVoice:
        """The voice's gender and F0. A reference without a pitch (a whisper, noise) gets the built-in voice;
        UnusableReference where it is silent, not finite or shorter than 0.1 s."""
        if saved is None:
            return _measure(reference.samples)
        key = f"{self.name}-{REVISION}-{reference.digest[:16]}"
        blob = saved.read(key)
        if blob is not None:
            with contextlib.suppress(ValueError):  # damaged: measured again and overwritten
                return EspeakVoice.from_bytes(blob)
        voice = _measure(reference.samples)
        saved.write(key, voice.to_bytes())
        return voice

    def builtin(self) -> EspeakVoice:
        return EspeakVoice("male", MEAN_F0_HZ["male"])

    def languages(self) -> tuple[str, ...]:
        """The ISO 639-1 codes that can be spoken, sorted."""
        return tuple(sorted(language for language in self._library.voices if len(language) == 2))

    def plan(self, text: str, options: SynthesisOptions) -> list[Segment]:
        return plan(text, MAX_SEGMENT_CHARS, language=options.language, pronunciation=dict(options.pronunciation))

    def takes(
        self,
        segments: Sequence[Segment],
        seeds: Sequence[int],
        conditionals: Conditionals,
        options: SynthesisOptions,
        cancelled: Callable[[], bool] = never,
    ) -> Iterator[Take]:
        """A take is empty where the segment holds only signs that the language has no words for. The pause that
        eSpeak NG itself puts after a sentence is left out. InvalidOption is raised at once."""
        if not isinstance(conditionals, EspeakVoice):
            raise TypeError(f"{type(conditionals).__name__} was prepared by another engine")
        settings = self._settings(conditionals, options)
        return _spoken(segments, seeds, settings, cancelled)

    def _settings(self, voice: EspeakVoice, options: SynthesisOptions) -> Utterance:
        """Everything about the utterance but its text."""
        identifier = self._library.voices.get(options.language.lower())
        if identifier is None:
            allowed = ", ".join(self.languages())
            raise InvalidOption(
                f"language is {options.language!r}; allowed with espeak is {allowed}; choose one of them"
            )
        variant = _VARIANTS[voice.gender]
        pitch_range = min(round(50 * math.sqrt(options.exaggeration / 0.5)), 99)  # 0: monotone, 0.5: usual, 2: double
        response = _pitch_response(variant, pitch_range, identifier, self._library.voices[_PROBE_LANGUAGE])
        return Utterance("", f"{identifier}+{variant}", response.pitch_for(voice.f0_hz), pitch_range, options.seed)


def _measure(samples: Samples) -> EspeakVoice:
    if len(samples) < _MIN_REFERENCE_S * SAMPLE_RATE_HZ or not _SILENCE < np.abs(samples).max() < np.inf:
        raise UnusableReference(
            "the reference audio is silent, broken or shorter than 0.1 s; send a clip of clear speech"
        )
    f0_hz = median_f0_hz(samples, SAMPLE_RATE_HZ)
    return EspeakVoice.from_f0(MEAN_F0_HZ["male"] if f0_hz is None else f0_hz)


@dataclass(frozen=True)
class _PitchResponse:
    """How one voice's spoken F0 follows the library's pitch setting: slope * 2 ** ((pitch - 50) / 50) + offset.

    The form is the library's own (`wavegen.c:SetPitch2`); the numbers differ by voice, language and pitch range.
    """

    slope_hz: float
    offset_hz: float

    def pitch_for(self, f0_hz: float) -> int:
        """The setting that speaks at f0_hz, or the nearest there is."""
        octaves = math.log2(max(f0_hz - self.offset_hz, 1.0) / self.slope_hz)
        return min(max(round(50 + 50 * octaves), 0), 99)


@lru_cache(maxsize=1024)
def _pitch_response(variant: str, pitch_range: int, *identifiers: str) -> _PitchResponse:
    """Measured on digits, spoken by the first of these voices that can: Chuvash has none, Greenlandic's crash."""
    for identifier in identifiers:
        voice = f"{identifier}+{variant}"
        try:
            probes = espeak_library.speak([Utterance(_PROBE, voice, pitch, pitch_range) for pitch in _PROBE_PITCHES])
        except EngineUnavailable:
            raise
        except SynthesisError:  # crashed on this text
            continue
        low_hz, high_hz = (median_f0_hz(probe, SAMPLE_RATE_HZ) for probe in probes)
        if low_hz and high_hz:
            low, high = (2 ** ((pitch - 50) / 50) for pitch in _PROBE_PITCHES)
            slope_hz = (high_hz - low_hz) / (high - low)
            return _PitchResponse(slope_hz, low_hz - slope_hz * low)
    raise EngineUnavailable(f"eSpeak NG speaks no digits with {', '.join(identifiers)}; install espeakng-loader anew")


def _spoken(
    segments: Sequence[Segment], seeds: Sequence[int], settings: Utterance, cancelled: Callable[[], bool]
) -> Iterator[Take]:
    for segment, seed in zip(segments, seeds, strict=True):
        if cancelled():  # a segment itself is spoken in milliseconds
            raise Cancelled
        [samples] = espeak_library.speak([replace(settings, text=segment.text, seed=seed)])
        yield Take(_trim_tail(samples), seed)


def _trim_tail(samples: Samples) -> Samples:
    loud = np.flatnonzero(np.abs(samples) > _TAIL_LEVEL)
    return samples[: loud[-1] + 1 + round(_TAIL_S * SAMPLE_RATE_HZ)] if len(loud) else samples[:0]
