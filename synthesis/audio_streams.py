"""Samples encoded as they come: pieces of one audio file, whose concatenation is that file.

What a stream cannot know beforehand is left open in the file's header, which players of streams expect: a WAV's length,
an MP3's number of frames. FLAC is not offered, because readers refuse one without its length. The whole-file twin is
`audio_formats.encode`; this module knows nothing of engines or jobs.
"""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING

import numpy as np
import soundfile
import soxr

from synthesis.audio_formats import FORMATS, output_sample_rate_hz
from synthesis.engine import SAMPLE_RATE_HZ, Samples
from synthesis.errors import InvalidOption

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

STREAM_FORMATS = ("wav", "mp3", "opus", "pcm", "ulaw")
_UNKNOWN_LENGTH = 0xFFFFFFFF  # what streaming writers put there (ffmpeg, sox); readers then go by the end of the file


class StreamEncoder:
    """One file in pieces: `write` every chunk of audio, then `close`."""

    def __init__(self, format_name: str, sample_rate_hz: int | None = None) -> None:
        """Raises InvalidOption for a format that cannot be streamed or a rate it cannot carry."""
        if format_name not in STREAM_FORMATS:
            allowed = ", ".join(STREAM_FORMATS)
            raise InvalidOption(f"format is {format_name!r}; allowed with stream is {allowed}; choose one of them")
        self.sample_rate_hz = output_sample_rate_hz(format_name, sample_rate_hz)
        audio_format = FORMATS[format_name]
        self._lossy = audio_format.lossy
        self._resampler = _Resampler(self.sample_rate_hz)
        self._sink = _Sink(_wav_header(self.sample_rate_hz) if format_name == "wav" else b"")
        headerless = audio_format.container in ("WAV", "RAW")
        self._file = soundfile.SoundFile(
            self._sink,
            "w",
            self.sample_rate_hz,
            1,
            audio_format.encoding,
            "LITTLE" if headerless and audio_format.encoding == "PCM_16" else "FILE",
            "RAW" if headerless else audio_format.container,
        )

    def write(self, samples: Samples) -> bytes:
        """The next piece of the file, for samples (n,) float32 mono at SAMPLE_RATE_HZ. It may be empty: encoders and
        the resampler hold some audio back."""
        return self._encoded(self._resampler.resample(np.clip(samples, -1.0, 1.0), last=False))

    def close(self) -> bytes:
        """The last piece, with everything held back; may be empty."""
        rest = self._encoded(self._resampler.resample(np.zeros(0, np.float32), last=True))
        self._file.close()
        return rest + self._sink.take()

    def _encoded(self, audio: Samples) -> bytes:
        audio = np.clip(audio, -1.0, 1.0)
        # 16 bits, rounded here, as `audio_formats.encode` does: libsndfile truncates
        self._file.write(audio if self._lossy else np.rint(audio * 32767).astype(np.int16))
        return self._sink.take()


class _Resampler:
    """24 kHz to another rate with its state kept between chunks; nothing at 24 kHz itself."""

    def __init__(self, rate_hz: int) -> None:
        same = rate_hz == SAMPLE_RATE_HZ
        self._stream = None if same else soxr.ResampleStream(SAMPLE_RATE_HZ, rate_hz, 1, dtype="float32")

    def resample(self, samples: Samples, *, last: bool) -> Samples:
        if self._stream is None:
            return samples
        resampled: Samples = self._stream.resample_chunk(samples, last=last)
        return resampled


class _Sink(io.RawIOBase):
    """A file in memory that hands out what was appended. Corrections of what is already out are dropped: libsndfile
    goes back to fill in lengths when it closes a file, and the piece that held them has been sent."""

    def __init__(self, start: bytes) -> None:
        self._pending = bytearray(start)
        self._end = self._position = 0

    def take(self) -> bytes:
        taken, self._pending = bytes(self._pending), bytearray()
        return taken

    def write(self, data: ReadableBuffer, /) -> int:
        size = len(memoryview(data))
        new = max(0, self._position + size - self._end)
        self._pending += bytes(data)[size - new :]
        self._position += size
        self._end = max(self._end, self._position)
        return size

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        self._position = (0, self._position, self._end)[whence] + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def readable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True


def _wav_header(rate_hz: int) -> bytes:
    """44 bytes: RIFF, one PCM chunk, mono, 16 bits (Microsoft, "Multimedia Programming Interface", 1991)."""
    width = 2
    fmt = struct.pack("<IHHIIHH", 16, 1, 1, rate_hz, rate_hz * width, width, 8 * width)
    unknown = struct.pack("<I", _UNKNOWN_LENGTH)
    return b"RIFF" + unknown + b"WAVEfmt " + fmt + b"data" + unknown
