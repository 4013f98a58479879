"""Requests made from the server's own description: none of them is a failure of the server, and its answers are as
described. SCHEMA_EXAMPLES=500 asks for longer."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from bad_jobs import tone, wav
from http_server import Running, base64_of, serving
from hypothesis import HealthCheck, given, settings
from openapi_spec_validator import validate
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance

from generate_voice_embedding import create_voice_embedding
from synthesis.espeak import EspeakEngine

EXAMPLES = int(os.environ.get("SCHEMA_EXAMPLES", "12"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, espeak: EspeakEngine) -> Iterator[Running]:
    tree = tmp_path_factory.mktemp("schema") / "voices"
    create_voice_embedding.from_array(tone(2.0), 24_000, "Anna", embeddings_dir=str(tree))
    with serving(tree, espeak) as running:
        yield running


def test_no_described_request_is_a_failure_of_the_server(server: Running) -> None:
    description = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    statuses = {
        operation.label: _asked(operation) for operation in (result.ok() for result in description.get_all_operations())
    }
    assert len(statuses) >= 14
    assert {status for seen in statuses.values() for status in seen} >= {200, 400, 404}, statuses


def _asked(operation: Any) -> set[int]:
    """The statuses of answers to requests made for this operation."""
    checks = [not_a_server_error, content_type_conformance, response_schema_conformance]
    seen: set[int] = set()

    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy())
    def ask(case: schemathesis.Case) -> None:
        response = case.call(timeout=60)
        seen.add(response.status_code)
        case.validate_response(response, checks=checks)

    ask()
    return seen


def test_the_description_is_valid_openapi(server: Running) -> None:
    validate(httpx.get(f"{server.url}/openapi.json").json())


def test_every_example_is_answered(server: Running) -> None:
    paths = httpx.get(f"{server.url}/openapi.json").json()["paths"]
    recording = base64_of(wav(tone(2.0)))
    embedding = base64_of(httpx.get(f"{server.url}/v1/voices/Anna/embedding").content)
    asked = 0
    for path, methods in paths.items():
        for method, operation in methods.items():
            examples = (
                operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("examples", {})
            )
            for name, example in examples.items():
                body = dict(example["value"])
                body.update({key: recording for key in ("reference_audio",) if key in body})
                body.update({key: embedding for key in ("voice_embedding",) if key in body})
                body.update({"on_conflict": "replace"} if "voice_name" in body and path == "/v1/voices" else {})
                address = server.url + path.replace("{voice}", "Anna")
                answer = httpx.request(method, address, json=body, timeout=60)
                assert answer.status_code in (200, 201), (path, name, answer.text)
                asked += 1
    assert asked >= 9
