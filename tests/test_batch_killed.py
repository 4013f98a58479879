"""A batch that is killed at random times and started again: nothing is lost, nothing is done twice."""

from __future__ import annotations

import os
import random
import subprocess
import time
from pathlib import Path

from batch_jobs import (
    ROOT,
    assert_all_done,
    assert_as_the_worker_speaks,
    command,
    records,
    rows,
    run,
    short_jobs,
    variables,
    write_jobs,
)

NUM_LINES = int(os.environ.get("BATCH_LINES", "400"))  # 2,000 take one to two minutes
NUM_KILLS = 3


def test_killed_three_times_it_ends_with_every_file_once(tmp_path: Path) -> None:
    jobs, out = short_jobs(NUM_LINES), tmp_path / "out"
    source = write_jobs(tmp_path / "jobs.jsonl", jobs)
    chance = random.Random()
    done = 0
    for kill in range(1, NUM_KILLS + 1):
        until = chance.randrange(done + 1, NUM_LINES * kill // (NUM_KILLS + 1) + 1)
        done = kill_when(source, out, at_least=until, then_s=chance.uniform(0, 0.1))
        assert until <= done < NUM_LINES
    started_s = time.monotonic()
    final = run(source, out)
    assert final.returncode == 0, final.stderr
    assert f"{NUM_LINES} of {NUM_LINES} lines are done, 0 failed" in final.stdout
    assert_all_done(out, jobs)
    assert_as_the_worker_speaks(out, chance.sample(rows(out), 20), tmp_path / "voices")
    assert run(source, out).returncode == 0  # all is there: nothing is begun
    assert len(records(out, "done")) == NUM_LINES
    print(f"{NUM_LINES} lines, the last run {time.monotonic() - started_s:.1f} s")


def kill_when(source: Path, out: Path, *, at_least: int, then_s: float) -> int:
    """Run until the journal knows that many done lines, kill, and say how many it knows then."""
    with subprocess.Popen(
        command(source, out), cwd=ROOT, env=variables(out.parent / "voices"), stderr=subprocess.DEVNULL
    ) as process:
        while not (out / "journal.jsonl").exists() or len(records(out, "done")) < at_least:
            assert process.poll() is None, "it has ended before it could be killed"
            time.sleep(0.1)
        time.sleep(then_s)
        process.kill()
    return len(records(out, "done"))
