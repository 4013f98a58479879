"""A job's `input` to one validated, frozen value; pure, without engine, library or HTTP.

Unknown types and unknown fields are refused by name, with the allowed ones listed. Ranges of the speaking options are
read from `synthesis.options`, where they are written down once.
"""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator, model_validator

from synthesis.errors import InvalidOption
from synthesis.options import MAX_SEED, SynthesisOptions
from synthesis.quality.retries import DEFAULT_MAX_RETRIES, MAX_RETRIES
from synthesis.text import check_pronunciation
from voice_library import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE
from worker.errors import JobError

MAX_TEXT_CHARACTERS = 100_000  # over an hour and a half of speech: a book chapter passes, a mistake does not
MAX_BASE64_CHARACTERS = 64 * 2**20  # RunPod's own limit is 20 MB a request; other callers may send more, within reason
MIN_SAMPLE_RATE_HZ, MAX_SAMPLE_RATE_HZ = 8_000, 48_000

_OPTIONS = {option.name: option for option in dataclasses.fields(SynthesisOptions)}

VoiceId = Annotated[str, StringConstraints(min_length=1, max_length=64)]
VoiceName = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Base64 = Annotated[str, StringConstraints(min_length=1, max_length=MAX_BASE64_CHARACTERS)]
Gender = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=40)]


def _option(name: str) -> Any:
    """The pydantic field of a speaking option, with its default and range."""
    option = _OPTIONS[name]
    return Field(default=option.default, **option.metadata)


def random_seed() -> int:
    return secrets.randbelow(MAX_SEED + 1)


class JobInput(BaseModel):
    """Base of all inputs. Numbers are not taken from strings or booleans, NaN and infinity are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class SynthesizeInput(JobInput):
    text: Annotated[str, StringConstraints(min_length=1, max_length=MAX_TEXT_CHARACTERS)]
    voice_id: VoiceId | None = None
    voice_name: VoiceName | None = None
    reference_audio: Base64 | None = None

    exaggeration: float = _option("exaggeration")
    cfg_weight: float = _option("cfg_weight")
    temperature: float = _option("temperature")
    top_p: float = _option("top_p")
    min_p: float = _option("min_p")
    repetition_penalty: float = _option("repetition_penalty")
    cfm_steps: int | None = _option("cfm_steps")
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)] | None = None  # None: one is drawn, and reported in the answer
    language: Annotated[str, StringConstraints(to_lower=True, pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$")] = "en"
    pronunciation: dict[str, str] = Field(default_factory=dict)  # limits: synthesis.text
    model: str | None = None  # None: the one this worker has loaded

    format: Literal["wav", "flac", "mp3", "opus", "pcm", "ulaw"] = "wav"
    sample_rate: Annotated[int, Field(ge=MIN_SAMPLE_RATE_HZ, le=MAX_SAMPLE_RATE_HZ)] | None = None
    normalize: Literal["peak", "loudness"] | None = None
    delivery: Literal["auto", "inline", "s3"] = "auto"
    stream: bool = False

    quality: Literal["off", "fast", "asr"] | None = None  # None: as `checks` says
    max_retries: Annotated[int, Field(ge=0, le=MAX_RETRIES)] = DEFAULT_MAX_RETRIES
    subtitles: Literal["srt", "vtt"] | None = None

    @field_validator("pronunciation")
    @classmethod
    def _can_be_said(cls, entries: dict[str, str]) -> dict[str, str]:
        try:
            check_pronunciation(entries)
        except InvalidOption as fault:
            raise ValueError(str(fault)) from fault
        return entries

    @model_validator(mode="after")
    def _at_most_one_voice(self) -> SynthesizeInput:
        given = [name for name in ("voice_id", "voice_name", "reference_audio") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} are given; at most one may choose the voice; remove the others")
        return self

    @property
    def checks(self) -> Literal["off", "fast", "asr"]:
        """How its segments are checked. A stream is sent as it is spoken unless something needs its segments whole."""
        return self.quality or ("off" if self.stream and self.subtitles is None else "fast")

    def options(
        self, drawn_seed: Callable[[], int] = random_seed, defaults: Mapping[str, float] | None = None
    ) -> SynthesisOptions:
        """The speaking options, with a seed drawn where none was asked for; defaults: the engine's own, where an option
        was left out."""
        left_out = {name: value for name, value in (defaults or {}).items() if name not in self.model_fields_set}
        chosen = {**{name: getattr(self, name) for name in _OPTIONS}, **left_out}
        if chosen["seed"] is None:
            chosen["seed"] = drawn_seed()
        return SynthesisOptions(**{**chosen, "pronunciation": tuple(sorted(self.pronunciation.items()))})


class RegisterVoiceInput(JobInput):
    voice_name: str
    reference_audio: Base64 | None = None
    voice_embedding: Base64 | None = None
    gender: Gender | None = None
    description: Annotated[str, StringConstraints(strip_whitespace=True, max_length=2_000)] | None = None
    on_conflict: Literal["error", "replace"] = "error"
    reference_window: Literal["start", "auto"] = "start"

    @model_validator(mode="after")
    def _exactly_one_source(self) -> RegisterVoiceInput:
        if (self.reference_audio is None) == (self.voice_embedding is None):
            found = "neither is" if self.reference_audio is None else "both are"
            raise ValueError(
                f"{found} given of reference_audio and voice_embedding; exactly one is needed; "
                "send base64 audio, or a base64 .pkl.gz made by generate_voice_embedding.py"
            )
        return self


class ListVoicesInput(JobInput):
    page_size: Annotated[int, Field(ge=1, le=MAX_PAGE_SIZE)] = DEFAULT_PAGE_SIZE
    page_token: str | None = None
    gender: Gender | None = None
    name_prefix: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None


class _OneVoice(JobInput):
    voice_id: VoiceId | None = None
    voice_name: VoiceName | None = None

    @model_validator(mode="after")
    def _exactly_one_voice(self) -> _OneVoice:
        if (self.voice_id is None) == (self.voice_name is None):
            found = "neither is" if self.voice_id is None else "both are"
            raise ValueError(f"{found} given of voice_id and voice_name; exactly one is needed; send one of them")
        return self


class GetVoiceInput(_OneVoice):
    pass


class RenameVoiceInput(_OneVoice):
    new_name: str


class DeleteVoiceInput(_OneVoice):
    pass


class HealthInput(JobInput):
    pass


INPUT_OF_TYPE: dict[str, type[JobInput]] = {
    "synthesize": SynthesizeInput,
    "register_voice": RegisterVoiceInput,
    "list_voices": ListVoicesInput,
    "get_voice": GetVoiceInput,
    "rename_voice": RenameVoiceInput,
    "delete_voice": DeleteVoiceInput,
    "health": HealthInput,
}


class _Legacy:
    """What clients of earlier workers send: `operation` for `type`, and fields that steered their chunking."""

    TYPE_OF_OPERATION: ClassVar = {"tts": "synthesize", "list_local_voices": "list_voices"}
    OPERATIONS: ClassVar = ("tts", "voice_cloning", "list_local_voices")
    IGNORED_FIELDS: ClassVar = ("mode", "chunk_size")

    @classmethod
    def type_of(cls, operation: object, fields: Mapping[str, Any]) -> str:
        if operation == "voice_cloning":  # either "clone and speak" or "clone and keep"
            return "synthesize" if "text" in fields else "register_voice"
        if not isinstance(operation, str) or operation not in cls.TYPE_OF_OPERATION:
            raise JobError(
                "INVALID_INPUT",
                f"unknown operation {_shown(operation)}; allowed are {', '.join(cls.OPERATIONS)}; "
                f"or use type, one of {', '.join(INPUT_OF_TYPE)}",
            )
        return cls.TYPE_OF_OPERATION[operation]


def parse_input(raw: object) -> JobInput:
    """The validated input of a job. Raises JobError INVALID_INPUT, on one line, for anything else."""
    if not isinstance(raw, Mapping):
        raise JobError("INVALID_INPUT", "input is not an object; a JSON object with a type is needed; see the README")
    fields = dict(raw)
    job_type = _take_type(fields)
    try:
        return INPUT_OF_TYPE[job_type].model_validate(fields)
    except ValidationError as error:
        raise JobError("INVALID_INPUT", _first_fault(job_type, error)) from error


def _take_type(fields: dict[str, Any]) -> str:
    """Remove what names the job's type from `fields`, and return the type."""
    if "type" in fields and "operation" in fields:
        raise JobError("INVALID_INPUT", "type and operation are both given; one chooses the job; remove operation")
    if "operation" in fields:
        operation = fields.pop("operation")
        for name in _Legacy.IGNORED_FIELDS:
            fields.pop(name, None)
        return _Legacy.type_of(operation, fields)
    if "type" in fields:
        job_type = fields.pop("type")
        if not isinstance(job_type, str) or job_type not in INPUT_OF_TYPE:
            allowed = ", ".join(INPUT_OF_TYPE)
            raise JobError("INVALID_INPUT", f"unknown type {_shown(job_type)}; allowed are {allowed}; correct the type")
        return job_type
    if "text" in fields:
        return "synthesize"
    raise JobError(
        "INVALID_INPUT", f"type is missing; allowed are {', '.join(INPUT_OF_TYPE)}; add it, or a text to be spoken"
    )


