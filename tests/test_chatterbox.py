"""The chatterbox engine against the real package, on random weights and the CPU."""

from __future__ import annotations

import contextlib
import logging
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

pytest.importorskip("torch", reason="the light set has no model")
pytest.importorskip("chatterbox", reason="the light set has no model")

import random_chatterbox
import torch
from chatterbox.tts import ChatterboxTTS
from random_chatterbox import MAX_SPEECH_TOKENS, Loaded, reference
from safetensors.torch import save

from synthesis import SAMPLE_RATE_HZ, ReferenceAudio, SynthesisOptions
from synthesis.chatterbox import ChatterboxEngine
from synthesis.chatterbox_model import ChatterboxModel
from synthesis.chatterbox_segments import MAX_SEGMENT_CHARS, cut_text
from synthesis.conditionals import ChatterboxConditionals
from synthesis.errors import (
    Cancelled,
    EmptyText,
    InvalidOption,
    SynthesisError,
    WeightsNotFound,
)

ROOT = Path(__file__).parents[1]
TEXT = "Hello world, this is a test."
LOW, HIGH = reference(100), reference(220)


@pytest.fixture(scope="module")
def loaded() -> Loaded:
    return random_chatterbox.load()


@pytest.fixture
def few_tokens(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    """Upstream's `generate` always asks for up to 1000 tokens; here it gets as many as our engine asks for."""
    inference = loaded.upstream.t3.inference

    def limited(**arguments: Any) -> torch.Tensor:
        return inference(**{**arguments, "max_new_tokens": MAX_SPEECH_TOKENS})

    monkeypatch.setattr(loaded.upstream.t3, "inference", limited)


@contextlib.contextmanager
def upstream_voice(upstream: ChatterboxTTS, clip: ReferenceAudio, folder: Path, exaggeration: float) -> Iterator[None]:
    """Upstream's own way to a voice: a file, and a model that keeps it."""
    soundfile.write(folder / "clip.wav", clip.samples, SAMPLE_RATE_HZ, subtype="FLOAT")
    before = upstream.conds
    try:
        upstream.prepare_conditionals(folder / "clip.wav", exaggeration)
        yield
    finally:
        upstream.conds = before


# The same as upstream


@pytest.mark.parametrize("duration_s", [1.013, 11.0])  # not a multiple of 40 ms; longer than upstream looks at
def test_conditionals_are_upstreams(loaded: Loaded, tmp_path: Path, duration_s: float) -> None:
    clip = reference(150, duration_s)
    ours = loaded.engine.prepare(clip)
    assert isinstance(ours, ChatterboxConditionals)
    with upstream_voice(loaded.upstream, clip, tmp_path, 0.5):
        theirs = {**vars(loaded.upstream.conds.t3), **loaded.upstream.conds.gen}
    for name, tensor in ours.tensors().items():
        assert torch.equal(tensor, theirs[name]), name


@pytest.mark.usefixtures("few_tokens")
@pytest.mark.parametrize(
    "options",
    [
        SynthesisOptions(seed=7),
        SynthesisOptions(
            seed=8, exaggeration=0.9, cfg_weight=0.3, temperature=0.6, top_p=0.9, min_p=0.1, repetition_penalty=1.5
        ),
    ],
)
def test_speech_is_upstreams_bit_for_bit(loaded: Loaded, tmp_path: Path, options: SynthesisOptions) -> None:
    ours = loaded.engine.synthesize(TEXT, loaded.engine.prepare(LOW), options)
    with upstream_voice(loaded.upstream, LOW, tmp_path, options.exaggeration):
        torch.manual_seed(options.seed)
        theirs = loaded.upstream.generate(
            TEXT,
            exaggeration=options.exaggeration,
            cfg_weight=options.cfg_weight,
            temperature=options.temperature,
            top_p=options.top_p,
            min_p=options.min_p,
            repetition_penalty=options.repetition_penalty,
        )
    assert ours.dtype == np.float32
    assert np.array_equal(ours, theirs.squeeze(0).numpy())


def test_the_built_in_voice_is_upstreams(loaded: Loaded) -> None:
    saved = torch.load(random_chatterbox.weights_folder() / "conds.pt", weights_only=True)
    ours = loaded.engine.builtin()
    assert isinstance(ours, ChatterboxConditionals)
    for name, tensor in ours.tensors().items():
        assert torch.equal(tensor, {**saved["t3"], **saved["gen"]}[name]), name


def test_without_guidance_the_model_speaks_as_with_next_to_none(loaded: Loaded) -> None:
    """Upstream's own `generate` fails at cfg_weight 0. A weight of 1e-30 is lost in float32: the same logits."""
    tokens = []
    for cfg_weight in (0.0, 1e-30, 0.5):
        torch.manual_seed(1)
        options = SynthesisOptions(cfg_weight=cfg_weight)
        tokens.append(loaded.model.speech_tokens(TEXT, builtin(loaded), options, MAX_SPEECH_TOKENS)[0])
    assert torch.equal(tokens[0], tokens[1])
    assert not torch.equal(tokens[0], tokens[2])


def builtin(loaded: Loaded) -> ChatterboxConditionals:
    conditionals = loaded.engine.builtin()
    assert isinstance(conditionals, ChatterboxConditionals)
    return conditionals


# Stateless


def test_two_threads_with_two_voices_speak_as_each_alone(loaded: Loaded) -> None:
    # Two segments each, so that they interleave.
    engine = loaded.engine_with(max_speech_tokens=5, max_segment_chars=16)
    requests = [(LOW, SynthesisOptions(seed=1)), (HIGH, SynthesisOptions(seed=2, exaggeration=1.0))]

    def speak(clip: ReferenceAudio, options: SynthesisOptions) -> np.ndarray:
        return engine.synthesize(TEXT, engine.prepare(clip), options)

    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(speak, *zip(*requests, strict=True)))
    alone = [speak(*request) for request in requests]
    assert np.array_equal(alone[0], together[0])
    assert np.array_equal(alone[1], together[1])
    assert not np.array_equal(alone[0], alone[1])


