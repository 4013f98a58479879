"""Batches on this machine: the journal's promise, what is done again and what is not, and how a run ends."""

from __future__ import annotations

import csv
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
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
from hypothesis import given
from hypothesis import strategies as st

from batch import answers
from batch.answers import Answer, Stop, answer_of, attempt
from batch.backends.window import spread
from batch.errors import BatchError, DamagedJournal, FolderInUse
from batch.folder import Folder
from batch.journal import Journal
from batch.lines import Line, Source
from batch.run import run as run_batch


def line(number: int) -> Line:
    return Line(number, f"line-{number}", f"line-{number}.wav", {"text": "x"}, f"digest-{number}")


class Speaks:
    """A backend that says which lines it was asked for; what `fails` names fails."""

    def __init__(self, fails: Sequence[str] = ()) -> None:
        self.asked: list[str] = []
        self.billed_s = 0.0
        self._fails = fails

    def answers(self, lines: Iterable[Line]) -> Iterator[Sequence[Answer]]:
        for each in lines:
            self.asked.append(each.id)
            self.billed_s += 2.0
            if each.id in self._fails:
                yield [Answer(each, error="VOICE_NOT_FOUND: what; allowed; do")]
            else:
                yield [Answer(each, f"audio of {each.job['text']}".encode(), {"format": "wav", "duration": 1.0})]


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return Source(write_jobs(tmp_path / "jobs.jsonl", short_jobs(6)), {})


# What is done, and what is done again


def test_nothing_is_done_twice(source: Source, tmp_path: Path) -> None:
    first, second, third = Speaks(fails=("line-2",)), Speaks(), Speaks()
    folder = Folder(tmp_path / "out")
    summary = run_batch(source, folder, lambda _journal: first)
    assert (summary.done, summary.failed, summary.left, summary.billed_s) == (5, 1, 0, 12.0)
    assert rows(folder.path, "failures.jsonl") == [
        {"line": 3, "id": "line-2", "error": "VOICE_NOT_FOUND: what; allowed; do"}
    ]
    summary = run_batch(source, folder, lambda _journal: second)
    assert second.asked == ["line-2"]
    assert (summary.done, summary.failed, summary.billed_s) == (6, 0, 14.0)
    assert rows(folder.path, "failures.jsonl") == []
    run_batch(source, folder, lambda _journal: third)
    assert third.asked == []


def test_a_changed_line_and_a_lost_file_are_done_again(source: Source, tmp_path: Path) -> None:
    folder = Folder(tmp_path / "out")
    run_batch(source, folder, lambda _journal: Speaks())
    jobs = short_jobs(6)
    jobs[1]["text"] = "Another text."
    write_jobs(source.path, [*jobs, {"id": "new", "text": "New."}])
    (folder.audio / "line-3.wav").unlink()
    (folder.audio / "line-4.wav").write_bytes(b"short")
    again = Speaks()
    run_batch(source, folder, lambda _journal: again)
    assert again.asked == ["line-1", "line-3", "line-4", "new"]
    assert (folder.audio / "line-1.wav").read_bytes() == b"audio of Another text."


def test_two_runs_on_one_folder_refuse(source: Source, tmp_path: Path) -> None:
    folder = Folder(tmp_path / "out")
    with folder.locked(), pytest.raises(FolderInUse, match="one at a time"):
        run_batch(source, Folder(tmp_path / "out"), lambda _journal: Speaks())
    run_batch(source, folder, lambda _journal: Speaks())


def test_debris_of_a_killed_run_is_removed(source: Source, tmp_path: Path) -> None:
    folder = Folder(tmp_path / "out")
    (folder.audio / ".writing-0-line-1.wav").write_bytes(b"half")
    run_batch(source, folder, lambda _journal: Speaks())
    assert sorted(path.name for path in folder.audio.iterdir()) == [f"line-{n}.wav" for n in range(6)]


# The journal


