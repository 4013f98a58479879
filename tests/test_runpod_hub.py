"""`.runpod/hub.json` and `.runpod/tests.json` against the fields RunPod documents, and against this worker.

Source: RunPod's Hub publishing guide and its tables of GPU pools and GPU types, read in August 2026. The models below
are that page as code: unknown fields are refused, so that a typo fails here and not after a release.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, HttpUrl, model_validator
from pydantic.alias_generators import to_camel

from synthesis.espeak import EspeakEngine
from worker.core import Worker
from worker.settings import Settings

ROOT = Path(__file__).parent.parent
GPU_POOLS = {"AMPERE_16", "AMPERE_24", "ADA_24", "AMPERE_48", "ADA_48_PRO", "AMPERE_80", "ADA_80_PRO", "HOPPER_141"}
GPU_TYPES = {
    "NVIDIA GeForce RTX 3090",
    "NVIDIA GeForce RTX 4090",
    "NVIDIA L4",
    "NVIDIA L40S",
    "NVIDIA A40",
    "NVIDIA H200",
}

CudaVersion = Annotated[str, Field(pattern=r"^1[123]\.\d$")]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, alias_generator=to_camel)


class Option(Strict):
    label: str
    value: str


class Input(Strict):
    name: str
    type: Literal["string", "huggingface", "number", "boolean"]
    description: str
    default: str | int | float | bool | None = None
    required: bool = False
    advanced: bool = False
    options: list[Option] | None = None
    min: float | None = None
    max: float | None = None
    true_value: str | None = None
    false_value: str | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Input:
        numeric = isinstance(self.default, (int, float)) and not isinstance(self.default, bool)
        assert self.type != "number" or numeric, f"{self.name}: a number needs a number as default"
        assert self.options is None or self.default in [option.value for option in self.options]
        assert (self.min, self.max) == (None, None) or self.type == "number"
        return self


class Variable(Strict):
    key: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$")]
    value: str | None = None
    input: Input | None = None

    @model_validator(mode="after")
    def _static_or_asked(self) -> Variable:
        assert (self.value is None) != (self.input is None), f"{self.key} needs a value or an input"
        return self


class Preset(Strict):
    name: str
    defaults: dict[str, str | int | float | bool]


class HubConfig(Strict):
    runs_on: Literal["GPU", "CPU"]
    endpoint_type: Literal["LB"] | None = None
    container_disk_in_gb: Annotated[int, Field(gt=0)]
    cpu_flavor: str | None = None
    gpu_count: Annotated[int, Field(gt=0)] | None = None
    gpu_ids: str | None = None
    allowed_cuda_versions: list[CudaVersion] = []
    env: list[Variable] = []
    presets: list[Preset] = []

    @model_validator(mode="after")
    def _machine(self) -> HubConfig:
        if self.runs_on == "GPU":
            assert self.gpu_count
            assert self.gpu_ids
            pools = [name.strip() for name in self.gpu_ids.split(",")]
            assert {name for name in pools if not name.startswith("-")} <= GPU_POOLS
        else:
            assert self.cpu_flavor
        return self


class Hub(Strict):
    title: str
    description: str
    type: Literal["serverless"]
    category: Literal["audio", "embedding", "language", "video", "image"]
    icon_url: HttpUrl | None = None
    config: HubConfig


class Case(Strict):
    name: str
    input: dict[str, object]
    timeout: Annotated[int, Field(gt=0)] | None = None  # milliseconds


class Pair(Strict):
    key: str
    value: str


class TestConfig(Strict):
    __test__ = False
    gpu_type_id: str | None = None
    gpu_count: int | None = None
    cpu_flavor: str | None = None
    env: list[Pair] = []
    allowed_cuda_versions: list[CudaVersion] = []


class Tests(Strict):
    __test__ = False
    tests: Annotated[list[Case], Field(min_length=1)]
    config: TestConfig


def text_of(name: str) -> str:
    return (ROOT / ".runpod" / name).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def hub() -> Hub:
    return Hub.model_validate_json(text_of("hub.json"))


@pytest.fixture(scope="module")
def cases() -> Tests:
    return Tests.model_validate_json(text_of("tests.json"))


def test_the_listing_has_the_documented_fields(hub: Hub) -> None:
    assert (hub.category, hub.config.runs_on) == ("audio", "GPU")


def test_the_hub_finds_the_files_it_requires() -> None:
    assert all((ROOT / name).is_file() for name in ("handler.py", "Dockerfile", "README.md"))


def test_every_variable_offered_is_one_this_worker_documents(hub: Hub) -> None:
    page = (ROOT / "docs/deploy.md").read_text(encoding="utf-8")
    keys = [variable.key for variable in hub.config.env]
    assert len(set(keys)) == len(keys)
    assert [key for key in keys if f"`{key}`" not in page] == []


def test_presets_set_only_variables_that_are_offered(hub: Hub) -> None:
    keys = {variable.key for variable in hub.config.env}
    assert all(set(preset.defaults) <= keys for preset in hub.config.presets)


def test_every_preset_is_an_environment_the_worker_accepts(hub: Hub) -> None:
    secrets = {"BUCKET_ACCESS_KEY_ID": "id", "BUCKET_SECRET_ACCESS_KEY": "secret"}  # entered by whoever deploys
    for preset in hub.config.presets:
        entered = secrets if "BUCKET_NAME" in preset.defaults else {}
        Settings.from_environment({key: str(value) for key, value in preset.defaults.items()} | entered)


def test_the_disk_and_the_driver_fit_the_image(hub: Hub, cases: Tests) -> None:
    base = re.search(r"^FROM nvidia/cuda:(\d+\.\d+)", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert base
    for versions in (hub.config.allowed_cuda_versions, cases.config.allowed_cuda_versions):
        assert min(versions) == base[1], "older drivers cannot start the image, newer ones can"


def test_the_hubs_tests_run_on_a_gpu_the_listing_allows(cases: Tests) -> None:
    assert cases.config.gpu_type_id in GPU_TYPES
    assert cases.config.gpu_count == 1


def test_every_input_of_the_hubs_tests_is_answered(cases: Tests, tmp_path: Path, espeak: EspeakEngine) -> None:
    worker = Worker(Settings(embeddings_dir=tmp_path, engine="espeak"), engine=espeak)
    for case in cases.tests:
        answer = worker.answer({"id": case.name, "input": case.input})
        assert "error" not in answer, case.name
