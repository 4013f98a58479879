"""Failures leave the worker in one shape, whatever they were."""

from __future__ import annotations

import pytest

from synthesis import errors as synthesis_errors
from voice_library import errors as library_errors
from worker.errors import CODES, MAX_ERROR_CHARACTERS, JobError, describe
from worker.settings import SettingsError


def all_subclasses(base: type[Exception]) -> list[type[Exception]]:
    return [base, *(found for child in base.__subclasses__() for found in all_subclasses(child))]


@pytest.mark.parametrize(
    "error_type", all_subclasses(synthesis_errors.SynthesisError) + all_subclasses(library_errors.LibraryError)
)
def test_every_error_of_the_rooms_has_a_code(error_type: type[Exception]) -> None:
    assert describe(error_type("what; allowed; do")).split(":")[0] in CODES


def test_a_foreign_error_tells_nothing_but_that_it_happened() -> None:
    line = describe(OSError(13, "Permission denied", "/data/secret/path"))
    assert line.startswith("INTERNAL: ")
    assert "/data" not in line


def test_settings_are_explained_to_the_operator() -> None:
    assert describe(SettingsError("ENGINE is 'x'; allowed are a, b; correct it")).startswith("INTERNAL: ENGINE is 'x'")


def test_an_error_is_one_short_line() -> None:
    line = describe(JobError("INVALID_INPUT", "first\nsecond\r\n\x1b[31mthird " + "x" * 5000))
    assert "\n" not in line
    assert "\x1b" not in line
    assert len(line) == MAX_ERROR_CHARACTERS


def test_memory_errors_do_not_show_the_allocators_words() -> None:
    assert describe(MemoryError("Unable to allocate 9 GiB")).startswith("OUT_OF_MEMORY: the worker ran out of memory")


def test_half_a_character_can_be_sent() -> None:
    assert describe(JobError("INVALID_INPUT", "\ud83d is no name")).encode() == b"INVALID_INPUT: \\ud83d is no name"