def test_a_request_leaves_nothing_behind(loaded: Loaded) -> None:
    torch.manual_seed(123)
    state = torch.get_rng_state()
    engine = loaded.engine_with(max_speech_tokens=5)
    conditionals = engine.prepare(LOW)
    assert isinstance(conditionals, ChatterboxConditionals)
    before = {name: tensor.clone() for name, tensor in conditionals.tensors().items()}
    model_voice = loaded.upstream.conds
    first = engine.synthesize(TEXT, conditionals, SynthesisOptions(seed=3, exaggeration=1.5))
    assert torch.equal(torch.get_rng_state(), state)
    assert loaded.upstream.conds is model_voice
    for name, tensor in conditionals.tensors().items():
        assert tensor.dtype == before[name].dtype
        assert torch.equal(tensor, before[name]), name
    # A request in between, with other options, changes nothing; another seed does.
    other = engine.synthesize(TEXT, conditionals, SynthesisOptions(seed=4, exaggeration=0.0))
    again = engine.synthesize(TEXT, conditionals, SynthesisOptions(seed=3, exaggeration=1.5))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_cancelled_request_stops_within_a_step_and_harms_no_other(loaded: Loaded) -> None:
    engine = loaded.engine_with(max_speech_tokens=5)
    options = SynthesisOptions(seed=5)
    expected = engine.synthesize("Hi there.", engine.builtin(), options)
    state = torch.get_rng_state()
    for num_steps in (3, 8):  # in T3, which takes 6 here; in S3Gen
        answers = iter([False] * num_steps + [True])
        with pytest.raises(Cancelled):
            next(engine.stream("Hi there.", engine.builtin(), options, lambda answers=answers: next(answers)))
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(engine.synthesize("Hi there.", engine.builtin(), options), expected)


def test_loading_and_speaking_print_nothing(loaded: Loaded, capfd: pytest.CaptureFixture[str]) -> None:
    assert loaded.printed == ""
    engine = loaded.engine_with(max_speech_tokens=2)
    engine.synthesize("Hi there.", engine.prepare(reference(130, 1.013)), SynthesisOptions())
    printed = capfd.readouterr()
    assert printed.out == ""
    assert "Sampling" not in printed.err
    assert "Reference mel length" not in printed.err


def test_speech_is_watermarked(loaded: Loaded) -> None:
    speech = loaded.engine.synthesize(TEXT, loaded.engine.builtin(), SynthesisOptions(seed=5))
    mark = loaded.upstream.watermarker.get_watermark(speech, sample_rate=SAMPLE_RATE_HZ)
    assert float(np.mean(mark)) == 1.0


# Long text


