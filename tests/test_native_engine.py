"""The fast engine against the chatterbox engine, both on the same random weights and the CPU."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="the light set has no model")
pytest.importorskip("chatterbox", reason="the light set has no model")

import random_chatterbox
import torch
from random_chatterbox import reference
from safetensors.torch import save_file
from t3_oracle import random_voice

from synthesis import SAMPLE_RATE_HZ, Samples, SynthesisOptions
from synthesis.conditionals import ChatterboxConditionals
from synthesis.engine import CUT_OFF, segment_seed
from synthesis.errors import Cancelled, EmptyText, EngineUnavailable, InvalidOption, NoBuiltinVoice, WeightsNotFound
from synthesis.native.engine import NativeEngine
from synthesis.native.loading import load_native_engine
from synthesis.text import Segment

TEXT = "Hello world, this is a test."
MAX_SPEECH_TOKENS = random_chatterbox.MAX_SPEECH_TOKENS
FEW_TOKENS = 4  # where only who says what matters
CLIP = reference(150)


@pytest.fixture(scope="module")
def engine() -> Iterator[NativeEngine]:
    torch.set_num_threads(2)
    loaded = load_native_engine(random_chatterbox.weights_folder(), device="cpu", max_speech_tokens=MAX_SPEECH_TOKENS)
    yield loaded
    loaded.close()


@pytest.fixture
def brief(engine: NativeEngine) -> Iterator[NativeEngine]:
    """Says very little."""
    usual, engine._max_speech_tokens = engine._max_speech_tokens, FEW_TOKENS
    yield engine
    engine._max_speech_tokens = usual


@pytest.mark.parametrize(
    "options",
    [
        SynthesisOptions(seed=3),
        SynthesisOptions(seed=4, cfg_weight=0.0, top_p=0.9, exaggeration=0.8, temperature=1.0, cfm_steps=3),
    ],
)
def test_audio_is_upstreams(engine: NativeEngine, options: SynthesisOptions) -> None:
    upstream = random_chatterbox.engine()
    theirs = upstream.synthesize(TEXT, upstream.builtin(), options)
    ours = engine.synthesize(TEXT, engine.builtin(), options)
    assert len(theirs) > SAMPLE_RATE_HZ / 2
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)
    assert np.abs(theirs).max() > 0.01


def test_conditionals_are_upstreams_and_each_engine_reads_what_the_other_saved(engine: NativeEngine) -> None:
    upstream = random_chatterbox.engine()
    saved = Saved()
    theirs = upstream._voices._compute(CLIP)
    ours = engine.prepare(CLIP, saved)
    assert isinstance(ours, ChatterboxConditionals)
    for name, tensor in theirs.tensors().items():
        torch.testing.assert_close(ours.tensors()[name], tensor, rtol=0, atol=1e-5)
    assert engine.prepare(CLIP, saved) is ours, "kept in memory"
    read = upstream._voices._load_or_compute(CLIP, saved)
    assert saved.num_reads == 2
    assert all(torch.equal(read.tensors()[name], tensor) for name, tensor in ours.tensors().items())


class Saved:
    """Conditionals that outlive an engine."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.num_reads = 0

    def read(self, key: str) -> bytes | None:
        self.num_reads += 1
        return self.blobs.get(key)

    def write(self, key: str, blob: bytes) -> None:
        assert key not in self.blobs
        self.blobs[key] = blob


LONG_TEXT = "This is the first sentence of a text. Here is another one, of its own! And so it all ends."


def test_segments_decode_together_each_as_it_would_alone(brief: NativeEngine) -> None:
    brief._max_segment_chars, usual = 40, brief._max_segment_chars
    try:
        segments = brief.plan(LONG_TEXT, SynthesisOptions())
        assert len(segments) == brief.num_segments(LONG_TEXT) == 3
        whole = brief.synthesize(LONG_TEXT, brief.builtin(), SynthesisOptions(seed=9, cfm_steps=1))
    finally:
        brief._max_segment_chars = usual
    place = 0
    for index, segment in enumerate(segments):
        alone = brief.synthesize(
            segment.text, brief.builtin(), SynthesisOptions(seed=segment_seed(9, index), cfm_steps=1)
        )
        np.testing.assert_allclose(whole[place : place + len(alone)], alone, rtol=0, atol=1e-5)
        place += len(alone)
        pause = round(segment.pause_after_s * SAMPLE_RATE_HZ)
        assert not whole[place : place + pause].any()
        place += pause
    assert place == len(whole)
    assert segment_seed(9, 0) == 9


