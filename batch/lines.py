"""A file of jobs, read a line at a time: JSON lines or CSV to validated, frozen `Line`s. Knows no backend.

A line is the input of a `synthesize` job, and optionally `id` (default: its number) and `file` (default: the id and the
format's suffix). A line without a seed gets one made of its id, so that every backend, and every later run, gives the
same file.
"""

from __future__ import annotations

import csv
import functools
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from pydantic import TypeAdapter, ValidationError

from batch.errors import MAX_SHOWN, BadLines, BatchError
from batch.names import fault_of, same_file_key
from synthesis import FORMATS
from worker.errors import JobError
from worker.inputs import SynthesizeInput, parse_input

Job = dict[str, Any]

OWN_FIELDS = ("id", "file")
FORMAT_OF_SUFFIX = {audio_format.suffix: name for name, audio_format in FORMATS.items()}


@dataclass(frozen=True)
class Line:
    """One text to be spoken."""

    number: int  # in the file, from 1
    id: str
    file: str  # its name in the output folder
    job: Job  # the worker's input; has a seed
    digest: str  # of job and file: another one means another answer


class _Fault(Exception):
    """One line that cannot be used."""


@dataclass(frozen=True)
class Source:
    """A file of jobs. It is read anew for every pass; no pass holds more than a line of it."""

    path: Path
    defaults: Mapping[str, str]  # fields for lines that do not have them, as text

    def lines(self) -> Iterator[Line]:
        """Every line. Raises BadLines at the first bad one: `survey` has listed them all before."""
        for number, fields in self._raw():
            try:
                yield _line(number, _usable(fields), self.defaults, typed=self._typed)
            except _Fault as fault:
                raise BadLines(str(self.path), [f"line {number}: {fault}"], 1) from fault

    def survey(self) -> int:
        """How many lines there are, if every one of them is good and no two have an id or a file in common.

        Raises BadLines with all faults.
        """
        seen: dict[str, int] = {}  # ids and files as digests, which take less memory than names: line number
        faults: list[str] = []
        num_lines = num_faults = 0
        for number, fields in self._raw():
            num_lines += 1
            try:
                line = _line(number, _usable(fields), self.defaults, typed=self._typed)
                for kind, key in (("id", line.id), ("file", same_file_key(line.file))):
                    first = seen.setdefault(f"{kind}:{key}", number)
                    if first != number:
                        value = line.id if kind == "id" else line.file
                        raise _Fault(f"{kind} {value!r} is that of line {first}; each may be there once; rename one")  # noqa: TRY301
            except _Fault as fault:
                num_faults += 1
                if len(faults) < MAX_SHOWN:
                    faults.append(f"line {number}: {fault}")
        if num_faults:
            raise BadLines(str(self.path), faults, num_faults)
        return num_lines

    @property
    def _typed(self) -> bool:
        return self.path.suffix.lower() != ".csv"

    def _raw(self) -> Iterator[tuple[int, Mapping[str, Any] | str]]:
        """Number and fields of every line, or what is wrong with it."""
        try:
            with self.path.open(encoding="utf-8-sig", newline="") as file:
                yield from _json_lines(file) if self._typed else _csv_lines(file)
        except UnicodeDecodeError as error:
            raise BatchError(f"{self.path} is not UTF-8 ({error.reason}); UTF-8 is allowed; save it as that") from error
        except OSError as error:
            raise BatchError(f"{self.path} cannot be read ({error.strerror}); check its name") from error


def _json_lines(file: Iterator[str]) -> Iterator[tuple[int, Mapping[str, Any] | str]]:
    for number, text in enumerate(file, start=1):
        if not text.strip():
            continue
        try:
            fields = json.loads(text)
        except (ValueError, RecursionError):
            yield number, "not JSON; one JSON object a line is allowed; correct it"
            continue
        yield (
            number,
            fields if isinstance(fields, dict) else "not an object; one JSON object a line is allowed; correct it",
        )