@dataclass
class Recording(ChatterboxModel):
    """The loaded model, which notes what it is asked to say; where `answers` has any, they replace T3's."""

    loaded: Loaded
    texts: list[str] = field(default_factory=list)
    answers: list[tuple[torch.Tensor, bool]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(self.loaded.upstream)

    def speech_tokens(self, text: str, *arguments: Any) -> tuple[torch.Tensor, bool]:
        self.texts.append(text)
        return self.answers.pop(0) if self.answers else super().speech_tokens(text, *arguments)


def test_a_long_text_is_spoken_segment_after_segment(loaded: Loaded) -> None:
    text = "First comes this sentence. Then there is another one. And at the very end, a third!"
    model = Recording(loaded)
    engine = loaded.engine_with(model, max_speech_tokens=3, max_segment_chars=30)
    chunks = list(engine.stream(text, engine.builtin(), SynthesisOptions(seed=9)))
    assert " ".join(model.texts) == text
    assert len(chunks) == len(model.texts) == 3
    for chunk in chunks[:-1]:
        assert not chunk[-2400:].any()  # the pause
        assert chunk[:-7200].any()
    assert chunks[-1][-2400:].any()


def test_segments_fit_the_models_limit() -> None:
    assert MAX_SEGMENT_CHARS == 386  # 40 s at 100 words a minute
    prose = "It was a bright cold day in April, and the clocks were striking thirteen. " * 20
    assert all(len(segment) <= MAX_SEGMENT_CHARS for segment in cut_text(prose, MAX_SEGMENT_CHARS))
    digits = ("0171 4960 0031, " * 30).strip()
    segments = cut_text(prose + digits, MAX_SEGMENT_CHARS)
    assert " ".join(segments) == prose + digits
    assert max(sum(character.isdigit() for character in segment) for segment in segments) < 120  # 40 s at 3 a second


def test_a_segment_that_is_cut_off_is_logged_without_its_text(loaded: Loaded, caplog: pytest.LogCaptureFixture) -> None:
    tokens = torch.arange(3)
    engine = loaded.engine_with(Recording(loaded, answers=[(tokens, True), (tokens, False)]))
    with caplog.at_level(logging.WARNING):
        engine.synthesize(TEXT, engine.builtin(), SynthesisOptions())
        assert "cut off" not in caplog.text
        engine.synthesize(TEXT, engine.builtin(), SynthesisOptions())
    assert "was cut off after 0.8 s of speech" in caplog.text
    assert "Hello" not in caplog.text


def test_the_model_ends_speech_with_its_stop_token(loaded: Loaded) -> None:
    """Weights made so that the stop token is by far the likeliest after this text."""
    head = loaded.upstream.t3.speech_head
    seen: list[torch.Tensor] = []
    hook = head.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0][0, -1].clone()))
    options = SynthesisOptions(cfg_weight=0.0)
    before = head.weight.data.clone()
    try:
        loaded.model.speech_tokens(TEXT, builtin(loaded), options, 1)
        head.weight.data[loaded.upstream.t3.hp.stop_speech_token] = 10 * seen[0]
        tokens, ended = loaded.model.speech_tokens(TEXT, builtin(loaded), options, 5)
    finally:
        hook.remove()
        head.weight.data.copy_(before)
    assert ended
    assert len(tokens) == 0


def test_a_model_that_says_nothing_is_asked_again_and_then_an_error(loaded: Loaded) -> None:
    nothing = (torch.empty(0, dtype=torch.long), True)
    model = Recording(loaded, answers=[nothing, nothing, (torch.arange(3), True)])
    engine = loaded.engine_with(model)
    assert len(engine.synthesize(TEXT, engine.builtin(), SynthesisOptions())) == 3 * 960
    model.answers = [nothing] * 3
    with pytest.raises(SynthesisError, match="said nothing in 3 tries"):
        engine.synthesize(TEXT, engine.builtin(), SynthesisOptions())


# Refusals


def test_only_english_is_spoken(loaded: Loaded) -> None:
    with pytest.raises(InvalidOption, match="'de'"):
        loaded.engine.synthesize(TEXT, loaded.engine.builtin(), SynthesisOptions(language="de"))


def test_a_text_without_words_is_refused(loaded: Loaded) -> None:
    with pytest.raises(EmptyText):
        loaded.engine.synthesize(" ... ", loaded.engine.builtin(), SynthesisOptions())


def test_weights_of_something_else_are_refused(tmp_path: Path) -> None:
    other_model = save({"weight": torch.zeros(1)})
    for content in (other_model, b"", None):
        path = tmp_path / "ve.safetensors"
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(WeightsNotFound, match="not those of chatterbox's base model"):
            ChatterboxEngine.load(tmp_path, device="cpu")


def test_a_watermarker_that_is_missing_is_named() -> None:
    """perth without pkg_resources, as with setuptools 81 and later."""
    script = """
        import sys; sys.modules["pkg_resources"] = None
        from synthesis.chatterbox import ChatterboxEngine, Path
        ChatterboxEngine.load(Path("nowhere"), device="cpu")
    """
    command = [sys.executable, "-c", "\n".join(line.strip() for line in script.splitlines())]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "EngineUnavailable: perth has no watermarker" in ran.stderr
    assert "'setuptools<81'" in ran.stderr
