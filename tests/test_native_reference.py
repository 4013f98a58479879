"""Our preparation of a voice against upstream's `prepare_conditionals`, from the file to the last tensor."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import librosa
import numpy as np
import pytest
import soundfile
import torch
from s3gen_oracle import upstream_s3gen
from safetensors.torch import save_file

from synthesis import SAMPLE_RATE_HZ, Samples
from synthesis.conditionals import ChatterboxConditionals
from synthesis.errors import WeightsNotFound
from synthesis.native.audio_features import mel_filters, resample, voice_mel, without_silence
from synthesis.native.reference import LazyListener, Listener
from synthesis.native.speaker_encoders import number_of_windows

SAME_TO_THE_BIT = ("cond_prompt_speech_tokens", "prompt_token", "prompt_token_len", "prompt_feat", "embedding")
SPEAKER_ROUNDED = 1e-6  # of a vector of length 1


@pytest.fixture(scope="module")
def voice_encoder() -> Any:
    upstream_s3gen()  # first: it quietens what upstream's imports warn of
    from chatterbox.models.voice_encoder import VoiceEncoder

    torch.manual_seed(3)
    return VoiceEncoder().eval().requires_grad_(False)


@pytest.fixture(scope="module")
def listener(voice_encoder: Any) -> Listener:
    return Listener(upstream_s3gen().state_dict(), voice_encoder.state_dict())


def clip(speech: Samples, seconds: float) -> Samples:
    """Silence, then speech: odd in length, so that frames and tokens do not come out even."""
    silence = np.zeros(SAMPLE_RATE_HZ // 3, dtype=np.float32)
    return np.concatenate([silence, speech])[: int(seconds * SAMPLE_RATE_HZ) + 617]


def upstream_conditionals(voice_encoder: Any, file: Path) -> dict[str, torch.Tensor]:
    from chatterbox.tts import ChatterboxTTS

    model = SimpleNamespace(
        s3gen=upstream_s3gen(),
        ve=voice_encoder,
        t3=SimpleNamespace(hp=SimpleNamespace(speech_cond_prompt_len=150)),
        device="cpu",
        ENC_COND_LEN=ChatterboxTTS.ENC_COND_LEN,
        DEC_COND_LEN=ChatterboxTTS.DEC_COND_LEN,
    )
    with torch.inference_mode():
        ChatterboxTTS.prepare_conditionals(model, file)
    return {
        **{name: getattr(model.conds.t3, name) for name in ("speaker_emb", "cond_prompt_speech_tokens")},
        **model.conds.gen,
    }


@pytest.mark.parametrize("seconds", [1.2, 3.1])
def test_conditionals_are_upstreams(
    listener: Listener, voice_encoder: Any, speech: Samples, tmp_path: Path, seconds: float
) -> None:
    samples = clip(speech, seconds)
    soundfile.write(tmp_path / "voice.wav", samples, SAMPLE_RATE_HZ, subtype="FLOAT")
    expected = upstream_conditionals(voice_encoder, tmp_path / "voice.wav")
    own = listener.conditionals(samples)
    for name in SAME_TO_THE_BIT:
        assert torch.equal(getattr(own, name), expected[name]), name
    assert (own.speaker_emb - expected["speaker_emb"]).abs().max() <= SPEAKER_ROUNDED


def test_conditionals_survive_as_bytes(listener: Listener, speech: Samples) -> None:
    own = listener.conditionals(clip(speech, 1.0))
    read = ChatterboxConditionals.from_bytes(own.to_bytes("revision", "digest"), "revision", "digest", "cpu")
    for name, tensor in own.tensors().items():
        assert torch.equal(read.tensors()[name], tensor)


def test_resampling_is_librosas(speech: Samples) -> None:
    for size in (SAMPLE_RATE_HZ, 31_337):
        expected = librosa.resample(speech[:size], orig_sr=SAMPLE_RATE_HZ, target_sr=16_000)
        assert np.array_equal(resample(speech[:size], SAMPLE_RATE_HZ, 16_000), expected)


def test_trimming_is_librosas(speech: Samples) -> None:
    padded = np.concatenate([np.zeros(5000, np.float32), speech[:30_000], np.zeros(9000, np.float32)])
    assert np.array_equal(without_silence(padded), librosa.effects.trim(padded, top_db=20)[0])
    assert len(without_silence(padded)) < len(padded)


def test_voice_mel_is_upstreams(speech: Samples, voice_encoder: Any) -> None:
    from chatterbox.models.voice_encoder.melspec import melspectrogram

    expected = melspectrogram(speech[:16_000], voice_encoder.hp).T
    assert np.abs(voice_mel(speech[:16_000]) - expected).max() <= 1e-6 * expected.max()


@pytest.mark.parametrize(("rate", "fft_size", "bins", "top"), [(16_000, 400, 128, 8000.0), (24_000, 1920, 80, 8000.0)])
def test_mel_filters_are_librosas(rate: int, fft_size: int, bins: int, top: float) -> None:
    expected = librosa.filters.mel(sr=rate, n_fft=fft_size, n_mels=bins, fmin=0, fmax=top)
    assert np.array_equal(mel_filters(rate, fft_size, bins, top), expected)


@pytest.mark.parametrize("frames", [1, 100, 159, 160, 200, 236, 237, 300, 1000])
def test_windows_of_the_voice_encoder_are_upstreams(voice_encoder: Any, frames: int) -> None:
    from chatterbox.models.voice_encoder.voice_encoder import get_frame_step, get_num_wins

    hp = voice_encoder.hp
    assert number_of_windows(frames) == get_num_wins(frames, get_frame_step(0.5, 1.3, hp), 0.8, hp)[0]


def test_networks_are_read_when_first_needed(listener: Listener, speech: Samples) -> None:
    loads = []

    def load() -> Listener:
        loads.append(1)
        if len(loads) == 1:
            raise WeightsNotFound("not yet there")
        return listener

    lazy = LazyListener(load)
    assert not loads
    with pytest.raises(WeightsNotFound):
        lazy.conditionals(clip(speech, 1.0))
    lazy.conditionals(clip(speech, 1.0))
    lazy.get()
    assert len(loads) == 2


def test_preparing_from_files_imports_nothing_heavy(voice_encoder: Any, speech: Samples, tmp_path: Path) -> None:
    """In a process of its own, from safetensors to conditionals."""
    state = upstream_s3gen().state_dict()
    save_file({name: value for name, value in state.items() if not name.startswith(("flow", "mel2"))}, tmp_path / "s3")
    save_file(voice_encoder.state_dict(), tmp_path / "ve")
    np.save(tmp_path / "clip.npy", clip(speech, 1.0))
    script = (
        "import sys, pathlib, numpy; from synthesis.native.reference import Listener\n"
        "there = pathlib.Path(sys.argv[1])\n"
        "Listener.load(there / 's3', there / 've', 'cpu').conditionals(numpy.load(there / 'clip.npy'))\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    loaded = set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    assert "soxr" in loaded
    assert not loaded & {"librosa", "numba", "scipy", "torchaudio", "transformers", "diffusers", "chatterbox"}
