"""How a whole answer reaches its caller: inside the answer while RunPod's payload caps allow it, else by the bucket.

In the bucket an answer lies under a key made of the request itself, so that the same request is answered from there
without speaking again. Knows nothing of boto3: the store is the voice library's.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
from dataclasses import asdict
from datetime import datetime, timedelta, timezone

from synthesis import FORMATS, Engine
from voice_library.stores.interface import Store
from worker.errors import JobError
from worker.inputs import SynthesizeInput
from worker.request import Output, Request
from worker.speech import Utterance

MB = 1_000_000
RUN_CAP_BYTES, RUNSYNC_CAP_BYTES = 10 * MB, 20 * MB  # RunPod, "Operation reference"; over them an answer is dropped
SYNC_ID_PREFIX = "sync-"  # how the ids of /runsync jobs start, ibid.
MARGIN_BYTES = 100_000  # what is in an answer besides its audio, with room to spare: names have 200 characters
BASE64_GROWTH = 4 / 3
EXACT_FORMATS = ("wav", "pcm", "ulaw")  # whose size follows from their duration
HEADROOM = 1.2  # by which a compressed format's usual size may be exceeded

URL_EXPIRES_S = 24 * 3600  # as long as RunPod itself keeps a job at most
SLOWEST_CHARS_PER_S = 5  # a third of usual speech: no text takes longer to say
ANSWERS = "answers/"
KEY_VERSION = 2  # raise it when the same request would be answered with other audio


class Delivery:
    """One worker's way out."""

    def __init__(self, store: Store | None, max_inline_bytes: int | None = None) -> None:
        """max_inline_bytes replaces RunPod's caps, for callers that have others."""
        self.store = store
        self._max_inline_bytes = max_inline_bytes

    def cap_bytes(self, request: Request) -> int:
        """What the base64 of this request's audio may have."""
        if self._max_inline_bytes is not None:
            return self._max_inline_bytes
        platform_cap = RUNSYNC_CAP_BYTES if request.job_id.startswith(SYNC_ID_PREFIX) else RUN_CAP_BYTES
        return platform_cap - MARGIN_BYTES

    def check(self) -> None:
        """Raises StorageUnavailable where there is a bucket and it cannot be reached."""
        if self.store is not None:
            self.store.exists(f"{ANSWERS}check")

    def refuse_larger(self, answer_bytes: int, request: Request) -> None:
        """Raises JobError TOO_LARGE for an answer over the cap whatever is in it: many voices, a stream's chunks."""
        cap = self.cap_bytes(request) + MARGIN_BYTES
        if answer_bytes > cap:
            raise JobError(
                "TOO_LARGE",
                f"the answer has {answer_bytes / MB:.1f} MB; allowed are {cap / MB:.1f} MB; ask for less at once "
                "(a smaller page_size, a shorter text, a compressed format)",
            )

    def refuse_impossible(self, job: SynthesizeInput) -> None:
        """Raises JobError for a bucket that is not there."""
        if job.delivery == "s3" and self.store is None:
            raise JobError("INVALID_INPUT", "delivery is 's3'; this worker has no bucket; use delivery auto or inline")

    def find(self, utterance: Utterance, engine: Engine, request: Request) -> Output | None:
        """`duration` and `segments` of the same request's answer, if the bucket has it (`address` says where); looked
        for only where it would have gone there."""
        if self.store is None or not self._may_go_to_the_bucket(utterance, request):
            return None
        key = content_key(utterance, engine)
        found = self.store.find(f"{key}.json")
        if found is None or not self.store.exists(key + FORMATS[utterance.job.format].suffix):
            return None
        with contextlib.suppress(ValueError, KeyError, TypeError):  # damaged: spoken again and overwritten
            stored = json.loads(found.body)
            return {"duration": float(stored["duration"]), "segments": list(stored["segments"])}
        return None

    def deliver(self, encoded: bytes, facts: Output, utterance: Utterance, engine: Engine, request: Request) -> Output:
        """The answer. Raises JobError TOO_LARGE, or StorageUnavailable."""
        size = 4 * ((len(encoded) + 2) // 3)
        beside = max(0, len(json.dumps(facts)) - MARGIN_BYTES // 2)  # the segments of a long text
        fits = size + beside <= self.cap_bytes(request)
        if fits and utterance.job.delivery != "s3":
            return {"audio": base64.b64encode(encoded).decode("ascii"), **facts}
        if self.store is None or utterance.job.delivery == "inline":
            raise self._too_large(utterance, size, facts["duration"], request)
        key = content_key(utterance, engine)
        self.store.put(key + FORMATS[utterance.job.format].suffix, encoded)
        self.store.put(f"{key}.json", json.dumps(facts).encode())  # last: it says that the audio is there
        return {**self.address(utterance, engine), **facts}

    def refuse_early(self, utterance: Utterance, spoken_s: float, share: float, request: Request) -> None:
        """Raises JobError TOO_LARGE once what was spoken, `share` of the text, cannot leave already."""
        if utterance.job.format in EXACT_FORMATS and self._is_inline_only(utterance):
            size = _base64_bytes(utterance.job.format, utterance.sample_rate_hz, spoken_s)
            if size > self.cap_bytes(request):
                raise self._too_large(utterance, round(size / share), spoken_s / share, request)

    def _is_inline_only(self, utterance: Utterance) -> bool:
        return self.store is None or utterance.job.delivery == "inline"

    def _too_large(self, utterance: Utterance, size: int, duration_s: float, request: Request) -> JobError:
        """size: of the audio in base64, bytes."""
        cap, audio_format = self.cap_bytes(request), utterance.job.format
        fitting = [
            name
            for name, other in FORMATS.items()
            if name != audio_format and _base64_bytes(name, other.default_rate_hz, duration_s) * _headroom(name) <= cap
        ]
        remedy = f"ask for format {' or '.join(fitting)}, which would fit" if fitting else "send the text in parts"
        bucket = "use delivery auto" if self.store is not None else "give the worker a bucket"
        return JobError(
            "TOO_LARGE",
            f"about {duration_s:.0f} s of audio are {size / MB:.1f} MB as {audio_format} in base64; allowed in an "
            f"answer are {cap / MB:.1f} MB; {remedy}, or {bucket}",
        )

    def _may_go_to_the_bucket(self, utterance: Utterance, request: Request) -> bool:
        job = utterance.job
        longest_s = len(job.text) / SLOWEST_CHARS_PER_S
        largest = _base64_bytes(job.format, utterance.sample_rate_hz, longest_s) * _headroom(job.format)
        return job.delivery == "s3" or (job.delivery == "auto" and largest > self.cap_bytes(request))

    def address(self, utterance: Utterance, engine: Engine) -> Output:
        """Where the bucket's answer can be fetched from now on, and for how long."""
        assert self.store is not None
        audio_format = FORMATS[utterance.job.format]
        key = content_key(utterance, engine) + audio_format.suffix
        expires = datetime.now(timezone.utc) + timedelta(seconds=URL_EXPIRES_S)
        return {
            "audio_url": self.store.signed_url(key, URL_EXPIRES_S, audio_format.media_type),
            "expires_at": expires.isoformat(timespec="seconds"),
        }


def content_key(utterance: Utterance, engine: Engine) -> str:
    """Where this request's answer lies, without a suffix: a digest of all that its audio depends on."""
    job = utterance.job
    if utterance.voice is not None:
        voice = f"id:{utterance.voice.voice_id}"  # never given to another recording
    else:
        voice = f"audio:{utterance.reference.digest}" if utterance.reference else "built-in"
    parts = {
        "version": KEY_VERSION,
        "engine": [engine.name, engine.model, engine.revision],
        "voice": voice,
        "text": job.text,
        "options": asdict(utterance.options),
        "output": [job.format, utterance.sample_rate_hz, job.normalize],
        "checks": [job.checks, job.max_retries if job.checks != "off" else 0],
    }
    return ANSWERS + hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _base64_bytes(format_name: str, sample_rate_hz: int, duration_s: float) -> int:
    """Of duration_s of audio; exact for EXACT_FORMATS but for a header, usual for the others."""
    audio_format = FORMATS[format_name]
    rate = audio_format.bytes_per_s * sample_rate_hz / audio_format.default_rate_hz
    return round(rate * duration_s * BASE64_GROWTH)


def _headroom(format_name: str) -> float:
    return 1.0 if format_name in EXACT_FORMATS else HEADROOM
