"""The job parser: what it takes, what it refuses, and that nothing else comes out of it."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthesis import FORMATS
from synthesis.options import MAX_SEED, SynthesisOptions
from worker.errors import CODES, JobError, describe
from worker.inputs import (
    INPUT_OF_TYPE,
    GetVoiceInput,
    HealthInput,
    ListVoicesInput,
    RegisterVoiceInput,
    SynthesizeInput,
    parse_input,
)


def refusal(raw: object) -> str:
    with pytest.raises(JobError) as caught:
        parse_input(raw)
    assert caught.value.code == "INVALID_INPUT"
    return str(caught.value)


def test_text_without_a_type_is_a_synthesis() -> None:
    assert isinstance(parse_input({"text": "Hello."}), SynthesizeInput)


def test_type_chooses_the_input() -> None:
    assert isinstance(parse_input({"type": "get_voice", "voice_name": "Anna"}), GetVoiceInput)
    assert isinstance(parse_input({"type": "health"}), HealthInput)


def test_defaults_are_the_engines_own() -> None:
    options = parse_input({"text": "Hello.", "seed": 3}).options()  # type: ignore[attr-defined]
    assert options == SynthesisOptions(seed=3)


def test_a_seed_is_drawn_where_none_is_asked_for() -> None:
    job = parse_input({"text": "Hello."})
    assert isinstance(job, SynthesizeInput)
    seeds = {job.options().seed for _ in range(20)}
    assert len(seeds) > 1
    assert all(0 <= seed <= MAX_SEED for seed in seeds)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"operation": "tts", "text": "Hello."}, SynthesizeInput),
        ({"operation": "tts", "mode": "streaming_voice_cloning", "text": "Hi.", "chunk_size": 25}, SynthesizeInput),
        ({"operation": "voice_cloning", "text": "Hi.", "reference_audio": "AAAA"}, SynthesizeInput),
        ({"operation": "voice_cloning", "voice_name": "Anna", "reference_audio": "AAAA"}, RegisterVoiceInput),
        ({"operation": "list_local_voices"}, ListVoicesInput),
    ],
)
def test_operations_of_older_clients_work(raw: dict[str, Any], expected: type) -> None:
    assert isinstance(parse_input(raw), expected)


def test_fields_of_older_clients_are_refused_without_operation() -> None:
    assert "'chunk_size'" in refusal({"text": "Hello.", "chunk_size": 25})


def test_integers_are_taken_where_a_fraction_is_meant() -> None:
    assert parse_input({"text": "Hello.", "temperature": 1}).temperature == 1.0  # type: ignore[attr-defined]


def test_an_unknown_field_is_named_and_the_allowed_ones_listed() -> None:
    message = refusal({"type": "get_voice", "id": "3f2a91c0"})
    assert "'id'" in message
    assert "voice_id, voice_name" in message


def test_every_type_is_named_where_the_type_is_unknown() -> None:
    assert all(job_type in refusal({"type": "nothing"}) for job_type in INPUT_OF_TYPE)


def test_an_upload_is_never_repeated_to_its_sender() -> None:
    upload = "A" * 10_000
    assert len(refusal({"type": "register_voice", "voice_name": "Anna", "reference_audio": [upload]})) < 300


def test_an_option_that_was_left_out_is_the_engines_own() -> None:
    job = parse_input({"text": "Hello", "top_p": 1.0, "seed": 1})
    assert isinstance(job, SynthesizeInput)
    options = job.options(defaults={"top_p": 0.95, "repetition_penalty": 2.0})
    assert (options.top_p, options.repetition_penalty, options.min_p) == (1.0, 2.0, 0.05)
    assert job.options().repetition_penalty == 1.2


def test_every_format_that_can_be_encoded_can_be_asked_for() -> None:
    assert set(get_args(SynthesizeInput.model_fields["format"].annotation)) == set(FORMATS)


FIELD_NAMES = sorted({name for model in INPUT_OF_TYPE.values() for name in model.model_fields} | {"type", "operation"})
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=8), children, max_size=3),
    max_leaves=6,
)
TYPES = st.sampled_from([*INPUT_OF_TYPE, "tts", "voice_cloning", "list_local_voices"])


@settings(max_examples=800, deadline=None)
@given(
    raw=JSON_VALUES
    | st.dictionaries(
        st.sampled_from(FIELD_NAMES) | st.text(max_size=12), JSON_VALUES | TYPES | st.text(max_size=5), max_size=6
    )
)
def test_nothing_but_an_input_or_a_refusal_comes_out(raw: object) -> None:
    try:
        parse_input(raw)
    except JobError as error:
        line = describe(error)
        assert line.split(":")[0] in CODES
        assert line.count(";") >= 2, "what was wrong; what is allowed; what to do"
        assert "\n" not in line
        assert "Traceback" not in line
