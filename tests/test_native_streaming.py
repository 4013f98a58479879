"""Speech in chunks against the same utterance in one piece, on random weights."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
import torch
from s3gen_oracle import conditionals_of, max_difference, random_tokens, random_voice, upstream_s3gen

from synthesis import Samples
from synthesis.native.excitation import SAMPLES_PER_FRAME, Chance
from synthesis.native.s3gen import S3Gen, fade_in
from synthesis.native.streaming import Chunking, PinnedNoise, SpeechStream, advance, stream_speech
from synthesis.native.vocoder import Vocoder
from synthesis.native.vocoder_stream import LAG_FRAMES, VocoderStream

NUM_PROMPT_TOKENS, NUM_TOKENS, SEED, STEPS = 10, 60, 9, 2
CHUNKING = Chunking(first_tokens=25, tokens=25, context_tokens=25)
IN_ONE_PIECE = Chunking(first_tokens=1000)


@pytest.fixture(scope="module")
def s3gen() -> S3Gen:
    return S3Gen(upstream_s3gen().state_dict())


def new_stream(s3gen: S3Gen, chunking: Chunking, seed: int = SEED, voice: int = 1) -> SpeechStream:
    conditionals = conditionals_of(random_voice(voice, NUM_PROMPT_TOKENS))
    return SpeechStream(s3gen, conditionals, torch.Generator().manual_seed(seed), chunking)


class Spoken(NamedTuple):
    chunks: list[Samples]
    mel: torch.Tensor  # (80, T): what the vocoder was given


def spoken(s3gen: S3Gen, chunking: Chunking, seed: int = SEED) -> Spoken:
    stream = new_stream(s3gen, chunking, seed)
    chunks = stream_speech(s3gen, stream, random_tokens(1, NUM_TOKENS), STEPS)
    assert stream.mel.shape == (80, 2 * NUM_TOKENS)
    return Spoken(chunks, stream.mel)


@pytest.fixture(scope="module")
def chunked(s3gen: S3Gen) -> Spoken:
    return spoken(s3gen, CHUNKING)


@pytest.fixture(scope="module")
def in_one_piece(s3gen: S3Gen) -> Spoken:
    return spoken(s3gen, IN_ONE_PIECE)


@pytest.fixture(scope="module")
def chunks(chunked: Spoken) -> list[Samples]:
    return chunked.chunks


def test_chunks_are_as_long_as_what_they_say(chunks: list[Samples]) -> None:
    assert len(chunks) == 3
    assert sum(map(len, chunks)) == NUM_TOKENS * 960
    kept_back = 2 * 3 + CHUNKING.mixed_frames + LAG_FRAMES
    assert len(chunks[0]) == (2 * CHUNKING.first_tokens - kept_back) * SAMPLES_PER_FRAME


def test_first_chunk_needs_one_token_more_than_it_says(s3gen: S3Gen) -> None:
    stream = new_stream(s3gen, CHUNKING)
    stream.feed(random_tokens(1, 25))
    assert not stream.is_ready
    stream.feed(random_tokens(1, 1))
    assert stream.is_ready


@torch.inference_mode()
def test_one_piece_is_what_a_whole_decode_gives(s3gen: S3Gen, in_one_piece: Spoken) -> None:
    """The same stages, the same noise: streaming costs exactness only where it cuts."""
    noise = PinnedNoise(torch.Generator().manual_seed(SEED), 2 * NUM_PROMPT_TOKENS)
    stream = new_stream(s3gen, IN_ONE_PIECE)
    stream.feed(random_tokens(1, NUM_TOKENS), is_last=True)
    mel = s3gen.flow.decode([stream.next_passage()], STEPS)[0]
    chance = Chance(noise.phase, noise.excitation(0, 2 * NUM_TOKENS))
    wave = s3gen.vocoder.decode([mel], [chance])[0].clone()
    wave[:960] *= fade_in()
    assert max_difference(in_one_piece.chunks[0], wave) == 0


def test_chunks_do_not_depend_on_when_tokens_come(s3gen: S3Gen, chunks: list[Samples]) -> None:
    stream, dribbled = new_stream(s3gen, CHUNKING), []
    for number, token in enumerate(random_tokens(1, NUM_TOKENS).split(1), start=1):
        stream.feed(token, is_last=number == NUM_TOKENS)
        while stream.is_ready:
            dribbled += advance(s3gen, [stream], STEPS)
    assert stream.is_over
    assert [len(chunk) for chunk in dribbled] == [len(chunk) for chunk in chunks]
    assert np.array_equal(np.concatenate(dribbled), np.concatenate(chunks))


def test_streams_that_advance_together_say_what_they_say_alone(s3gen: S3Gen) -> None:
    def started(voice: int) -> SpeechStream:
        stream = new_stream(s3gen, CHUNKING, seed=voice, voice=voice)
        stream.feed(random_tokens(voice, 20 + 10 * voice), is_last=True)
        return stream

    alone = [advance(s3gen, [started(voice)], STEPS)[0] for voice in (0, 1)]  # the first is over, the other is not
    together = advance(s3gen, [started(voice) for voice in (0, 1)], STEPS)
    for one, other in zip(alone, together, strict=True):
        assert max_difference(one, other) <= 1e-4


def test_chunked_mel_is_nearer_the_whole_than_other_noise(s3gen: S3Gen, chunked: Spoken, in_one_piece: Spoken) -> None:
    """How far chunks are from the whole: about a quarter of what another seed changes, on random weights."""
    other = spoken(s3gen, IN_ONE_PIECE, SEED + 1)
    difference = (chunked.mel - in_one_piece.mel).norm()
    assert 0 < difference < 0.5 * (other.mel - in_one_piece.mel).norm()


def test_no_click_where_chunks_join(chunks: list[Samples]) -> None:
    """A click is a jump in the wave, and a jump is large in its second difference: compare with all that is around."""
    wave = np.concatenate(chunks)
    bends = np.abs(np.diff(wave, 2))
    for join in np.cumsum([len(chunk) for chunk in chunks[:-1]]):
        around = np.concatenate([bends[join - 2400 : join - 48], bends[join + 48 : join + 2400]])
        assert bends[join - 48 : join + 48].max() <= around.max()


def test_no_step_in_level_where_mels_meet(chunked: Spoken) -> None:
    """From frame to frame the mel changes no more where chunks were mixed than elsewhere."""
    changes = chunked.mel.diff(dim=1).norm(dim=0)
    for tokens in (25, 50):
        settled = 2 * (tokens - 3) - CHUNKING.mixed_frames
        assert changes[settled - 2 : settled + CHUNKING.mixed_frames + 2].max() <= 2 * changes.median()


@torch.inference_mode()
@pytest.mark.parametrize("sizes", [(38, 50, 12), (1, 3, 21, 1, 30, 44)])
def test_vocoder_in_windows_is_the_whole(sizes: tuple[int, ...]) -> None:
    """With a constant F0, whose rounding in windows the harmonics' phase would else add up."""
    state = dict(upstream_s3gen().state_dict())
    state["mel2wav.f0_predictor.classifier.weight"] = torch.zeros(1, 512)
    vocoder = Vocoder(state)
    mel = torch.randn(80, 100, generator=torch.Generator().manual_seed(1)) - 4
    noise = PinnedNoise(torch.Generator().manual_seed(2), 0)
    expected = vocoder.decode([mel], [Chance(noise.phase, noise.excitation(0, 100))])[0]
    stream = VocoderStream(vocoder, noise.phase, noise.excitation)
    said = [stream.push(part, is_last=n == len(sizes)) for n, part in enumerate(mel.split(sizes, dim=1), start=1)]
    assert max_difference(torch.cat(said), expected) <= 1e-6


