"""A batch on a real Ray cluster of two workers, started for it on this machine."""

from __future__ import annotations

from pathlib import Path

from batch_jobs import assert_all_done, records, rows, run, short_jobs, variables, write_jobs

NUM_LINES = 16 * 6  # six blocks for two workers


def test_ray_gives_the_files_that_one_worker_gives(tmp_path: Path) -> None:
    jobs = [*short_jobs(NUM_LINES), {"id": "nobody", "text": "Hello.", "voice_name": "Nobody"}]
    source, out = write_jobs(tmp_path / "jobs.jsonl", jobs), tmp_path / "ray"
    arguments = ("--backend", "ray", "--workers", "2", "--worker-cpus", "0.5")
    result = run(source, out, *arguments, environment=variables(tmp_path / "voices"))
    assert result.returncode == 1, result.stderr
    assert f"{NUM_LINES} of {NUM_LINES + 1} lines are done, 1 failed" in result.stdout
    assert rows(out, "failures.jsonl")[0]["error"].startswith("VOICE_NOT_FOUND")
    assert len({record["facts"]["worker"] for record in records(out, "done")}) == 2

    write_jobs(source, jobs[:-1])
    assert run(source, tmp_path / "local").returncode == 0
    assert run(source, out).returncode == 0  # whatever the backend, what is done is done
    assert_all_done(out, jobs[:-1])
    for file in (tmp_path / "local" / "audio").iterdir():
        assert file.read_bytes() == (out / "audio" / file.name).read_bytes()
