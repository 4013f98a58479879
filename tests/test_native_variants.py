"""The turbo and the multilingual model from a folder of weights to audio: ours against upstream's own classes."""

from __future__ import annotations

import contextlib
import functools
import io
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

pytest.importorskip("torch", reason="the light set has no model")
pytest.importorskip("chatterbox", reason="the light set has no model")

import random_chatterbox
import soundfile
import torch
from random_chatterbox import FEW_LAYERS, MAX_SPEECH_TOKENS, MLP_SIZE, reference, weights_folder
from s3gen_oracle import quiet_imports
from t3_oracle import random_voice

from synthesis import SAMPLE_RATE_HZ, Conditionals, ReferenceAudio, Samples, SynthesisOptions
from synthesis.chatterbox_models import CHATTERBOX_MODELS
from synthesis.conditionals import SPEECH_VOCABULARY, ChatterboxConditionals
from synthesis.errors import InvalidOption, UnusableReference, WeightsNotFound
from synthesis.native.engine import NativeEngine
from synthesis.native.loading import load_native_engine
from synthesis.native.variants import VARIANTS

sys.path.insert(0, str(random_chatterbox.SCRIPT.parent))
from make_random_weights import t3_sizes

CLIP = reference(150, 5.3)  # turbo asks for more than five seconds


@dataclass
class Loaded:
    name: str
    upstream: Any
    ours: NativeEngine
    options: SynthesisOptions  # upstream's defaults

    @property
    def text(self) -> str:
        return "Guten Tag, dies ist ein Versuch." if self.name == "multilingual" else "Hello world, this is a test."


@pytest.fixture(scope="module", params=["turbo", "multilingual"])
def both(request: Any) -> Iterator[Loaded]:
    torch.set_num_threads(1)
    folder = weights_folder(request.param)
    upstream = upstream_turbo(folder) if request.param == "turbo" else upstream_multilingual(folder)
    ours = load_native_engine(folder, model=request.param, device="cpu", max_speech_tokens=MAX_SPEECH_TOKENS)
    language = "de" if request.param == "multilingual" else "en"
    yield Loaded(request.param, upstream, ours, SynthesisOptions(seed=3, language=language, **ours.default_options))
    ours.close()


def upstream_turbo(folder: Path) -> Any:
    quiet_imports()
    from chatterbox.tts_turbo import ChatterboxTurboTTS

    upstream = load_upstream(ChatterboxTurboTTS, folder, "turbo")
    upstream.t3.inference_turbo = functools.partial(upstream.t3.inference_turbo, max_gen_len=MAX_SPEECH_TOKENS - 1)
    norm_loudness = upstream.norm_loudness

    def single(wav: Any, sample_rate: int) -> Any:  # as with numpy 1, which upstream is pinned to
        return norm_loudness(wav, sample_rate).astype(np.float32)

    upstream.norm_loudness = single
    return upstream


def upstream_multilingual(folder: Path) -> Any:
    quiet_imports()
    from chatterbox import mtl_tts
    from chatterbox.models.t3.inference import alignment_stream_analyzer
    from chatterbox.models.tokenizers import tokenizer

    from synthesis.native.t3_base import ALIGNED_HEADS

    # Without the segmenter, which would be fetched, and with the table that lies beside the weights.
    local = mock.patch.object(tokenizer, "hf_hub_download", return_value=str(folder / "Cangjie5_TC.json"))
    alignment_stream_analyzer.LLAMA_ALIGNED_HEADS = [tuple(head) for head in ALIGNED_HEADS]  # other tests change them
    with local, mock.patch.dict(sys.modules, {"spacy_pkuseg": None}):
        upstream = load_upstream(mtl_tts.ChatterboxMultilingualTTS, folder, "multilingual")
    # Learnt weights do not say tokens that S3Gen has no embedding for; with random ones, upstream fails at them.
    mtl_tts.drop_invalid_tokens = lambda tokens: tokens[tokens < SPEECH_VOCABULARY]
    inference = upstream.t3.inference
    upstream.t3.inference = lambda **options: inference(**{**options, "max_new_tokens": MAX_SPEECH_TOKENS})
    return upstream


def load_upstream(kind: Any, folder: Path, model: str) -> Any:
    with (
        t3_sizes(FEW_LAYERS[model], MLP_SIZE[model]),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        return kind.from_local(folder, "cpu")


def upstream_audio(both: Loaded) -> np.ndarray:
    torch.manual_seed(both.options.seed)
    arguments = [both.text, "de"] if both.name == "multilingual" else [both.text]
    with torch.inference_mode():
        return np.asarray(both.upstream.generate(*arguments)[0])


def whole(both: Loaded, voice: Conditionals, options: SynthesisOptions) -> Samples:
    """Not streamed, whose chunks differ a little."""
    segments = both.ours.plan(both.text, options)
    assert [segment.text for segment in segments] == [both.text]
    return next(both.ours.takes(segments, [options.seed], voice, options)).samples


def test_audio_is_upstreams(both: Loaded) -> None:
    """From the text to the marked samples, with upstream's own defaults."""
    theirs = upstream_audio(both)
    ours = whole(both, both.ours.builtin(), both.options)
    assert len(theirs) > SAMPLE_RATE_HZ / 2
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)
    assert np.abs(theirs).max() > 0.01
    assert both.ours.model == both.name