NUM_STREAMED_TOKENS = 40  # two chunks
STREAMED_TEXT = "This is the first sentence of a text. Here is another one, and it ends."
STREAMED_OPTIONS = SynthesisOptions(seed=5, cfm_steps=1)


@contextlib.contextmanager
def said_in(engine: NativeEngine, max_speech_tokens: int, max_segment_chars: int) -> Iterator[None]:
    usual = engine._max_speech_tokens, engine._max_segment_chars
    engine._max_speech_tokens, engine._max_segment_chars = max_speech_tokens, max_segment_chars
    yield
    engine._max_speech_tokens, engine._max_segment_chars = usual


@pytest.fixture(scope="module")
def streamed(engine: NativeEngine) -> list[Samples]:
    with said_in(engine, NUM_STREAMED_TOKENS, 40):
        return list(engine.stream(STREAMED_TEXT, engine.builtin(), STREAMED_OPTIONS))


def test_a_stream_is_heard_before_its_first_segment_has_ended(engine: NativeEngine, streamed: list[Samples]) -> None:
    with said_in(engine, NUM_STREAMED_TOKENS, 40):
        first, second = engine.plan(STREAMED_TEXT, STREAMED_OPTIONS)
        seeds = [segment_seed(5, 0), segment_seed(5, 1)]
        whole, next_whole = engine.takes([first, second], seeds, engine.builtin(), STREAMED_OPTIONS)
    assert len(streamed) == 3, "two chunks of the first segment, one of the second with the pause before it"
    pause = round(first.pause_after_s * SAMPLE_RATE_HZ)
    assert 0 < len(streamed[0]) < 25 * 960
    assert len(streamed[0]) + len(streamed[1]) == len(whole.samples)
    assert not streamed[2][:pause].any()
    np.testing.assert_allclose(streamed[2][pause:], next_whole.samples, rtol=0, atol=1e-5)


def test_a_stream_is_the_same_beside_others(engine: NativeEngine, streamed: list[Samples]) -> None:
    with said_in(engine, NUM_STREAMED_TOKENS, 40):
        other = threading.Thread(target=engine.synthesize, args=(TEXT, engine.builtin(), STREAMED_OPTIONS))
        other.start()
        again = list(engine.stream(STREAMED_TEXT, engine.builtin(), STREAMED_OPTIONS))
        other.join()
    for one, two in zip(streamed, again, strict=True):
        np.testing.assert_allclose(one, two, rtol=0, atol=1e-4)


