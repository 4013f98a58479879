"""A synthesis answered as one file: spoken whole, levelled, encoded, and handed to `delivery`."""

from __future__ import annotations

import numpy as np

from synthesis import SAMPLE_RATE_HZ, Samples, encode, normalise
from worker.delivery import Delivery
from worker.inputs import SynthesizeInput
from worker.request import Output, Request
from worker.speech import Speaker, Utterance, duration_s


def whole(job: SynthesizeInput, speaker: Speaker, delivery: Delivery, request: Request) -> Output:
    """The job's answer, from the bucket if it is there. Raises JobError, SynthesisError or LibraryError."""
    delivery.refuse_impossible(job)
    utterance = speaker.utterance(job, request)
    stored_s = delivery.find(utterance, speaker.engine, request)
    if stored_s is not None:
        facts = speaker.facts(utterance, stored_s, request)
        return {**delivery.address(utterance, speaker.engine), **facts, "cached": True}
    samples = _spoken(utterance, speaker, delivery, request)
    with request.timed("encode_s"):
        levelled = normalise(samples, SAMPLE_RATE_HZ, job.normalize)
        encoded = encode(levelled, utterance.sample_rate_hz, job.format)
    facts = speaker.facts(utterance, duration_s(len(samples)), request)
    return delivery.deliver(encoded, facts, utterance, speaker.engine, request)


def _spoken(utterance: Utterance, speaker: Speaker, delivery: Delivery, request: Request) -> Samples:
    """All of it; but TOO_LARGE as soon as it is, instead of after the whole text is spoken."""
    chunks: list[Samples] = []
    num_samples = 0
    num_segments = speaker.engine.num_segments(utterance.job.text, utterance.options)
    for chunk in speaker.chunks(utterance, request):
        chunks.append(chunk)
        num_samples += len(chunk)
        share = min(1.0, len(chunks) / num_segments)
        delivery.refuse_early(utterance, duration_s(num_samples), share, request)
    return np.concatenate(chunks)