def _csv_lines(file: Iterator[str]) -> Iterator[tuple[int, Mapping[str, Any] | str]]:
    reader = csv.DictReader(file, strict=True)
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            yield reader.line_num, f"not CSV ({error}); quote texts with commas, quotes or line breaks; correct it"
            return
        if row is None:
            return
        if None in row:
            yield reader.line_num, "more cells than the header has columns; quote texts that hold a comma; correct it"
            continue
        yield reader.line_num, {name: cell for name, cell in row.items() if cell not in (None, "")}


def _usable(fields: Mapping[str, Any] | str) -> Mapping[str, Any]:
    if isinstance(fields, str):
        raise _Fault(fields)
    return fields


def _line(number: int, fields: Mapping[str, Any], defaults: Mapping[str, str], *, typed: bool) -> Line:
    """The line, validated. typed: its values are JSON's; else they are text. Raises _Fault."""
    given = dict(fields)
    job = _from_text(defaults) | (given if typed else _from_text(given))
    for own in OWN_FIELDS:
        job.pop(own, None)
    line_id = given.get("id", f"{number:06d}")
    line_id = str(line_id) if isinstance(line_id, int) and not isinstance(line_id, bool) else line_id
    file = given.get("file", "")
    if not isinstance(line_id, str) or not isinstance(file, str):
        raise _Fault("id and file are not text; text is allowed; correct them")
    if fault := fault_of(line_id):
        raise _Fault(f"id: {fault}")
    file = _file_name(file or line_id, job, chosen=bool(file))
    job.setdefault("seed", seed_of(line_id))
    if job["seed"] is None:
        job["seed"] = seed_of(line_id)
    _check_job(job)
    return Line(number, line_id, file, job, _digest(job, file))


def seed_of(line_id: str) -> int:
    """The seed of a line that names none: what the worker itself would take for a job with this id."""
    return int.from_bytes(hashlib.sha256(line_id.encode()).digest()[:4], "big")


def _file_name(name: str, job: Job, *, chosen: bool) -> str:
    """name with the suffix of the job's format; a chosen name with a known suffix says the format itself."""
    suffix = PurePath(name).suffix.lower()
    by_suffix = FORMAT_OF_SUFFIX.get(suffix) if chosen else None
    if by_suffix is not None:
        wanted = job.setdefault("format", by_suffix)
        if wanted != by_suffix:
            raise _Fault(f"file is {name!r} and format is {wanted!r}; they must agree; leave one of them out")
    else:
        audio_format = job.get("format", "wav")
        name += FORMATS[audio_format].suffix if isinstance(audio_format, str) and audio_format in FORMATS else ""
    if fault := fault_of(name):
        raise _Fault(f"file: {fault}")
    return name


def _check_job(job: Job) -> None:
    try:
        parsed = parse_input(job)
    except JobError as error:
        raise _Fault(str(error)) from error
    if not isinstance(parsed, SynthesizeInput):
        raise _Fault(f"type is {job.get('type')!r}; only synthesize is allowed in a batch; leave type out")
    if parsed.stream:
        raise _Fault("stream is true; a batch writes whole files; leave it out")


def _from_text(cells: Mapping[str, str]) -> Job:
    """Fields from text, each as the type its field has. What is not of that type stays text, and is refused later."""
    return {name: _typed_value(name, cell) for name, cell in cells.items()}


def _typed_value(name: str, cell: str) -> Any:
    """cell as the type the field has: text, a number, or what JSON in it says; as it is where it is none of them."""
    if name not in SynthesizeInput.model_fields:
        return cell
    try:
        return _type_of(name).validate_python(cell)
    except ValidationError:
        pass
    try:
        return json.loads(cell)
    except ValueError:
        return cell


@functools.cache
def _type_of(name: str) -> TypeAdapter[Any]:
    annotation: Any = SynthesizeInput.model_fields[name].annotation
    return TypeAdapter(annotation)


def _digest(job: Job, file: str) -> str:
    text = json.dumps([job, file], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
