"""AAC, by FFmpeg through PyAV where that is installed; refused in words where it is not.

libsndfile, which writes every other format, has no AAC. The stream is ADTS, which needs no end: what OpenAI sends.
"""

from __future__ import annotations

import importlib.util
import io
from typing import Any

import numpy as np

from server.answers import audio_of
from server.errors import Refused
from worker.request import Output

MEDIA_TYPE = "audio/aac"
BIT_RATE = 64_000  # transparent for one voice


def check() -> None:
    """Raises Refused where AAC cannot be written."""
    if importlib.util.find_spec("av") is None:
        raise Refused(
            "INVALID_INPUT",
            "response_format is aac, which this server has no encoder for; allowed are mp3, opus, flac, wav and pcm; "
            "choose one, or install the package 'av' on the server",
        )


class Encoder:
    """Chunks of pcm in, pieces of one ADTS stream out."""

    def __init__(self, sample_rate_hz: int) -> None:
        import av

        self._rate_hz = sample_rate_hz
        self._sink = io.BytesIO()
        self._container: Any = av.open(self._sink, "w", format="adts")
        self._stream: Any = self._container.add_stream("aac", rate=sample_rate_hz)
        self._stream.layout, self._stream.bit_rate = "mono", BIT_RATE
        self._frame_of = av.AudioFrame.from_ndarray
        self._num_samples = 0

    def encode(self, chunk: Output) -> bytes:
        """The next piece, for a chunk of 16-bit pcm; the last one flushes the encoder."""
        samples = np.frombuffer(audio_of(chunk), "<i2")
        if len(samples):
            floats = (samples.astype(np.float32) / 32768)[np.newaxis]  # (1, n): planar
            frame: Any = self._frame_of(floats, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = self._rate_hz, self._num_samples
            self._num_samples += len(samples)
            self._mux(frame)
        if chunk["last"]:
            self._mux(None)
            self._container.close()
        return self._taken()

    def _mux(self, frame: Any) -> None:
        for packet in self._stream.encode(frame):
            self._container.mux(packet)

    def _taken(self) -> bytes:
        piece = self._sink.getvalue()
        self._sink.seek(0)
        self._sink.truncate()
        return piece
