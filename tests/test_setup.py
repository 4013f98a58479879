"""Set-up: pins without registry addresses, a script that knows when it has nothing to do, a check that bites."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
REQUIREMENTS = ROOT / "builder/requirements"
SETS = ("light", "worker", "full", "numpy1")

sys.path.insert(0, str(ROOT / "builder"))
from check_install import import_faults, watermark_faults  # noqa: E402


def pins(name: str) -> dict[str, set[str]]:
    """package: its pinned versions (several where they differ by Python version)."""
    found: dict[str, set[str]] = {}
    for line in (REQUIREMENTS / f"{name}.txt").read_text(encoding="utf-8").splitlines():
        match = re.fullmatch(r"([a-z0-9-]+)==([^\s;]+)( ; .+)?", line)
        assert match, f"{name}.txt: {line!r} is not a plain pin"
        found.setdefault(match[1], set()).add(match[2])
    return found


@pytest.mark.parametrize("name", SETS)
def test_sets_are_pins_and_nothing_else(name: str) -> None:
    assert len(pins(name)) > 20


@pytest.mark.parametrize(("smaller", "larger"), [("light", "worker"), ("worker", "full")])
def test_a_larger_set_holds_the_smaller_one_version_for_version(smaller: str, larger: str) -> None:
    contained = pins(larger)
    assert all(versions <= contained[package] for package, versions in pins(smaller).items())


def test_the_light_set_has_no_torch_and_nothing_has_gradio() -> None:
    assert "torch" not in pins("light")
    assert all("gradio" not in pins(name) for name in SETS)


def test_every_hand_written_line_gives_its_reason() -> None:
    for file in [*REQUIREMENTS.glob("*.in"), REQUIREMENTS / "overrides.txt"]:
        wanted = [line for line in file.read_text(encoding="utf-8").splitlines() if re.match(r"[a-z]", line)]
        with_reason = [line for line in wanted if "#" in line]
        assert with_reason == wanted or file.name == "numpy1.in", file.name


@pytest.mark.parametrize("name", ["light", "worker", "full", "numpy1"])
def test_set_up_returns_at_once_when_it_is_current(name: str) -> None:
    start = time.monotonic()
    run = subprocess.run(
        [str(ROOT / "builder/setup_venv.sh"), name], capture_output=True, text=True, check=True, timeout=60
    )
    assert run.stderr == "", "nothing was set up"
    assert time.monotonic() - start < 1


def test_an_unknown_set_is_refused() -> None:
    run = subprocess.run(
        [str(ROOT / "builder/setup_venv.sh"), "huge"], capture_output=True, text=True, check=False, timeout=60
    )
    assert run.returncode == 2
    assert "allowed are light, worker, full, numpy1" in run.stderr


def test_a_python_that_is_too_old_or_missing_is_named() -> None:
    run = subprocess.run(
        ["env", "PYTHON=/nowhere/python3", str(ROOT / "builder/find_python.sh")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert run.returncode == 1
    assert "no Python 3.10, 3.11 or 3.12 found at /nowhere/python3" in run.stderr


def test_the_watermarker_is_real() -> None:
    assert watermark_faults() == []


def test_a_package_that_does_not_import_is_a_fault() -> None:
    assert import_faults(["json", "no_such_package"]) == [
        "no_such_package does not import: ModuleNotFoundError: No module named 'no_such_package'"
    ]