@torch.inference_mode()
def test_vocoder_of_a_stream_is_the_whole(s3gen: S3Gen, chunked: Spoken) -> None:
    noise = PinnedNoise(torch.Generator().manual_seed(SEED), 2 * NUM_PROMPT_TOKENS)
    expected = s3gen.vocoder.decode([chunked.mel], [Chance(noise.phase, noise.excitation(0, 2 * NUM_TOKENS))])[
        0
    ].clone()
    expected[:960] *= fade_in()
    assert max_difference(np.concatenate(chunked.chunks), expected) <= 1e-4  # of waves that reach 0.07: F0 as above


@pytest.mark.parametrize("number", [0, 1, 25, 26])
def test_short_utterances(s3gen: S3Gen, number: int) -> None:
    chunks = stream_speech(s3gen, new_stream(s3gen, CHUNKING), random_tokens(1, number), STEPS)
    assert sum(map(len, chunks)) == number * 960


def test_prompt_of_an_odd_number_of_frames(s3gen: S3Gen) -> None:
    """Its last frame lies where the first token's first one would; that one is not said, in any chunking."""
    conditionals = conditionals_of(random_voice(1, NUM_PROMPT_TOKENS, extra_frames=1))

    def said(chunking: Chunking) -> Samples:
        stream = SpeechStream(s3gen, conditionals, torch.Generator().manual_seed(SEED), chunking)
        return np.concatenate(stream_speech(s3gen, stream, random_tokens(1, 30), STEPS))

    assert len(said(CHUNKING)) == len(said(IN_ONE_PIECE)) == 30 * 960 - 480


def test_tokens_that_do_not_sound_are_left_out(s3gen: S3Gen) -> None:
    marked = torch.cat([torch.tensor([6561]), random_tokens(1, 5), torch.tensor([6562])])
    chunks = stream_speech(s3gen, new_stream(s3gen, CHUNKING), marked, STEPS)
    plain = stream_speech(s3gen, new_stream(s3gen, CHUNKING), random_tokens(1, 5), STEPS)
    assert np.array_equal(np.concatenate(chunks), np.concatenate(plain))


def test_noise_of_a_frame_is_its_own() -> None:
    first, second = (PinnedNoise(torch.Generator().manual_seed(3), 20) for _ in range(2))
    late = first.mel(120, 130)
    second.excitation(0, 1)
    assert torch.equal(second.mel(120, 130), late)
    assert torch.equal(first.excitation(60, 61), second.excitation(60, 61))
