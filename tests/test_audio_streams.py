"""Files encoded in pieces against the same files encoded whole."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from synthesis import SAMPLE_RATE_HZ, Samples, encode
from synthesis.audio_streams import STREAM_FORMATS, StreamEncoder
from synthesis.errors import InvalidOption


def streamed(samples: Samples, format_name: str, rate_hz: int | None = None, chunk_s: float = 0.7) -> list[bytes]:
    encoder = StreamEncoder(format_name, rate_hz)
    step = round(chunk_s * SAMPLE_RATE_HZ)
    pieces = [encoder.write(samples[start : start + step]) for start in range(0, len(samples), step)]
    return [*pieces, encoder.close()]


@pytest.mark.parametrize("format_name", ["pcm", "wav", "mp3", "opus"])
def test_a_streamed_file_is_heard_as_the_whole_one(speech: Samples, format_name: str) -> None:
    pieces = streamed(speech, format_name)
    assert sum(bool(piece) for piece in pieces) > 2, "it comes in pieces"
    if format_name == "pcm":
        heard = np.frombuffer(b"".join(pieces), "<i2") / np.float32(32768)
    else:
        heard, rate_hz = soundfile.read(io.BytesIO(b"".join(pieces)), dtype="float32")
        assert rate_hz == SAMPLE_RATE_HZ
    assert len(heard) == pytest.approx(len(speech), abs=0.1 * SAMPLE_RATE_HZ)  # mp3 pads whole frames
    if format_name in ("pcm", "wav"):
        assert np.abs(heard - speech).max() < 1e-4


@pytest.mark.parametrize(
    ("format_name", "rate_hz"), [("pcm", 24_000), ("pcm", 16_000), ("pcm", 44_100), ("ulaw", 8_000)]
)
def test_headerless_pieces_equal_the_whole_answer(speech: Samples, format_name: str, rate_hz: int) -> None:
    assert b"".join(streamed(speech, format_name, rate_hz)) == encode(speech, rate_hz, format_name)


def test_a_streamed_wav_differs_from_the_whole_one_only_in_its_lengths(speech: Samples) -> None:
    whole, pieces = encode(speech, SAMPLE_RATE_HZ, "wav"), b"".join(streamed(speech, "wav"))
    assert pieces[44:] == whole[44:]
    assert pieces[8:40] == whole[8:40]


@settings(max_examples=20, deadline=None)
@given(chunk_s=st.floats(0.001, 3.0), rate_hz=st.sampled_from([8_000, 24_000, 48_000]))
def test_where_the_chunks_end_changes_nothing(chunk_s: float, rate_hz: int) -> None:
    samples = np.sin(np.arange(2 * SAMPLE_RATE_HZ) / 20).astype(np.float32)
    assert b"".join(streamed(samples, "pcm", rate_hz, chunk_s)) == b"".join(streamed(samples, "pcm", rate_hz, 2.0))


@pytest.mark.parametrize("format_name", STREAM_FORMATS)
def test_what_exceeds_full_scale_is_clipped(format_name: str) -> None:
    loud = 3 * np.sin(np.arange(SAMPLE_RATE_HZ) / 20).astype(np.float32)
    assert b"".join(streamed(loud, format_name))


def test_a_format_that_cannot_be_streamed_is_refused() -> None:
    with pytest.raises(InvalidOption, match="allowed with stream is wav, mp3, opus, pcm, ulaw"):
        StreamEncoder("flac")
    with pytest.raises(InvalidOption, match="sample_rate is 44100"):
        StreamEncoder("opus", 44_100)