def test_conditionals_are_upstreams(both: Loaded, tmp_path: Path) -> None:
    """More of the clip for turbo, and at another loudness."""
    soundfile.write(tmp_path / "voice.wav", CLIP.samples, SAMPLE_RATE_HZ, subtype="FLOAT")
    before = both.upstream.conds
    with torch.inference_mode():
        both.upstream.prepare_conditionals(tmp_path / "voice.wav")
    theirs, both.upstream.conds = both.upstream.conds, before
    ours = both.ours.prepare(CLIP)
    assert isinstance(ours, ChatterboxConditionals)
    expected = ChatterboxConditionals.of({**vars(theirs.t3), **theirs.gen}, "cpu")
    for name, tensor in expected.tensors().items():
        torch.testing.assert_close(ours.tensors()[name], tensor, rtol=0, atol=1e-5, msg=name)
    num_tokens = ours.cond_prompt_speech_tokens.shape[1]
    assert num_tokens == 133, "5.3 s"
    voice = ours.speaker_emb
    assert both.ours.voice_similarity(CLIP.samples, ours) == pytest.approx(float((voice * voice).sum()), abs=1e-4)


def test_streams_say_what_is_said_whole(both: Loaded) -> None:
    """As many samples, turbo's silence behind them included; equal they are not, as flow matching sees chunks."""
    options = replace(both.options, cfm_steps=2)
    streamed = both.ours.synthesize(both.text, both.ours.builtin(), options)
    taken = whole(both, both.ours.builtin(), options)
    assert len(streamed) == len(taken)
    assert np.isfinite(streamed).all()


def test_options_a_model_does_not_know_change_nothing(both: Loaded) -> None:
    """As upstream, which warns: turbo has no guidance, no emotion and no min_p."""
    voice, options = random_voice(1, num_prompt_tokens=40), replace(both.options, cfm_steps=1)
    usual, both.ours._max_speech_tokens = both.ours._max_speech_tokens, 3
    try:
        plain = whole(both, voice, options)
        changed = whole(both, voice, replace(options, cfg_weight=1.0, exaggeration=2.0, min_p=0.9))
    finally:
        both.ours._max_speech_tokens = usual
    assert np.array_equal(plain, changed) == (both.name == "turbo")


def test_a_language_the_model_does_not_speak_is_refused(both: Loaded) -> None:
    wrong = "xx" if both.name == "multilingual" else "fr"
    with pytest.raises(InvalidOption, match=f"the {both.name} model speaks only '(ar|en)'.*choose one of them"):
        both.ours.stream(both.text, both.ours.builtin(), SynthesisOptions(language=wrong))


def test_a_text_that_leaves_no_room_for_speech_is_refused(both: Loaded) -> None:
    """Many tokens a character: turbo's bytes of a script it does not speak; multilingual's rows are long enough."""
    text, voice = "木" * 380, both.ours.builtin()
    if both.name == "turbo":
        with pytest.raises(InvalidOption, match="leaves no room to say them"):
            both.ours.stream(text, voice, both.options)
    else:
        options = replace(both.options, language="zh")
        segments = both.ours.plan(text, options)
        assert len(segments) == 3, "shorter ones, as a character is a syllable"
        requests = both.ours._requests(segments, [1, 2, 3], voice, options)
        assert all(request.max_tokens == MAX_SPEECH_TOKENS for request in requests)


def test_turbo_needs_a_longer_clip(both: Loaded) -> None:
    if both.name == "turbo":
        with pytest.raises(UnusableReference, match="allowed is mono of 5 s or more"):
            both.ours.prepare(ReferenceAudio(CLIP.samples[: 4 * SAMPLE_RATE_HZ]))
    assert both.ours._voices._min_reference_s == {"turbo": 5.0, "multilingual": 1.0}[both.name]


def test_every_model_has_a_variant_and_weights() -> None:
    from synthesis.weights import MODELS

    assert VARIANTS.keys() == CHATTERBOX_MODELS.keys() == MODELS.keys()
    for name, variant in VARIANTS.items():
        files = {file.name for file in MODELS[name].files if file.required}
        assert {variant.t3_file, variant.s3gen_file, variant.voice_file} <= files


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    (tmp_path / "t3_turbo_v1.safetensors").symlink_to(weights_folder("base") / "t3_cfg.safetensors")
    with pytest.raises(WeightsNotFound, match="those of chatterbox's turbo model"):
        load_native_engine(tmp_path, model="turbo", device="cpu")
    with pytest.raises(InvalidOption, match="allowed is base, turbo, multilingual"):
        load_native_engine(tmp_path, model="giant", device="cpu")