def _first_fault(job_type: str, error: ValidationError) -> str:
    """The first fault in words: what was wrong; what is allowed; what to do."""
    fault = error.errors(include_url=False, include_context=True)[0]
    field, context = ".".join(str(part) for part in fault["loc"][:1]), fault.get("ctx", {})
    if fault["type"] == "value_error":  # our own validators, already in three parts
        return str(context["error"])
    if fault["type"] == "extra_forbidden":
        allowed = ", ".join(INPUT_OF_TYPE[job_type].model_fields)
        return f"unknown field {_shown(field)} for {job_type}; allowed are {allowed or 'none'}; remove or correct it"
    if fault["type"] == "missing":
        return f"{field} is missing; {job_type} needs it; add it"
    if fault["type"] == "string_too_long":
        return f"{field} is {len(fault['input']):,} characters long; allowed are {context['max_length']:,}; shorten it"
    if fault["type"] == "literal_error":
        return f"{field} is {_shown(fault['input'])}; allowed are {context['expected']}; choose one of them"
    return f"{field} is {_shown(fault['input'])}; {_rule(job_type, field, fault['msg'])}; correct it"


def _rule(job_type: str, field: str, message: str) -> str:
    bounds = _OPTIONS[field].metadata if job_type == "synthesize" and field in _OPTIONS else {}
    if "ge" in bounds:
        return f"allowed is {bounds['ge']:g} to {bounds['le']:g}"
    return message[:1].lower() + message[1:]


def _shown(value: object, max_characters: int = 60) -> str:
    """A value as it may be repeated to its sender: short, on one line, never a whole upload."""
    text = repr(value)
    return text if len(text) <= max_characters else text[: max_characters - 1] + "…"
