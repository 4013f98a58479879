"""`GET /v1/models`: the model this worker has loaded, and OpenAI's names for it, which their clients send."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from server import openapi
from server.access import allowed
from server.errors import Refused
from server.jobs import Jobs

router = APIRouter(tags=["OpenAI"])

OPENAI_MODELS = ("tts-1", "tts-1-hd", "gpt-4o-mini-tts", "gpt-4o-mini-tts-2025-12-15")


@router.get(
    "/v1/models", dependencies=allowed(), responses=openapi.answers(openapi.MODELS), summary="The models there are"
)
async def list_models(request: Request) -> dict[str, Any]:
    """The loaded model first, then the names of OpenAI's that mean the same here."""
    jobs: Jobs = request.app.state.jobs
    return {"object": "list", "data": [_model(name) for name in await _names(jobs)]}


@router.get(
    "/v1/models/{model}",
    dependencies=allowed(),
    responses=openapi.answers(openapi.MODEL, 404),
    summary="One model",
)
async def get_model(model: str, request: Request) -> dict[str, Any]:
    """Whether this model may be asked for."""
    await check_model(model, request.app.state.jobs)
    return _model(model)


async def check_model(model: object, jobs: Jobs) -> None:
    """Raises Refused for a model that may not be asked for."""
    names = await _names(jobs)
    if not isinstance(model, str):
        raise Refused("INVALID_INPUT", f"model is missing; allowed are {', '.join(names)}; name one of them")
    if model not in names:
        raise Refused(
            "MODEL_NOT_FOUND", f"there is no model {model[:60]!r}; allowed are {', '.join(names)}; ask for one of them"
        )


async def _names(jobs: Jobs) -> tuple[str, ...]:
    """The engine's model, its engine, and OpenAI's names."""
    engine = await jobs.in_library(lambda: jobs.worker.engine)
    return tuple(dict.fromkeys((engine.model, engine.name, *OPENAI_MODELS)))


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "worker-chatterbox"}
