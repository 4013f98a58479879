"""A synthesis answered in chunks: pieces of one audio file, each with what is needed to play or save it.

    {"index": 0, "format": "wav", "sample_rate": 24000, "offset": 0.0, "audio": "<base64>", "last": false}

The concatenation of all audio is the file; the last chunk, whose audio may be empty, carries the totals. Knows nothing
of how chunks travel (`runpod_loop`).
"""

from __future__ import annotations

import base64
from collections.abc import Iterator

from synthesis import Samples
from synthesis.audio_streams import StreamEncoder
from synthesis.quality import Spoken
from worker.errors import JobError
from worker.inputs import SynthesizeInput
from worker.report import report
from worker.request import Output, Request
from worker.speech import Speaker, Utterance, duration_s

# RunPod takes 1 MB a chunk ("Operation reference"); base64 makes 4 bytes of 3, and the totals need room.
MAX_CHUNK_BYTES = 720_000


def _refuse_impossible(job: SynthesizeInput) -> None:
    """Raises JobError for what needs the whole utterance before its first byte."""
    if job.normalize is not None:
        raise JobError(
            "INVALID_INPUT",
            "normalize and stream are both given; a level needs the whole utterance; leave one of them out",
        )
    if job.delivery == "s3":
        raise JobError(
            "INVALID_INPUT", "delivery is 's3' with stream; a stream is delivered inline; leave one of them out"
        )
    if job.subtitles is not None and job.checks == "off":
        raise JobError(
            "INVALID_INPUT",
            "subtitles and quality 'off' are given with stream; they are made of checked segments; leave quality out",
        )


def stream(job: SynthesizeInput, speaker: Speaker, request: Request) -> Output:
    """Speak, hand every chunk to the request as soon as it exists, and return the totals. Without anyone to take the
    chunks they come with the totals, as `chunks`. Raises JobError, SynthesisError or LibraryError."""
    _refuse_impossible(job)
    utterance = speaker.utterance(job, request)
    collected: list[Output] = []
    take = request.on_chunk or collected.append
    first_chunk_s = None
    totals: Output = {}
    for chunk in _chunks(utterance, speaker, request):
        if first_chunk_s is None:
            first_chunk_s = request.elapsed_s()
        if chunk["last"]:
            chunk["timings"]["first_chunk_s"] = round(first_chunk_s, 4)
            totals = {name: value for name, value in chunk.items() if name in _TOTALS}
        take(chunk)
    return {**totals, "chunks": collected} if request.on_chunk is None else totals


_TOTALS = (
    "segments",
    "subtitles",
    "num_chunks",
    "format",
    "sample_rate",
    "duration",
    "voice_id",
    "voice_name",
    "engine",
    "seed",
    "timings",
)


def _chunks(utterance: Utterance, speaker: Speaker, request: Request) -> Iterator[Output]:
    encoder = StreamEncoder(utterance.job.format, utterance.sample_rate_hz)
    num_samples = index = 0
    spoken: list[Spoken] = []
    for samples in _sound(utterance, speaker, request, spoken):
        with request.timed("encode_s"):
            encoded = encoder.write(samples)
        for offset_s, piece in _pieces(encoded, duration_s(num_samples), duration_s(len(samples))):
            yield _chunk(utterance, index, offset_s, piece)
            index += 1
        num_samples += len(samples)
    with request.timed("encode_s"):
        rest = encoder.close()
    last = _chunk(utterance, index, duration_s(num_samples), rest)
    totals = {"num_chunks": index + 1, **speaker.facts(utterance, duration_s(num_samples), request)}
    said = report(spoken, utterance.job.subtitles) if spoken else {}
    yield {**last, "last": True, **totals, **said}


def _sound(utterance: Utterance, speaker: Speaker, request: Request, spoken: list[Spoken]) -> Iterator[Samples]:
    """As it is said, or segments as they are found good, which are also put into `spoken`."""
    if utterance.job.checks == "off":
        yield from speaker.chunks(utterance, request)
        return
    for each in speaker.spoken(utterance, request):
        spoken.append(each)
        if len(each.samples):
            yield each.samples


def _pieces(encoded: bytes, start_s: float, length_s: float) -> Iterator[tuple[float, bytes]]:
    """encoded in pieces that RunPod takes, each with the second of speech at which it begins; none for none."""
    for start in range(0, len(encoded), MAX_CHUNK_BYTES):
        yield start_s + length_s * start / len(encoded), encoded[start : start + MAX_CHUNK_BYTES]


def _chunk(utterance: Utterance, index: int, offset_s: float, audio: bytes) -> Output:
    return {
        "index": index,
        "format": utterance.job.format,
        "sample_rate": utterance.sample_rate_hz,
        "offset": round(offset_s, 3),
        "audio": base64.b64encode(audio).decode("ascii"),
        "last": False,
    }
