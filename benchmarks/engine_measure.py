"""What is measured of the fast engine and of upstream: `python -m benchmarks.engine_measure NAME WEIGHTS ...`.

Every measurement runs in a process of its own, so that nothing is warm or counted twice, and prints one line of JSON:
seconds, bytes, counts. Here are those of the whole engine; `engine_stages` has those of its parts. Imports stand in the
functions: what is imported when is part of what is measured.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from benchmarks.engine_parts import Numbers, chosen_device, peak, random_voice, since_process_start, timed

TEXT = "The birch canoe slid on the smooth planks, and the boy was there when the sun rose."
NUM_VOICES = 50
WINDOW = 50  # calls that are compared, first and last
_GRAPHS_CAPTURED_S = 30  # on CUDA, while nobody speaks


def _stage(name: str) -> Callable[..., Numbers]:
    """A measurement of a stage, imported when it runs."""

    def run(weights: Path, *arguments: str) -> Numbers:
        from benchmarks import engine_stages

        measured: Numbers = getattr(engine_stages, name)(weights, *map(int, arguments))
        return measured

    return run


def start_ours(weights: Path, num_tokens: int, voice_file: Path) -> Numbers:
    """From process start to ready, and on to the first chunk of a stream of num_tokens, in a voice whose conditionals
    were saved before."""
    from synthesis.native.loading import load_native_engine

    engine = load_native_engine(weights, device=chosen_device(), max_speech_tokens=num_tokens)
    ready_s = since_process_start()
    from synthesis import SynthesisOptions
    from synthesis.conditionals import ChatterboxConditionals

    known_s, voice = timed(lambda: ChatterboxConditionals.from_bytes(voice_file.read_bytes(), "", "", engine.device))
    stream = engine.stream(TEXT, voice, SynthesisOptions())
    next(stream)
    first_audio_s = since_process_start()
    stream.close()  # type: ignore[attr-defined]
    engine.close()
    return {"ready_s": ready_s, "known_voice_s": known_s, "first_audio_s": first_audio_s - ready_s, **peak()}


def start_upstream(weights: Path, num_tokens: int, voice_file: Path) -> Numbers:
    """The same with the package as it comes, which computes a voice anew for every request and is heard when all of it
    is spoken. Leaves the conditionals in voice_file for `start_ours`."""
    from chatterbox.tts import ChatterboxTTS

    engine = ChatterboxTTS.from_local(weights, chosen_device())
    ready_s = since_process_start()
    clip = voice_file.with_suffix(".wav")
    prepare = [timed(lambda: engine.prepare_conditionals(clip))[0]]
    inference = engine.t3.inference
    engine.t3.inference = lambda **arguments: inference(**{**arguments, "max_new_tokens": num_tokens})
    clip_s, _ = timed(lambda: engine.generate(TEXT))
    first_audio_s = since_process_start()
    new_voice_s = prepare[0]
    prepare += [timed(lambda: engine.prepare_conditionals(clip))[0] for _ in range(2)]
    from synthesis.chatterbox_model import ChatterboxModel

    voice_file.write_bytes(ChatterboxModel(engine)._as_value(engine.conds.t3, engine.conds.gen).to_bytes("", ""))
    return {
        "ready_s": ready_s, "known_voice_s": min(prepare), "new_voice_s": new_voice_s, "clip_s": clip_s,
        "first_audio_s": first_audio_s - ready_s, **peak(),
    }  # fmt: skip


def clip(weights: Path, num_tokens: int, voice_file: Path) -> Numbers:
    """Ours, warm: a new voice, a clip in one piece, and the same text as a stream: its first chunk and its end. On CUDA
    the median of several."""
    import soundfile

    from synthesis import ReferenceAudio, SynthesisOptions
    from synthesis.native.loading import load_native_engine

    engine = load_native_engine(weights, device=chosen_device(), max_speech_tokens=num_tokens)
    samples, _ = soundfile.read(voice_file.with_suffix(".wav"), dtype="float32")
    new_voice_s, voice = timed(lambda: engine.prepare(ReferenceAudio(samples)))
    _warm_up(engine, voice)
    clips, streams = [], []
    for _ in range(1 if engine.device == "cpu" else 5):
        clips.append(timed(lambda: engine.synthesize(TEXT, voice, SynthesisOptions(seed=1))))
        start = time.perf_counter()
        streams.append([time.perf_counter() - start for _ in engine.stream(TEXT, voice, SynthesisOptions(seed=1))])
    return {
        "new_voice_s": new_voice_s, "clip_s": median(clip_s for clip_s, _ in clips),
        "audio_s": len(clips[0][1]) / 24_000, "ttfa_s": median(heard[0] for heard in streams),
        "stream_s": median(heard[-1] for heard in streams), "num_chunks": len(streams[0]), **peak(),
    }  # fmt: skip


def _warm_up(engine: Any, voice: Any) -> None:
    """Pages of the mapped weights are read on first use; on CUDA graphs are captured then."""
    from synthesis import SynthesisOptions

    engine.synthesize(TEXT, voice, SynthesisOptions(cfm_steps=1))
    if engine.device != "cpu":
        time.sleep(_GRAPHS_CAPTURED_S)


def throughput(weights: Path, num_tokens: int, *callers: int) -> Numbers:
    """Seconds of audio a second, and how long each caller waited, with so many callers at once."""
    from concurrent.futures import ThreadPoolExecutor

    from synthesis import SynthesisOptions
    from synthesis.native.loading import load_native_engine

    engine = load_native_engine(weights, device=chosen_device(), max_speech_tokens=num_tokens)
    voice = random_voice(1, num_prompt_tokens=250)
    _warm_up(engine, voice)

    def speak(seed: int) -> tuple[float, float]:
        seconds, samples = timed(lambda: engine.synthesize(TEXT, voice, SynthesisOptions(seed=seed)))
        return seconds, len(samples) / 24_000

    results = {}
    for number in callers:
        with ThreadPoolExecutor(number) as pool:
            wall_s, spoken = timed(lambda n=number, p=pool: list(p.map(speak, range(n))))
        waits = sorted(seconds for seconds, _ in spoken)
        results[str(number)] = {
            "audio_s_per_s": sum(audio for _, audio in spoken) / wall_s,
            "audio_s": median(audio for _, audio in spoken),
            "wall_s": wall_s,
            "median_wait_s": median(waits),
            "longest_wait_s": waits[-1],
        }
    return {"callers": results, **peak()}


def endurance(weights: Path, num_calls: int) -> Numbers:
    """Many calls over many voices in one process: memory and real-time factor of the last ones against the first ones
    after a warm-up of one window."""
    import numpy as np

    from synthesis import ReferenceAudio, SynthesisOptions
    from synthesis.native.loading import load_native_engine

    on_cpu = chosen_device() == "cpu"
    engine = load_native_engine(weights, device=chosen_device(), max_speech_tokens=10 if on_cpu else 150)
    process, memory, factors = psutil.Process(), [], []
    t = np.arange(30_000) / 24_000
    for call in range(WINDOW + num_calls):
        pitch = 80 + 4 * (call % NUM_VOICES)
        clip = (0.3 * np.sin(2 * np.pi * pitch * t) * np.sin(4 * np.pi * t) ** 2).astype(np.float32)
        voice = engine.prepare(ReferenceAudio(clip))
        options = SynthesisOptions(seed=call % 7, cfm_steps=2 if on_cpu else None)
        seconds, samples = timed(lambda v=voice, o=options: engine.synthesize(TEXT, v, o))
        memory.append(process.memory_info().rss / 2**20)
        factors.append(seconds / (len(samples) / 24_000))
    first, last = slice(WINDOW, 2 * WINDOW), slice(-WINDOW, None)
    return {
        "num_calls": num_calls, "num_voices": NUM_VOICES,
        "memory_mb": {"first": median(memory[first]), "last": median(memory[last])},
        "rtf": {"first": median(factors[first]), "last": median(factors[last])},
        "memory_growth": median(memory[last]) / median(memory[first]) - 1,
        "rtf_growth": median(factors[last]) / median(factors[first]) - 1,
    }  # fmt: skip


MEASUREMENTS: dict[str, Callable[..., Numbers]] = {
    "start_ours": lambda weights, tokens, voice: start_ours(weights, int(tokens), Path(voice)),
    "start_upstream": lambda weights, tokens, voice: start_upstream(weights, int(tokens), Path(voice)),
    "clip": lambda weights, tokens, voice: clip(weights, int(tokens), Path(voice)),
    "throughput": lambda weights, tokens, *callers: throughput(weights, int(tokens), *map(int, callers)),
    "endurance": lambda weights, calls: endurance(weights, int(calls)),
    **{name: _stage(name) for name in ("decoding", "equality", "graphs", "speaking", "limits")},
}


def main() -> None:
    name, weights, *arguments = sys.argv[1:]
    print(json.dumps(MEASUREMENTS[name](Path(weights), *arguments)))


if __name__ == "__main__":
    main()