@given(st.integers(0, 400))
def test_a_journal_torn_anywhere_keeps_what_was_whole(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    path = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    record = {"event": "done", "file": "ä", "bytes": 3, "billed_s": 1.0}
    with Journal(path) as journal:
        journal.append([{**record, "id": line(n).id, "digest": line(n).digest} for n in range(4)])
    content = path.read_bytes()
    path.write_bytes(content[:cut])
    whole = content[:cut].count(b"\n")
    with Journal(path) as journal:
        assert [journal.entry(line(n)) is not None for n in range(4)] == [n < whole for n in range(4)]
        assert journal.billed_s == whole
        journal.append([{**record, "id": "next", "digest": "d"}])
    with Journal(path) as journal:
        entry = journal.entry(Line(9, "next", "next.wav", {}, "d"))
        assert entry is not None
        assert journal.record(entry)["file"] == "ä"
    assert path.read_bytes().count(b"\n") == whole + 1


def test_a_long_torn_line_is_cut_too(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b'{"event": "done", "id": "a", "digest": "d"}\n' + b"x" * 200_000)
    with Journal(path):
        pass
    assert path.stat().st_size == 44
    path.write_bytes(b"x" * 200_000)
    with Journal(path):
        pass
    assert path.stat().st_size == 0


@pytest.mark.parametrize("damage", [b"nonsense\n", b'{"event": "done"}\n', b"[]\n"])
def test_a_damaged_journal_is_refused_and_left_alone(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(damage + b'{"event": "done", "id": "a", "digest": "d"}\n')
    before = path.read_bytes()
    with pytest.raises(DamagedJournal, match="byte 0"):
        Journal(path)
    assert path.read_bytes() == before


# Attempts


def test_what_may_pass_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "FIRST_PAUSE_S", 0.01)
    outputs = [{"error": "OUT_OF_MEMORY: a; b; c"}, {"error": "INTERNAL: a; b; c"}, {"audio": "AAAA"}]
    answer = attempt(line(1), lambda _line: outputs.pop(0), max_attempts=3, stop=Stop())
    assert answer is not None
    assert (answer.audio, answer.error, answer.attempts) == (b"\0\0\0", None, 3)
    asked: list[Line] = []

    def refuses(each: Line) -> dict[str, str]:
        asked.append(each)
        return {"error": "VOICE_NOT_FOUND: a; b; c"}

    refused = attempt(line(1), refuses, max_attempts=3, stop=Stop())
    assert refused is not None
    assert refused.error == "VOICE_NOT_FOUND: a; b; c"
    assert len(asked) == 1


@pytest.mark.parametrize("output", [{}, {"audio": ""}, {"audio": "%"}, {"audio": 5}, {"audio_url": "https://x"}])
def test_an_answer_without_audio_is_a_failure(output: dict[str, Any]) -> None:
    assert (answer_of(line(1), output).error or "").startswith("INTERNAL: ")


def test_lines_in_flight_are_bounded() -> None:
    taken = answered = most = 0

    def lines() -> Iterator[Line]:
        nonlocal taken
        for number in range(200):
            taken += 1
            yield line(number)

    for group in spread(lines(), lambda each: Answer(each, b"x"), 5, Stop()):
        most = max(most, taken - answered)
        answered += len(group)
    assert (answered, taken) == (200, 200)
    assert most <= 10


def test_what_work_raises_ends_the_run() -> None:
    def work(each: Line) -> Answer:
        if each.number == 7:
            raise BatchError("no more")
        return Answer(each, b"x")

    with pytest.raises(BatchError, match="no more"):
        list(spread((line(number) for number in range(1000)), work, 3, Stop()))


# The command line


def test_a_run_with_failures_exits_1_and_says_why(tmp_path: Path) -> None:
    jobs = [*short_jobs(3), {"id": "nobody", "text": "Hello.", "voice_name": "Nobody"}]
    source, out = write_jobs(tmp_path / "jobs.jsonl", jobs), tmp_path / "out"
    result = run(source, out, "--price-per-second", "0.5")
    assert result.returncode == 1
    assert "3 of 4 lines are done, 1 failed" in result.stdout
    assert "VOICE_NOT_FOUND" in result.stderr
    assert "cost=" in result.stderr
    assert [failure["id"] for failure in rows(out, "failures.jsonl")] == ["nobody"]
    assert_as_the_worker_speaks(out, rows(out), tmp_path / "voices")


def test_bad_lines_are_refused_before_anything_is_begun(tmp_path: Path) -> None:
    source, out = write_jobs(tmp_path / "jobs.jsonl", [{"text": "x"}, {"text": "x", "file": "../x"}]), tmp_path / "out"
    result = run(source, out)
    assert result.returncode == 2
    assert "line 2: file" in result.stderr
    assert not (out / "journal.jsonl").exists()


def test_manifests_as_tables(tmp_path: Path) -> None:
    source, out = write_jobs(tmp_path / "jobs.jsonl", [{"text": 'One, "two".'}, {"text": "Zwölf."}]), tmp_path / "out"
    assert run(source, out, "--table", "parquet", "--set", "format=flac").returncode == 0
    assert run(source, out, "--table", "csv", "--set", "format=flac").returncode == 0
    manifest = rows(out)
    assert [row["file"] for row in manifest] == ["audio/000001.flac", "audio/000002.flac"]
    assert pyarrow.parquet.read_table(out / "manifest.parquet").to_pylist() == manifest
    with (out / "manifest.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    assert table == [{name: "" if value is None else str(value) for name, value in row.items()} for row in manifest]


def test_ctrl_c_ends_in_order_and_the_next_run_goes_on(tmp_path: Path) -> None:
    jobs, out = short_jobs(100), tmp_path / "out"
    source = write_jobs(tmp_path / "jobs.jsonl", jobs)
    with subprocess.Popen(
        command(source, out),
        cwd=ROOT,
        env=variables(tmp_path / "voices"),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        while not (out / "journal.jsonl").exists() or len(records(out, "done")) < 10:
            assert process.poll() is None
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the engine's own process gets it too
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "run the same command again to go on" in told
    stopped = len(records(out, "done"))
    assert 10 <= stopped == len(rows(out)) < 100
    assert records(out, "failed") == []
    assert run(source, out).returncode == 0
    assert_all_done(out, jobs)


def test_an_engine_that_cannot_be_loaded(tmp_path: Path) -> None:
    source = write_jobs(tmp_path / "jobs.jsonl", short_jobs(1))
    result = run(source, tmp_path / "out", environment=variables(tmp_path, ENGINE="no-such-engine"))
    assert result.returncode == 1
    assert "ENGINE is 'no-such-engine'" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_full_disk_ends_the_run_and_loses_nothing(tmp_path: Path) -> None:
    jobs, out = [{"id": "short", "text": "Hi."}, {"id": "long", "text": "A longer sentence. " * 20}], tmp_path / "out"
    source = write_jobs(tmp_path / "jobs.jsonl", jobs)
    full = subprocess.run(
        command(source, out),
        cwd=ROOT,
        env=variables(tmp_path / "voices"),
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),  # no file may be larger
        check=False,
    )
    assert full.returncode == 1
    assert "run the same command again" in full.stderr
    assert "Traceback" not in full.stderr
    assert run(source, out).returncode == 0
    assert_all_done(out, jobs)


def test_memory_does_not_grow_with_the_lines(tmp_path: Path) -> None:
    """Ten thousand lines of 2 kB each are 20 MB; a run over them holds an index, not the lines."""
    program = """
import json, resource, sys
from pathlib import Path
sys.path.insert(0, "tests")
from batch.folder import Folder
from batch.lines import Source
from batch.run import run
from test_batch import Speaks
def peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
import pyarrow.parquet
source = Source(Path(sys.argv[1]), {})
before = peak_mb()
class Quick(Speaks):
    def answers(self, lines):
        import itertools
        lines = iter(lines)
        while group := list(itertools.islice(super().answers(lines), 200)):
            yield [answer for answers in group for answer in answers]
summary = run(source, Folder(Path(sys.argv[2])), lambda journal: Quick())
assert summary.done == 10_000, summary
print(json.dumps(peak_mb() - before))
"""
    jobs = ({"id": f"line-{number}", "text": f"{number} " + "word " * 400} for number in range(10_000))
    source = write_jobs(tmp_path / "jobs.jsonl", jobs)
    result = subprocess.run(
        [sys.executable, "-c", program, str(source), str(tmp_path / "out")], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) < 30
