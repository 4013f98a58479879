"""Files of jobs for the batch tests, the command line as a process, and what must hold of a folder when all is done."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import soundfile

from worker.core import Worker
from worker.settings import Settings

ROOT = Path(__file__).parent.parent


def write_jobs(path: Path, jobs: Iterable[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(job) + "\n" for job in jobs), encoding="utf-8")
    return path


def short_jobs(count: int) -> list[dict[str, Any]]:
    return [{"id": f"line-{number}", "text": f"Line {number}."} for number in range(count)]


def command(jobs: Path, out: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "batch", "run", str(jobs), "--out", str(out), *arguments]


def variables(tree: Path, **more: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("RUNPOD_", "BUCKET_"))}
    return {**kept, "ENGINE": "espeak", "VOICE_EMBEDDINGS_DIR": str(tree), **more}


def run(
    jobs: Path, out: Path, *arguments: str, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """A whole run, as users start it."""
    return subprocess.run(
        command(jobs, out, *arguments),
        cwd=ROOT,
        env=environment or variables(out.parent / "voices"),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def records(out: Path, event: str) -> list[dict[str, Any]]:
    """The journal's records of one kind, in order; a torn last line left out."""
    lines = (out / "journal.jsonl").read_bytes().split(b"\n")[:-1]
    return [record for record in map(json.loads, lines) if record["event"] == event]


def rows(out: Path, name: str = "manifest.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / name).read_text(encoding="utf-8").splitlines()]


def assert_all_done(out: Path, jobs: Sequence[Mapping[str, Any]]) -> None:
    """A file for each job and no other, whole and distinct, as manifest and journal say; none was done twice."""
    manifest = rows(out)
    assert [row["id"] for row in manifest] == [job["id"] for job in jobs]
    assert {f"audio/{path.name}" for path in (out / "audio").iterdir()} == {row["file"] for row in manifest}
    digests = set()
    for row in manifest:
        content = (out / row["file"]).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (row["bytes"], row["sha256"])
        assert abs(soundfile.info(out / row["file"]).duration - row["duration"]) < 0.01
        digests.add(row["sha256"])
    assert len(digests) == len(jobs)
    done = [record["id"] for record in records(out, "done")]
    assert len(done) == len(set(done)) == len(jobs)


def assert_as_the_worker_speaks(out: Path, sample: Sequence[Mapping[str, Any]], tree: Path) -> None:
    """Each of these files is, byte for byte, what the worker answers for its row of the manifest."""
    import base64

    worker = Worker(Settings(embeddings_dir=tree, engine="espeak"))
    for row in sample:
        answer = worker.answer({"input": {"text": row["text"], "seed": row["seed"], "format": row["format"]}})
        assert base64.b64decode(answer["audio"]) == (out / row["file"]).read_bytes()
