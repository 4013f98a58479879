"""The image's recipe, as far as it can be checked without Docker: its steps are scripts that run here."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
INSTRUCTIONS = re.sub(r"\\\n", " ", DOCKERFILE).splitlines()


def instructions(name: str) -> list[str]:
    return [line.partition(" ")[2].strip() for line in INSTRUCTIONS if line.startswith(f"{name} ")]


def run(command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, env={**os.environ, **environment}, timeout=120, check=False
    )


def test_hadolint_finds_nothing() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    result = run([str(hadolint), "Dockerfile"])
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_step_is_a_script_of_builder() -> None:
    steps = instructions("RUN")
    assert len(steps) >= 4
    for step in steps:
        script = next(word for word in step.split() if word.startswith("builder/"))
        assert os.access(ROOT / script, os.X_OK), script


def test_everything_copied_exists_and_is_let_through() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    for line in instructions("COPY"):
        for source in line.split()[:-1]:
            assert (ROOT / source).exists(), source
            assert f"!{source.split('/')[0]}" in {entry.rstrip("/") for entry in ignored}, source


def test_code_comes_after_packages_and_weights() -> None:
    position = {
        word: DOCKERFILE.index(word) for word in ("setup_venv.sh worker", "bake_weights.sh\n", "COPY synthesis/ ")
    }
    assert position["setup_venv.sh worker"] < position["bake_weights.sh\n"] < position["COPY synthesis/ "]


def test_the_model_that_is_baked_in_is_the_one_that_speaks() -> None:
    assert (
        DOCKERFILE.index("ARG MODEL=base")
        < DOCKERFILE.index("ENV MODEL=${MODEL}")
        < DOCKERFILE.index("bake_weights.sh\n")
    )
    assert '--model "${MODEL:-base}"' in (ROOT / "builder/bake_weights.sh").read_text()


def test_everything_the_worker_imports_is_in_the_image() -> None:
    copied = {source.rstrip("/") for line in instructions("COPY") for source in line.split()[:-1]}
    assert {"handler.py", "generate_voice_embedding.py", "synthesis", "voice_library", "worker", "server"} <= copied


def test_the_worker_does_not_run_as_root() -> None:
    users = instructions("USER")
    assert users
    assert int(users[-1]) > 0
    assert f"uid=${{3:-{users[-1]}}}" in (ROOT / "builder/create_user.sh").read_text(encoding="utf-8")
    assert DOCKERFILE.index("\nUSER ") < DOCKERFILE.index('CMD ["python", "handler.py"]')


@pytest.mark.skipif(
    not Path("/etc/debian_version").exists() or os.geteuid() != 0, reason="Debian, as root, as in the image"
)
def test_the_system_packages_install() -> None:
    result = run(["builder/install_system_packages.sh"])
    assert result.returncode == 0, result.stderr
    assert run(["dpkg", "--status", "python3-pip"]).returncode == 0


@pytest.mark.skipif(
    not Path("/etc/debian_version").exists() or os.geteuid() != 0, reason="makes a user, as in the image"
)
def test_the_user_can_write_its_data_and_nothing_else(tmp_path: Path) -> None:
    name, data = "wcb-test-user", tmp_path / "data"
    for folder in (tmp_path, *tmp_path.parents[:3]):  # pytest's own, of which side by side there is one more
        folder.chmod(0o755)
    try:
        assert run(["builder/create_user.sh", name, str(data), "10987"]).returncode == 0
        assert run(["builder/create_user.sh", name, str(data), "10987"]).returncode == 0, "a second run changes nothing"
        assert run(["runuser", "-u", name, "--", "touch", str(data / "voice_embeddings/x")]).returncode == 0
        assert run(["runuser", "-u", name, "--", "touch", str(tmp_path / "y")]).returncode != 0
    finally:
        run(["userdel", "--remove", name])


def test_the_venv_is_current_after_set_up() -> None:
    result = run(["builder/setup_venv.sh", "worker"])
    assert (result.returncode, result.stderr) == (0, ""), "the full set serves the worker's"


def test_weights_can_be_left_out(tmp_path: Path) -> None:
    result = run(["builder/bake_weights.sh"], BAKE_WEIGHTS="0", MODEL_DIR=str(tmp_path))
    assert result.returncode == 0
    assert "not baked in" in result.stdout
    assert not list(tmp_path.iterdir())


def test_baking_needs_a_place(tmp_path: Path) -> None:
    result = run(["env", "-u", "MODEL_DIR", "builder/bake_weights.sh"])
    assert result.returncode != 0
    assert "set MODEL_DIR" in result.stderr
