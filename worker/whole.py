"""A synthesis answered as one file: spoken whole, levelled, encoded, and handed to `delivery`."""

from __future__ import annotations

import numpy as np

from synthesis import SAMPLE_RATE_HZ, encode, normalise
from synthesis.quality import Spoken
from worker.delivery import Delivery
from worker.inputs import SynthesizeInput
from worker.report import report, with_subtitles
from worker.request import Output, Request
from worker.speech import Speaker, Utterance, duration_s


def whole(job: SynthesizeInput, speaker: Speaker, delivery: Delivery, request: Request) -> Output:
    """The job's answer, from the bucket if it is there. Raises JobError, SynthesisError or LibraryError."""
    delivery.refuse_impossible(job)
    utterance = speaker.utterance(job, request)
    stored = delivery.find(utterance, speaker.engine, request)
    if stored is not None:
        facts = speaker.facts(utterance, stored["duration"], request)
        said = with_subtitles(stored["segments"], job.subtitles)
        return {**delivery.address(utterance, speaker.engine), **facts, **said, "cached": True}
    spoken = _spoken(utterance, speaker, delivery, request)
    samples = np.concatenate([each.samples for each in spoken])
    with request.timed("encode_s"):
        levelled = normalise(samples, SAMPLE_RATE_HZ, job.normalize)
        encoded = encode(levelled, utterance.sample_rate_hz, job.format)
    facts = speaker.facts(utterance, duration_s(len(samples)), request)
    answered = {**facts, **report(spoken, job.subtitles)}
    return delivery.deliver(encoded, answered, utterance, speaker.engine, request)


def _spoken(utterance: Utterance, speaker: Speaker, delivery: Delivery, request: Request) -> list[Spoken]:
    """All of it; but TOO_LARGE as soon as it is, instead of after the whole text is spoken."""
    spoken: list[Spoken] = []
    num_samples = 0
    num_segments = speaker.engine.num_segments(utterance.job.text, utterance.options)
    for each in speaker.spoken(utterance, request):
        spoken.append(each)
        num_samples += len(each.samples)
        delivery.refuse_early(utterance, duration_s(num_samples), len(spoken) / num_segments, request)
    return spoken
