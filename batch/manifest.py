"""What a batch has made, in the order of its lines: manifest.jsonl, the same as a table, and failures.jsonl.

Written anew from the jobs and the journal, a line at a time.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Protocol

from batch.errors import BatchError
from batch.folder import Folder, replacing
from batch.journal import Journal
from batch.lines import Line, Source

Table = Literal["csv", "parquet", "none"]
Row = dict[str, Any]

# column: its type in parquet
COLUMNS = {
    "id": "string",
    "file": "string",
    "text": "string",
    "voice_id": "string",
    "voice_name": "string",
    "duration": "float64",  # s
    "format": "string",
    "sample_rate": "int64",  # Hz
    "seed": "int64",
    "engine": "string",
    "bytes": "int64",
    "sha256": "string",
    "attempts": "int64",
}
ROWS_A_GROUP = 1_000


def write(source: Source, journal: Journal, folder: Folder, table: Table) -> None:
    """Write all of them. Raises BatchError where parquet is wanted and pyarrow is not there."""
    with (
        replacing(folder.path / "manifest.jsonl") as manifest_path,
        replacing(folder.path / "failures.jsonl") as failures_path,
        manifest_path.open("w", encoding="utf-8") as manifest,
        failures_path.open("w", encoding="utf-8") as failures,
        _table(folder.path / f"manifest.{table}", table) as rows,
    ):
        for line in source.lines():
            entry = journal.entry(line)
            if entry is None:
                continue
            record = journal.record(entry)
            if entry.event == "done":
                row = _row(line, record)
                manifest.write(json.dumps(row, ensure_ascii=False) + "\n")
                rows.add(row)
            elif entry.event == "failed":
                failure = {"line": line.number, "id": line.id, "error": record["error"]}
                failures.write(json.dumps(failure, ensure_ascii=False) + "\n")


def check_table(table: Table) -> None:
    """Raises BatchError where this table cannot be written; asked before anything is spoken."""
    if table == "parquet":
        try:
            import pyarrow.parquet  # noqa: F401
        except ImportError as error:
            raise BatchError(
                "--table is parquet and pyarrow is not installed; csv needs nothing; install pyarrow or choose csv"
            ) from error


def _row(line: Line, record: Row) -> Row:
    known = {**record.get("facts", {}), **record, "file": f"audio/{line.file}", "text": line.job["text"]}
    return {name: known.get(name) for name in COLUMNS}


class _Rows(Protocol):
    def add(self, row: Row) -> None:
        """One row more."""


class _Nothing:
    def add(self, row: Row) -> None:
        """Not wanted."""


class _Csv:
    def __init__(self, writer: csv.DictWriter[str]) -> None:
        self._writer = writer

    def add(self, row: Row) -> None:
        self._writer.writerow(row)


class _Parquet:
    """Rows in groups of ROWS_A_GROUP."""

    def __init__(self, path: Path) -> None:
        import pyarrow
        import pyarrow.parquet

        self._schema = pyarrow.schema([(name, getattr(pyarrow, kind)()) for name, kind in COLUMNS.items()])
        self._from_rows = pyarrow.Table.from_pylist
        self._writer = pyarrow.parquet.ParquetWriter(path, self._schema)
        self._waiting: list[Row] = []

    def add(self, row: Row) -> None:
        self._waiting.append(row)
        if len(self._waiting) == ROWS_A_GROUP:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        self._writer.write_table(self._from_rows(self._waiting, schema=self._schema))
        self._waiting = []


@contextmanager
def _table(path: Path, table: Table) -> Iterator[_Rows]:
    if table == "none":
        yield _Nothing()
        return
    with replacing(path) as temporary:
        if table == "parquet":
            parquet = _Parquet(temporary)
            try:
                yield parquet
            finally:
                parquet.close()
            return
        with temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            yield _Csv(writer)
