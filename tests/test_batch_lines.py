"""A file of jobs to lines: what is taken, what is refused, names that stay in their folder, seeds that stay."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.errors import BadLines, BatchError
from batch.lines import Line, Source, seed_of
from batch.names import fault_of, same_file_key
from worker.request import Request


def lines_of(path: Path, text: str, **defaults: str) -> list[Line]:
    path.write_text(text, encoding="utf-8")
    source = Source(path, defaults)
    count = source.survey()
    lines = list(source.lines())
    assert count == len(lines)
    return lines


def faults_of(path: Path, text: str, **defaults: str) -> tuple[str, ...]:
    with pytest.raises(BadLines) as refused:
        lines_of(path, text, **defaults)
    return refused.value.faults


def test_json_lines(tmp_path: Path) -> None:
    text = '{"text": "One.", "seed": 5}\n\n{"id": "b", "text": "Two.", "format": "mp3", "exaggeration": 0.7}\n'
    first, second = lines_of(tmp_path / "jobs.jsonl", text)
    assert (first.number, first.id, first.file, first.job) == (1, "000001", "000001.wav", {"text": "One.", "seed": 5})
    assert (second.number, second.id, second.file) == (3, "b", "b.mp3")
    assert second.job == {"text": "Two.", "format": "mp3", "exaggeration": 0.7, "seed": seed_of("b")}


def test_csv_has_the_same_fields_as_text(tmp_path: Path) -> None:
    text = 'id,text,voice_name,exaggeration,seed,sample_rate,file\na,"Hello, there.",Anna,0.7,5,16000,\nb,7,,,,,x.mp3\n'
    first, second = lines_of(tmp_path / "jobs.csv", text)
    assert first.job == {
        "text": "Hello, there.",
        "voice_name": "Anna",
        "exaggeration": 0.7,
        "seed": 5,
        "sample_rate": 16000,
    }
    assert second.job == {"text": "7", "seed": seed_of("b"), "format": "mp3"}
    assert (first.file, second.file) == ("a.wav", "x.mp3")


def test_csv_with_line_breaks_and_a_byte_order_mark(tmp_path: Path) -> None:
    (line,) = lines_of(tmp_path / "jobs.csv", '\ufefftext\n"One.\nTwo."\n')
    assert line.job["text"] == "One.\nTwo."


def test_defaults_fill_what_a_line_leaves_out(tmp_path: Path) -> None:
    text = '{"text": "One."}\n{"text": "Two.", "format": "wav"}\n'
    first, second = lines_of(tmp_path / "jobs.jsonl", text, format="flac", exaggeration="0.25")
    assert (first.file, second.file) == ("000001.flac", "000002.wav")
    assert (first.job["exaggeration"], first.job["format"], second.job["format"]) == (0.25, "flac", "wav")


def test_a_line_without_a_seed_gets_the_one_the_worker_would_take() -> None:
    assert seed_of("line-7") == Request("line-7").seed()


def test_a_suffix_says_the_format_unless_the_line_says_another(tmp_path: Path) -> None:
    (line,) = lines_of(tmp_path / "jobs.jsonl", '{"text": "x", "file": "Take 1.v2"}')
    assert line.file == "Take 1.v2.wav"
    assert "must agree" in faults_of(tmp_path / "jobs.jsonl", '{"text": "x", "file": "a.mp3", "format": "wav"}')[0]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "not JSON"),
        ("[1]", "not an object"),
        ("[" * 100_000, "not JSON"),
        ('{"id": "a"}', "text is missing|type is missing"),
        ('{"text": ""}', "text is"),
        ('{"text": "x", "txet": "y"}', "unknown field 'txet'"),
        ('{"text": "x", "exaggeration": 9}', "allowed is 0 to 2"),
        ('{"text": "x", "exaggeration": NaN}', "exaggeration"),
        ('{"text": "x", "stream": true}', "stream is true"),
        ('{"type": "delete_voice", "voice_name": "Anna", "text": "x"}', "unknown field"),
        ('{"type": "health"}', "unknown field|only synthesize"),
        ('{"text": "x", "id": null}', "not text"),
        ('{"text": "x", "id": ["a"]}', "not text"),
        ('{"text": "x", "file": 7}', "not text"),
        ('{"text": "x", "id": "../a"}', "without a path"),
        ('{"text": "x", "file": "/etc/passwd"}', "without a path"),
        ('{"text": "x", "file": "a\\\\b"}', "without a path"),
        ('{"text": "x", "file": ".."}', "dot"),
        ('{"text": "x", "file": ".writing-a"}', "dot"),
        ('{"text": "x", "file": "a\\u0000b"}', "without a path"),
        ('{"text": "x", "file": "con.wav"}', "without a path"),
        ('{"text": "x", "file": " a"}', "space"),
        ('{"text": "x", "id": "\\ud800"}', "not text"),
        (json.dumps({"text": "x", "id": "x" * 201}), "200 are allowed"),
    ],
)
def test_a_bad_line_is_named_with_its_number(tmp_path: Path, line: str, words: str) -> None:
    (fault,) = faults_of(tmp_path / "jobs.jsonl", f'{{"text": "good"}}\n{line}\n')
    assert fault.startswith("line 2: ")
    assert any(word in fault for word in words.split("|")), fault


def test_ids_and_files_are_there_once_on_every_disk(tmp_path: Path) -> None:
    jobs = [{"id": "a"}, {"id": "A"}, {"id": "b", "file": "a.wav"}, {"id": "b"}, {"id": "Ä"}, {"id": "A\u0308"}]
    text = "".join(json.dumps({**job, "text": "x"}) + "\n" for job in jobs)
    faults = faults_of(tmp_path / "jobs.jsonl", text)
    assert [fault.split(":")[0] for fault in faults] == ["line 2", "line 3", "line 4", "line 6"]
    assert all("each may be there once" in fault for fault in faults)


def test_only_so_many_faults_are_told(tmp_path: Path) -> None:
    with pytest.raises(BadLines, match="… and 80 more") as refused:
        lines_of(tmp_path / "jobs.jsonl", "{}\n" * 100)
    assert len(refused.value.faults) == 20


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "latin.csv").write_bytes("text\nGrüße\n".encode("latin-1"))
    for name, words in (("nothing.jsonl", "cannot be read"), ("latin.csv", "UTF-8")):
        with pytest.raises(BatchError, match=words):
            Source(tmp_path / name, {}).survey()
    assert "more cells" in faults_of(tmp_path / "jobs.csv", "text\nHello, there.\n")[0]
    assert "not CSV" in faults_of(tmp_path / "jobs.csv", 'text\n"Hello" there\n')[0]


@given(st.text(max_size=30))
def test_a_good_name_is_one_file_in_its_folder(name: str) -> None:
    if fault_of(name) is None:
        folder = Path("/folder")
        assert (folder / name).resolve().parent == folder
        assert Path(name).name == name
        assert same_file_key(name) == same_file_key(name.upper().lower()) or name != name.upper().lower()


@given(st.integers(0, 10**6), st.text(min_size=1, max_size=20))
def test_what_changes_the_answer_changes_the_digest(seed: int, text: str) -> None:
    from batch.lines import _line

    def digest(**changes: object) -> str:
        return _line(1, {"text": f"x{text}", "id": "a", "seed": seed, **changes}, {}, typed=True).digest

    assert digest() == digest()
    assert len({digest(), digest(seed=seed + 1), digest(text=f"y{text}"), digest(file="b"), digest(format="mp3")}) == 5