def test_requests_of_different_steps_decode_together(brief: NativeEngine) -> None:
    steps = (1, 3, None)
    alone = {n: brief.synthesize(TEXT, brief.builtin(), SynthesisOptions(cfm_steps=n)) for n in steps}
    together: dict[int | None, Samples] = {}

    def speak(number: int | None) -> None:
        together[number] = brief.synthesize(TEXT, brief.builtin(), SynthesisOptions(cfm_steps=number))

    threads = [threading.Thread(target=speak, args=(number,)) for number in steps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in steps:
        np.testing.assert_allclose(together[number], alone[number], rtol=0, atol=1e-5)
    assert len({samples.tobytes() for samples in alone.values()}) == 3


def test_threads_with_different_voices_do_not_mix(brief: NativeEngine) -> None:
    voices = [random_voice(seed, num_prompt_tokens=20 + seed) for seed in range(3)]
    alone = [brief.synthesize(TEXT, voice, SynthesisOptions(seed=1, cfm_steps=1)) for voice in voices]
    together: dict[int, Samples] = {}

    def speak(index: int) -> None:
        together[index] = brief.synthesize(TEXT, voices[index], SynthesisOptions(seed=1, cfm_steps=1))

    threads = [threading.Thread(target=speak, args=(index,)) for index in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index, expected in enumerate(alone):
        np.testing.assert_allclose(together[index], expected, rtol=0, atol=1e-5)
    assert len({samples.tobytes() for samples in alone}) == 3


def test_cancelling_and_leaving_early_free_the_device(engine: NativeEngine) -> None:
    def wants_no_more() -> bool:
        return True

    with pytest.raises(Cancelled):
        next(engine.stream(TEXT, engine.builtin(), SynthesisOptions(), wants_no_more))
    usual, engine._max_segment_chars = engine._max_segment_chars, 30
    try:
        chunks = engine.stream(LONG_TEXT * 3, engine.builtin(), SynthesisOptions(cfm_steps=1))
        next(chunks)
        chunks.close()  # type: ignore[attr-defined]
    finally:
        engine._max_segment_chars = usual
    done = threading.Event()
    engine._runner._order(done.set)
    assert done.wait(60)
    assert engine._runner._scheduler.is_idle


def test_what_cannot_be_spoken_is_refused_at_once(engine: NativeEngine) -> None:
    with pytest.raises(InvalidOption, match="speaks only 'en'"):
        engine.stream(TEXT, engine.builtin(), SynthesisOptions(language="fr"))
    with pytest.raises(EmptyText):
        engine.stream("...", engine.builtin(), SynthesisOptions())
    with pytest.raises(TypeError, match="another engine's conditionals"):
        engine.stream(TEXT, object(), SynthesisOptions())  # type: ignore[arg-type]


def linked(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).symlink_to(random_chatterbox.weights_folder() / name)
    return folder


def test_weights_without_a_voice_and_an_engine_that_was_closed(tmp_path: Path) -> None:
    folder = linked(tmp_path, "t3_cfg.safetensors", "s3gen.safetensors", "ve.safetensors", "tokenizer.json")
    loaded = load_native_engine(folder, device="cpu")
    with pytest.raises(NoBuiltinVoice):
        loaded.builtin()
    loaded.close()
    with pytest.raises(EngineUnavailable, match="has stopped"):
        next(loaded.stream(TEXT, random_voice(1), SynthesisOptions()))


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    save_file({"some.weight": torch.zeros(1)}, tmp_path / "t3_cfg.safetensors")
    with pytest.raises(WeightsNotFound, match="lack"):
        load_native_engine(tmp_path, device="cpu")


def test_without_a_number_of_tokens_speech_is_capped_by_its_text(engine: NativeEngine) -> None:
    usual, engine._max_speech_tokens = engine._max_speech_tokens, None
    try:
        request = engine._request("Hi.", 1, random_voice(1), SynthesisOptions(), object())
    finally:
        engine._max_speech_tokens = usual
    assert (request.max_tokens, request.stops_loops) == (75, True)
    assert not engine._request("Hi.", 1, random_voice(1), SynthesisOptions(), object()).stops_loops


def test_a_take_that_is_cut_off_says_so(brief: NativeEngine) -> None:
    [take] = brief.takes([Segment(TEXT)], [3], brief.builtin(), SynthesisOptions())
    assert (take.seed, take.flags) == (3, (CUT_OFF,))


def test_a_voice_is_like_itself_and_as_like_others_as_upstream_hears_it(engine: NativeEngine) -> None:
    upstream = random_chatterbox.engine()
    voice, other = engine.prepare(CLIP), random_voice(1)
    assert engine.voice_similarity(CLIP.samples, voice) == pytest.approx(1, abs=1e-4)
    for each in (voice, other):
        ours, theirs = (of.voice_similarity(CLIP.samples, each) for of in (engine, upstream))
        assert ours == pytest.approx(theirs, abs=1e-4)
    assert engine.voice_similarity(CLIP.samples, other) != pytest.approx(1, abs=0.01)


def test_a_process_may_end_while_it_speaks() -> None:
    """A device thread inside torch at the interpreter's end aborted the process."""
    program = (
        "import sys\nfrom pathlib import Path\nfrom synthesis import SynthesisOptions\n"
        "from synthesis.native.loading import load_native_engine\n"
        "engine = load_native_engine(Path(sys.argv[1]), device='cpu', max_speech_tokens=60)\n"
        "stream = engine.stream('A first sentence, and more of it.', engine.builtin(), SynthesisOptions(cfm_steps=1))\n"
        "next(stream)\n"
    )
    command = [sys.executable, "-c", program, str(random_chatterbox.weights_folder())]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=Path(__file__).parents[1])
    assert (done.returncode, done.stderr) == (0, "")
