"""Who may import whom, and what an import may cost: the rules of docs/architecture.md, held against the code."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OURS = {
    "generate_voice_embedding",
    "voice_library",
    "synthesis",
    "worker",
    "handler",
    "server",
    "client",
    "batch",
    "examples",
}

# room: what of ours it may import
MAY_IMPORT = {
    "generate_voice_embedding": set(),
    "synthesis": {"synthesis"},
    "voice_library": {"voice_library", "generate_voice_embedding"},
    "worker": {"worker", "synthesis", "voice_library", "generate_voice_embedding"},
    "handler": {"worker", "synthesis", "voice_library"},
    "client": {"client"},
    "batch": {"batch", "client", "worker", "synthesis", "voice_library"},
    "examples": {"examples", "handler", "batch", "client"},
    "server": {"server", "worker", "synthesis", "voice_library", "generate_voice_embedding"},
}
NEVER = {
    "generate_voice_embedding": {"torch", "boto3", "runpod", "pydantic", "scipy"},
    "synthesis": {"boto3", "botocore", "runpod", "pydantic"},
    "voice_library": {"torch", "torchaudio", "chatterbox", "runpod", "pydantic"},
    "worker": {"torch", "boto3", "chatterbox"},
    "handler": {"torch", "boto3", "chatterbox"},
    "client": {"torch", "boto3", "runpod", "pydantic", "numpy"},  # it is copied alone: httpx and the standard library
    "batch": {"torch", "boto3", "chatterbox", "runpod", "requests"},
    "examples": {"torch", "boto3", "chatterbox", "runpod"},
    "server": {"torch", "boto3", "chatterbox", "runpod", "requests", "httpx", "urllib"},  # it fetches nothing
}
# worker.demo is a caller of the worker, shipped with it: it goes in by the front door.
CALLERS = {Path("worker/demo.py"): {"handler"}}


def files_of(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py")) if (ROOT / room).is_dir() else [ROOT / f"{room}.py"]


def imports_of(file: Path) -> set[str]:
    """Top-level names of everything a file imports, at its top or inside a function."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative imports hide the room"
            found.add((node.module or "").split(".")[0])
    return found


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_only_whom_it_may(room: str) -> None:
    for file in files_of(room):
        imported = imports_of(file)
        allowed = MAY_IMPORT[room] | CALLERS.get(file.relative_to(ROOT), set())
        assert imported & OURS <= allowed, file
        assert not imported & NEVER[room], file


def test_only_one_module_of_the_worker_knows_the_sdk() -> None:
    knowing = {file.name for file in files_of("worker") if "runpod" in imports_of(file)}
    assert knowing == {"runpod_loop.py"}


def modules_after(statement: str) -> set[str]:
    """Modules loaded in a fresh interpreter after `statement`."""
    program = f"{statement}\nimport sys\nprint('\\n'.join(sys.modules))"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    return set(run.stdout.split())


def test_importing_the_handler_loads_no_model_and_no_sdk() -> None:
    assert not modules_after("import handler") & {"torch", "chatterbox", "runpod", "librosa", "numba", "scipy"}


def test_the_standalone_file_imports_only_numpy_at_once() -> None:
    assert not modules_after("import generate_voice_embedding") & {"librosa", "numba", "scipy", "torch"}


def test_files_stay_small() -> None:
    for room in MAY_IMPORT:
        for file in files_of(room):
            if room == "generate_voice_embedding":
                continue  # one file by contract: it is copied alone into other applications
            assert len(file.read_text(encoding="utf-8").splitlines()) <= 400, f"{file}: two rooms share a wall"


def test_docs_list_every_rule() -> None:
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    assert all(f"`{room}" in page for room in MAY_IMPORT)


def test_packages_of_a_backend_are_imported_by_it_alone() -> None:
    knowing = {
        package: {file.name for file in files_of("batch") if package in imports_of(file)}
        for package in ("httpx", "ray", "client", "pyarrow")
    }
    assert knowing == {
        "httpx": {"endpoint.py"},
        "ray": {"ray_data.py"},
        "client": {"endpoint.py"},
        "pyarrow": {"manifest.py"},
    }
    assert not modules_after("import batch.__main__, batch.backends.local") & {"httpx", "ray", "pyarrow", "client"}
