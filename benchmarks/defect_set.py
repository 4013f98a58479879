"""Speech with known defects: eSpeak NG in many voices, and what goes wrong in synthesized speech added to it.

    items = defect_set(seed, num_of_each)      # of every defect, and as many clean ones as all of these together

The same seed is the same set. Every item, clean ones too, has a gain, a floor of noise and a tail of its own. The clean
ones hold what is easily mistaken: words said twice on purpose, pauses, noisy rooms, other languages, very short texts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import soxr
from scipy.signal import butter, sosfilt

from benchmarks.defect_sentences import FOREIGN, SHORT, TWICE, repeating, sentence
from synthesis import SAMPLE_RATE_HZ, Samples, espeak_library

Rng = np.random.Generator


@dataclass(frozen=True)
class Item:
    """text: what was asked; samples: what was said. spoken_s: where the last sound of the words ends; what comes later
    may be trimmed. defect: its label, None for a clean one."""

    text: str
    samples: Samples
    spoken_s: float
    defect: str | None
    language: str = "en"


def defect_set(seed: int, num_of_each: int) -> list[Item]:
    rng = np.random.default_rng(seed)
    defects = [(name, inject) for name, inject in INJECTIONS.items() for _ in range(num_of_each)]
    clean = [_clean_text(rng, index) for index in range(len(defects))]
    asked = [_defective_text(rng, name, index) for index, (name, _) in enumerate(defects)]
    voices = [_voice(rng, language) for *_, language in [*clean, *asked]]
    utterances = [replace(voice, text=said) for voice, (_, said, _) in zip(voices, [*clean, *asked], strict=True)]
    spoken = [_without_tail(samples) for samples in espeak_library.speak(utterances)]
    items = [
        _finished(rng, text, samples, len(samples), None, language)
        for (text, _, language), samples in zip(clean, spoken, strict=False)
    ]
    for (name, inject), (text, said, language), samples in zip(defects, asked, spoken[len(clean) :], strict=True):
        worse, num_spoken = (samples, len(samples)) if said != text else inject(rng, samples)
        items.append(_finished(rng, text, worse, num_spoken, name, language))
    return items


def recorded_set(seed: int, recordings: Sequence[Item], num_of_each: int) -> list[Item]:
    """The same defects added to clean recordings."""
    rng = np.random.default_rng(seed)
    items = []
    for name, inject in INJECTIONS.items():
        for number in range(num_of_each):
            recording = recordings[number % len(recordings)]
            spoken = recording.samples[: _num(recording.spoken_s + 0.05)]
            worse, num_spoken = inject(rng, spoken)
            items.append(_finished(rng, recording.text, worse, num_spoken, name, "zh"))
    return items


def _clean_text(rng: Rng, index: int) -> tuple[str, str, str]:
    """What is asked, what is said, and its language."""
    kind = index % 8
    if kind == 0:
        text = str(rng.choice(TWICE))
    elif kind == 1:
        text = str(rng.choice(SHORT))
    elif kind == 2:
        language = str(rng.choice(list(FOREIGN)))
        text = str(rng.choice(FOREIGN[language]))
        return text, text, language
    else:
        text = " ".join(sentence(rng) for _ in range(kind % 3 + 1))
    return text, text, "en"


def _defective_text(rng: Rng, name: str, index: int) -> tuple[str, str, str]:
    if name == "repetition" and index % 2:
        return *repeating(rng, times=int(rng.integers(2, 5))), "en"
    text = " ".join(sentence(rng) for _ in range(index % 2 + 1))
    return text, text, "en"


def _voice(rng: Rng, language: str) -> espeak_library.Utterance:
    voices = espeak_library.library().voices
    accent = str(rng.choice(["en", "en-us", "en-gb-scotland"])) if language == "en" else language
    variant = str(rng.choice(["m1", "m3", "m5", "f1", "f2", "f4"]))
    pitch, pitch_range = int(rng.integers(25, 80)), int(rng.integers(30, 80))
    identifier = voices.get(accent, voices[language])
    return espeak_library.Utterance("", f"{identifier}+{variant}", pitch, pitch_range, int(rng.integers(1000)))


def _finished(rng: Rng, text: str, samples: Samples, num_spoken: int, defect: str | None, language: str) -> Item:
    """With a tail (but after a cut), a floor of noise, and a gain."""
    tail = 0 if defect == "cut_off" else _num(rng.uniform(0.05, 0.6))
    lead = _num(rng.uniform(0, 0.1))
    samples = np.pad(samples, (lead, tail))
    quiet_room = rng.random() < 0.85
    floor_db = rng.uniform(-65, -50) if quiet_room else rng.uniform(-42, -36)  # below the speech
    samples = samples + _noise(rng, len(samples), pink=True) * _gain(floor_db) * _speech_rms(samples)
    ceiling = 1.0 if defect == "clipping" else rng.uniform(0.3, 0.99)
    samples = samples / max(float(np.abs(samples).max()), 1e-6) * ceiling
    return Item(text, samples.astype(np.float32), (lead + num_spoken) / SAMPLE_RATE_HZ, defect, language)


def _tail_noise(rng: Rng, samples: Samples) -> tuple[Samples, int]:
    gap, length = _num(rng.uniform(0, 0.25)), _num(rng.uniform(0.45, 2.0))
    noise = _noise(rng, length, pink=bool(rng.random() < 0.5), breath=bool(rng.random() < 0.5))
    swell = 1 + 0.5 * np.sin(2 * np.pi * rng.uniform(0.3, 2) * np.arange(length) / SAMPLE_RATE_HZ)
    noise *= swell * np.hanning(length) ** 0.3 * _gain(rng.uniform(-26, -11)) * _speech_rms(samples)
    return np.concatenate([samples, np.zeros(gap, np.float32), noise.astype(np.float32)]), len(samples)


def _burst(rng: Rng, samples: Samples) -> tuple[Samples, int]:
    length = _num(rng.uniform(0.012, 0.06))
    envelope = np.exp(-3 * np.arange(length) / length)
    burst = _noise(rng, length, pink=bool(rng.random() < 0.5)) * envelope * _gain(rng.uniform(-8, 8))
    burst *= _speech_rms(samples)
    before, after = _num(rng.uniform(0.2, 0.5)), _num(rng.uniform(0.15, 0.4))
    event = np.concatenate([np.zeros(before), burst, np.zeros(after)]).astype(np.float32)
    at = len(samples) if rng.random() < 0.7 else _quiet_place(rng, samples)
    return np.insert(samples, at, event), len(samples) + (len(event) if at < len(samples) else 0)


def _cut_off(rng: Rng, samples: Samples) -> tuple[Samples, int]:
    """In a loud sound of the last tenth to third."""
    levels = _levels(samples)
    first, last = round(len(levels) * 0.66), round(len(levels) * 0.93)
    loud = first + np.flatnonzero(levels[first:last] > np.percentile(levels, 60))
    cut = samples[: (int(rng.choice(loud)) + 1) * _num(0.01)].copy()
    if rng.random() < 0.5:  # a vocoder's last frame fades a little
        fade = _num(0.004)
        cut[-fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
    return cut, len(cut)


def _silence(rng: Rng, samples: Samples) -> tuple[Samples, int]:
    length = _num(rng.uniform(1.5, 4.0))
    return np.insert(samples, _quiet_place(rng, samples), np.zeros(length, np.float32)), len(samples) + length


def _repetition(rng: Rng, samples: Samples) -> tuple[Samples, int]:
    """A stretch heard again, a little faster or slower. The other half are spoken so by the voice, with a melody."""
    length = _num(rng.uniform(0.4, 1.2))
    start = int(rng.integers(0, max(1, len(samples) - length)))
    stretch = samples[start : start + length]
    copies = []
    for _ in range(int(rng.integers(1, 4))):
        rate = SAMPLE_RATE_HZ * rng.uniform(0.96, 1.04)
        copies.append(soxr.resample(stretch, SAMPLE_RATE_HZ, rate).astype(np.float32) * rng.uniform(0.8, 1.2))
    said = np.concatenate([samples[: start + length], *copies, samples[start + length :]]).astype(np.float32)
    return said, len(said)


def _loudness_step(rng: Rng, samples: Samples) -> tuple[Samples, int]:
    at, step = _quiet_place(rng, samples, middle=0.3), _gain(rng.uniform(9, 15) * rng.choice([-1, 1]))
    ramp = np.ones(len(samples), np.float32)
    ramp[at:] = step
    return samples * ramp, len(samples)


def _clipping(rng: Rng, samples: Samples) -> tuple[Samples, int]:
    """At a level that 0.3 to 3 % of the samples pass."""
    ceiling = np.quantile(np.abs(samples), 1 - rng.uniform(0.003, 0.03))
    return np.clip(samples, -ceiling, ceiling), len(samples)


def _hum(rng: Rng, samples: Samples) -> tuple[Samples, int]:
    mains_hz = float(rng.choice([50.0, 60.0])) * rng.uniform(0.998, 1.002)
    seconds = np.arange(len(samples)) / SAMPLE_RATE_HZ
    hum = sum(
        rng.uniform(0.3, 1) * np.sin(2 * np.pi * (harmonic * mains_hz * seconds + rng.random()))
        for harmonic in range(1, int(rng.integers(2, 6)))
    )
    hum = hum / np.sqrt(np.mean(np.square(hum))) * _gain(rng.uniform(-30, -14)) * _speech_rms(samples)
    return (samples + hum).astype(np.float32), len(samples)


INJECTIONS: dict[str, Callable[[Rng, Samples], tuple[Samples, int]]] = {
    "tail_noise": _tail_noise,
    "burst": _burst,
    "cut_off": _cut_off,
    "silence": _silence,
    "repetition": _repetition,
    "loudness_step": _loudness_step,
    "clipping": _clipping,
    "hum": _hum,
}


def _num(seconds: float) -> int:
    return round(float(seconds) * SAMPLE_RATE_HZ)


def _gain(decibels: float) -> float:
    return float(10 ** (float(decibels) / 20))


def _levels(samples: Samples) -> np.ndarray:
    """RMS every 10 ms."""
    hop = _num(0.01)
    frames = samples[: len(samples) // hop * hop].reshape(-1, hop)
    return np.sqrt(np.mean(np.square(frames), axis=1))


def _speech_rms(samples: Samples) -> float:
    levels = _levels(samples)
    return float(np.sqrt(np.mean(np.square(levels[levels > levels.max() / 5]))))


def _quiet_place(rng: Rng, samples: Samples, middle: float = 0.5) -> int:
    """Between two sounds, in the middle of the utterance: that share of it."""
    levels = _levels(samples)
    first, last = round(len(levels) * (0.5 - middle / 2)), round(len(levels) * (0.5 + middle / 2))
    quiet = first + np.argsort(levels[first:last])[:3]
    return int(rng.choice(quiet)) * _num(0.01) + _num(0.005)


def _noise(rng: Rng, length: int, *, pink: bool = False, breath: bool = False) -> np.ndarray:
    """RMS 1."""
    noise = rng.standard_normal(length)
    if pink:
        noise = sosfilt(butter(1, 600, fs=SAMPLE_RATE_HZ, output="sos"), noise)
    if breath:
        noise = sosfilt(butter(2, (500, 5000), "bandpass", fs=SAMPLE_RATE_HZ, output="sos"), noise)
    return noise / max(float(np.sqrt(np.mean(np.square(noise)))), 1e-9)


def _without_tail(samples: Samples) -> Samples:
    """Without the pause that eSpeak NG puts after a sentence."""
    loud = np.flatnonzero(np.abs(samples) > 10 ** (-50 / 20))
    return samples[: loud[-1] + 1 + _num(0.01)]
