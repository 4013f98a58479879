"""The script that installs the store for the tests: at once where nothing is missing, and clear where it cannot."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest
from s3_servers import missing_programs

SCRIPT = Path(__file__).parent.parent / "builder" / "install_test_packages.sh"


def test_it_returns_at_once_when_everything_is_there() -> None:
    if missing_programs():
        pytest.skip("not everything is there")
    started = time.monotonic()
    done = subprocess.run([SCRIPT], capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""
    assert time.monotonic() - started < 0.5


def test_elsewhere_it_says_what_is_missing_and_lets_the_tests_run(tmp_path: Path) -> None:
    """A system without apt: the S3 tests are skipped, which the script announces; nothing fails."""
    done = subprocess.run(
        ["/bin/bash", SCRIPT], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert "SKIPPED" in done.stderr
    assert "radosgw" in done.stderr
    assert "apt-get install" in done.stderr
